//! Reads the events of a streamed response.

use super::api_kind::ApiKind;
use super::error::{Failure, reported_failure};
use super::usage::{Usage, parse_usage};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The facts of one event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFacts {
    /// The event has content for the reader.
    pub content: bool,
    /// The choices that the event belongs to, as bits.
    pub open: u128,
    /// The choices that the event completes, as bits.
    pub finished: u128,
    /// The event ends the stream.
    pub done: bool,
    /// The failure that the event reports.
    pub failure: Option<Failure>,
    /// The usage that the event reports.
    pub usage: Option<Usage>,
}

impl EventFacts {
    fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }
}

/// Largest choice index with a bit of its own. Larger indexes share this bit.
const MAX_CHOICE: u32 = 127;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    index: Option<u32>,
    #[serde(borrow)]
    delta: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

/// An event of the Messages API or the Responses API.
#[derive(Deserialize)]
struct TypedEvent<'a> {
    /// Some servers keep streams alive by events without a type.
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// Reads the data of an event of an API's stream. Data of another shape is [`Failure::Malformed`].
pub fn read_event(kind: ApiKind, data: &[u8]) -> EventFacts {
    if data.iter().all(u8::is_ascii_whitespace) {
        return EventFacts::default();
    }
    if data == b"[DONE]" {
        return EventFacts {
            done: true,
            ..EventFacts::default()
        };
    }
    let facts = match kind {
        ApiKind::Chat | ApiKind::Completions | ApiKind::Embeddings => read_chunk(data),
        ApiKind::Messages => read_messages_event(data),
        ApiKind::Responses => read_responses_event(data),
    };
    facts.unwrap_or_else(|_| EventFacts::failed(Failure::Malformed))
}

fn read_chunk(data: &[u8]) -> serde_json::Result<EventFacts> {
    let chunk: Chunk<'_> = serde_json::from_slice(data)?;
    if let Some(error) = chunk.error {
        return Ok(EventFacts::failed(reported_failure(error)));
    }
    let mut facts = EventFacts {
        usage: chunk.usage.and_then(parse_usage),
        ..EventFacts::default()
    };
    for choice in chunk.choices.into_iter().flatten() {
        let bit = 1 << choice.index.unwrap_or(0).min(MAX_CHOICE);
        facts.open |= bit;
        let delta = choice.delta.into_iter().flatten();
        let values = delta
            .filter(|(field, _)| field != "role")
            .map(|(_, value)| value)
            .chain(choice.text);
        facts.content |= values.into_iter().any(is_nonempty);
        match choice.finish_reason.as_deref() {
            // Some servers write an empty string in place of null.
            None | Some("") => {}
            Some(reason) if is_aborted(reason) => facts.failure = Some(Failure::Aborted),
            Some(_) => facts.finished |= bit,
        }
    }
    Ok(facts)
}

/// Whether a finish reason means that the server gave up the request. vLLM writes `abort`.
pub fn is_aborted(reason: &str) -> bool {
    matches!(reason, "abort" | "error")
}

fn is_nonempty(value: &RawValue) -> bool {
    !matches!(value.get(), "null" | "\"\"" | "[]" | "{}")
}

fn read_messages_event(data: &[u8]) -> serde_json::Result<EventFacts> {
    let event: TypedEvent<'_> = serde_json::from_slice(data)?;
    let mut facts = EventFacts {
        usage: event.usage.and_then(parse_usage),
        ..EventFacts::default()
    };
    match &*event.kind {
        "error" => {
            let failure = event.error.map_or(Failure::Malformed, reported_failure);
            facts.failure = Some(failure);
        }
        "" => facts.failure = event.error.map(reported_failure),
        "message_start" => facts.usage = started_usage(event.message)?,
        "content_block_delta" => facts.content = true,
        "content_block_start" => facts.content = starts_tool_call(event.content_block)?,
        "message_delta" => match stop_reason(event.delta)? {
            Some(reason) if is_aborted(&reason) => facts.failure = Some(Failure::Aborted),
            Some(_) => facts.finished = 1,
            None => {}
        },
        "message_stop" => facts.done = true,
        _ => {}
    }
    Ok(facts)
}

/// The usage in the message of a `message_start` event.
fn started_usage(message: Option<&RawValue>) -> serde_json::Result<Option<Usage>> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        usage: Option<&'a RawValue>,
    }
    let message: Option<Message<'_>> = parse(message)?;
    let usage = message.and_then(|message| message.usage);
    Ok(usage.and_then(parse_usage))
}

/// Whether a content block is a tool call. Text and thinking blocks start empty: their content comes in deltas.
fn starts_tool_call(block: Option<&RawValue>) -> serde_json::Result<bool> {
    #[derive(Deserialize)]
    struct Block<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    let block: Option<Block<'_>> = parse(block)?;
    Ok(block.is_some_and(|block| !matches!(&*block.kind, "text" | "thinking")))
}

/// The stop reason in the delta of a `message_delta` event.
fn stop_reason(delta: Option<&RawValue>) -> serde_json::Result<Option<Cow<'_, str>>> {
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        stop_reason: Option<Cow<'a, str>>,
    }
    let delta: Option<Delta<'_>> = parse(delta)?;
    Ok(delta.and_then(|delta| delta.stop_reason))
}

fn read_responses_event(data: &[u8]) -> serde_json::Result<EventFacts> {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
        #[serde(borrow)]
        usage: Option<&'a RawValue>,
    }
    let event: TypedEvent<'_> = serde_json::from_slice(data)?;
    let mut facts = EventFacts::default();
    match &*event.kind {
        "error" => {
            // The fields of the error may stand in the event itself.
            let fields = serde_json::from_slice::<&RawValue>(data)?;
            facts.failure = Some(reported_failure(event.error.unwrap_or(fields)));
        }
        "" => facts.failure = event.error.map(reported_failure),
        "response.failed" => {
            let response: Option<Response<'_>> = parse(event.response)?;
            let error = response.and_then(|response| response.error);
            facts.failure = Some(error.map_or(Failure::Malformed, reported_failure));
        }
        "response.completed" | "response.incomplete" => {
            let response: Option<Response<'_>> = parse(event.response)?;
            let usage = response.and_then(|response| response.usage);
            facts.done = true;
            facts.finished = 1;
            facts.usage = usage.and_then(parse_usage);
        }
        kind if kind.ends_with(".delta") => facts.content = event.delta.is_none_or(is_nonempty),
        _ => {}
    }
    Ok(facts)
}

fn parse<'a, T: Deserialize<'a>>(field: Option<&'a RawValue>) -> serde_json::Result<Option<T>> {
    let value = field.map(|value| serde_json::from_slice(value.get().as_bytes()));
    value.transpose()
}
