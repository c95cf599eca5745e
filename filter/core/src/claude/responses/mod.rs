//! Translates OpenAI's Responses API: a request into a request of the Messages API, and the response back.
//!
//! ```text
//! responses body --request()--> messages body      message --answer::whole()--> response
//!                                                  events  --Responses::read()--> response.created ... response.completed
//! ```
//!
//! No server has the state of another one: what refers to an earlier response, or only its server can read, is refused.

mod answer;
mod input;
mod request;
mod stream;
mod tools;

pub use answer::whole;
pub use request::request;
pub use stream::Responses;
pub use tools::ToolNames;

use serde_json::Value;
use std::rc::Rc;

/// The facts of a request that its response repeats or needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Echo {
    /// The caller's names of the tools.
    pub tools: ToolNames,
    /// The choice of a tool, as the caller wrote it.
    pub tool_choice: Value,
    /// Whether several tools may be called at once.
    pub parallel_tool_calls: bool,
}

/// A request, translated.
#[derive(Debug)]
pub struct Request {
    /// The body for the Messages API, without the model.
    pub body: serde_json::Map<String, Value>,
    /// Whether the response is streamed.
    pub stream: bool,
    /// What the response needs.
    pub echo: Rc<Echo>,
}
