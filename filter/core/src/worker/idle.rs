//! Streams that fall silent after their first content. Envoy's own idle timeout counts from the request on, and would end requests
//! that wait for a first content: so each worker checks its streams at intervals.

use super::AttemptRecord;
use hashbrown::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// A stream of which its caller has a part.
struct IdleDeadline {
    record: Rc<AttemptRecord>,
    /// When it is given up, by the worker's clock, in milliseconds.
    at: u64,
}

/// This worker's streams, by their ids.
#[derive(Default)]
pub struct IdleStreams(HashMap<u32, IdleDeadline>);

/// How often to check, for a limit in milliseconds: the limit is passed by a tenth of it or a second, whichever is less.
pub fn look_every(limit_ms: u64) -> Duration {
    Duration::from_millis((limit_ms / 10).clamp(50, 1000))
}

impl IdleStreams {
    /// A part of a stream goes to its caller; the next one must come within the limit, in milliseconds.
    pub fn renew(&mut self, stream: u32, record: &Rc<AttemptRecord>, limit_ms: u64, now_ms: u64) {
        let at = now_ms.saturating_add(limit_ms);
        let deadline = self.0.entry(stream).or_insert_with(|| IdleDeadline {
            record: record.clone(),
            at,
        });
        deadline.at = at;
    }

    /// A stream is over.
    pub fn remove(&mut self, stream: u32) {
        self.0.remove(&stream);
    }

    /// Streams that have a deadline.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The streams that were silent for too long, which are forgotten.
    pub fn take_expired(&mut self, now_ms: u64) -> Vec<(u32, Rc<AttemptRecord>)> {
        let expired = self.0.extract_if(|_, deadline| deadline.at < now_ms);
        expired
            .map(|(stream, deadline)| (stream, deadline.record))
            .collect()
    }
}
