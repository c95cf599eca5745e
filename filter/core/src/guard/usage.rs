//! The token usage that a response reports.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Tokens of one response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens of the completion.
    pub completion: u64,
    /// Tokens of the prompt that were read from a cache.
    pub cached: u64,
}

impl Usage {
    /// The larger count of each kind. Anthropic's stream reports the prompt at its start and the completion at its end.
    pub fn max(self, other: Self) -> Self {
        Self {
            prompt: self.prompt.max(other.prompt),
            completion: self.completion.max(other.completion),
            cached: self.cached.max(other.cached),
        }
    }
}

#[derive(Deserialize)]
struct RawUsage {
    prompt_tokens: Option<u64>,
    input_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    output_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
    cache_read_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

/// Reads a `usage` field with OpenAI's or Anthropic's names. Servers that speak both APIs write both. `None` if the field has
/// another shape: a response without usage is valid.
pub fn parse_usage(usage: &RawValue) -> Option<Usage> {
    let raw: Option<RawUsage> = serde_json::from_slice(usage.get().as_bytes()).ok()?;
    let raw = raw?;
    let details = raw.prompt_tokens_details.or(raw.input_tokens_details);
    let cached = details.and_then(|details| details.cached_tokens);
    Some(Usage {
        prompt: raw.prompt_tokens.or(raw.input_tokens).unwrap_or(0),
        completion: raw.completion_tokens.or(raw.output_tokens).unwrap_or(0),
        cached: cached.or(raw.cache_read_input_tokens).unwrap_or(0),
    })
}
