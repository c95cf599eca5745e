//! The APIs whose responses the guard can read.

use meridian_policy::api::Shape;

/// APIs whose answers are known.
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
    /// The API of a path, which may carry a query.
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

    /// Whose shape its errors have.
    pub fn shape(self) -> Shape {
        match self {
            Self::Messages => Shape::Anthropic,
            _ => Shape::OpenAi,
        }
    }
}
