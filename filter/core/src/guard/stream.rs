//! Validates a streamed response.

use super::api_kind::ApiKind;
use super::error::Failure;
use super::event::{EventFacts, read_event};
use super::sse::{Events, MAX_EVENT_BYTES};
use super::step::{HOLD_LIMIT, Release, Step};
use super::usage::Usage;

/// The validator of a streamed response.
#[derive(Debug)]
pub struct Stream {
    kind: ApiKind,
    events: Events,
    /// The choices that have started, as bits.
    open: u128,
    /// The choices that are complete, as bits.
    finished: u128,
    done: bool,
    broken: bool,
    /// What the caller may have of the stream, in bytes.
    passed: u64,
    usage: Option<Usage>,
}

/// The facts of the events of one piece.
#[derive(Default)]
struct Piece {
    content: bool,
    /// The first failure, and the offset of its event in bytes.
    failure: Option<(Failure, u64)>,
}

impl Stream {
    /// Validates a stream of this API from its first byte.
    pub fn new(kind: ApiKind) -> Self {
        Self {
            kind,
            events: Events::shortened(),
            open: 0,
            finished: 0,
            done: false,
            broken: false,
            passed: 0,
            usage: None,
        }
    }

    /// The usage that the stream has reported so far.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Reads the next piece. `ends`: the piece is the last one. `committed`: the caller already has a part of the response.
    pub fn read(&mut self, piece: &[u8], ends: bool, committed: bool) -> Step {
        if self.broken {
            return Step::Release(Release::default());
        }
        let (facts, complete) = self.read_piece(piece, ends);
        let step = match facts.failure {
            Some((failure, _)) if !committed => Step::Fail(failure),
            Some((failure, begins)) => Step::Release(self.break_off(failure, begins)),
            None if ends => Step::Release(Release {
                until: self.events.at(),
                add: self.missing_end(),
                broken: None,
            }),
            None if committed || facts.content || self.is_over_hold_limit() => {
                // A large event passes while it comes.
                let is_large = self.events.at() - complete > MAX_EVENT_BYTES as u64;
                let until = if is_large { self.events.at() } else { complete };
                Step::Release(Release {
                    until: until.max(self.passed),
                    ..Release::default()
                })
            }
            None => Step::Hold,
        };
        if let Step::Release(release) = &step {
            self.passed = release.until;
        }
        step
    }

    /// Reads the events of a piece. Also returns the number of bytes of the stream up to the unfinished event.
    fn read_piece(&mut self, piece: &[u8], ends: bool) -> (Piece, u64) {
        let mut facts = Piece::default();
        let mut events = std::mem::take(&mut self.events);
        let complete = events.read(piece, |event| {
            if facts.failure.is_none() {
                let read = |data| read_event(self.kind, data);
                let event_facts = event.data.map_or_else(oversized, read);
                self.note(event_facts, event.begins, &mut facts);
            }
        });
        self.events = events;
        if ends && facts.failure.is_none() && !self.is_complete() {
            facts.failure = Some((Failure::Incomplete, complete));
        }
        (facts, complete)
    }

    fn is_over_hold_limit(&self) -> bool {
        self.events.at() > HOLD_LIMIT as u64
    }

    /// Ends the stream with an error event in place of the event at this offset.
    fn break_off(&mut self, failure: Failure, begins: u64) -> Release {
        self.broken = true;
        // The caller may have a part of a large event.
        let before = if begins < self.passed { "\n\n" } else { "" };
        Release {
            until: begins.max(self.passed),
            add: format!("{before}{}", failure.event(self.kind)),
            broken: Some(failure),
        }
    }

    fn note(&mut self, event: EventFacts, begins: u64, piece: &mut Piece) {
        piece.content |= event.content;
        self.open |= event.open;
        self.finished |= event.finished;
        self.done |= event.done;
        self.usage = match (self.usage, event.usage) {
            (Some(before), Some(now)) => Some(before.max(now)),
            (before, now) => now.or(before),
        };
        // The end of the stream must follow the end of every choice.
        let cut = (event.done && !self.is_complete()).then_some(Failure::Incomplete);
        if let Some(failure) = event.failure.or(cut) {
            piece.failure = Some((failure, begins));
        }
    }

    /// Whether every choice that has started is complete.
    fn is_complete(&self) -> bool {
        self.finished != 0 && self.finished & self.open == self.open
    }

    /// The last event, if a complete response lacks it.
    fn missing_end(&self) -> String {
        match self.kind {
            _ if self.done => String::new(),
            ApiKind::Messages => {
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".into()
            }
            ApiKind::Responses => String::new(),
            ApiKind::Chat | ApiKind::Completions | ApiKind::Embeddings => "data: [DONE]\n\n".into(),
        }
    }
}

/// An event that cannot be read even if its strings are shortened. It has content, and may have completed every choice.
fn oversized() -> EventFacts {
    EventFacts {
        content: true,
        finished: u128::MAX,
        ..EventFacts::default()
    }
}
