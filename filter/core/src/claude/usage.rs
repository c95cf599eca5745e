//! The usage that Claude reports, and the place of the inference.

use serde::Deserialize;
use serde_json::{Value, json};

/// Reported tokens. `None` if they are not reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt that were neither read from a cache nor written to one.
    pub input_tokens: Option<u64>,
    /// Tokens of the prompt that were written to a cache.
    pub cache_creation_input_tokens: Option<u64>,
    /// Tokens of the prompt that were read from a cache.
    pub cache_read_input_tokens: Option<u64>,
    /// Tokens of the completion.
    pub output_tokens: Option<u64>,
    /// The place of the inference: `us`, `global` or another.
    pub inference_geo: Option<String>,
}

impl Usage {
    /// The usage in a message. Empty if the body is no message.
    pub(super) fn of(body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        struct Message {
            #[serde(default)]
            usage: Usage,
        }
        let message: Message = serde_json::from_slice(body).unwrap_or_default();
        message.usage
    }

    /// Replaces totals by larger ones: those of a stream grow, and an event may leave some out, or say zero.
    pub(super) fn note(&mut self, later: &Self) {
        let larger = |earlier: &mut Option<u64>, later: Option<u64>| *earlier = later.max(*earlier);
        larger(&mut self.input_tokens, later.input_tokens);
        larger(
            &mut self.cache_creation_input_tokens,
            later.cache_creation_input_tokens,
        );
        larger(
            &mut self.cache_read_input_tokens,
            later.cache_read_input_tokens,
        );
        larger(&mut self.output_tokens, later.output_tokens);
        if later.inference_geo.is_some() {
            self.inference_geo.clone_from(&later.inference_geo);
        }
    }

    /// All tokens of the prompt.
    fn prompt(&self) -> u64 {
        let parts = [
            self.input_tokens,
            self.cache_creation_input_tokens,
            self.cache_read_input_tokens,
        ];
        parts.into_iter().flatten().fold(0, u64::saturating_add)
    }

    /// The usage in the format of the Responses API, whose input tokens include the cached ones.
    pub(super) fn responses(&self) -> Value {
        let (prompt, completion) = (self.prompt(), self.output_tokens.unwrap_or(0));
        json!({
            "input_tokens": prompt,
            "input_tokens_details": {
                "cached_tokens": self.cache_read_input_tokens.unwrap_or(0),
                "cache_write_tokens": self.cache_creation_input_tokens.unwrap_or(0),
            },
            "output_tokens": completion,
            "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": prompt.saturating_add(completion),
        })
    }

    /// The usage in the format of Chat Completions, whose prompt tokens include the cached ones.
    pub(super) fn openai(&self) -> Value {
        let cached = self.cache_read_input_tokens.unwrap_or(0);
        let (prompt, completion) = (self.prompt(), self.output_tokens.unwrap_or(0));
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt.saturating_add(completion),
            "prompt_tokens_details": { "cached_tokens": cached },
        })
    }
}
