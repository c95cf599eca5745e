//! OpenAI's Chat Completions, spoken to Claude: a request becomes one of Anthropic's Messages API, and its answer, whole or
//! streamed, one of Chat Completions.
//!
//! ```text
//! chat body --request()--> messages body      message --Back::whole()--> chat.completion
//!                                             events  --Stream::read()--> chat.completion.chunk ... [DONE]
//! ```
//!
//! What cannot be said in the Messages API is refused by name; what is only a hint is left out. Formats: Anthropic's API
//! reference and the types of its official client (anthropic 2.13), OpenAI's API reference and its client (openai 3.57).

mod answer;
mod back;
mod bedrock;
mod chat;
mod error;
mod host;
mod messages;
mod request;
mod stream;
mod tools;
mod usage;

pub use back::{Answer, Back, Caller};
pub use host::{Addressed, COUNT_TOKENS, Host, MESSAGES, Tokens};
pub use request::{Asked, Refused, native, request};
pub use stream::Stream;
pub use usage::Usage;

use serde::{Deserialize, Serialize};

/// The version of Anthropic's API that is spoken: its header, and the value. It has no `temperature`, `top_p` and `top_k`.
pub const VERSION: (&str, &str) = ("anthropic-version", "2026-10-21");

/// Which Claude answers, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claude {
    /// Who runs it.
    pub host: Host,
    /// The provider's name of the model.
    pub model: String,
    /// Tokens of an answer to a request that does not say how many; the Messages API wants a number.
    pub max_tokens: u32,
    /// Where it has to run, as Anthropic's own API says it: `us`. Anywhere if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_geo: Option<String>,
}

#[cfg(test)]
mod tests;
