//! Recognizes prompts that are too long for a server.

use serde::Deserialize;

/// Error messages about a prompt that exceeds the context: vLLM and OpenAI, older vLLM, Anthropic, Bedrock, llama.cpp.
const TOO_LONG_MESSAGES: [&str; 5] = [
    "maximum context length",
    "longer than the maximum model length",
    "prompt is too long",
    "Input is too long",
    "exceeds the available context size",
];

/// OpenAI's error code for it. vLLM writes the status in its place.
const OPENAI_CODE: &str = "context_length_exceeded";

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorFields,
}

#[derive(Deserialize)]
struct ErrorFields {
    message: String,
    #[serde(default)]
    code: serde_json::Value,
}

/// Whether the body of a response with status 400 says that the prompt exceeds the server's context.
pub fn is_too_long(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|ErrorBody { error }| {
        error.code.as_str() == Some(OPENAI_CODE)
            || TOO_LONG_MESSAGES
                .iter()
                .any(|text| error.message.contains(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_messages_about_long_prompts() {
        for (message, too_long) in [
            (
                "This model's maximum context length is 512 tokens. However, your prompt contains at least 513 input tokens, which exceeds this limit even without any output tokens.",
                true,
            ),
            (
                "The prompt (total length 600) is longer than the maximum model length of 512.",
                true,
            ),
            (
                "request (2004 tokens) exceeds the available context size (1024 tokens), try increasing it",
                true,
            ),
            ("prompt is too long: 200001 tokens > 200000 maximum", true),
            (
                "max_tokens=5000 cannot be greater than max_model_len=512. Please request fewer output tokens.",
                false,
            ),
            ("temperature must be non-negative, got -3.0.", false),
        ] {
            let body = serde_json::json!({ "error": { "message": message, "code": 400 } });
            assert_eq!(
                is_too_long(body.to_string().as_bytes()),
                too_long,
                "{message}"
            );
        }
        let by_code = r#"{"error":{"message":"no","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
        assert!(is_too_long(by_code.as_bytes()));
        for body in [
            "",
            "maximum context length",
            r#"{"error":"maximum context length"}"#,
        ] {
            assert!(!is_too_long(body.as_bytes()), "{body}");
        }
    }
}
