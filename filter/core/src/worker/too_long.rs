//! Prompts that were too long for a member of their chain: no other member with as small a context is asked.

use lru::LruCache;
use std::num::NonZeroUsize;

/// Requests that are remembered: those of some seconds, for which other members are still asked.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// The largest context that was too small for a request, in tokens, by the request's number.
pub struct TooLong(LruCache<u64, u32>);

impl Default for TooLong {
    fn default() -> Self {
        Self(LruCache::new(REMEMBERED))
    }
}

impl TooLong {
    /// The prompt of a request was too long for a context of so many tokens.
    pub fn note(&mut self, request: u64, context: u32) {
        let most = self.0.get(&request).copied().unwrap_or_default();
        self.0.put(request, most.max(context));
    }

    /// The largest context that was too small for a request, in tokens.
    pub fn of(&self, request: u64) -> Option<u32> {
        self.0.peek(&request).copied()
    }
}
