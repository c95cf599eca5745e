//! What an answer has taken, and where it says that it was made.

use serde::Deserialize;
use serde_json::{Value, json};

/// Tokens, as far as they are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Of the prompt, but for those read from a cache or written to one.
    pub input_tokens: Option<u64>,
    /// Of the prompt, those written to a cache.
    pub cache_creation_input_tokens: Option<u64>,
    /// Of the prompt, those read from a cache.
    pub cache_read_input_tokens: Option<u64>,
    /// Of the answer.
    pub output_tokens: Option<u64>,
    /// Where the answer was made: `us`, `global` or the like.
    pub inference_geo: Option<String>,
}

impl Usage {
    /// What a message says; nothing where it is none.
    pub(super) fn of(body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        struct Message {
            #[serde(default)]
            usage: Usage,
        }
        let message: Message = serde_json::from_slice(body).unwrap_or_default();
        message.usage
    }

    /// What is told later counts: a stream's totals grow.
    pub(super) fn note(&mut self, later: &Self) {
        let newer = |earlier: &mut Option<u64>, later: Option<u64>| *earlier = later.or(*earlier);
        newer(&mut self.input_tokens, later.input_tokens);
        newer(
            &mut self.cache_creation_input_tokens,
            later.cache_creation_input_tokens,
        );
        newer(
            &mut self.cache_read_input_tokens,
            later.cache_read_input_tokens,
        );
        newer(&mut self.output_tokens, later.output_tokens);
        if later.inference_geo.is_some() {
            self.inference_geo.clone_from(&later.inference_geo);
        }
    }

    /// Claude counts what it reads from a cache, or writes to one, apart from the rest of the prompt.
    pub(super) fn openai(&self) -> Value {
        let cached = self.cache_read_input_tokens.unwrap_or(0);
        let prompt = self
            .input_tokens
            .unwrap_or(0)
            .saturating_add(self.cache_creation_input_tokens.unwrap_or(0))
            .saturating_add(cached);
        let completion = self.output_tokens.unwrap_or(0);
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt.saturating_add(completion),
            "prompt_tokens_details": { "cached_tokens": cached },
        })
    }
}
