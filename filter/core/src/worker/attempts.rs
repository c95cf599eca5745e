//! The attempts of a worker's requests: what each is about, which requests wait for an answer, whose answer broke off.

use std::cell::Cell;
use std::collections::HashMap;

/// What an attempt is about: the labels of its statistics, and its request.
#[derive(Debug, Default)]
pub struct AttemptLabels {
    /// The caller's zone.
    pub zone: String,
    /// The model.
    pub model: String,
    /// The lane.
    pub lane: String,
    /// A region or `fallback/<name>`.
    pub to: String,
    /// The request's id.
    pub request_id: String,
    /// Its answer broke off, which is counted once.
    pub is_broken: Cell<bool>,
}

/// How a stream breaks that falls silent.
pub const STALL: &str = "stall";

/// Requests whose broken answers are remembered until they are logged.
const MOST_BROKEN: usize = 1000;

/// This worker's requests that have attempts.
#[derive(Debug, Default)]
pub struct Attempts {
    /// The request that was answered last: its other attempts are ended at that moment.
    answered: String,
    /// Attempts that wait for an answer, by request.
    waiting: HashMap<String, u32>,
    /// Requests whose answer broke off, and how.
    broken: HashMap<String, &'static str>,
}

impl Attempts {
    /// An attempt waits for an answer.
    pub fn begin(&mut self, request_id: &str) {
        *self.waiting.entry(request_id.to_owned()).or_default() += 1;
    }

    /// An attempt that waited has its answer, or is over.
    pub fn end(&mut self, request_id: &str) {
        if let Some(attempts) = self.waiting.get_mut(request_id) {
            *attempts -= 1;
            if *attempts == 0 {
                self.waiting.remove(request_id);
            }
        }
    }

    /// Whether an attempt of this request may still be answered.
    pub fn waits(&self, request_id: &str) -> bool {
        self.waiting.contains_key(request_id)
    }

    /// A request is answered: from here on its other attempts are ended.
    pub fn note_answered(&mut self, request_id: &str) {
        request_id.clone_into(&mut self.answered);
    }

    /// Whether this request was answered last: then its attempt is over because another one was sooner.
    pub fn was_answered_last(&self, request_id: &str) -> bool {
        self.answered == request_id
    }

    /// A request's answer has broken off when the caller had a part of it.
    pub fn note_broken(&mut self, request_id: &str, how: &'static str) {
        if self.broken.len() < MOST_BROKEN {
            self.broken.insert(request_id.to_owned(), how);
        }
    }

    /// How a request's answer broke off, if it did.
    pub fn take_broken(&mut self, request_id: &str) -> Option<&'static str> {
        self.broken.remove(request_id)
    }
}
