//! Translates a response that is not streamed.

use super::usage::Usage;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(super) struct Message {
    pub id: String,
    pub model: String,
    pub content: Vec<Block>,
    pub stop_reason: Option<String>,
    pub usage: Usage,
}

/// A content block of a message. Callers do not see the blocks of Claude's own tools, which a request cannot enable.
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

/// OpenAI's finish reason for a stop reason of Claude.
pub(super) fn finish_reason(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

/// Translates a message of Claude into a `chat.completion`, with its usage. `created`: seconds since the Unix epoch. `None` if
/// the body is no message.
pub(super) fn completion(body: &[u8], created: u64) -> Option<(Value, Usage)> {
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
    let mut reply = json!({ "role": "assistant", "content": null, "refusal": null });
    if !text.is_empty() || calls.is_empty() {
        reply["content"] = json!(text);
    }
    if !thinking.is_empty() {
        reply["reasoning_content"] = json!(thinking);
    }
    if !calls.is_empty() {
        reply["tool_calls"] = json!(calls);
    }
    let finish_reason = finish_reason(message.stop_reason.as_deref().unwrap_or_default());
    let completion = json!({
        "id": message.id,
        "object": "chat.completion",
        "created": created,
        "model": message.model,
        "choices": [{ "index": 0, "message": reply, "logprobs": null, "finish_reason": finish_reason }],
        "usage": message.usage.openai(),
    });
    Some((completion, message.usage))
}
