//! The APIs whose responses the guard can read.

use meridian_policy::api::Shape;

/// An API whose responses the guard can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiKind {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/responses`
    Responses,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/messages`
    Messages,
}

impl ApiKind {
    /// The API of a path. The path may have a query.
    pub fn of(path: &str) -> Option<Self> {
        match path.split('?').next().unwrap_or_default() {
            "/v1/chat/completions" => Some(Self::Chat),
            "/v1/completions" => Some(Self::Completions),
            "/v1/responses" => Some(Self::Responses),
            "/v1/embeddings" => Some(Self::Embeddings),
            "/v1/messages" => Some(Self::Messages),
            _ => None,
        }
    }

    /// The shape of the API's error responses.
    pub fn shape(self) -> Shape {
        match self {
            Self::Messages => Shape::Anthropic,
            _ => Shape::OpenAi,
        }
    }
}
