//! Which answers Envoy does not pass on, but asks the next member of the chain instead. A header may ask for it as well
//! ([`RETRY`](crate::headers::RETRY)), and one forbids it ([`FINAL`](crate::headers::FINAL)).

/// Status codes below 500 that say something about the server that answered, not about the request: it was too slow, or has no room.
pub const RETRIED_BELOW_500: [u16; 2] = [408, 429];

/// Whether an answer with this status is retried.
pub fn is_retried(status: u16) -> bool {
    status >= 500 || RETRIED_BELOW_500.contains(&status)
}
