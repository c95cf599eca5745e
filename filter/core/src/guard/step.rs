//! The result of reading another piece of a response.

use super::error::Failure;

/// An answer is held back up to this size, in bytes.
pub const HOLD_LIMIT: usize = 256 * 1024;

/// What becomes of an answer after another piece of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing of it is the caller's yet.
    Hold,
    /// It is no answer, and nothing of it was released.
    Fail(Failure),
    /// A part of it is the caller's.
    Release(Release),
}

/// What the caller gets of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Release {
    /// Up to here, in bytes from the answer's begin. What comes after is held back until more has come.
    pub until: u64,
    /// To be added there.
    pub add: String,
    /// Nothing that the server sends from here on goes on: it has failed.
    pub broken: Option<Failure>,
}
