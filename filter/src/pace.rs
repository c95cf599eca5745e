//! How soon regions give first tokens, by what this Envoy's guards see. Each worker keeps what it sees itself, and tells the
//! others ten times a second how many of its attempts wait.

use crate::memory;
use meridian_policy::pace::Pace;
use proxy_wasm::hostcalls;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

/// How often workers tell each other.
pub const TELL_EVERY: Duration = Duration::from_millis(100);
/// What a worker said longer ago, in milliseconds, is not counted; after ten times as long its place is another's.
const STALE_MS: u64 = 1000;
/// Workers that are told apart.
const MOST_WORKERS: u32 = 256;

thread_local! {
    /// By region and model.
    static PACES: RefCell<HashMap<String, Pace>> = RefCell::default();
    /// This worker's place among all, and by what it knows it as its own.
    static PLACE: Cell<Option<(u32, u64)>> = const { Cell::new(None) };
}

/// What a worker said.
struct Said {
    /// When, in milliseconds since the Unix epoch.
    at: u64,
    /// Who: the moment at which it took its place.
    token: u64,
    /// How many attempts wait, by region and model.
    waiting: Vec<(String, u32)>,
}

/// An attempt begins; how many wait, this one included.
pub fn begin(region: &str, model: &str) -> u32 {
    with(region, model, Pace::begin)
}

/// An attempt's first token has come after so many milliseconds.
pub fn first_token(region: &str, model: &str, before: u32, took_ms: u64) {
    let seconds = took_ms as f64 / 1000.0;
    with(region, model, |pace| {
        pace.first_token(before, seconds, memory::now_ms());
    });
}

/// An attempt is over without a first token.
pub fn gone(region: &str, model: &str) {
    with(region, model, Pace::gone);
}

/// What is known of a region's pool.
pub fn of(region: &str, model: &str) -> Pace {
    PACES.with_borrow(|paces| paces.get(&key(region, model)).copied().unwrap_or_default())
}

/// Tells the other workers how many attempts wait here, and hears it of them.
pub fn tell() {
    let now = memory::now_ms();
    // Two that took one place at a moment find it out here: it is the one's who was written last.
    let is_own =
        |(place, token): &(u32, u64)| heard(*place).is_some_and(|said| said.token == *token);
    let Some((place, token)) = PLACE.get().filter(is_own).or_else(|| free_place(now)) else {
        return;
    };
    PLACE.set(Some((place, token)));
    let _ = hostcalls::set_shared_data(&board(place), Some(say(now, token).as_bytes()), None);
    let mut elsewhere: HashMap<String, u32> = HashMap::new();
    let others = (0..MOST_WORKERS).filter(|other| *other != place).map(heard);
    let fresh = |said: &Said| now.saturating_sub(said.at) < STALE_MS;
    for said in others.map_while(|said| said).filter(fresh) {
        for (key, count) in said.waiting {
            *elsewhere.entry(key).or_default() += count;
        }
    }
    PACES.with_borrow_mut(|paces| {
        for (key, pace) in paces {
            pace.hear(elsewhere.get(key).copied().unwrap_or_default());
        }
    });
}

/// A place that nobody has, or whose worker is gone, and a token for it.
fn free_place(now: u64) -> Option<(u32, u64)> {
    let is_free =
        |place: &u32| heard(*place).is_none_or(|said| now.saturating_sub(said.at) > 10 * STALE_MS);
    let place = (0..MOST_WORKERS).find(is_free)?;
    Some((place, memory::now_ns()))
}

/// A line for who says it and when, and one for each pool.
fn say(now: u64, token: u64) -> String {
    PACES.with_borrow(|paces| {
        let waits = paces.iter().filter(|(_, pace)| pace.own() > 0);
        waits.fold(format!("{now} {token}"), |said, (key, pace)| {
            format!("{said}\n{} {key}", pace.own())
        })
    })
}

/// What the worker of a place said last; `None` for a place that was never taken.
fn heard(place: u32) -> Option<Said> {
    let (said, _) = hostcalls::get_shared_data(&board(place)).ok()?;
    let said = String::from_utf8(said?).ok()?;
    let mut lines = said.lines();
    let (at, token) = lines.next()?.split_once(' ')?;
    let pool = |line: &str| {
        let (count, key) = line.split_once(' ')?;
        Some((key.to_owned(), count.parse().ok()?))
    };
    Some(Said {
        at: at.parse().ok()?,
        token: token.parse().ok()?,
        waiting: lines.filter_map(pool).collect(),
    })
}

fn with<R>(region: &str, model: &str, what: impl FnOnce(&mut Pace) -> R) -> R {
    PACES.with_borrow_mut(|paces| what(paces.entry(key(region, model)).or_default()))
}

/// Names hold no spaces.
fn key(region: &str, model: &str) -> String {
    format!("{region} {model}")
}

fn board(place: u32) -> String {
    format!("pace {place}")
}
