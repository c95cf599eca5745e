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
pub mod encoding;
mod error;
mod event;
pub mod load_report;
mod shorten;
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

/// The head of a response, as far as it says what the body is.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The status code.
    pub status: u16,
    /// The header `content-type`; empty if there is none.
    pub content_type: &'a str,
    /// The header `content-encoding`; empty if there is none. What is still encoded here cannot be read.
    pub content_encoding: &'a str,
}

#[cfg(test)]
impl<'a> Head<'a> {
    pub(crate) fn of(status: u16, content_type: &'a str) -> Self {
        Self {
            status,
            content_type,
            content_encoding: "",
        }
    }
}

/// Validates one response.
#[derive(Debug)]
pub struct Judge {
    form: Form,
    committed: bool,
    /// The body so far, until the commit point.
    held: Vec<u8>,
}

#[derive(Debug)]
enum Form {
    Stream(Box<Stream>),
    Whole(Whole),
    /// No response of this API, whatever its body is.
    Foreign(Failure),
}

impl Form {
    /// The form of a response with status 200.
    fn of(kind: ApiKind, streamed: bool, head: &Head<'_>) -> Self {
        let essence = head.content_type.split(';').next().unwrap_or_default();
        let is_plain = matches!(head.content_encoding, "" | "identity");
        match essence.trim().to_ascii_lowercase().as_str() {
            _ if !is_plain => Self::Foreign(Failure::Malformed),
            "text/event-stream" if streamed => Self::Stream(Box::new(Stream::new(kind))),
            "application/json" => Self::Whole(Whole::new(kind, streamed)),
            _ => Self::Foreign(Failure::Malformed),
        }
    }
}

impl Judge {
    /// Starts with the head of a response. `kind`: `None` for an API whose responses the guard cannot read. `streamed`: the caller
    /// asked for a stream. `None` if there is nothing to judge: the status says that it is an error, or the guard cannot read it. A
    /// redirect fails on every API: a client that follows it would send the prompt to another host.
    pub fn begin(
        kind: impl Into<Option<ApiKind>>,
        streamed: bool,
        head: &Head<'_>,
    ) -> Option<Self> {
        let form = match (head.status, kind.into()) {
            (400.., _) => return None,
            (300..=399, _) => Form::Foreign(Failure::Redirect),
            (_, None) => return None,
            (200, Some(kind)) => Form::of(kind, streamed, head),
            (_, Some(_)) => Form::Foreign(Failure::Malformed),
        };
        Some(Self {
            form,
            committed: false,
            held: Vec::new(),
        })
    }

    /// Reads the next piece of the body. `ends`: the piece is the last one.
    pub fn read(&mut self, piece: &[u8], ends: bool) -> Step {
        if !self.committed {
            self.held.extend_from_slice(piece);
        }
        let step = match &mut self.form {
            Form::Stream(stream) => stream.read(piece, ends, self.committed),
            Form::Whole(whole) => whole.read(&self.held, piece.len(), ends, self.committed),
            Form::Foreign(failure) => Step::Fail(failure.clone()),
        };
        self.committed |= matches!(step, Step::Release(_));
        step
    }

    /// The body so far, once it is released.
    pub fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Whether the response redirects the caller.
    pub fn is_redirect(&self) -> bool {
        matches!(self.form, Form::Foreign(Failure::Redirect))
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
            Form::Foreign(_) => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod pieces;
#[cfg(test)]
mod tests;
