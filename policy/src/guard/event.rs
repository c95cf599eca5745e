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

#[derive(Deserialize)]
pub(super) struct RawUsage {
    #[serde(alias = "input_tokens")]
    prompt_tokens: Option<u64>,
    #[serde(alias = "output_tokens")]
    completion_tokens: Option<u64>,
    #[serde(alias = "input_tokens_details")]
    prompt_tokens_details: Option<Details>,
    cache_read_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

impl RawUsage {
    pub fn tokens(&self) -> Usage {
        let details = self.prompt_tokens_details.as_ref();
        let cached = details.and_then(|details| details.cached_tokens);
        Usage {
            prompt: self.prompt_tokens.unwrap_or(0),
            completion: self.completion_tokens.unwrap_or(0),
            cached: cached.or(self.cache_read_input_tokens).unwrap_or(0),
        }
    }
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    usage: Option<RawUsage>,
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
    usage: Option<RawUsage>,
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
        usage: chunk.usage.as_ref().map(RawUsage::tokens),
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
        usage: event.usage.as_ref().map(RawUsage::tokens),
        ..Said::default()
    };
    match &*event.kind {
        "error" => said.failure = Some(event.error.map_or(Failure::Malformed, told)),
        "message_start" => {
            #[derive(Deserialize)]
            struct Started {
                usage: Option<RawUsage>,
            }
            let started = event
                .message
                .map(|message| serde_json::from_str::<Started>(message.get()));
            said.usage = started
                .transpose()?
                .and_then(|started| started.usage)
                .map(|usage| usage.tokens());
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
        usage: Option<RawUsage>,
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
                .map(|usage| usage.tokens());
        }
        kind if kind.ends_with(".delta") => said.content = event.delta.is_none_or(is_something),
        _ => {}
    }
    Ok(said)
}
