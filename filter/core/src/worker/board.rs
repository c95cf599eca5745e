//! What the workers of an Envoy tell each other. Each writes to keys of its own, so that no worker waits for another. What an ended
//! worker wrote is ignored after a second.

use crate::host::{Host, now_ms};
use std::time::Duration;

/// How often a worker renews its place.
pub const KEEP_EVERY: Duration = Duration::from_millis(100);
/// A place that was renewed longer ago, in milliseconds, is not read; after ten times as long it may be taken.
const STALE_MS: u64 = 1000;
/// Workers that are told apart.
const MOST_WORKERS: u32 = 256;

#[derive(Clone, Copy, Debug)]
struct Place {
    number: u32,
    /// The moment at which the worker took it, in nanoseconds: by this the worker knows the place as its own.
    token: u64,
}

/// This worker's place among all.
#[derive(Debug, Default)]
pub struct Board {
    place: Option<Place>,
}

impl Board {
    /// Renews this worker's place. `true` if the place is new: what the worker wrote is to be written again.
    pub fn keep(&mut self, host: &dyn Host) -> bool {
        let now = now_ms(host);
        // Two workers that took one place at the same moment find it out here: the one that wrote last keeps it.
        let is_own = |place: &Place| {
            worker(host, place.number).is_some_and(|(_, token)| token == place.token)
        };
        let own = self.place.filter(is_own);
        let Some(place) = own.or_else(|| free_place(host, now)) else {
            self.place = None;
            return false;
        };
        self.place = Some(place);
        let text = format!("{now} {}", place.token);
        let _ = host.set_shared(&key("worker", place.number), text.as_bytes(), None);
        own.is_none()
    }

    /// Writes this worker's text on a topic, in the place of the one before.
    pub fn write(&self, host: &dyn Host, topic: &str, text: &str) {
        if let Some(Place { number, token }) = self.place {
            let text = [&token.to_string(), "\n", text].concat();
            let _ = host.set_shared(&key(topic, number), text.as_bytes(), None);
        }
    }

    /// The other workers' texts on a topic.
    pub fn read(&self, host: &dyn Host, topic: &str) -> Vec<String> {
        let now = now_ms(host);
        let own = self.place.map(|place| place.number);
        let workers = (0..MOST_WORKERS).map(|number| (number, worker(host, number)));
        let workers = workers.map_while(|(number, worker)| Some((number, worker?)));
        let others = workers
            .filter(|(number, (at, _))| Some(*number) != own && now.abs_diff(*at) < STALE_MS);
        let texts = others.filter_map(|(number, (_, token))| {
            let text = text(host, &key(topic, number))?;
            let (by, text) = text.split_once('\n')?;
            (by.parse() == Ok(token)).then(|| text.to_owned())
        });
        texts.collect()
    }
}

/// A place that was never taken, or whose worker has ended.
fn free_place(host: &dyn Host, now: u64) -> Option<Place> {
    let is_free =
        |number: &u32| worker(host, *number).is_none_or(|(at, _)| now.abs_diff(at) > 10 * STALE_MS);
    let number = (0..MOST_WORKERS).find(is_free)?;
    let token = u64::try_from(host.monotonic().as_nanos()).unwrap_or(u64::MAX);
    Some(Place { number, token })
}

/// When a place was renewed last, in milliseconds by the machine's monotonic clock, and its token; `None` for a place that was
/// never taken. A filter without that clock has left times of the Unix epoch behind: they are none of now.
fn worker(host: &dyn Host, number: u32) -> Option<(u64, u64)> {
    let text = text(host, &key("worker", number))?;
    let (at, token) = text.split_once(' ')?;
    Some((at.parse().ok()?, token.parse().ok()?))
}

fn text(host: &dyn Host, key: &str) -> Option<String> {
    String::from_utf8(host.shared(key).0?).ok()
}

/// What follows the last `#` is a number, so that no two keys are the same.
fn key(topic: &str, number: u32) -> String {
    [topic, " #", &number.to_string()].concat()
}
