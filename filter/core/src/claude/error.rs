//! Translates the errors of Claude's API.

use crate::context::is_too_long;
use crate::egress_refusal::EgressRefusal;
use crate::excerpt::{MAX_MESSAGE, excerpt};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Body {
    error: Error,
}

/// An error in a body or an event.
#[derive(Debug, Deserialize)]
pub(super) struct Error {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

impl Error {
    /// Stands for a response that does not have the API's format.
    pub fn unreadable() -> Self {
        Self {
            kind: "api_error".into(),
            message: "The fallback sent something that is no answer.".into(),
        }
    }

    /// The status of the error's type.
    pub fn status(&self) -> u16 {
        match self.kind.as_str() {
            "invalid_request_error" => 400,
            "request_too_large" => 413,
            "rate_limit_error" => 429,
            "timeout_error" => 504,
            "overloaded_error" => 503,
            "api_error" => 500,
            // The error is about the operator's key, account or configuration.
            _ => 502,
        }
    }

    /// Whether the error is about the operator's account, although its type says that the request is invalid.
    fn is_ours(&self) -> bool {
        self.message.contains("credit balance")
    }
}

impl Error {
    /// The code and message of a failed response of the Responses API.
    pub fn responses(&self) -> (&'static str, String) {
        let code = match self.status() {
            400 | 413 => "invalid_prompt",
            429 => "rate_limit_exceeded",
            // Codex knows it.
            503 => "server_is_overloaded",
            _ => "server_error",
        };
        let translated = openai(self.status(), self);
        let message = translated["error"]["message"].as_str().unwrap_or_default();
        (code, message.to_owned())
    }
}

/// Translates an error response into a status and a body in OpenAI's shape. A message about the request is kept. A message about
/// the operator's account is not.
pub(super) fn error(status: u16, body: &[u8]) -> (u16, Value) {
    let parsed = serde_json::from_slice(body).map(|Body { error }| error);
    let error = parsed.unwrap_or_else(|_| Error::unreadable());
    let (status, mut translated) = match status {
        401 | 403 => {
            let refusal = EgressRefusal::OurCredential;
            let translated = error_body("server_error", refusal.message(), refusal.status());
            (refusal.status(), translated)
        }
        400 if error.is_ours() => (502, openai(502, &error)),
        400 | 413 | 429 | 500 | 502 | 503 | 504 => (status, openai(status, &error)),
        529 => (503, openai(503, &error)),
        _ => (502, openai(502, &error)),
    };
    if status == 400 && is_too_long(body) {
        translated["error"]["code"] = json!("context_length_exceeded");
    }
    (status, translated)
}

/// Translates an error response into a status and a body in Anthropic's shape.
pub(super) fn messages(status: u16, body: &[u8]) -> (u16, Value) {
    let (translated_status, translated) = error(status, body);
    let status = if status == 529 {
        529
    } else {
        translated_status
    };
    let kind = match status {
        400 => "invalid_request_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        _ => "api_error",
    };
    let message = &translated["error"]["message"];
    let error = json!({ "type": kind, "message": message });
    (status, json!({ "type": "error", "error": error }))
}

/// A body for this error in OpenAI's shape.
pub(super) fn openai(status: u16, error: &Error) -> Value {
    match status {
        400 | 413 => error_body("invalid_request_error", &error.message, status),
        429 => error_body(
            "rate_limit_error",
            "no region could serve this request, and the fallback has reached its rate limit",
            status,
        ),
        503 => error_body(
            "server_error",
            "no region could serve this request, and the fallback is overloaded or unavailable",
            status,
        ),
        _ => error_body(
            "server_error",
            "no region could serve this request, and the fallback failed",
            status,
        ),
    }
}

fn error_body(kind: &str, message: &str, status: u16) -> Value {
    // The provider may repeat what the caller sent.
    let message = excerpt(message, MAX_MESSAGE);
    json!({ "error": { "message": message, "type": kind, "param": null, "code": status } })
}
