//! Recognizes answers of servers that do not have the model of the request.

use serde::Deserialize;
use serde_json::Value;

/// OpenAI's error code for it. vLLM writes the status in its place.
const OPENAI_CODE: &str = "model_not_found";

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorFields,
}

#[derive(Deserialize)]
struct ErrorFields {
    #[serde(default)]
    message: String,
    #[serde(default)]
    code: Value,
    #[serde(default)]
    param: Value,
}

/// Whether the body of a response with status 404 says that the server does not have the model. What else is not found may be named
/// by the caller, so only the beginning of a message counts.
pub fn is_missing_model(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|ErrorBody { error }| {
        let says_so = error.message.starts_with("The model `")
            && ["does not exist", "not found"]
                .iter()
                .any(|text| error.message.contains(text));
        error.code.as_str() == Some(OPENAI_CODE) || error.param.as_str() == Some("model") || says_so
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_model_that_is_missing_counts() {
        for (body, missing) in [
            // vLLM 0.32.0, as captured.
            (
                r#"{"error":{"message":"The model `nope` does not exist. Valid aliases: tiny-llama.","type":"NotFoundError","param":"model","code":404}}"#,
                true,
            ),
            // Older ones.
            (
                r#"{"error":{"message":"The model `nope` does not exist.","type":"NotFoundError","code":404}}"#,
                true,
            ),
            // In the shape of Anthropic's API.
            (
                r#"{"type":"error","error":{"type":"NotFoundError","message":"The model `nope` does not exist."}}"#,
                true,
            ),
            (
                r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
                true,
            ),
            (
                r#"{"error":{"message":"Response with id 'resp_The model `a` does not exist' not found.","type":"invalid_request_error","param":"response_id","code":404}}"#,
                false,
            ),
            (
                r#"{"error":{"message":"The tool `a` does not exist.","type":"NotFoundError","param":null,"code":404}}"#,
                false,
            ),
            (r#"{"detail":"Not Found"}"#, false),
            (r#"{"error":"The model `a` does not exist"}"#, false),
            ("The model `a` does not exist.", false),
            ("", false),
        ] {
            assert_eq!(is_missing_model(body.as_bytes()), missing, "{body}");
        }
    }
}
