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
    /// This worker's place among all.
    static PLACE: Cell<Option<u32>> = const { Cell::new(None) };
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
    let Some(place) = PLACE.get().or_else(|| take_place(now)) else {
        return;
    };
    PLACE.set(Some(place));
    let _ = hostcalls::set_shared_data(&board(place), Some(said(now).as_bytes()), None);
    let mut elsewhere: HashMap<String, u32> = HashMap::new();
    for other in (0..MOST_WORKERS).filter(|other| *other != place) {
        let Some((at, waiting)) = heard(other) else {
            break;
        };
        if now.saturating_sub(at) < STALE_MS {
            for (key, count) in waiting {
                *elsewhere.entry(key).or_default() += count;
            }
        }
    }
    PACES.with_borrow_mut(|paces| {
        for (key, pace) in paces {
            pace.hear(elsewhere.get(key).copied().unwrap_or_default());
        }
    });
}

/// A place that nobody has, or whose worker is gone.
fn take_place(now: u64) -> Option<u32> {
    (0..MOST_WORKERS).find(|place| {
        let free = heard(*place).is_none_or(|(at, _)| now.saturating_sub(at) > 10 * STALE_MS);
        let (_, version) = hostcalls::get_shared_data(&board(*place)).unwrap_or_default();
        // Of two workers that take the same one at a moment, the later one is told so, unless nothing was there before.
        free && hostcalls::set_shared_data(&board(*place), Some(said(now).as_bytes()), version)
            .is_ok()
    })
}

/// A line for the time, and one for each pool.
fn said(now: u64) -> String {
    PACES.with_borrow(|paces| {
        let waits = paces.iter().filter(|(_, pace)| pace.own() > 0);
        waits.fold(now.to_string(), |said, (key, pace)| {
            format!("{said}\n{} {key}", pace.own())
        })
    })
}

/// What another worker said, and when; `None` for a place that was never taken.
fn heard(place: u32) -> Option<(u64, Vec<(String, u32)>)> {
    let (said, _) = hostcalls::get_shared_data(&board(place)).ok()?;
    let said = String::from_utf8(said?).ok()?;
    let mut lines = said.lines();
    let at = lines.next()?.parse().ok()?;
    let pool = |line: &str| {
        let (count, key) = line.split_once(' ')?;
        Some((key.to_owned(), count.parse().ok()?))
    };
    Some((at, lines.filter_map(pool).collect()))
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
