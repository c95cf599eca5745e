//! Requests that this worker's fallbacks are asked for: none is asked twice for one request.

use lru::LruCache;
use meridian_policy::FallbackName;
use std::collections::HashSet;
use std::num::NonZeroUsize;

/// A fallback, and the id of the request that it is asked for.
pub type FallbackRequest = (FallbackName, Vec<u8>);

/// Requests that are remembered after they were answered: those of some seconds, for which other members may still be asked.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// The requests that fallbacks are asked for, and were asked for lately.
pub struct FallbackRequests {
    under_way: HashSet<FallbackRequest>,
    done: LruCache<FallbackRequest, ()>,
}

impl Default for FallbackRequests {
    fn default() -> Self {
        Self {
            under_way: HashSet::new(),
            done: LruCache::new(REMEMBERED),
        }
    }
}

impl FallbackRequests {
    /// A fallback is asked for a request. `false` if it is asked for it already, or was lately.
    pub fn begin(&mut self, request: &FallbackRequest) -> bool {
        !self.done.contains(request) && self.under_way.insert(request.clone())
    }

    /// Requests that fallbacks are asked for at this moment.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// It was asked.
    pub fn end(&mut self, request: FallbackRequest) {
        self.under_way.remove(&request);
        self.done.put(request, ());
    }
}
