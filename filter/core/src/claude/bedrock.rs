//! Translates Amazon Bedrock's formats into Anthropic's. Bedrock sends streams as frames of AWS's event stream, not as
//! server-sent events, and it sends AWS errors.
//!
//! Formats: the API reference of `InvokeModelWithResponseStream` and the client for it (anthropic 2.13, botocore 1.44).

use crate::guard::sse::MAX_EVENT_BYTES;
use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// Maximum size of a frame, in bytes: the largest event in base64, and the frame's own fields.
const MAX_FRAME_BYTES: usize = 2 * MAX_EVENT_BYTES;

/// Translates frames into server-sent events as they arrive. It keeps one frame at most.
#[derive(Debug, Default)]
pub struct Frames {
    kept: Vec<u8>,
    /// The stream has failed: the rest is dropped.
    is_over: bool,
}

/// Bytes that are no valid frame.
#[derive(Debug)]
struct InvalidFrame;

impl Frames {
    /// Reads the next piece, and returns the events that it completes. An invalid frame gives an `error` event, and ends the
    /// stream.
    pub fn read(&mut self, piece: &[u8]) -> String {
        let mut out = String::new();
        if self.is_over {
            return out;
        }
        self.kept.extend_from_slice(piece);
        let mut rest = self.kept.as_slice();
        while !self.is_over
            && let Some(frame) = parse_frame(rest).transpose()
        {
            let parsed = frame.and_then(|(message, after)| {
                rest = after;
                parse_event(&message)
            });
            let message = "The fallback sent something that is no answer.";
            let parsed = parsed
                .unwrap_or_else(|InvalidFrame| Some(error_event(&anthropic("api_error", message))));
            if let Some(Event { kind, data }) = parsed {
                self.is_over = kind == "error";
                out.push_str(&format!("event: {kind}\ndata: {data}\n\n"));
            }
        }
        let read = self.kept.len() - rest.len();
        self.kept.drain(..read);
        out
    }
}

/// The first frame, with its checksums verified, and the bytes after it. `None` while the frame is incomplete.
fn parse_frame(bytes: &[u8]) -> Result<Option<(Message, &[u8])>, InvalidFrame> {
    let Some(length) = bytes.first_chunk() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| InvalidFrame)?;
    if length > MAX_FRAME_BYTES {
        return Err(InvalidFrame);
    }
    let Some((frame, after)) = bytes.split_at_checked(length) else {
        return Ok(None);
    };
    let message = read_message_from(frame).map_err(|_| InvalidFrame)?;
    Ok(Some((message, after)))
}

/// A server-sent event.
struct Event {
    kind: String,
    data: String,
}

/// The event in a frame. `None` for an unknown type of event.
fn parse_event(message: &Message) -> Result<Option<Event>, InvalidFrame> {
    let header = |name: &str| {
        let header = message
            .headers()
            .iter()
            .find(|header| header.name().as_str() == name);
        let value = header.and_then(|header| header.value().as_string().ok());
        value.map_or("", |value| value.as_str())
    };
    match (header(":message-type"), header(":event-type")) {
        ("event", "chunk") => parse_chunk(message.payload()),
        ("event", _) => Ok(None),
        ("exception", _) => {
            let (_, error) = error(0, header(":exception-type"), message.payload());
            Ok(Some(error_event(&error)))
        }
        ("error", _) => {
            let message = json!({ "message": header(":error-message") }).to_string();
            let (_, error) = error(0, header(":error-code"), message.as_bytes());
            Ok(Some(error_event(&error)))
        }
        _ => Err(InvalidFrame),
    }
}

fn error_event(error: &Value) -> Event {
    Event {
        kind: "error".into(),
        data: error.to_string(),
    }
}

/// The event of the Messages API in a chunk's base64. `None` for an event without a type.
fn parse_chunk(payload: &[u8]) -> Result<Option<Event>, InvalidFrame> {
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
    let chunk: Chunk<'_> = serde_json::from_slice(payload).map_err(|_| InvalidFrame)?;
    let data = STANDARD
        .decode(chunk.bytes.as_bytes())
        .map_err(|_| InvalidFrame)?;
    let data = String::from_utf8(data).map_err(|_| InvalidFrame)?;
    let Typed { kind } = serde_json::from_slice(data.as_bytes()).map_err(|_| InvalidFrame)?;
    let Some(kind) = kind else { return Ok(None) };
    if kind.contains(['\r', '\n']) {
        return Err(InvalidFrame);
    }
    // A line break in JSON stands between tokens only.
    let data = data.replace(['\r', '\n'], " ");
    Ok(Some(Event { kind, data }))
}

/// Translates an AWS error into the status and body of Anthropic's API. `name`: the error name from AWS's header. An unknown
/// name leaves it to the status.
pub fn error(status: u16, name: &str, body: &[u8]) -> (u16, Value) {
    #[derive(Deserialize)]
    struct AwsError {
        #[serde(alias = "Message")]
        message: String,
    }
    let (status, kind) = by_name(name).unwrap_or_else(|| by_status(status));
    let error: Option<AwsError> = serde_json::from_slice(body).ok();
    let message = error.map_or_else(String::new, |error| error.message);
    (status, anthropic(kind, &message))
}

/// Anthropic's status and error type for an AWS error name, which may have the form `com.amazon.coral.service#Name:http://...`.
fn by_name(name: &str) -> Option<(u16, &'static str)> {
    let name = name.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    Some(match name.to_ascii_lowercase().as_str() {
        "validationexception" => (400, "invalid_request_error"),
        "throttlingexception" | "modelnotreadyexception" | "servicequotaexceededexception" => {
            (429, "rate_limit_error")
        }
        "modeltimeoutexception" => (504, "timeout_error"),
        "serviceunavailableexception" => (503, "overloaded_error"),
        "internalserverexception" => (500, "api_error"),
        "modelerrorexception" | "modelstreamerrorexception" => (502, "api_error"),
        "accessdeniedexception" => (403, "permission_error"),
        "resourcenotfoundexception" => (404, "not_found_error"),
        _ => return None,
    })
}

/// Anthropic's status and error type for an AWS status.
fn by_status(status: u16) -> (u16, &'static str) {
    match status {
        400 => (400, "invalid_request_error"),
        401 => (401, "authentication_error"),
        403 => (403, "permission_error"),
        404 => (404, "not_found_error"),
        408 => (504, "timeout_error"),
        413 => (413, "request_too_large"),
        429 => (429, "rate_limit_error"),
        503 => (503, "overloaded_error"),
        500..=599 => (status, "api_error"),
        _ => (502, "api_error"),
    }
}

fn anthropic(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message } })
}
