//! The response object and its items, and the translation of a response that is not streamed.

use super::super::completion::{Block, Message};
use super::super::usage::Usage;
use super::Echo;
use super::tools::ToolName;
use serde::Deserialize;
use serde_json::{Value, json};

/// The fields that stay the same while a response grows.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Claude's id, without its prefix.
    id: String,
    model: String,
    /// Seconds since the Unix epoch.
    created: u64,
}

impl Head {
    /// The head of the response to a message.
    pub fn new(id: &str, model: String, created: u64) -> Self {
        let id = id.strip_prefix("msg_").unwrap_or(id).to_owned();
        Self { id, model, created }
    }

    /// The response object. What the caller sent besides is not repeated.
    pub fn response(&self, echo: &Echo, state: &State, output: &[Value], usage: Value) -> Value {
        let (status, error, incomplete) = state.fields();
        json!({
            "id": format!("resp_{}", self.id),
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": error,
            "incomplete_details": incomplete,
            "instructions": null,
            "max_output_tokens": null,
            "metadata": {},
            "model": self.model,
            "output": output,
            "parallel_tool_calls": echo.parallel_tool_calls,
            "previous_response_id": null,
            "reasoning": { "effort": null, "summary": null },
            "store": false,
            "temperature": null,
            "text": { "format": { "type": "text" } },
            "tool_choice": echo.tool_choice,
            "tools": [],
            "top_p": null,
            "truncation": "disabled",
            "usage": usage,
        })
    }

    /// The id of an output item of this kind at an index.
    pub fn item_id(&self, kind: &str, index: usize) -> String {
        format!("{kind}_{}_{index}", self.id)
    }
}

/// How far a response is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    InProgress,
    Completed,
    /// It ended early, for this reason.
    Incomplete(&'static str),
    /// It failed, with this code and message.
    Failed(&'static str, String),
}

impl State {
    /// The state of a response that Claude ended for this reason.
    pub fn of(stop_reason: &str) -> Self {
        match stop_reason {
            "max_tokens" | "model_context_window_exceeded" => Self::Incomplete("max_output_tokens"),
            "refusal" => Self::Incomplete("content_filter"),
            _ => Self::Completed,
        }
    }

    /// The type of the event that ends a stream.
    pub fn event(&self) -> &'static str {
        match self {
            Self::InProgress => "response.in_progress",
            Self::Completed => "response.completed",
            Self::Incomplete(_) => "response.incomplete",
            Self::Failed(..) => "response.failed",
        }
    }

    fn fields(&self) -> (&'static str, Value, Value) {
        match self {
            Self::InProgress => ("in_progress", Value::Null, Value::Null),
            Self::Completed => ("completed", Value::Null, Value::Null),
            Self::Incomplete(reason) => ("incomplete", Value::Null, json!({ "reason": reason })),
            Self::Failed(code, message) => {
                let error = json!({ "code": code, "message": message });
                ("failed", error, Value::Null)
            }
        }
    }
}

/// An output item, as far as it has come.
#[derive(Clone, Debug)]
pub enum Item {
    Message {
        text: String,
    },
    Reasoning {
        text: String,
    },
    Call {
        call_id: String,
        tool: ToolName,
        /// The arguments as Claude writes them: a JSON object.
        arguments: String,
    },
}

impl Item {
    /// The prefix of its id.
    pub fn prefix(&self) -> &'static str {
        match self {
            Self::Message { .. } => "msg",
            Self::Reasoning { .. } => "rs",
            Self::Call { tool, .. } if tool.is_custom => "ctc",
            Self::Call { .. } => "fc",
        }
    }

    /// The JSON of the item. `status`: `in_progress`, `completed` or `incomplete`.
    pub fn json(&self, id: &str, status: &str) -> Value {
        match self {
            Self::Message { text } => {
                let is_begun = text.is_empty() && status == "in_progress";
                let content = if is_begun {
                    vec![]
                } else {
                    vec![text_part(text)]
                };
                json!({ "id": id, "type": "message", "role": "assistant", "status": status, "content": content })
            }
            Self::Reasoning { text } => {
                let summary = if text.is_empty() {
                    vec![]
                } else {
                    vec![summary_part(text)]
                };
                json!({ "id": id, "type": "reasoning", "summary": summary })
            }
            Self::Call {
                call_id,
                tool,
                arguments,
            } => {
                let (kind, field, value) = if tool.is_custom {
                    ("custom_tool_call", "input", custom_input(arguments))
                } else {
                    ("function_call", "arguments", arguments.clone())
                };
                let mut item = json!({
                    "id": id, "type": kind, "status": status, "call_id": call_id, "name": tool.name, field: value,
                });
                if let Some(namespace) = &tool.namespace {
                    item["namespace"] = json!(namespace);
                }
                item
            }
        }
    }
}

/// A part of a message.
pub fn text_part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

/// A part of the summary of reasoning.
pub fn summary_part(text: &str) -> Value {
    json!({ "type": "summary_text", "text": text })
}

/// The free text in the arguments of a custom tool. Empty while the arguments are incomplete.
pub fn custom_input(arguments: &str) -> String {
    /// The field is [`CUSTOM_INPUT`](super::tools::CUSTOM_INPUT).
    #[derive(Deserialize)]
    struct Arguments {
        input: String,
    }
    let arguments: Option<Arguments> = serde_json::from_slice(arguments.as_bytes()).ok();
    arguments.map_or_else(String::new, |arguments| arguments.input)
}

/// Translates a message of Claude into a response, with its usage. `created`: seconds since the Unix epoch. `None` if the body is
/// no message.
pub fn whole(body: &[u8], echo: &Echo, created: u64) -> Option<(Value, Usage)> {
    let message: Message = serde_json::from_slice(body).ok()?;
    let head = Head::new(&message.id, message.model, created);
    let mut output = Vec::new();
    for block in message.content {
        let item = match block {
            Block::Text { text } => Item::Message { text },
            Block::Thinking { thinking } => Item::Reasoning { text: thinking },
            Block::ToolUse { id, name, input } => Item::Call {
                call_id: id,
                tool: echo.tools.callers(&name),
                arguments: input.to_string(),
            },
            Block::Other => continue,
        };
        let id = head.item_id(item.prefix(), output.len());
        output.push(item.json(&id, "completed"));
    }
    let state = State::of(message.stop_reason.as_deref().unwrap_or_default());
    let response = head.response(echo, &state, &output, message.usage.responses());
    Some((response, message.usage))
}
