//! Translates OpenAI's APIs for Claude: a request into a request of Anthropic's Messages API, and the response back. Here is Chat
//! Completions; [`responses`] is the Responses API.
//!
//! ```text
//! chat body --request()--> messages body      message --ResponseContext::whole()--> chat.completion
//!                                             events  --Stream::read()--> chat.completion.chunk ... [DONE]
//! ```
//!
//! A request is refused if the Messages API cannot express a field of it. Hints are dropped. Formats: Anthropic's API reference
//! and the types of its official client (anthropic 2.13), OpenAI's API reference and its client (openai 3.57).

mod ask;
mod bedrock;
mod beta;
mod chat;
mod completion;
mod error;
mod history;
mod host;
mod invalid_request;
mod messages;
mod output_format;
mod read;
mod request;
mod response;
mod responses;
mod stream;
mod tools;
mod usage;
mod version;

pub use ask::{Api, Ask};
pub use host::{BETA, COUNT_TOKENS, HostRequest, MESSAGES, Tokens};
pub use invalid_request::InvalidRequest;
pub use read::check_size;
pub use response::{CallerApi, ResponseContext, TranslatedResponse};
pub use stream::Stream;
pub use usage::Usage;
pub use version::VERSION;

#[cfg(test)]
mod tests;
