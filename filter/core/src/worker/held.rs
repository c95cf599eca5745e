//! What a worker keeps for requests under way.

use super::Worker;

impl Worker {
    /// What this worker keeps for requests under way, by what it is. Without such requests there is nothing of any kind, or something
    /// has been forgotten.
    pub fn held(&self) -> [(&'static str, u64); 8] {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        [
            ("bytes_of_bodies", self.bodies.held()),
            ("requests_that_wait", count(self.attempts.waiting())),
            ("broken_answers", count(self.attempts.broken())),
            ("attempts_that_wait", self.paces.waiting()),
            ("requests_at_servers", self.servers.requests()),
            ("requests_at_fallbacks", count(self.fallbacks.under_way())),
            ("streams_that_may_idle", count(self.idle.count())),
            ("answers_with_a_rate", count(self.trickles.count())),
        ]
    }
}
