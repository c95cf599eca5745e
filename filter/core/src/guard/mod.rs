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

mod error;
mod event;
pub mod load;
pub mod sse;
mod stream;
mod whole;

pub use error::Failure;
pub use event::Usage;

use meridian_policy::api::Shape;
use stream::Stream;
use whole::Whole;

/// An answer is held back up to this size, in bytes.
pub const HOLD_LIMIT: usize = 256 * 1024;

/// APIs whose answers are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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

impl Kind {
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
    pub fn begin(kind: Kind, status: u16, content_type: &str) -> Option<Self> {
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
pub(crate) mod tests;
