//! Amazon Bedrock's own words, as Anthropic's API would have said them: streams come in frames of AWS's event stream instead of
//! server-sent events, and errors are AWS's.
//!
//! Formats: the API reference of `InvokeModelWithResponseStream` and the client for it (anthropic 2.13, botocore 1.44).

use crate::guard::sse::LONGEST_EVENT;
use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// The longest frame, in bytes: the longest event in base64, and what is around it.
const LONGEST_FRAME: usize = 2 * LONGEST_EVENT;

/// Makes server-sent events of frames, as they come. It keeps one frame at most.
#[derive(Debug, Default)]
pub struct Frames {
    kept: Vec<u8>,
    /// It has failed: nothing goes on any more.
    is_over: bool,
}

/// Bytes that are no frames.
#[derive(Debug)]
struct Unreadable;

impl Frames {
    /// Takes the next piece in; returns the events that it completes. What cannot be read is an `error` event, and the last one.
    pub fn read(&mut self, piece: &[u8]) -> String {
        let mut out = String::new();
        if self.is_over {
            return out;
        }
        self.kept.extend_from_slice(piece);
        let mut rest = self.kept.as_slice();
        while !self.is_over
            && let Some(frame) = frame(rest).transpose()
        {
            let said = frame.and_then(|(message, after)| {
                rest = after;
                event(&message)
            });
            let message = "The fallback sent something that is no answer.";
            let said =
                said.unwrap_or_else(|Unreadable| Some(failed(&anthropic("api_error", message))));
            if let Some(Event { kind, data }) = said {
                self.is_over = kind == "error";
                out.push_str(&format!("event: {kind}\ndata: {data}\n\n"));
            }
        }
        let read = self.kept.len() - rest.len();
        self.kept.drain(..read);
        out
    }
}

/// The first frame, its checksums verified, and what follows it; `None` while it is not whole.
fn frame(bytes: &[u8]) -> Result<Option<(Message, &[u8])>, Unreadable> {
    let Some(length) = bytes.first_chunk() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Unreadable)?;
    if length > LONGEST_FRAME {
        return Err(Unreadable);
    }
    let Some((frame, after)) = bytes.split_at_checked(length) else {
        return Ok(None);
    };
    let message = read_message_from(frame).map_err(|_| Unreadable)?;
    Ok(Some((message, after)))
}

/// A server-sent event.
struct Event {
    kind: String,
    data: String,
}

/// What a frame says; `None` for one that is newer than this.
fn event(message: &Message) -> Result<Option<Event>, Unreadable> {
    let header = |name: &str| {
        let header = message
            .headers()
            .iter()
            .find(|header| header.name().as_str() == name);
        let value = header.and_then(|header| header.value().as_string().ok());
        value.map_or("", |value| value.as_str())
    };
    match (header(":message-type"), header(":event-type")) {
        ("event", "chunk") => chunk(message.payload()),
        ("event", _) => Ok(None),
        ("exception", _) => {
            let (_, said) = error(0, header(":exception-type"), message.payload());
            Ok(Some(failed(&said)))
        }
        ("error", _) => {
            let said = json!({ "message": header(":error-message") }).to_string();
            let (_, said) = error(0, header(":error-code"), said.as_bytes());
            Ok(Some(failed(&said)))
        }
        _ => Err(Unreadable),
    }
}

fn failed(said: &Value) -> Event {
    Event {
        kind: "error".into(),
        data: said.to_string(),
    }
}

/// An event of the Messages API, in base64; `None` for one without a type.
fn chunk(payload: &[u8]) -> Result<Option<Event>, Unreadable> {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        bytes: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: Option<String>,
    }
    let chunk: Chunk<'_> = serde_json::from_slice(payload).map_err(|_| Unreadable)?;
    let data = STANDARD
        .decode(chunk.bytes.as_bytes())
        .map_err(|_| Unreadable)?;
    let data = String::from_utf8(data).map_err(|_| Unreadable)?;
    let Typed { kind } = serde_json::from_str(&data).map_err(|_| Unreadable)?;
    let Some(kind) = kind else { return Ok(None) };
    if kind.contains(['\r', '\n']) {
        return Err(Unreadable);
    }
    // In JSON a line ends between two tokens only.
    let data = data.replace(['\r', '\n'], " ");
    Ok(Some(Event { kind, data }))
}

/// An error of AWS's, by the name that its header has: the status and the body that Anthropic's API would have had for it. By the
/// status alone if the name says nothing.
pub fn error(status: u16, name: &str, body: &[u8]) -> (u16, Value) {
    #[derive(Deserialize)]
    struct Said {
        #[serde(alias = "Message")]
        message: String,
    }
    // `com.amazon.coral.service#Name:http://...`
    let name = name.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    let (status, kind) = match (name.to_ascii_lowercase().as_str(), status) {
        ("validationexception", _) => (400, "invalid_request_error"),
        ("throttlingexception" | "modelnotreadyexception" | "servicequotaexceededexception", _) => {
            (429, "rate_limit_error")
        }
        ("modeltimeoutexception", _) => (504, "timeout_error"),
        ("serviceunavailableexception", _) => (503, "overloaded_error"),
        ("internalserverexception", _) => (500, "api_error"),
        ("modelerrorexception" | "modelstreamerrorexception", _) => (502, "api_error"),
        ("accessdeniedexception", _) | (_, 403) => (403, "permission_error"),
        ("resourcenotfoundexception", _) | (_, 404) => (404, "not_found_error"),
        (_, 400) => (400, "invalid_request_error"),
        (_, 401) => (401, "authentication_error"),
        (_, 408) => (504, "timeout_error"),
        (_, 413) => (413, "request_too_large"),
        (_, 429) => (429, "rate_limit_error"),
        (_, 503) => (503, "overloaded_error"),
        (_, 500..=599) => (status, "api_error"),
        _ => (502, "api_error"),
    };
    let said: Option<Said> = serde_json::from_slice(body).ok();
    let message = said.map_or_else(String::new, |said| said.message);
    (status, anthropic(kind, &message))
}

fn anthropic(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message } })
}
