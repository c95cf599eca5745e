//! What one event of a stream says.

use super::Kind;
use super::error::{Failure, told};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt.
    pub prompt: u64,
    /// Of the answer.
    pub completion: u64,
    /// Of the prompt, those that were in a cache.
    pub cached: u64,
}

/// What an event says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// There is something for the reader in it.
    pub content: bool,
    /// Choices of which it is a part, as bits.
    pub open: u128,
    /// Choices that it completes, as bits.
    pub finished: u128,
    /// It is the stream's end.
    pub done: bool,
    /// Why the answer is none.
    pub failure: Option<Failure>,
    /// Tokens.
    pub usage: Option<Usage>,
}

/// A choice beyond this is counted as the last one.
const MOST_CHOICES: u32 = 127;

/// Tokens by either API's names; servers that speak both write both. Whatever else stands there, an answer is one without them.
pub(super) fn tokens(usage: &RawValue) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Raw {
        prompt_tokens: Option<u64>,
        input_tokens: Option<u64>,
        completion_tokens: Option<u64>,
        output_tokens: Option<u64>,
        prompt_tokens_details: Option<Details>,
        input_tokens_details: Option<Details>,
        cache_read_input_tokens: Option<u64>,
    }
    #[derive(Deserialize)]
    struct Details {
        cached_tokens: Option<u64>,
    }
    let raw: Option<Raw> = serde_json::from_str(usage.get()).ok()?;
    let raw = raw?;
    let details = raw.prompt_tokens_details.or(raw.input_tokens_details);
    let cached = details.and_then(|details| details.cached_tokens);
    Some(Usage {
        prompt: raw.prompt_tokens.or(raw.input_tokens).unwrap_or(0),
        completion: raw.completion_tokens.or(raw.output_tokens).unwrap_or(0),
        cached: cached.or(raw.cache_read_input_tokens).unwrap_or(0),
    })
}

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

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
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

/// What the data of an event says in an API.
pub fn said(kind: Kind, data: &[u8]) -> Said {
    if data.iter().all(u8::is_ascii_whitespace) {
        return Said::default();
    }
    if data == b"[DONE]" {
        return Said {
            done: true,
            ..Said::default()
        };
    }
    let said = match kind {
        Kind::Chat | Kind::Completions | Kind::Embeddings => chunk(data),
        Kind::Messages => message(data),
        Kind::Responses => response(data),
    };
    said.unwrap_or_else(|_| failed(Failure::Malformed))
}

fn failed(failure: Failure) -> Said {
    Said {
        failure: Some(failure),
        ..Said::default()
    }
}

fn chunk(data: &[u8]) -> serde_json::Result<Said> {
    let chunk: Chunk<'_> = serde_json::from_slice(data)?;
    if let Some(error) = chunk.error {
        return Ok(failed(told(error)));
    }
    let mut said = Said {
        usage: chunk.usage.and_then(tokens),
        ..Said::default()
    };
    for choice in chunk.choices.into_iter().flatten() {
        let bit = 1 << choice.index.unwrap_or(0).min(MOST_CHOICES);
        said.open |= bit;
        let delta = choice.delta.into_iter().flatten();
        let told = delta
            .filter(|(field, _)| field != "role")
            .map(|(_, value)| value)
            .chain(choice.text);
        said.content |= told.into_iter().any(is_something);
        match choice.finish_reason.as_deref() {
            // Some servers write nothing for none.
            None | Some("") => {}
            Some(reason) if is_abort(reason) => said.failure = Some(Failure::Aborted),
            Some(_) => said.finished |= bit,
        }
    }
    Ok(said)
}

/// How vLLM and others call a request that they gave up.
pub(super) fn is_abort(reason: &str) -> bool {
    matches!(reason, "abort" | "error")
}

fn is_something(value: &RawValue) -> bool {
    !matches!(value.get(), "null" | "\"\"" | "[]" | "{}")
}

fn message(data: &[u8]) -> serde_json::Result<Said> {
    let event: Typed<'_> = serde_json::from_slice(data)?;
    let mut said = Said {
        usage: event.usage.and_then(tokens),
        ..Said::default()
    };
    match &*event.kind {
        "error" => said.failure = Some(event.error.map_or(Failure::Malformed, told)),
        "message_start" => {
            #[derive(Deserialize)]
            struct Started<'a> {
                #[serde(borrow)]
                usage: Option<&'a RawValue>,
            }
            let started = event
                .message
                .map(|message| serde_json::from_str::<Started<'_>>(message.get()));
            said.usage = started
                .transpose()?
                .and_then(|started| started.usage)
                .and_then(tokens);
        }
        "content_block_delta" => said.content = true,
        "content_block_start" => {
            #[derive(Deserialize)]
            struct Block<'a> {
                #[serde(borrow, rename = "type")]
                kind: Cow<'a, str>,
            }
            let block = event
                .content_block
                .map(|block| serde_json::from_str::<Block<'_>>(block.get()));
            // What is thought or said comes in deltas; that a tool is called is told here.
            said.content = block
                .transpose()?
                .is_some_and(|block| !matches!(&*block.kind, "text" | "thinking"));
        }
        "message_delta" => {
            #[derive(Deserialize)]
            struct Delta<'a> {
                #[serde(borrow)]
                stop_reason: Option<Cow<'a, str>>,
            }
            let delta = event
                .delta
                .map(|delta| serde_json::from_str::<Delta<'_>>(delta.get()));
            match delta.transpose()?.and_then(|delta| delta.stop_reason) {
                Some(reason) if is_abort(&reason) => said.failure = Some(Failure::Aborted),
                Some(_) => said.finished = 1,
                None => {}
            }
        }
        "message_stop" => said.done = true,
        _ => {}
    }
    Ok(said)
}

fn response(data: &[u8]) -> serde_json::Result<Said> {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
        #[serde(borrow)]
        usage: Option<&'a RawValue>,
    }
    let event: Typed<'_> = serde_json::from_slice(data)?;
    let response = || -> serde_json::Result<Option<Response<'_>>> {
        event
            .response
            .map(|response| serde_json::from_str(response.get()))
            .transpose()
    };
    let mut said = Said::default();
    match &*event.kind {
        // Its own error stands in the event itself.
        "error" => {
            let error = serde_json::from_slice::<&RawValue>(data)?;
            said.failure = Some(told(event.error.unwrap_or(error)));
        }
        "response.failed" => {
            let error = response()?.and_then(|response| response.error);
            said.failure = Some(error.map_or(Failure::Malformed, told));
        }
        "response.completed" | "response.incomplete" => {
            said.done = true;
            said.finished = 1;
            said.usage = response()?
                .and_then(|response| response.usage)
                .and_then(tokens);
        }
        kind if kind.ends_with(".delta") => said.content = event.delta.is_none_or(is_something),
        _ => {}
    }
    Ok(said)
}
