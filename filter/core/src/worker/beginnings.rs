//! How many of a pool's requests begin a conversation, while the pool is drained: those leave first.

use std::collections::BTreeMap;

/// Half-life of counted requests, in milliseconds.
const HALF_LIFE_MS: f64 = 5000.0;

/// Imaginary requests, half of which begin a conversation: the first ones do not decide alone.
const PRIOR: f64 = 10.0;

/// A worker's recent requests, by the pool that is drained.
#[derive(Clone, Debug, Default)]
pub struct Beginnings(BTreeMap<String, Counted>);

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    all: f64,
    begin: f64,
    at: u64,
}

impl Beginnings {
    /// Counts a request. Returns the part of the pool's requests that begin a conversation, above 0 and below 1.
    pub fn note(&mut self, pool: &str, begins: bool, now_ms: u64) -> f64 {
        let counted = self.0.entry(pool.to_owned()).or_default();
        let age = now_ms.saturating_sub(counted.at) as f64;
        let left = 0.5_f64.powf(age / HALF_LIFE_MS);
        *counted = Counted {
            all: counted.all * left + 1.0,
            begin: counted.begin * left + f64::from(u8::from(begins)),
            at: now_ms,
        };
        (counted.begin + PRIOR / 2.0) / (counted.all + PRIOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_follows_the_last_requests_of_each_pool() {
        let mut beginnings = Beginnings::default();
        let mut part = |pool: &str, begins: bool, from: u64| {
            let each = (0..500).map(|number| beginnings.note(pool, begins, from + number * 10));
            each.last().unwrap()
        };
        assert!(part("a", true, 0) > 0.95);
        assert!(part("b", false, 0) < 0.05);
        let mixed = part("a", false, 20_000);
        assert!(mixed < 0.2, "{mixed}");
    }

    #[test]
    fn one_request_does_not_decide() {
        let part = Beginnings::default().note("a", true, 0);
        assert!(part > 0.5 && part < 0.6, "{part}");
    }
}
