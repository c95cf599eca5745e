//! What other models left in a conversation, where the Messages API would refuse it. A conversation that began at a pool goes on at
//! Claude with the pool's calls and thoughts in it.

use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The signatures of Anthropic's thinking are longer, in characters: base64 of at least a key's id, a MAC and a nonce. vLLM writes a
/// UUID (32), SGLang nothing.
const MIN_SIGNATURE: usize = 100;

/// The id of a tool call, as the Messages API takes it: letters, digits, `_` and `-`. Kimi's are `functions.name:0`.
pub(super) fn tool_id(id: &str) -> Cow<'_, str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.chars().all(is_allowed) {
        return Cow::Borrowed(id);
    }
    let allowed = id.chars().map(|c| if is_allowed(c) { c } else { '_' });
    Cow::Owned(allowed.collect())
}

/// Removes the thinking of other models from a body of the Messages API, and gives their tool calls ids that the API takes.
pub(super) fn adopt(fields: &mut Map<String, Value>) {
    let Some(messages) = fields.get_mut("messages").and_then(Value::as_array_mut) else {
        return;
    };
    messages.retain_mut(|message| {
        let Some(blocks) = message.get_mut("content").and_then(Value::as_array_mut) else {
            return true;
        };
        let before = blocks.len();
        blocks.retain(|block| block["type"] != "thinking" || is_signed(block));
        for block in blocks.iter_mut() {
            rename(block);
        }
        // A turn of nothing but thinking has nothing left, and the API takes no empty one.
        before == 0 || !blocks.is_empty()
    });
}

fn is_signed(thinking: &Value) -> bool {
    let signature = thinking["signature"].as_str();
    signature.is_some_and(|signature| signature.len() >= MIN_SIGNATURE)
}

fn rename(block: &mut Value) {
    let field = match block["type"].as_str() {
        Some("tool_use") => "id",
        Some("tool_result") => "tool_use_id",
        _ => return,
    };
    if let Some(id) = block[field].as_str()
        && let Cow::Owned(id) = tool_id(id)
    {
        block[field] = json!(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_letters_that_the_api_takes() {
        for (id, expect) in [
            ("toolu_01AbC-9", "toolu_01AbC-9"),
            ("functions.get_weather:0", "functions_get_weather_0"),
            ("aufruf-ü", "aufruf-_"),
        ] {
            assert_eq!(tool_id(id), expect);
        }
    }

    #[test]
    fn a_conversation_goes_on_without_the_thinking_of_others() {
        let signed = json!({ "type": "thinking", "thinking": "hm", "signature": "E".repeat(200) });
        let uuid = json!({ "type": "thinking", "thinking": "hm", "signature": "0".repeat(32) });
        let bare = json!({ "type": "thinking", "thinking": "hm" });
        let call = |id: &str| json!({ "type": "tool_use", "id": id, "name": "f", "input": {} });
        let result = |id: &str| json!({ "type": "tool_result", "tool_use_id": id });
        let mut body = json!({ "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": [uuid, call("functions.f:0")] },
            { "role": "user", "content": [result("functions.f:0")] },
            { "role": "assistant", "content": [bare] },
            { "role": "user", "content": [] },
            { "role": "assistant", "content": [signed, call("toolu_1")] },
        ]});
        adopt(body.as_object_mut().unwrap());
        let expect = json!({ "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": [call("functions_f_0")] },
            { "role": "user", "content": [result("functions_f_0")] },
            { "role": "user", "content": [] },
            { "role": "assistant", "content": [signed, call("toolu_1")] },
        ]});
        assert_eq!(body, expect);
    }
}
