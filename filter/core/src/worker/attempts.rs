//! The attempts of a worker's requests: what each is about and how it ended, which requests wait for an answer, whose answer broke off.

use super::labels::Labels;
use crate::guard::Usage;
use hashbrown::HashMap;
use std::cell::Cell;
use std::fmt::{self, Display, Formatter};
use std::rc::Rc;

/// What an attempt is about, and how it ended.
#[derive(Debug, Default)]
pub struct AttemptRecord {
    /// The labels of its statistics.
    pub labels: Rc<Labels>,
    /// The request's number, which no other request of the gateway has.
    pub request: u64,
    /// The request's id for people: callers may give several requests the same.
    pub request_id: String,
    /// Its answer broke off, which is counted once.
    pub is_broken: Cell<bool>,
    /// The address of its endpoint; empty if Envoy does not tell.
    pub address: String,
    /// When it began, by the worker's clock, in milliseconds.
    pub began: u64,
    /// Another attempt was begun beside it because its limit had passed.
    pub is_past_limit: Cell<bool>,
    /// The tokens that its answer has reported.
    pub usage: Cell<Option<Usage>>,
    /// How it ended, and when, by the worker's clock, in milliseconds.
    pub ended: Cell<Option<(AttemptEnd, u64)>>,
}

impl AttemptRecord {
    /// It ends. What it says later of an answer replaces what it said of its beginning.
    pub fn end(&self, how: AttemptEnd, now_ms: u64) {
        self.ended.set(Some((how, now_ms)));
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The caller got its answer.
    Answered,
    /// Its answer was an error with this status.
    Status(u16),
    /// Any other end, by a short, stable name.
    Other(&'static str),
}

impl AttemptEnd {
    /// Its caller has left.
    pub const LEFT: Self = Self::Other("left");
    /// Its answer came too slowly, before its caller had anything of it.
    pub const TRICKLE: Self = Self::Other(TRICKLE);
    /// There was no connection to its endpoint.
    pub const CONNECT: Self = Self::Other("connect");
    /// Its connection broke off, or Envoy gave the request up.
    pub const RESET: Self = Self::Other("reset");
    /// Another attempt was answered before its limit had passed.
    pub const OVERTAKEN: Self = Self::Other("overtaken");
    /// Another attempt was answered after its limit for the first content of a stream had passed.
    pub const FIRST_TOKEN: Self = Self::Other("first_token");
    /// The same for an answer that is not streamed.
    pub const UNSTREAMED: Self = Self::Other("unstreamed");
}

impl Display for AttemptEnd {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => formatter.write_str("answered"),
            Self::Status(status) => write!(formatter, "{status}"),
            Self::Other(name) => formatter.write_str(name),
        }
    }
}

/// How a stream breaks that falls silent.
pub const STALL: &str = "stall";

/// How an answer breaks off that comes too slowly.
pub const TRICKLE: &str = "trickle";

/// Requests whose broken answers are remembered until they are logged.
const MOST_BROKEN: usize = 1000;

/// This worker's requests that have attempts.
#[derive(Debug, Default)]
pub struct Attempts {
    /// The request that was answered last: its other attempts are ended at that moment.
    answered: u64,
    /// Attempts that wait for an answer, by request.
    waiting: HashMap<u64, u32>,
    /// Requests whose answer broke off, and how.
    broken: HashMap<u64, &'static str>,
}

impl Attempts {
    /// An attempt waits for an answer.
    pub fn begin(&mut self, request: u64) {
        *self.waiting.entry(request).or_default() += 1;
    }

    /// An attempt that waited has its answer, or is over.
    pub fn end(&mut self, request: u64) {
        if let Some(attempts) = self.waiting.get_mut(&request) {
            *attempts -= 1;
            if *attempts == 0 {
                self.waiting.remove(&request);
            }
        }
    }

    /// Whether an attempt of this request may still be answered.
    pub fn waits(&self, request: u64) -> bool {
        self.waiting.contains_key(&request)
    }

    /// Requests with an attempt that may still be answered.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Requests whose answer broke off, and which are not logged yet.
    pub fn broken(&self) -> usize {
        self.broken.len()
    }

    /// A request is answered: from here on its other attempts are ended.
    pub fn note_answered(&mut self, request: u64) {
        self.answered = request;
    }

    /// Whether this request was answered last: then its attempt is over because another one was sooner.
    pub fn was_answered_last(&self, request: u64) -> bool {
        self.answered == request
    }

    /// A request's answer has broken off when the caller had a part of it.
    pub fn note_broken(&mut self, request: u64, how: &'static str) {
        if self.broken.len() < MOST_BROKEN {
            self.broken.insert(request, how);
        }
    }

    /// How a request's answer broke off, if it did.
    pub fn take_broken(&mut self, request: u64) -> Option<&'static str> {
        self.broken.remove(&request)
    }
}
