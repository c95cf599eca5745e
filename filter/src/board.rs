//! What the workers of an Envoy tell each other. Each writes where nobody else does, so that nobody waits; what a worker said that
//! is gone is forgotten.

use crate::memory;
use proxy_wasm::hostcalls;
use std::cell::Cell;
use std::time::Duration;

/// How often a worker says that it is there.
pub const KEEP_EVERY: Duration = Duration::from_millis(100);
/// Who said so longer ago, in milliseconds, is not counted; after ten times as long its place is another's.
const STALE_MS: u64 = 1000;
/// Workers that are told apart.
const MOST_WORKERS: u32 = 256;

#[derive(Clone, Copy)]
struct Place {
    number: u32,
    /// By what a worker knows it as its own: the moment at which it took it.
    token: u64,
}

thread_local! {
    /// This worker's, among all.
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// Says that this worker is there. `true` if it has a place that it did not have: what it wrote is to be written again.
pub fn keep() -> bool {
    let now = memory::now_ms();
    // Two that took one place at a moment find it out here: it is the one's who was written last.
    let is_own =
        |place: &Place| worker(place.number).is_some_and(|(_, token)| token == place.token);
    let own = PLACE.get().filter(is_own);
    let Some(place) = own.or_else(|| free_place(now)) else {
        PLACE.set(None);
        return false;
    };
    PLACE.set(Some(place));
    let said = format!("{now} {}", place.token);
    let _ = hostcalls::set_shared_data(&key("worker", place.number), Some(said.as_bytes()), None);
    own.is_none()
}

/// Says something about a topic, in the place of what was said before.
pub fn write(topic: &str, text: &str) {
    if let Some(Place { number, token }) = PLACE.get() {
        let said = format!("{token}\n{text}");
        let _ = hostcalls::set_shared_data(&key(topic, number), Some(said.as_bytes()), None);
    }
}

/// What the other workers say about a topic.
pub fn read(topic: &str) -> Vec<String> {
    let now = memory::now_ms();
    let own = PLACE.get().map(|place| place.number);
    let workers = (0..MOST_WORKERS).map(|number| (number, worker(number)));
    let workers = workers.map_while(|(number, worker)| Some((number, worker?)));
    let others = workers
        .filter(|(number, (at, _))| Some(*number) != own && now.saturating_sub(*at) < STALE_MS);
    let said = others.filter_map(|(number, (_, token))| {
        let said = text(&key(topic, number))?;
        let (by, text) = said.split_once('\n')?;
        (by.parse() == Ok(token)).then(|| text.to_owned())
    });
    said.collect()
}

/// A place that nobody has, or whose worker is gone.
fn free_place(now: u64) -> Option<Place> {
    let is_free =
        |number: &u32| worker(*number).is_none_or(|(at, _)| now.saturating_sub(at) > 10 * STALE_MS);
    let number = (0..MOST_WORKERS).find(is_free)?;
    Some(Place {
        number,
        token: memory::now_ns(),
    })
}

/// When the worker of a place was there last, in milliseconds since the Unix epoch, and its token; `None` for a place that was
/// never taken.
fn worker(number: u32) -> Option<(u64, u64)> {
    let said = text(&key("worker", number))?;
    let (at, token) = said.split_once(' ')?;
    Some((at.parse().ok()?, token.parse().ok()?))
}

fn text(key: &str) -> Option<String> {
    let (said, _) = hostcalls::get_shared_data(key).ok()?;
    String::from_utf8(said?).ok()
}

/// What follows the last `#` is a number, so that no two keys are the same.
fn key(topic: &str, number: u32) -> String {
    format!("{topic} #{number}")
}
