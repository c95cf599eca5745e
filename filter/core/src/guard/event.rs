//! Reads the events of a streamed response.

use super::api_kind::ApiKind;
use super::error::{Failure, reported_failure};
use super::usage::{Usage, parse_usage};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::{self, Formatter};

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
    #[serde(default)]
    choices: Option<Choices>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// What the choices of a chunk say together.
#[derive(Default)]
struct Choices(EventFacts);

#[derive(Deserialize)]
struct Choice<'a> {
    index: Option<u32>,
    delta: Option<Delta>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

/// Whether a field of a delta, besides the role, has content.
struct Delta(bool);

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
    let chunk: Chunk<'_> = read(data)?;
    if let Some(error) = chunk.error {
        return Ok(EventFacts::failed(reported_failure(error)));
    }
    Ok(EventFacts {
        usage: chunk.usage.and_then(parse_usage),
        ..chunk.choices.unwrap_or_default().0
    })
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Choices;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                formatter.write_str("choices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Choices, A::Error> {
                let mut facts = EventFacts::default();
                while let Some(choice) = all.next_element()? {
                    note_choice(&mut facts, &choice);
                }
                Ok(Choices(facts))
            }
        }
        json.deserialize_seq(All)
    }
}

fn note_choice(facts: &mut EventFacts, choice: &Choice<'_>) {
    let bit = 1 << choice.index.unwrap_or(0).min(MAX_CHOICE);
    facts.open |= bit;
    let in_delta = choice.delta.as_ref().is_some_and(|delta| delta.0);
    facts.content |= in_delta || choice.text.is_some_and(is_nonempty);
    match choice.finish_reason.as_deref() {
        // Some servers write an empty string in place of null.
        None | Some("") => {}
        Some(reason) if is_aborted(reason) => facts.failure = Some(Failure::Aborted),
        Some(_) => facts.finished |= bit,
    }
}

impl<'de> Deserialize<'de> for Delta {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Delta;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                formatter.write_str("a delta")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Delta, A::Error> {
                let mut has_content = false;
                while let Some(name) = fields.next_key::<IsRole>()? {
                    has_content |= is_nonempty(fields.next_value()?) && !name.0;
                }
                Ok(Delta(has_content))
            }
        }
        json.deserialize_map(Fields)
    }
}

/// Whether the name of a field is `role`.
struct IsRole(bool);

impl<'de> Deserialize<'de> for IsRole {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = IsRole;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<IsRole, E> {
                Ok(IsRole(name == "role"))
            }
        }
        json.deserialize_str(Name)
    }
}

/// Whether a finish reason means that the server gave up the request. vLLM writes `abort`.
pub fn is_aborted(reason: &str) -> bool {
    matches!(reason, "abort" | "error")
}

fn is_nonempty(value: &RawValue) -> bool {
    !matches!(value.get(), "null" | "\"\"" | "[]" | "{}")
}

fn read_messages_event(data: &[u8]) -> serde_json::Result<EventFacts> {
    let event: TypedEvent<'_> = read(data)?;
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
    let event: TypedEvent<'_> = read(data)?;
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

/// Reads JSON. A text is checked to be UTF-8 at once, and not each of its strings.
fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    match str::from_utf8(json) {
        Ok(text) => serde_json::from_str(text),
        // Fields that nobody reads may be of other bytes.
        Err(_) => serde_json::from_slice(json),
    }
}

fn parse<'a, T: Deserialize<'a>>(field: Option<&'a RawValue>) -> serde_json::Result<Option<T>> {
    let value = field.map(|value| serde_json::from_str(value.get()));
    value.transpose()
}
