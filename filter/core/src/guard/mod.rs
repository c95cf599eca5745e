//! The guard's judgement: whether a server's 200 is an answer. It reads an answer as it comes, keeps little of it, and says
//! from when on it is the caller's.
//!
//! ```text
//! head --Judge::begin--> nothing to judge, or Judge --read(piece)--> Step: hold | fail | release
//! ```
//!
//! Until the commit point (the first content of a stream; the whole of any other answer, or [`HOLD_LIMIT`] of it) an answer
//! that is none is a [`Failure`], and another region can be asked. After it a failure is said in the stream, and the
//! stream does not end like a whole one.

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

/// Judges one answer.
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
    /// By the head of an answer; `None` if its body says nothing that its status does not.
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

    /// Takes the next piece in. `ends`: it is the last one.
    pub fn read(&mut self, piece: &[u8], ends: bool) -> Step {
        let step = match &mut self.form {
            Form::Stream(stream) => stream.read(piece, ends, self.committed),
            Form::Whole(whole) => whole.read(piece, ends, self.committed),
        };
        self.committed |= matches!(step, Step::Release(_));
        step
    }

    /// Whether it is a stream, of which every event is looked at.
    pub fn is_stream(&self) -> bool {
        matches!(self.form, Form::Stream(_))
    }

    /// Tokens, as far as the answer has told.
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
