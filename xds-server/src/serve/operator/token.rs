//! Tokens: made once, known by their hash.

use super::caller::Role;
use super::list::{OperatorEntry, hash};
use rustls::crypto::GetRandomFailed;
use rustls::crypto::ring::default_provider;
use std::time::SystemTime;

/// Random bytes of a token.
const BYTES: usize = 32;

/// Tells a token from other secrets, for programs that look for secrets where none may be.
const PREFIX: &str = "meridian_";

/// Makes a token, and the entry of it for the file of operators. Nothing else knows the token.
///
/// # Errors
///
/// The system has no random numbers.
pub fn new_token(
    name: String,
    role: Role,
    expires: Option<SystemTime>,
) -> Result<(String, OperatorEntry), GetRandomFailed> {
    let mut bytes = [0; BYTES];
    default_provider().secure_random.fill(&mut bytes)?;
    let token = format!("{PREFIX}{}", hex::encode(bytes));
    let entry = OperatorEntry {
        name,
        role,
        token_sha256: Some(hash(&token)),
        certificate: None,
        expires,
    };
    Ok((token, entry))
}
