//! The service-level objective of a case.

/// What is promised to callers.
#[derive(Clone, Copy, Debug)]
pub struct Objective {
    /// Seconds until the first token, besides what the prompt takes.
    pub first_token: f64,
    /// Seconds more for each token of the prompt.
    pub prompt_token: f64,
    /// Seconds between tokens, in the mean of an answer.
    pub token: f64,
}

impl Objective {
    /// Whether a request got it: seconds until its first token, and until the end.
    pub fn is_met(&self, prompt: u64, output: u64, first: f64, whole: f64) -> bool {
        let tokens = output.saturating_sub(1).max(1) as f64;
        first <= self.first_token + self.prompt_token * prompt as f64
            && (whole - first) / tokens <= self.token
    }
}
