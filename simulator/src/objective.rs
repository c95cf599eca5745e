//! The service-level objective of a case.

/// Latency limits that a request must meet.
#[derive(Clone, Copy, Debug)]
pub struct Objective {
    /// Time to the first token (TTFT) in seconds, without the part that grows with the prompt.
    pub first_token: f64,
    /// Additional TTFT in seconds per token of the prompt.
    pub prompt_token: f64,
    /// Mean time between output tokens, in seconds.
    pub token: f64,
}

impl Objective {
    /// Whether a request met the objective. `ttft` and `latency` (end to end) are in seconds.
    pub fn is_met(&self, prompt: u64, output: u64, ttft: f64, latency: f64) -> bool {
        let tokens = output.saturating_sub(1).max(1) as f64;
        ttft <= self.first_token + self.prompt_token * prompt as f64
            && (latency - ttft) / tokens <= self.token
    }
}
