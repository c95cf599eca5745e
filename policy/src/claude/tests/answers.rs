//! Whole answers, and errors.

use super::*;

#[test]
fn a_message_becomes_a_completion() {
    let body = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "tool_use", "stop_sequence": null,
        "content": [
            { "type": "thinking", "thinking": "hm", "signature": "s" },
            { "type": "text", "text": "I will " }, { "type": "text", "text": "look." },
            { "type": "tool_use", "id": "a", "name": "f", "input": { "city": "Bonn" } },
            { "type": "server_tool_use", "id": "b" },
        ],
        "usage": { "input_tokens": 3, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 20, "output_tokens": 7 },
    });
    let expect = json!({
        "id": "msg_1", "object": "chat.completion", "created": 5, "model": "claude-x",
        "choices": [{ "index": 0, "logprobs": null, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "I will look.", "refusal": null, "reasoning_content": "hm",
            "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"city\":\"Bonn\"}" } }],
        } }],
        "usage": { "prompt_tokens": 33, "completion_tokens": 7, "total_tokens": 40, "prompt_tokens_details": { "cached_tokens": 20 } },
    });
    assert_eq!(answer(body.to_string().as_bytes(), 5), Some(expect));
    for none in ["", "{}", r#"{"type":"error"}"#] {
        assert_eq!(answer(none.as_bytes(), 5), None, "{none}");
    }
}

#[test]
fn why_an_answer_ends() {
    for (stop_reason, finish_reason) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ] {
        assert_eq!(answer::finish_reason(stop_reason), finish_reason);
    }
}

#[test]
fn errors_are_openai_s() {
    let said = |status, kind: &str, message: &str| {
        let body = json!({ "type": "error", "error": { "type": kind, "message": message } });
        let (status, made) = error(status, body.to_string().as_bytes());
        (
            status,
            made["error"]["type"].as_str().unwrap().to_owned(),
            made["error"]["message"].as_str().unwrap().to_owned(),
            made["error"]["code"].clone(),
        )
    };
    let (status, kind, message, code) = said(400, "invalid_request_error", "max_tokens: too large");
    assert_eq!((status, kind.as_str()), (400, "invalid_request_error"));
    assert_eq!(
        (message.as_str(), code),
        ("max_tokens: too large", json!(400))
    );
    let (_, _, _, code) = said(
        400,
        "invalid_request_error",
        "prompt is too long: 200001 tokens > 200000 maximum",
    );
    assert_eq!(code, "context_length_exceeded");
    for (status, kind, message, made) in [
        (429, "rate_limit_error", "organization 1234's limit", 429),
        (529, "overloaded_error", "Overloaded", 503),
        (500, "api_error", "Internal server error", 500),
        (404, "not_found_error", "model: claude-x", 502),
        (402, "billing_error", "pay", 502),
        (401, "authentication_error", "invalid x-api-key", 502),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low",
            502,
        ),
    ] {
        let (status, _, told, code) = said(status, kind, message);
        assert_eq!((status, code), (made, json!(made)), "{message}");
        assert!(!told.contains(message), "{told}");
    }
    assert_eq!(error(502, b"<html>").0, 502);
}
