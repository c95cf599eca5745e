//! The token usage that a response reports.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Tokens of one response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, without those that Anthropic's API counts by themselves.
    pub uncached: u64,
    /// Tokens of the prompt that were read from a cache, where the API counts them by themselves.
    pub cache_read: u64,
    /// Tokens of the prompt that were written to a cache, where the API counts them by themselves.
    pub cache_write: u64,
    /// Tokens of the completion.
    pub completion: u64,
    /// Tokens of the prompt that were read from a cache.
    pub cached: u64,
}

impl Usage {
    /// All tokens of the prompt.
    pub fn prompt(&self) -> u64 {
        let cache = self.cache_read.saturating_add(self.cache_write);
        self.uncached.saturating_add(cache)
    }

    /// The larger count of each kind. The totals of a stream grow, and each of its events may leave some out, or say zero.
    pub fn max(self, other: Self) -> Self {
        Self {
            uncached: self.uncached.max(other.uncached),
            cache_read: self.cache_read.max(other.cache_read),
            cache_write: self.cache_write.max(other.cache_write),
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
    cache_creation_input_tokens: Option<u64>,
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
    let is_openai = raw.prompt_tokens.is_some()
        || raw.prompt_tokens_details.is_some()
        || raw.input_tokens_details.is_some();
    let details = raw.prompt_tokens_details.or(raw.input_tokens_details);
    let cached = details.and_then(|details| details.cached_tokens);
    let cache_read = raw.cache_read_input_tokens.unwrap_or(0);
    let cache_write = raw.cache_creation_input_tokens.unwrap_or(0);
    Some(Usage {
        uncached: raw.prompt_tokens.max(raw.input_tokens).unwrap_or(0),
        // OpenAI's count of the prompt includes them.
        cache_read: if is_openai { 0 } else { cache_read },
        cache_write: if is_openai { 0 } else { cache_write },
        completion: raw.completion_tokens.max(raw.output_tokens).unwrap_or(0),
        cached: cached.unwrap_or(0).max(cache_read),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Prompt, completion and cached tokens of a stream with these usages.
    fn check(usages: &[Value], expect: (u64, u64, u64)) {
        let usages = usages.iter().map(|usage| {
            let raw: Box<RawValue> = serde_json::value::to_raw_value(usage).unwrap();
            parse_usage(&raw).unwrap()
        });
        let usage = usages.reduce(Usage::max).unwrap();
        assert_eq!((usage.prompt(), usage.completion, usage.cached), expect);
    }

    #[test]
    fn later_zeros_do_not_count() {
        check(
            &[
                json!({ "prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens_details": { "cached_tokens": 4 } }),
                json!({ "prompt_tokens": 0, "completion_tokens": 0 }),
            ],
            (7, 5, 4),
        );
        check(
            &[
                json!({ "input_tokens": 7, "output_tokens": 5, "input_tokens_details": { "cached_tokens": 4 } }),
                json!({ "input_tokens": 0, "output_tokens": 0, "input_tokens_details": { "cached_tokens": 0 } }),
            ],
            (7, 5, 4),
        );
        check(
            &[
                json!({ "input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 1 }),
                json!({ "input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 9 }),
                json!({ "output_tokens": 0 }),
            ],
            (9, 9, 4),
        );
        check(
            &[
                json!({ "prompt_tokens": 0, "input_tokens": 7, "completion_tokens": 0, "output_tokens": 5 }),
            ],
            (7, 5, 0),
        );
    }

    #[test]
    fn cached_tokens_are_a_part_of_the_prompt() {
        // The counts of one prompt, over two events.
        check(
            &[
                json!({ "input_tokens": 3, "cache_creation_input_tokens": 2 }),
                json!({ "cache_read_input_tokens": 4, "output_tokens": 1 }),
            ],
            (9, 1, 4),
        );
        // OpenAI's count includes them.
        check(
            &[json!({ "prompt_tokens": 9, "cache_read_input_tokens": 4, "completion_tokens": 1 })],
            (9, 1, 4),
        );
    }
}
