//! Responses that are not streamed, and errors.

use super::*;
use meridian_policy::egress_policy::ClaudeHost;

#[test]
fn a_message_is_translated() {
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
    let answer = chat().whole(200, "", body.to_string().as_bytes(), 5);
    assert_eq!((answer.status, answer.body), (200, Some(expect)));
    assert_eq!(answer.usage.cache_creation_input_tokens, Some(10));
    let native = ResponseContext {
        caller: CallerApi::Messages,
        ..chat()
    };
    let untranslated = native.whole(200, "", body.to_string().as_bytes(), 5);
    assert_eq!((untranslated.status, untranslated.body), (200, None));
    assert_eq!(untranslated.usage, answer.usage);
    for none in ["", "{}", r#"{"type":"error"}"#] {
        assert_eq!(
            chat().whole(200, "", none.as_bytes(), 5).status,
            502,
            "{none}"
        );
        assert_eq!(
            native.whole(200, "", none.as_bytes(), 5).usage,
            Usage::default()
        );
    }
}

fn chat() -> ResponseContext {
    ResponseContext {
        host: ClaudeHost::Anthropic,
        caller: CallerApi::Chat {
            include_usage: false,
        },
        stream: false,
    }
}

/// The status and the body of an error response for a chat.
fn error(status: u16, body: &[u8]) -> (u16, Value) {
    let answer = chat().whole(status, "", body, 5);
    (answer.status, answer.body.unwrap())
}

#[test]
fn aws_errors_are_translated() {
    let bedrock = |caller, status, name: &str| {
        let context = ResponseContext {
            host: ClaudeHost::Bedrock,
            caller,
            stream: true,
        };
        let answer = context.whole(status, name, br#"{"message":"account 1234"}"#, 5);
        (answer.status, answer.body.unwrap())
    };
    for (status, name, made, kind) in [
        (
            400,
            "ValidationException:http://internal",
            400,
            "invalid_request_error",
        ),
        (
            400,
            "ServiceQuotaExceededException",
            429,
            "rate_limit_error",
        ),
        (
            429,
            "com.amazon#ThrottlingException",
            429,
            "rate_limit_error",
        ),
        (429, "", 429, "rate_limit_error"),
        (408, "ModelTimeoutException", 504, "timeout_error"),
        (424, "ModelErrorException", 502, "api_error"),
        (404, "ResourceNotFoundException", 502, "api_error"),
        (403, "AccessDeniedException", 502, "api_error"),
        (503, "ServiceUnavailableException", 503, "overloaded_error"),
        (500, "", 500, "api_error"),
        (418, "", 502, "api_error"),
    ] {
        let (seen, error_body) = bedrock(CallerApi::Messages, status, name);
        assert_eq!(
            (seen, &error_body["error"]["type"]),
            (made, &json!(kind)),
            "{name}"
        );
        let (seen, chat) = bedrock(
            CallerApi::Chat {
                include_usage: false,
            },
            status,
            name,
        );
        assert_eq!(seen, made, "{name}");
        for error_body in [error_body, chat] {
            assert_eq!(
                error_body.to_string().contains("1234"),
                made == 400,
                "{error_body}"
            );
        }
    }
}

#[test]
fn errors_reveal_nothing_about_the_account() {
    let native = ResponseContext {
        caller: CallerApi::Messages,
        ..chat()
    };
    let overloaded =
        br#"{"type":"error","error":{"type":"overloaded_error","message":"org 1234"}}"#;
    let openai =
        br#"{"error":{"message":"org 1234","type":"gateway_error","param":null,"code":"x"}}"#;
    for body in [&overloaded[..], openai, b"<html>1234"] {
        for (status, made, kind) in [
            (401, 502, "api_error"),
            (402, 502, "api_error"),
            (404, 502, "api_error"),
            (429, 429, "rate_limit_error"),
            (503, 503, "overloaded_error"),
            (529, 529, "overloaded_error"),
        ] {
            let answer = native.whole(status, "", body, 0);
            let error_body = answer.body.unwrap();
            assert_eq!(
                (answer.status, &error_body["error"]["type"]),
                (made, &json!(kind))
            );
            assert_eq!(error_body["type"], "error");
            let message = error_body["error"]["message"].as_str().unwrap();
            assert!(
                !message.is_empty() && !message.contains("1234"),
                "{message}"
            );
        }
    }
    let long = br#"{"message":"Input is too long for requested model."}"#;
    let bedrock = ResponseContext {
        host: ClaudeHost::Bedrock,
        ..chat()
    };
    let error_body = bedrock
        .whole(400, "ValidationException", long, 0)
        .body
        .unwrap();
    assert_eq!(error_body["error"]["code"], "context_length_exceeded");
}

#[test]
fn finish_reasons_are_translated() {
    for (stop_reason, finish_reason) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ] {
        assert_eq!(completion::finish_reason(stop_reason), finish_reason);
    }
}

#[test]
fn errors_have_openai_s_shape() {
    let error_body = |status, kind: &str, message: &str| {
        let body = json!({ "type": "error", "error": { "type": kind, "message": message } });
        let (status, made) = error(status, body.to_string().as_bytes());
        (
            status,
            made["error"]["type"].as_str().unwrap().to_owned(),
            made["error"]["message"].as_str().unwrap().to_owned(),
            made["error"]["code"].clone(),
        )
    };
    let (status, kind, message, code) =
        error_body(400, "invalid_request_error", "max_tokens: too large");
    assert_eq!((status, kind.as_str()), (400, "invalid_request_error"));
    assert_eq!(
        (message.as_str(), code),
        ("max_tokens: too large", json!(400))
    );
    let (_, _, _, code) = error_body(
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
        let (status, _, message_text, code) = error_body(status, kind, message);
        assert_eq!((status, code), (made, json!(made)), "{message}");
        assert!(!message_text.contains(message), "{message_text}");
    }
    assert_eq!(error(502, b"<html>").0, 502);
}
