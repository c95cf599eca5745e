//! The result of reading another piece of a response.

use super::error::Failure;

/// Maximum size of a response that is held back, in bytes.
pub const HOLD_LIMIT: usize = 256 * 1024;

/// What the guard does after another piece of a response.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Holds the response back.
    Hold,
    /// Replaces the response, which is invalid. The caller has no part of it.
    Fail(Failure),
    /// Releases a part of the response to the caller.
    Release(Release),
}

/// The part of a response that is released to the caller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Release {
    /// The end of the part, in bytes from the start of the response. The rest is held back until more arrives.
    pub until: u64,
    /// Text to add at the end of the part.
    pub add: String,
    /// The failure of the response. The guard drops all that the server sends from here on.
    pub broken: Option<Failure>,
}
