//! Validates a response that is not streamed.

use super::api_kind::ApiKind;
use super::error::{Failure, reported_failure};
use super::event::is_aborted;
use super::step::{HOLD_LIMIT, Release, Step};
use super::usage::{Usage, parse_usage};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The validator of a response that is not streamed.
#[derive(Debug)]
pub struct Whole {
    kind: ApiKind,
    /// The caller asked for a stream, so that only an error can be read from it.
    streamed: bool,
    at: u64,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct ResponseBody<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    data: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stop_reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

impl Whole {
    /// Validates a response of this API from its first byte. `streamed`: the caller asked for a stream.
    pub fn new(kind: ApiKind, streamed: bool) -> Self {
        Self {
            kind,
            streamed,
            at: 0,
            usage: None,
        }
    }

    /// The usage that the response reports.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Reads on. `all`: the body so far, unless `committed`: then the caller already has a part of the response. `more`: how many
    /// bytes of it are new. `ends`: it is complete.
    pub fn read(&mut self, all: &[u8], more: usize, ends: bool, committed: bool) -> Step {
        self.at += more as u64;
        let release = Step::Release(Release {
            until: self.at,
            ..Release::default()
        });
        if committed {
            return release;
        }
        if self.at > HOLD_LIMIT as u64 && !self.streamed {
            return release;
        }
        if self.at > HOLD_LIMIT as u64 {
            return Step::Fail(Failure::Malformed);
        }
        if !ends {
            return Step::Hold;
        }
        match self.validate(all) {
            Ok(()) if self.streamed => Step::Fail(Failure::Malformed),
            Ok(()) => release,
            Err(failure) => Step::Fail(failure),
        }
    }

    fn validate(&mut self, body: &[u8]) -> Result<(), Failure> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Failure::Incomplete);
        }
        let response: ResponseBody<'_> =
            serde_json::from_slice(body).map_err(|_| Failure::Malformed)?;
        if let Some(error) = response.error {
            return Err(reported_failure(error));
        }
        self.usage = response.usage.and_then(parse_usage);
        let is_there = match self.kind {
            ApiKind::Chat | ApiKind::Completions => {
                response.choices.as_ref().is_some_and(|all| !all.is_empty())
            }
            ApiKind::Embeddings => response.data.as_ref().is_some_and(|all| !all.is_empty()),
            ApiKind::Messages => response.content.is_some(),
            ApiKind::Responses => response.output.is_some(),
        };
        let mut reasons = response
            .choices
            .iter()
            .flatten()
            .map(|choice| &choice.finish_reason);
        let aborted = |reason: &Option<Cow<'_, str>>| reason.as_deref().is_some_and(is_aborted);
        if reasons.any(aborted)
            || aborted(&response.stop_reason)
            || response.status.as_deref() == Some("failed")
        {
            Err(Failure::Aborted)
        } else if is_there {
            Ok(())
        } else {
            Err(Failure::Incomplete)
        }
    }
}
