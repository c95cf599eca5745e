//! An answer in one piece.

use super::error::{Failure, told};
use super::event::{Usage, is_abort, tokens};
use super::{HOLD_LIMIT, Kind, Release, Step};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Debug)]
pub struct Whole {
    kind: Kind,
    /// What has come, until it is judged or too long to be held.
    held: Vec<u8>,
    at: u64,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Answer<'a> {
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
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            held: Vec::new(),
            at: 0,
            usage: None,
        }
    }

    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    pub fn read(&mut self, piece: &[u8], ends: bool, committed: bool) -> Step {
        self.at += piece.len() as u64;
        let release = Step::Release(Release {
            until: self.at,
            ..Release::default()
        });
        if committed {
            return release;
        }
        if self.at > HOLD_LIMIT as u64 {
            self.held = Vec::new();
            return release;
        }
        self.held.extend_from_slice(piece);
        if !ends {
            return Step::Hold;
        }
        let held = std::mem::take(&mut self.held);
        match self.judge(&held) {
            Ok(()) => release,
            Err(failure) => Step::Fail(failure),
        }
    }

    fn judge(&mut self, body: &[u8]) -> Result<(), Failure> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Failure::Incomplete);
        }
        let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| Failure::Malformed)?;
        if let Some(error) = answer.error {
            return Err(told(error));
        }
        self.usage = answer.usage.and_then(tokens);
        let is_there = match self.kind {
            Kind::Chat | Kind::Completions => {
                answer.choices.as_ref().is_some_and(|all| !all.is_empty())
            }
            Kind::Embeddings => answer.data.as_ref().is_some_and(|all| !all.is_empty()),
            Kind::Messages => answer.content.is_some(),
            Kind::Responses => answer.output.is_some(),
        };
        let mut reasons = answer
            .choices
            .iter()
            .flatten()
            .map(|choice| &choice.finish_reason);
        let aborted = |reason: &Option<Cow<'_, str>>| reason.as_deref().is_some_and(is_abort);
        if reasons.any(aborted)
            || aborted(&answer.stop_reason)
            || answer.status.as_deref() == Some("failed")
        {
            Err(Failure::Aborted)
        } else if is_there {
            Ok(())
        } else {
            Err(Failure::Incomplete)
        }
    }
}
