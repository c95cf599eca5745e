//! Requests that cannot be translated for Claude.

use meridian_policy::api::Shape;
use serde_json::{Value, json};

/// A request that cannot be translated. It gets status 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidRequest {
    /// The invalid field, as a path into the body: `messages[1].content[0].type`. Empty for the body itself.
    pub param: String,
    /// The error, and how to fix it.
    pub message: String,
}

impl InvalidRequest {
    pub(super) fn new(param: impl Into<String>, message: impl Into<String>) -> Self {
        let (param, message) = (param.into(), message.into());
        let what = if param.is_empty() {
            "the body".to_owned()
        } else {
            format!("`{param}`")
        };
        Self {
            message: format!(
                "{what} {message} (no region could serve this request, and the fallback is Claude)"
            ),
            param,
        }
    }

    /// The body of the response with status 400, in this shape.
    pub fn answer(&self, shape: Shape) -> Value {
        let kind = "invalid_request_error";
        match shape {
            Shape::OpenAi => json!({
                "error": { "message": self.message, "type": kind, "param": self.param, "code": null }
            }),
            Shape::Anthropic => json!({
                "type": "error", "error": { "type": kind, "message": self.message }
            }),
        }
    }
}
