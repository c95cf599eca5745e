//! A streamed answer.

use super::error::Failure;
use super::event::{Said, Usage, said};
use super::sse::Events;
use super::{HOLD_LIMIT, Kind, Release, Step};

#[derive(Debug)]
pub struct Stream {
    kind: Kind,
    events: Events,
    /// Choices that were begun, and those that are complete, as bits.
    open: u128,
    finished: u128,
    done: bool,
    broken: bool,
    usage: Option<Usage>,
}

/// What the events of one piece say.
#[derive(Default)]
struct Piece {
    content: bool,
    /// The first failure, and where its event begins.
    failure: Option<(Failure, u64)>,
}

impl Stream {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            events: Events::default(),
            open: 0,
            finished: 0,
            done: false,
            broken: false,
            usage: None,
        }
    }

    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    pub fn read(&mut self, piece: &[u8], ends: bool, committed: bool) -> Step {
        if self.broken {
            return Step::Release(Release::default());
        }
        let mut found = Piece::default();
        let mut events = std::mem::take(&mut self.events);
        let mut complete = events.read(piece, |event| {
            if found.failure.is_some() {
                return;
            }
            let said = event
                .data
                .map_or_else(too_long, |data| said(self.kind, data));
            self.note(said, event.begins, &mut found);
        });
        self.events = events;
        if self.events.is_too_long() {
            found.content = true;
            complete = self.events.at();
        }
        if ends && found.failure.is_none() && !self.is_complete() {
            found.failure = Some((Failure::Incomplete, complete));
        }
        match found.failure {
            Some((failure, _)) if !committed => Step::Fail(failure),
            Some((failure, begins)) => {
                self.broken = true;
                // Of an event that is too long to be held back the caller may have a part.
                let is_inside = self.events.is_too_long() && begins == self.events.at();
                let before = if is_inside { "\n\n" } else { "" };
                Step::Release(Release {
                    until: begins,
                    add: format!("{before}{}", failure.event(self.kind)),
                    broken: Some(failure),
                })
            }
            None if committed || found.content || ends || self.events.at() > HOLD_LIMIT as u64 => {
                Step::Release(Release {
                    until: if ends { self.events.at() } else { complete },
                    add: if ends {
                        self.missing_end()
                    } else {
                        String::new()
                    },
                    broken: None,
                })
            }
            None => Step::Hold,
        }
    }

    fn note(&mut self, said: Said, begins: u64, found: &mut Piece) {
        found.content |= said.content;
        self.open |= said.open;
        self.finished |= said.finished;
        self.done |= said.done;
        self.usage = match (self.usage, said.usage) {
            // Anthropic's stream tells the prompt at its begin, and the answer at its end.
            (Some(before), Some(now)) => Some(Usage {
                prompt: before.prompt.max(now.prompt),
                completion: before.completion.max(now.completion),
                cached: before.cached.max(now.cached),
            }),
            (before, now) => now.or(before),
        };
        // An end before the end of every choice is none.
        let cut = (said.done && !self.is_complete()).then_some(Failure::Incomplete);
        if let Some(failure) = said.failure.or(cut) {
            found.failure = Some((failure, begins));
        }
    }

    /// Whether every choice that was begun is complete.
    fn is_complete(&self) -> bool {
        self.finished != 0 && self.finished & self.open == self.open
    }

    /// The end that a complete answer lacks.
    fn missing_end(&self) -> String {
        match self.kind {
            _ if self.done => String::new(),
            Kind::Messages => "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".into(),
            Kind::Responses => String::new(),
            Kind::Chat | Kind::Completions | Kind::Embeddings => "data: [DONE]\n\n".into(),
        }
    }
}

/// An event that is too long to be read is no error.
fn too_long() -> Said {
    Said {
        content: true,
        ..Said::default()
    }
}
