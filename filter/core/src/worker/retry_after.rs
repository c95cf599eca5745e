//! When the members of a request's chain want to be asked again.

use crate::breaker::MAX_RETRY_AFTER;
use lru::LruCache;
use std::num::NonZeroUsize;

/// Requests that are remembered: those of some seconds, for which other members are still asked.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// The soonest `Retry-After` that a member has given to a request, in seconds, by the request's number.
#[derive(Debug)]
pub struct RetryAfter(LruCache<u64, u64>);

impl Default for RetryAfter {
    fn default() -> Self {
        Self(LruCache::new(REMEMBERED))
    }
}

impl RetryAfter {
    /// A member has refused a request. What it has said, if it was a number of seconds.
    pub fn note(&mut self, request: u64, seconds: Option<u64>) {
        let Some(seconds) = seconds else {
            return;
        };
        let soonest = self
            .0
            .peek(&request)
            .map_or(seconds, |soonest| seconds.min(*soonest));
        self.0.put(request, soonest);
    }

    /// The soonest that any member has said, in seconds, at least one and at most a day.
    pub fn take(&mut self, request: u64) -> Option<u64> {
        let seconds = self.0.pop(&request)?;
        Some(seconds.clamp(1, MAX_RETRY_AFTER))
    }
}
