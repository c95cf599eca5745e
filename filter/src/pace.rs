//! How soon regions give first tokens, by what this Envoy's guards see. Each worker keeps what it sees itself, and tells the
//! others ten times a second how many of its attempts wait.

use crate::{board, memory};
use meridian_policy::pace::Pace;
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// By region and model.
    static PACES: RefCell<HashMap<String, Pace>> = RefCell::default();
}

/// A line for each pool: how many wait, region and model.
const TOPIC: &str = "pace";

/// An attempt begins; how many wait, this one included.
pub fn begin(region: &str, model: &str) -> u32 {
    with(region, model, Pace::begin)
}

/// An attempt's first token has come after so many milliseconds.
pub fn first_token(region: &str, model: &str, before: u32, took_ms: u64) {
    let seconds = took_ms as f64 / 1000.0;
    with(region, model, |pace| {
        pace.first_token(before, seconds, memory::steady_ms());
    });
}

/// An attempt is over without a first token.
pub fn gone(region: &str, model: &str) {
    with(region, model, Pace::gone);
}

/// Whether a region's pool has given a first token since.
pub fn has_answered(region: &str, model: &str, since_ms: u64) -> bool {
    of(region, model).has_answered(since_ms)
}

/// What is known of a region's pool.
pub fn of(region: &str, model: &str) -> Pace {
    PACES.with_borrow(|paces| paces.get(&key(region, model)).copied().unwrap_or_default())
}

/// Tells the other workers how many attempts wait here, and hears it of them.
pub fn tell() {
    let said = PACES.with_borrow(|paces| {
        let waits = paces.iter().filter(|(_, pace)| pace.own() > 0);
        waits.fold(String::new(), |said, (key, pace)| {
            said + &format!("{} {key}\n", pace.own())
        })
    });
    board::write(TOPIC, &said);
    let mut elsewhere: HashMap<String, u32> = HashMap::new();
    for said in board::read(TOPIC) {
        for (count, key) in said.lines().filter_map(|line| line.split_once(' ')) {
            *elsewhere.entry(key.to_owned()).or_default() += count.parse::<u32>().unwrap_or(0);
        }
    }
    PACES.with_borrow_mut(|paces| {
        for (key, pace) in paces {
            pace.hear(elsewhere.get(key).copied().unwrap_or_default());
        }
    });
}

fn with<R>(region: &str, model: &str, what: impl FnOnce(&mut Pace) -> R) -> R {
    PACES.with_borrow_mut(|paces| what(paces.entry(key(region, model)).or_default()))
}

/// Names hold no spaces.
fn key(region: &str, model: &str) -> String {
    format!("{region} {model}")
}
