//! Answers that the filter gives itself.

/// An answer that the filter gives itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}
