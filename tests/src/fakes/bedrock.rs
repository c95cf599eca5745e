//! What Amazon Bedrock puts around Anthropic's Messages API: the model in the path, frames of AWS's event stream.

use super::headers::header;
use super::problem::Problem;
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::http::request::Parts;
use serde_json::{Value, json};

pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// Whether a path asks the model for a stream; `None` if it asks for nothing.
pub(super) fn streams(model: &str, path: &str) -> Option<bool> {
    let rest = path.strip_prefix("/model/")?.strip_prefix(model)?;
    match rest {
        "/invoke" => Some(false),
        "/invoke-with-response-stream" => Some(true),
        _ => None,
    }
}

/// Its key check. An answer is JSON, in frames or not: who accepts something else gets nothing.
pub(super) fn authorize(api_key: &str, parts: &Parts) -> Result<(), Problem> {
    let header = |name| header(parts, name);
    if header("authorization") != format!("Bearer {api_key}") || !header("x-api-key").is_empty() {
        return Err(Problem::anthropic(
            403,
            "Authentication failed: account 1234",
        ));
    }
    if header("content-type") != "application/json"
        || !matches!(header("accept"), "" | "*/*" | "application/json")
    {
        return Err(Problem::anthropic(400, "The content type is not supported"));
    }
    Ok(())
}

/// A server-sent event as a frame.
pub(crate) fn frame(event: String) -> Bytes {
    let data = event.split_once("data: ").map_or("", |(_, data)| data);
    let mut data: Value = serde_json::from_str(data).unwrap_or_default();
    if data["type"] == "error" {
        let body = json!({ "message": data["error"]["message"] });
        let kind = [
            (":message-type", "exception"),
            (":exception-type", "serviceUnavailableException"),
        ];
        return framed(&kind, &body);
    }
    if data["type"] == "message_stop" {
        data["amazon-bedrock-invocationMetrics"] =
            json!({ "inputTokenCount": 3, "outputTokenCount": 8 });
    }
    let chunk = json!({ "bytes": STANDARD.encode(data.to_string()), "p": "abcdefgh" });
    framed(
        &[(":message-type", "event"), (":event-type", "chunk")],
        &chunk,
    )
}

fn framed(headers: &[(&'static str, &'static str)], payload: &Value) -> Bytes {
    let mut message = Message::new(payload.to_string());
    let content_type = (":content-type", "application/json");
    for (name, value) in headers.iter().chain([&content_type]) {
        message = message.add_header(Header::new(*name, HeaderValue::String((*value).into())));
    }
    let mut bytes = Vec::new();
    // Neither a header nor a payload here is too long for a frame.
    let _ = write_message_to(&message, &mut bytes);
    bytes.into()
}
