//! Decides whether a server's response with status 200 is valid. It reads the response as it arrives, and keeps little of it.
//!
//! ```text
//! head --Judge::begin--> None, or a Judge --read(piece)--> Step: hold | fail | release
//! ```
//!
//! The commit point is the first content of a stream. For any other response it is the end of the body, or [`HOLD_LIMIT`]
//! bytes of it. Until the commit point the caller has nothing: an invalid response is a [`Failure`], and Envoy can try another
//! region. After it, an error event reports a failure, and the stream has no regular end.

mod api_kind;
mod error;
mod event;
pub mod load_report;
pub mod sse;
mod step;
mod stream;
mod usage;
mod whole;

pub use api_kind::ApiKind;
pub use error::Failure;

pub use step::{HOLD_LIMIT, Release, Step};
pub use usage::Usage;

use stream::Stream;
use whole::Whole;

/// Validates one response.
#[derive(Debug)]
pub struct Judge {
    form: Form,
    committed: bool,
}

#[derive(Debug)]
enum Form {
    Stream(Box<Stream>),
    Whole(Whole),
}

impl Judge {
    /// Starts with the head of a response. `None` if the body can add nothing to the status.
    pub fn begin(kind: ApiKind, status: u16, content_type: &str) -> Option<Self> {
        if status != 200 {
            return None;
        }
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let form = match essence.to_ascii_lowercase().as_str() {
            "text/event-stream" => Form::Stream(Box::new(Stream::new(kind))),
            "application/json" => Form::Whole(Whole::new(kind)),
            _ => return None,
        };
        Some(Self {
            form,
            committed: false,
        })
    }

    /// Reads the next piece of the body. `ends`: the piece is the last one.
    pub fn read(&mut self, piece: &[u8], ends: bool) -> Step {
        let step = match &mut self.form {
            Form::Stream(stream) => stream.read(piece, ends, self.committed),
            Form::Whole(whole) => whole.read(piece, ends, self.committed),
        };
        self.committed |= matches!(step, Step::Release(_));
        step
    }

    /// Whether the response is a stream, whose events are all read.
    pub fn is_stream(&self) -> bool {
        matches!(self.form, Form::Stream(_))
    }

    /// The usage that the response has reported so far.
    pub fn usage(&self) -> Option<Usage> {
        match &self.form {
            Form::Stream(stream) => stream.usage(),
            Form::Whole(whole) => whole.usage(),
        }
    }
}

#[cfg(test)]
pub(crate) mod pieces;
#[cfg(test)]
mod tests;
