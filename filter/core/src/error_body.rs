//! The body of an error response, in the shape of the caller's API.

use meridian_policy::api::Shape;
use serde_json::{Value, json};

/// An error response.
#[derive(Clone, Copy, Debug)]
pub struct ErrorBody<'e> {
    /// The HTTP status, which gives the error's type.
    pub status: u16,
    /// The error, and how to fix it.
    pub message: &'e str,
    /// OpenAI's shape only: the field at fault.
    pub param: Option<&'e str>,
    /// OpenAI's shape only: a short, stable name. `None`: the status has [one](Shape::error_code), or none.
    pub code: Option<&'e str>,
}

impl ErrorBody<'_> {
    /// The JSON of the body.
    pub fn json(self, shape: Shape) -> Value {
        let kind = shape.error_type(self.status);
        match shape {
            Shape::OpenAi => {
                let code = self.code.or(Shape::error_code(self.status));
                json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": code } })
            }
            Shape::Anthropic => {
                json!({ "type": "error", "error": { "type": kind, "message": self.message } })
            }
        }
    }
}
