//! A whole answer.

use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Message {
    id: String,
    model: String,
    content: Vec<Block>,
    stop_reason: Option<String>,
    usage: Usage,
}

/// A block of an answer. Those of Claude's own tools, which nobody here gave it, say nothing to a caller.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Text {
        text: String,
    },
    Thinking {
        thinking: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    #[serde(other)]
    Other,
}

/// Tokens, as far as they are told.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Usage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl Usage {
    /// What is told later counts: a stream's totals grow.
    pub fn or(self, before: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.or(before.input_tokens),
            cache_creation_input_tokens: self
                .cache_creation_input_tokens
                .or(before.cache_creation_input_tokens),
            cache_read_input_tokens: self
                .cache_read_input_tokens
                .or(before.cache_read_input_tokens),
            output_tokens: self.output_tokens.or(before.output_tokens),
        }
    }

    /// Claude counts what it reads from a cache, or writes to one, apart from the rest of the prompt.
    pub fn openai(self) -> Value {
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

/// Why an answer ends, in OpenAI's words.
pub(super) fn finish_reason(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

/// A message of Claude's as a `chat.completion`, made at a time in seconds since the Unix epoch. `None`: it is no message.
pub fn answer(body: &[u8], created: u64) -> Option<Value> {
    let message: Message = serde_json::from_slice(body).ok()?;
    let (mut text, mut thinking, mut calls) = (String::new(), String::new(), Vec::new());
    for block in message.content {
        match block {
            Block::Text { text: more } => text += &more,
            Block::Thinking { thinking: more } => thinking += &more,
            Block::ToolUse { id, name, input } => {
                let arguments = input.to_string();
                let function = json!({ "name": name, "arguments": arguments });
                calls.push(json!({ "id": id, "type": "function", "function": function }));
            }
            Block::Other => {}
        }
    }
    let mut said = json!({ "role": "assistant", "content": null, "refusal": null });
    if !text.is_empty() || calls.is_empty() {
        said["content"] = json!(text);
    }
    if !thinking.is_empty() {
        said["reasoning_content"] = json!(thinking);
    }
    if !calls.is_empty() {
        said["tool_calls"] = json!(calls);
    }
    let finish_reason = finish_reason(message.stop_reason.as_deref().unwrap_or_default());
    Some(json!({
        "id": message.id,
        "object": "chat.completion",
        "created": created,
        "model": message.model,
        "choices": [{ "index": 0, "message": said, "logprobs": null, "finish_reason": finish_reason }],
        "usage": message.usage.openai(),
    }))
}
