//! Translates a streamed response into OpenAI's chunks.

use super::completion::{Block, finish_reason};
use super::error::{Error, openai};
use super::usage::Usage;
use serde::{Deserialize, Serialize};
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

/// A chunk as the caller reads it. It is written without a [`Value`] for each of its fields: a response has thousands of chunks.
#[derive(Serialize)]
struct Chunk<'c> {
    choices: &'c [Choice<'c>],
    created: u64,
    id: &'c str,
    model: &'c str,
    object: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Choice<'c> {
    delta: ChunkDelta<'c>,
    finish_reason: Option<&'c str>,
    index: u8,
    logprobs: (),
}

/// What a chunk adds to the message.
#[derive(Default, Serialize)]
struct ChunkDelta<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Value; 1]>,
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
                let delta = ChunkDelta {
                    content: Some(""),
                    role: Some("assistant"),
                    ..ChunkDelta::default()
                };
                self.choice(delta, None, out);
            }
            Some(Event::ContentBlockStart { content_block }) => self.block(content_block, out),
            Some(Event::ContentBlockDelta { delta }) => self.block_delta(delta, out),
            // A tool call without arguments has an empty object.
            Some(Event::ContentBlockStop) if self.lacks_arguments => self.arguments("{}", out),
            Some(Event::MessageDelta { delta, .. }) => {
                if let Some(reason) = delta.stop_reason {
                    self.choice(ChunkDelta::default(), Some(finish_reason(&reason)), out);
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
            Block::Text { text } => self.text(&text, out),
            Block::Thinking { thinking } => self.thinking(&thinking, out),
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
            Delta::Text { text } => self.text(&text, out),
            Delta::Thinking { thinking } => self.thinking(&thinking, out),
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
            self.chunk(&[], usage.openai(), out);
        }
        out.push_str("data: [DONE]\n\n");
        self.is_over = true;
    }

    fn text(&self, text: &str, out: &mut String) {
        if !text.is_empty() {
            let content = Some(text);
            let delta = ChunkDelta {
                content,
                ..ChunkDelta::default()
            };
            self.choice(delta, None, out);
        }
    }

    fn thinking(&self, thinking: &str, out: &mut String) {
        if !thinking.is_empty() {
            let reasoning_content = Some(thinking);
            let delta = ChunkDelta {
                reasoning_content,
                ..ChunkDelta::default()
            };
            self.choice(delta, None, out);
        }
    }

    fn arguments(&mut self, arguments: &str, out: &mut String) {
        self.lacks_arguments = false;
        self.call(json!({ "function": { "arguments": arguments } }), out);
    }

    fn call(&self, mut call: Value, out: &mut String) {
        call["index"] = json!(self.calls.saturating_sub(1));
        let delta = ChunkDelta {
            tool_calls: Some([call]),
            ..ChunkDelta::default()
        };
        self.choice(delta, None, out);
    }

    fn choice(&self, delta: ChunkDelta<'_>, finish_reason: Option<&str>, out: &mut String) {
        let choice = Choice {
            delta,
            finish_reason,
            index: 0,
            logprobs: (),
        };
        self.chunk(&[choice], Value::Null, out);
    }

    fn chunk(&self, choices: &[Choice<'_>], usage: Value, out: &mut String) {
        let Head { id, model, created } = &self.head;
        let chunk = Chunk {
            choices,
            created: *created,
            id,
            model,
            object: "chat.completion.chunk",
            usage: self.include_usage.then_some(usage),
        };
        // Strings and numbers can always be written.
        let chunk = serde_json::to_string(&chunk).unwrap_or_default();
        out.extend(["data: ", &chunk, "\n\n"]);
    }

    fn fail(&mut self, error: &Error, out: &mut String) {
        self.is_over = true;
        out.push_str(&format!("data: {}\n\n", openai(error.status(), error)));
    }
}
