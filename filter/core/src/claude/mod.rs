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
pub use host::{Addressed, COUNT_TOKENS, MESSAGES, Tokens, address};
pub use request::{MessagesRequest, Refused, native, request};
pub use stream::Stream;
pub use usage::Usage;

/// The version of Anthropic's API that is spoken: its header, and the value. It has no `temperature`, `top_p` and `top_k`.
pub const VERSION: (&str, &str) = ("anthropic-version", "2026-10-21");

#[cfg(test)]
mod tests;
