//! Tiers: interactive requests, and batch requests, which can wait.

use crate::header_map::HeaderMap;
use meridian_policy::headers::TIER;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The tier of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// A person waits for the response.
    #[default]
    Interactive,
    /// The response can wait.
    Batch,
}

/// The tier of a request: batch if its API key is a batch key, else the tier in its header. `keys`: SHA-256 digests in hex.
///
/// # Errors
/// The header names an unknown tier.
pub fn tier(request: &HeaderMap, keys: &BTreeSet<String>) -> Result<Tier, String> {
    let mut tier = Tier::Interactive;
    let values = request
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(TIER));
    for (_, value) in values {
        match value.trim() {
            value if value.eq_ignore_ascii_case("batch") => tier = Tier::Batch,
            value if value.eq_ignore_ascii_case("interactive") => {}
            other => return Err(other.to_owned()),
        }
    }
    let by_key = !keys.is_empty() && request.iter().any(|header| is_one_of(header, keys));
    Ok(if by_key { Tier::Batch } else { tier })
}

fn is_one_of((name, value): (&str, &str), keys: &BTreeSet<String>) -> bool {
    let key = match name {
        "authorization" => match value.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
            _ => return false,
        },
        "x-api-key" | "api-key" => value.trim(),
        _ => return false,
    };
    keys.contains(&digest(key))
}

/// The SHA-256 digest of an API key, in hex.
pub fn digest(key: &str) -> String {
    let bytes = Sha256::digest(key.as_bytes());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
