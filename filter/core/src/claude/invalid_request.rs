//! Requests that cannot be translated for Claude.

use crate::error_body::ErrorBody;
use crate::excerpt::{MAX_MESSAGE, MAX_VALUE, excerpt};
use meridian_policy::FallbackName;
use meridian_policy::api::Shape;
use serde_json::Value;

/// A request that cannot be translated. Its texts repeat no more than the beginning of what the caller sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidRequest {
    /// The HTTP status: 400 or 413.
    pub status: u16,
    /// The invalid field, as a path into the body: `messages[1].content[0].type`. Empty for the body itself.
    pub param: String,
    /// A short, stable name of the error, if it has one.
    pub code: Option<&'static str>,
    /// The error, and how to fix it.
    pub message: String,
}

impl InvalidRequest {
    pub(super) fn new(param: impl Into<String>, message: impl AsRef<str>) -> Self {
        let param = param.into();
        let param = excerpt(&param, MAX_VALUE).into_owned();
        let what = if param.is_empty() {
            "the body".to_owned()
        } else {
            format!("`{param}`")
        };
        Self::of(
            400,
            &format!("{what} {}", excerpt(message.as_ref(), MAX_MESSAGE)),
            param,
        )
    }

    /// The body exceeds a limit that `fallbacks.<name>.body` of the fleet file sets.
    pub(super) fn too_large(limit: &str, fallback: &FallbackName) -> Self {
        let message = format!(
            "the body is larger than {limit}, the limit of the fallback: `fallbacks.{fallback}.body` in the fleet file"
        );
        Self::of(413, &message, String::new())
    }

    fn of(status: u16, message: &str, param: String) -> Self {
        Self {
            status,
            message: format!(
                "{message} (no region could serve this request, and the fallback is Claude)"
            ),
            param,
            code: None,
        }
    }

    /// The body of the response, in this shape.
    pub fn answer(&self, shape: Shape) -> Value {
        let body = ErrorBody {
            status: self.status,
            message: &self.message,
            param: (!self.param.is_empty()).then_some(&self.param),
            code: self.code,
        };
        body.json(shape)
    }
}
