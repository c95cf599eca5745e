//! An answer of a fake, ready to be written.

use super::generation::{Events, Finish};
use super::stream::Break;
use bytes::Bytes;

/// A 200, ready to be written.
pub(super) struct Answer {
    pub(super) content: Content,
    pub(super) tokens: usize,
    pub(super) prompt_tokens: usize,
    pub(super) finish: Finish,
    pub(super) stop: Option<Break>,
}

/// What is written of an answer.
pub(super) enum Content {
    Whole(Bytes),
    Events(Events),
}
