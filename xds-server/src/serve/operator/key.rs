//! The header by which a caller names a request, so that it may repeat it.

use super::failure::Failure;
use axum::http::{HeaderMap, StatusCode};

/// Its name.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The caller's name of a request, if it has one.
///
/// # Errors
///
/// It is no name.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let is_plain = |key: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=64).contains(&key.len()) && key.bytes().all(plain)
    };
    match key.to_str().ok().filter(is_plain) {
        Some(key) => Ok(Some(key.to_owned())),
        None => {
            let error = format!("{IDEMPOTENCY_KEY}: write 1 to 64 of a-z, A-Z, 0-9, `-` and `_`");
            Err(Failure::new(StatusCode::BAD_REQUEST, error))
        }
    }
}
