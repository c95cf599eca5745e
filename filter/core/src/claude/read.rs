//! Reads the body of a request for Claude, within the fallback's limits.

use super::invalid_request::InvalidRequest;
use crate::bounded_json::{self, Unreadable};
use meridian_policy::FallbackName;
use meridian_policy::egress_policy::Claude;
use serde_json::{Map, Value};

/// Checks the size of a body, in bytes.
///
/// # Errors
/// The body is larger than the fallback's limit.
pub fn check_size(
    size: usize,
    claude: &Claude,
    fallback: &FallbackName,
) -> Result<(), InvalidRequest> {
    let limit = claude.max_body();
    if size <= limit as usize {
        return Ok(());
    }
    let limit = format!("{limit} bytes");
    Err(InvalidRequest::too_large(&limit, fallback))
}

/// The memory for the JSON values of a request, besides their texts, in bytes.
pub fn max_tree(claude: &Claude) -> usize {
    2 * claude.max_body() as usize
}

/// Reads the fields of a body.
///
/// # Errors
/// The body is too large, has too many values, or is no JSON object.
pub fn read(
    body: &[u8],
    claude: &Claude,
    fallback: &FallbackName,
) -> Result<Map<String, Value>, InvalidRequest> {
    check_size(body.len(), claude, fallback)?;
    match bounded_json::read(body, &mut max_tree(claude)) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(InvalidRequest::new("", "is no JSON object")),
        Err(Unreadable::Invalid(error)) => {
            let message = format!("is no JSON object: {error}");
            Err(InvalidRequest::new("", message))
        }
        Err(Unreadable::TooLarge) => {
            let limit = format!("{} bytes in memory by its many values", max_tree(claude));
            Err(InvalidRequest::too_large(&limit, fallback))
        }
    }
}
