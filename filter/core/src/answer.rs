//! Responses that the filter sends itself.

/// A response that the filter sends itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body, as JSON.
    pub body: String,
}
