//! Failures of responses, and how the guard reports them to callers.

use super::api_kind::ApiKind;
use meridian_policy::api::Shape;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;

/// Maximum length of a server's error message in a response, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

/// The reason why a response is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server reports an error inside a response that began with status 200.
    Error {
        /// The status in the error, if any.
        status: Option<u16>,
        /// The message in the error.
        message: String,
    },
    /// The response is empty, or ends too early.
    Incomplete,
    /// The server gave up the request: `finish_reason: "abort"`.
    Aborted,
    /// The response does not have the API's format.
    Malformed,
    /// The server does not have the model, which the fleet file says it has.
    NoModel,
    /// The server redirects the request to another place (3xx).
    Redirect,
}

impl Failure {
    /// A short, stable name for metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Error { .. } => "error",
            Self::Incomplete => "incomplete",
            Self::Aborted => "aborted",
            Self::Malformed => "malformed",
            Self::NoModel => "no_model",
            Self::Redirect => "redirect",
        }
    }

    /// The status that the response should have had. Envoy tries the next region for it, unless the request itself is at fault.
    pub fn status(&self) -> u16 {
        match self {
            Self::Error {
                status: Some(status @ (400..=499 | 500 | 502 | 503 | 504)),
                ..
            } if *status != 408 => *status,
            Self::Error {
                status: Some(529), ..
            } => 503,
            _ => 502,
        }
    }

    /// Whether the request itself is at fault, so that no other region would answer it.
    pub fn is_request_error(&self) -> bool {
        matches!(self.status(), 400..=499) && self.status() != 429
    }

    fn message(&self) -> &str {
        match self {
            Self::Error { message, .. } if !message.is_empty() => message,
            Self::Error { .. } => "The inference server reported an error.",
            Self::Incomplete => "The inference server ended its answer before it was complete.",
            Self::Aborted => "The inference server aborted the request.",
            Self::Malformed => "The inference server sent something that is no answer.",
            Self::NoModel => "The inference server does not have this model.",
            Self::Redirect => {
                "The inference server redirects the request, which the gateway does not follow."
            }
        }
    }

    /// The response body that replaces the server's.
    pub fn body(&self, shape: Shape) -> String {
        match shape {
            Shape::OpenAi => json!({ "error": self.openai() }),
            Shape::Anthropic => self.anthropic(),
        }
        .to_string()
    }

    /// An error event for the response's stream.
    pub fn event(&self, kind: ApiKind) -> String {
        match kind {
            ApiKind::Messages => format!("event: error\ndata: {}\n\n", self.anthropic()),
            ApiKind::Responses => {
                let event = json!({
                    "type": "error", "code": self.label(), "message": self.message(), "param": null, "sequence_number": 0
                });
                format!("event: error\ndata: {event}\n\n")
            }
            _ => format!("data: {}\n\n", json!({ "error": self.openai() })),
        }
    }

    fn openai(&self) -> Value {
        let kind = Shape::OpenAi.error_type(self.status());
        json!({ "message": self.message(), "type": kind, "param": null, "code": self.status() })
    }

    fn anthropic(&self) -> Value {
        let kind = Shape::Anthropic.error_type(self.status());
        json!({ "type": "error", "error": { "type": kind, "message": self.message() } })
    }
}

/// An error object, with the fields that servers use.
#[derive(Deserialize)]
struct Error<'a> {
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

/// The failure in an `error` field, which is an object or a string.
pub fn reported_failure(error: &RawValue) -> Failure {
    let (status, message) =
        if let Ok(text) = serde_json::from_slice::<String>(error.get().as_bytes()) {
            (None, text)
        } else if let Ok(error) = serde_json::from_slice::<Error<'_>>(error.get().as_bytes()) {
            let code = error.code.map(RawValue::get).unwrap_or_default();
            let code = code.trim_matches('"');
            let by_code = match code {
                "rate_limit_exceeded" => Some(429),
                "server_is_overloaded" => Some(503),
                "invalid_prompt" | "context_length_exceeded" => Some(400),
                code => code.parse().ok(),
            };
            let by_kind = match error.kind.as_deref() {
                Some("overloaded_error") => Some(503),
                Some("rate_limit_error") => Some(429),
                Some("invalid_request_error" | "BadRequestError") => Some(400),
                _ => None,
            };
            let status = by_code.or(by_kind);
            (status, error.message.unwrap_or_default().into_owned())
        } else {
            (None, String::new())
        };
    Failure::Error {
        status,
        message: message.chars().take(MAX_MESSAGE_CHARS).collect(),
    }
}
