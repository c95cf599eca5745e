//! Translates a streamed response into OpenAI's chunks.

use super::completion::{Block, finish_reason};
use super::error::{Error, openai};
use super::usage::Usage;
use serde::Deserialize;
use serde_json::{Value, json};

/// Translates Claude's events into OpenAI's chunks as they arrive.
#[derive(Debug)]
pub struct Chat {
    head: Head,
    include_usage: bool,
    /// Tool calls that have started.
    calls: usize,
    /// The current tool call has no arguments yet.
    lacks_arguments: bool,
    /// The stream has ended: further events are dropped.
    is_over: bool,
}

/// The fields that all chunks of a response share.
#[derive(Debug, Default)]
struct Head {
    id: String,
    model: String,
    created: u64,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        content_block: Block,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    ContentBlockStop,
    MessageDelta {
        delta: Stop,
        #[serde(default)]
        usage: Usage,
    },
    MessageStop,
    Error {
        error: Error,
    },
    /// A ping, or an unknown event.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
pub(super) struct Start {
    pub id: String,
    pub model: String,
    #[serde(default)]
    pub usage: Usage,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
pub(super) struct Stop {
    pub stop_reason: Option<String>,
}

impl Chat {
    /// Starts a response. `created`: seconds since the Unix epoch.
    pub fn new(created: u64, include_usage: bool) -> Self {
        Self {
            head: Head {
                created,
                ..Head::default()
            },
            include_usage,
            calls: 0,
            lacks_arguments: false,
            is_over: false,
        }
    }

    /// Reads the next event, and appends the chunks for the caller. `event`: `None` if it is invalid or too large; `usage`: the
    /// usage so far. A failed response ends with an error chunk. A response that breaks off has no end.
    pub(super) fn read(&mut self, event: Option<Event>, usage: &Usage, out: &mut String) {
        if !self.is_over {
            self.event(event, usage, out);
        }
    }

    fn event(&mut self, event: Option<Event>, usage: &Usage, out: &mut String) {
        match event {
            Some(Event::MessageStart { message }) => {
                self.head.id = message.id;
                self.head.model = message.model;
                self.delta(json!({ "role": "assistant", "content": "" }), out);
            }
            Some(Event::ContentBlockStart { content_block }) => self.block(content_block, out),
            Some(Event::ContentBlockDelta { delta }) => self.block_delta(delta, out),
            // A tool call without arguments has an empty object.
            Some(Event::ContentBlockStop) if self.lacks_arguments => self.arguments("{}", out),
            Some(Event::MessageDelta { delta, .. }) => {
                if let Some(reason) = delta.stop_reason {
                    self.choice(json!({}), Some(finish_reason(&reason)), out);
                }
            }
            Some(Event::MessageStop) => self.end(usage, out),
            Some(Event::Error { error }) => self.fail(&error, out),
            Some(Event::ContentBlockStop | Event::Other) => {}
            None => self.fail(&Error::unreadable(), out),
        }
    }

    fn block(&mut self, block: Block, out: &mut String) {
        match block {
            Block::Text { text } => self.text("content", &text, out),
            Block::Thinking { thinking } => self.text("reasoning_content", &thinking, out),
            // The input comes in deltas.
            Block::ToolUse { id, name, input: _ } => {
                let function = json!({ "name": name, "arguments": "" });
                let call = json!({ "id": id, "type": "function", "function": function });
                self.calls += 1;
                self.lacks_arguments = true;
                self.call(call, out);
            }
            Block::Other => {}
        }
    }

    fn block_delta(&mut self, delta: Delta, out: &mut String) {
        match delta {
            Delta::Text { text } => self.text("content", &text, out),
            Delta::Thinking { thinking } => self.text("reasoning_content", &thinking, out),
            Delta::InputJson { partial_json } => {
                if self.calls > 0 && !partial_json.is_empty() {
                    self.arguments(&partial_json, out);
                }
            }
            Delta::Other => {}
        }
    }

    fn end(&mut self, usage: &Usage, out: &mut String) {
        if self.include_usage {
            self.chunk(json!([]), usage.openai(), out);
        }
        out.push_str("data: [DONE]\n\n");
        self.is_over = true;
    }

    fn text(&self, field: &str, text: &str, out: &mut String) {
        if !text.is_empty() {
            self.delta(json!({ field: text }), out);
        }
    }

    fn arguments(&mut self, arguments: &str, out: &mut String) {
        self.lacks_arguments = false;
        self.call(json!({ "function": { "arguments": arguments } }), out);
    }

    fn call(&self, mut call: Value, out: &mut String) {
        call["index"] = json!(self.calls.saturating_sub(1));
        self.delta(json!({ "tool_calls": [call] }), out);
    }

    fn delta(&self, delta: Value, out: &mut String) {
        self.choice(delta, None, out);
    }

    fn choice(&self, delta: Value, finish_reason: Option<&str>, out: &mut String) {
        let choice =
            json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason });
        self.chunk(json!([choice]), Value::Null, out);
    }

    fn chunk(&self, choices: Value, usage: Value, out: &mut String) {
        let Head { id, model, created } = &self.head;
        let mut chunk = json!({
            "id": id, "object": "chat.completion.chunk", "created": created, "model": model, "choices": choices,
        });
        if self.include_usage {
            chunk["usage"] = usage;
        }
        out.push_str(&format!("data: {chunk}\n\n"));
    }

    fn fail(&mut self, error: &Error, out: &mut String) {
        self.is_over = true;
        out.push_str(&format!("data: {}\n\n", openai(error.status(), error)));
    }
}
