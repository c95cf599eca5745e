//! Answers that come too slowly. Each piece of them is a sign of life, so that no limit of silence ends them.

use super::attempts::AttemptRecord;
use hashbrown::HashMap;
use std::rc::Rc;

/// How often the rates are looked at, in milliseconds.
const LOOK_EVERY_MS: u64 = 1000;

/// The least that an answer brings.
#[derive(Clone, Copy, Debug)]
pub struct LeastRate {
    /// Bytes per second.
    pub bytes_per_second: u32,
    /// The time over which it is averaged, in milliseconds.
    pub window_ms: u64,
}

/// What an answer has brought since a time.
struct RateWindow {
    record: Rc<AttemptRecord>,
    least: LeastRate,
    /// By the worker's clock, in milliseconds.
    began: u64,
    bytes: u64,
}

/// This worker's answers under way, by the ids of their streams.
#[derive(Default)]
pub struct Trickles {
    windows: HashMap<u32, RateWindow>,
    /// When the rates are looked at next.
    next_look: u64,
}

impl RateWindow {
    fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.began) > self.least.window_ms
    }

    fn is_too_slow(&self) -> bool {
        let LeastRate {
            bytes_per_second,
            window_ms,
        } = self.least;
        self.bytes.saturating_mul(1000) < u64::from(bytes_per_second).saturating_mul(window_ms)
    }
}

impl Trickles {
    /// The first piece of an answer has come.
    pub fn begin(
        &mut self,
        stream: u32,
        record: &Rc<AttemptRecord>,
        least: LeastRate,
        bytes: usize,
        now_ms: u64,
    ) {
        let window = RateWindow {
            record: record.clone(),
            least,
            began: now_ms,
            bytes: bytes as u64,
        };
        self.windows.insert(stream, window);
    }

    /// Another piece has come. `false` if it is the first one.
    pub fn add(&mut self, stream: u32, bytes: usize) -> bool {
        let window = self.windows.get_mut(&stream);
        window.map(|window| window.bytes += bytes as u64).is_some()
    }

    /// An answer is over.
    pub fn remove(&mut self, stream: u32) {
        self.windows.remove(&stream);
    }

    /// Answers whose rates are looked at.
    pub fn count(&self) -> usize {
        self.windows.len()
    }

    /// The answers that brought too little in their last window, which are forgotten. The others begin a new one.
    pub fn take_slow(&mut self, now_ms: u64) -> Vec<(u32, Rc<AttemptRecord>)> {
        if now_ms < self.next_look {
            return Vec::new();
        }
        self.next_look = now_ms + LOOK_EVERY_MS;
        let slow = self
            .windows
            .extract_if(|_, window| window.is_over(now_ms) && window.is_too_slow());
        let slow = slow.map(|(stream, window)| (stream, window.record));
        let slow = slow.collect();
        for window in self.windows.values_mut() {
            if window.is_over(now_ms) {
                (window.began, window.bytes) = (now_ms, 0);
            }
        }
        slow
    }
}
