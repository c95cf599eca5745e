//! The attempts of each request, for its access log.

use super::attempts::{AttemptEnd, AttemptRecord};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::rc::Rc;

/// Requests that are remembered until they are logged. Of more at a time, the oldest ones are logged without their attempts.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// Attempts of a request that are logged.
const MOST_ATTEMPTS: usize = 8;

/// The attempts of this worker's requests, by the request's number, in the order in which they began.
pub struct AttemptLog(LruCache<u64, Vec<Rc<AttemptRecord>>>);

impl Default for AttemptLog {
    fn default() -> Self {
        Self(LruCache::new(REMEMBERED))
    }
}

impl AttemptLog {
    /// An attempt begins. Earlier ones that have not ended are past their limit: Envoy asks nobody else before that.
    pub fn begin(&mut self, attempt: &Rc<AttemptRecord>) {
        let attempts = self
            .0
            .get_or_insert_mut(attempt.request, || Vec::with_capacity(1));
        for earlier in attempts.iter() {
            earlier.is_past_limit.set(true);
        }
        if attempts.len() < MOST_ATTEMPTS {
            attempts.push(attempt.clone());
        }
    }

    /// Whether a request has had one attempt only.
    pub fn has_one(&self, request: u64) -> bool {
        let attempts = self.0.peek(&request);
        attempts.is_none_or(|attempts| attempts.len() == 1)
    }

    /// Whether a request has had one attempt only, and an answer without an error to that.
    pub fn is_answered(&self, request: u64) -> bool {
        let attempts = self.0.peek(&request);
        attempts.is_some_and(|attempts| is_only_answered(attempts))
    }

    /// The attempts of a request, which is logged now.
    pub fn take(&mut self, request: u64) -> Vec<Rc<AttemptRecord>> {
        self.0.pop(&request).unwrap_or_default()
    }
}

/// The tokens that the answer of a request has reported, as text; `None` if it has not.
pub fn tokens_text(attempts: &[Rc<AttemptRecord>]) -> Option<String> {
    let mut attempts = attempts.iter().rev();
    let usage = attempts.find_map(|attempt| attempt.usage.get())?;
    let (prompt, completion, cached) = (usage.prompt(), usage.completion, usage.cached);
    Some(format!(
        "prompt={prompt} completion={completion} cached={cached}"
    ))
}

/// Whether a request has had one attempt only, and an answer without an error to that: the other fields of its log tell all of that.
pub fn is_only_answered(attempts: &[Rc<AttemptRecord>]) -> bool {
    let [only] = attempts else {
        return false;
    };
    matches!(only.ended.get(), Some((AttemptEnd::Answered, _)))
}

/// Attempts as text, `<member> <address> <end> <milliseconds>; ...`. `unfinished`: the end of those that have none by `now_ms`.
pub fn attempts_text(
    attempts: &[Rc<AttemptRecord>],
    unfinished: AttemptEnd,
    now_ms: u64,
) -> String {
    let texts = attempts.iter().map(|attempt| {
        let (how, at) = attempt.ended.get().unwrap_or((unfinished, now_ms));
        let address = match attempt.address.as_str() {
            "" => "-",
            address => address,
        };
        let took = at.saturating_sub(attempt.began);
        format!("{} {address} {how} {took}", attempt.labels.to)
    });
    texts.collect::<Vec<_>>().join("; ")
}
