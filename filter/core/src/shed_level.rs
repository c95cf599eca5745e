//! The local fast path. When the home pool refuses requests for lack of room, its gateway sheds the same fraction of requests
//! at once. The control plane cannot know of the refusals yet. The level decays as quickly as it rises.
//!
//! Each worker measures the refused fraction of its own requests ([`RecentAnswers`]). The workers of an Envoy share the
//! resulting [`ShedLevel`].

use serde::{Deserialize, Serialize};

/// Half-life of recent refusals, in milliseconds.
const REFUSAL_HALF_LIFE_MS: f64 = 500.0;
/// Half-life of recent load reports, in milliseconds. It is short because each response has a new report.
const LOAD_HALF_LIFE_MS: f64 = 250.0;
/// Imaginary answers without refusal that are added to the recent ones, so that one refusal alone does not mean 100 percent.
const PRIOR_ANSWERS: f64 = 2.0;

/// Minimum time between two raises of the level, in milliseconds. The first raise is immediate.
const MIN_RAISE_INTERVAL_MS: u64 = 250;
/// Half-life of the level, in milliseconds.
const LEVEL_HALF_LIFE_MS: f64 = 3000.0;
/// A lower level counts as zero.
const MIN_LEVEL: f64 = 0.005;
/// Minimum refused fraction for which a `Retry-After` applies to the pool. Below it, the header is for one caller.
const RETRY_AFTER_MIN_FRACTION: f64 = 0.3;
/// Maximum `Retry-After` that applies, in milliseconds.
const MAX_HOLD_MS: u64 = 60_000;

/// Recent answers of a pool: a decaying count, and a decaying sum of their values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecentAnswers {
    answers: f64,
    sum: f64,
    at: u64,
}

impl RecentAnswers {
    /// Adds an answer, and whether it was a refusal (429 or 503). Returns the refused fraction of recent answers.
    pub fn note_answer(&mut self, refused: bool, now_ms: u64) -> f64 {
        self.add(f64::from(u8::from(refused)), REFUSAL_HALF_LIFE_MS, now_ms);
        self.sum / (self.answers + PRIOR_ANSWERS)
    }

    /// Adds a load report of a server, as a ratio. Returns the mean of recent reports.
    pub fn note_load(&mut self, load: f64, now_ms: u64) -> f64 {
        self.add(load, LOAD_HALF_LIFE_MS, now_ms);
        self.sum / self.answers
    }

    fn add(&mut self, value: f64, half_life_ms: f64, now_ms: u64) {
        let left = remaining(now_ms.saturating_sub(self.at), half_life_ms);
        *self = Self {
            answers: self.answers * left + 1.0,
            sum: self.sum * left + value,
            at: now_ms,
        };
    }
}

/// The fraction of a pool's requests in excess of the limit `above`, 0 to 1, at this load.
pub fn excess(load: f64, above: f64) -> f64 {
    if load > above {
        1.0 - above / load
    } else {
        0.0
    }
}

/// The fraction of a pool's share that is shed, decaying over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShedLevel {
    /// The shed fraction at the time `at`, 0 to 1.
    level: f64,
    /// The time from which the level decays, in milliseconds by the clock that the gateway's workers share. It is in the
    /// future while a `Retry-After` applies.
    at: u64,
    /// The time of the last raise, in milliseconds.
    raised_at: u64,
}

impl ShedLevel {
    /// The shed fraction now, 0 to 1.
    pub fn level(&self, now_ms: u64) -> f64 {
        // Written by another clock, the level would last almost for ever.
        if self.at > now_ms.saturating_add(MAX_HOLD_MS) {
            return 0.0;
        }
        let level = self.level * remaining(now_ms.saturating_sub(self.at), LEVEL_HALF_LIFE_MS);
        if level < MIN_LEVEL { 0.0 } else { level }
    }

    /// The level after a refusal. `fraction`: the refused fraction of recent answers; `retry_after`: in seconds. The level rises
    /// by this fraction of the requests that still come. It does not decay while the `Retry-After` applies.
    #[must_use]
    pub fn after_refusal(&self, fraction: f64, retry_after: Option<u64>, now_ms: u64) -> Self {
        let level = self.level(now_ms);
        let hold = retry_after
            .filter(|_| fraction >= RETRY_AFTER_MIN_FRACTION)
            .unwrap_or(0)
            .saturating_mul(1000)
            .min(MAX_HOLD_MS);
        let held = if level > 0.0 { self.at } else { 0 };
        let pause = level > 0.0
            && self.raised_at <= now_ms
            && now_ms - self.raised_at < MIN_RAISE_INTERVAL_MS;
        Self {
            level: if pause {
                level
            } else {
                level + (1.0 - level) * fraction.clamp(0.0, 1.0)
            },
            at: held.max(now_ms.saturating_add(hold)),
            raised_at: if pause { self.raised_at } else { now_ms },
        }
    }

    /// The level after a load report, by which this fraction of requests is in excess. Repeated reports do not add up.
    #[must_use]
    pub fn after_load_report(&self, fraction: f64, now_ms: u64) -> Self {
        Self {
            level: self.level(now_ms).max(fraction.clamp(0.0, 1.0)),
            at: now_ms,
            raised_at: now_ms,
        }
    }

    /// Serializes the level.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.level.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.at.to_le_bytes());
        bytes[16..].copy_from_slice(&self.raised_at.to_le_bytes());
        bytes
    }

    /// Deserializes [`ShedLevel::to_bytes`]. Other bytes give a level of zero.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (words, []) = bytes.as_chunks::<8>() else {
            return Self::default();
        };
        let [level, at, raised_at] = words else {
            return Self::default();
        };
        let level = f64::from_le_bytes(*level);
        if !(0.0..=1.0).contains(&level) {
            return Self::default();
        }
        Self {
            level,
            at: u64::from_le_bytes(*at),
            raised_at: u64::from_le_bytes(*raised_at),
        }
    }
}

/// The factor that is left of a value after a time.
fn remaining(age_ms: u64, half_life_ms: f64) -> f64 {
    0.5_f64.powf(age_ms as f64 / half_life_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The level after some seconds at a pool that receives `per_second` requests, without the shed ones. `refuses`: the
    /// refused fraction, by the rate of requests.
    fn settles(per_second: f64, refuses: impl Fn(f64) -> f64, seconds: u64) -> f64 {
        let (mut recent, mut level) = (RecentAnswers::default(), ShedLevel::default());
        let (mut arrived, mut refused) = (0.0, 0.0);
        for now in 1..seconds * 1000 {
            let rate = per_second / 1000.0 * (1.0 - level.level(now));
            arrived += rate;
            refused += rate * refuses(rate * 1000.0);
            if arrived >= 1.0 {
                arrived -= 1.0;
                let is_refusal = refused >= 1.0;
                let fraction = recent.note_answer(is_refusal, now);
                if is_refusal {
                    refused -= 1.0;
                    level = level.after_refusal(fraction, None, now);
                }
            }
        }
        level.level(seconds * 1000)
    }

    #[test]
    fn the_level_rises_at_once_and_decays() {
        let none = ShedLevel::default();
        assert_eq!(none.level(5), 0.0);
        let one = none.after_refusal(0.3, None, 1_000);
        assert!((one.level(1_000) - 0.3).abs() < 1e-9);
        assert!((one.level(4_000) - 0.15).abs() < 1e-9);
        assert_eq!(one.level(60_000), 0.0);
        let at_once = one.after_refusal(0.3, None, 1_100);
        assert!(at_once.level(1_100) < 0.3, "one step at a time");
        assert!(at_once.after_refusal(0.3, None, 1_250).level(1_250) > 0.45);
    }

    #[test]
    fn the_excess_follows_the_mean_of_recent_load_reports() {
        let mut recent = RecentAnswers::default();
        assert_eq!(recent.note_load(0.95, 1_000), 0.95);
        let mean = recent.note_load(0.35, 1_000);
        assert!((mean - 0.65).abs() < 1e-9, "{mean}");
        assert!(recent.note_load(0.9, 60_000) > 0.899, "long ago");
        assert_eq!(excess(0.8, 0.8), 0.0);
        assert!((excess(1.0, 0.8) - 0.2).abs() < 1e-9);
        let one = ShedLevel::default().after_load_report(0.2, 1_000);
        let again = one.after_load_report(0.2, 2_000);
        assert_eq!(again.level(2_000), 0.2);
        assert!((again.after_load_report(0.0, 5_000).level(5_000) - 0.1).abs() < 1e-9);
    }

    #[test]
    fn the_level_follows_the_refused_fraction() {
        let trickle = settles(1000.0, |_| 0.01, 30);
        assert!(
            (0.005..0.2).contains(&trickle),
            "one in a hundred: {trickle}"
        );
        let all = settles(50.0, |_| 1.0, 5);
        assert!(all > 0.9, "everything: {all}");
        // The pool can serve 50 of 100 requests a second.
        let half = settles(100.0, |rate| (1.0 - 50.0 / rate).max(0.0), 30);
        assert!((0.3..0.7).contains(&half), "half of it: {half}");
    }

    #[test]
    fn a_retry_after_holds_the_level_up_to_a_maximum() {
        let held = ShedLevel::default().after_refusal(0.5, Some(10), 0);
        assert_eq!(held.level(10_000), held.level(0));
        assert!(held.level(13_000) < held.level(10_000));
        let absurd = ShedLevel::default().after_refusal(0.5, Some(u64::MAX), 0);
        assert_eq!(absurd.level(200_000), 0.0);
        // One caller that is over its own limit does not count as the pool.
        let one = ShedLevel::default().after_refusal(0.02, Some(60), 0);
        assert!(one.level(6_000) < 0.006);
        // The clock was set back.
        let ahead = ShedLevel::default().after_refusal(0.5, None, 1_000_000);
        assert_eq!(ahead.level(1_000), 0.0);
    }

    #[test]
    fn the_level_round_trips_through_bytes() {
        let level = ShedLevel::default().after_refusal(0.4, Some(3), 77);
        assert_eq!(ShedLevel::from_bytes(&level.to_bytes()), level);
        assert_eq!(ShedLevel::from_bytes(&[1, 2, 3]), ShedLevel::default());
        assert_eq!(ShedLevel::from_bytes(&[0xff; 24]), ShedLevel::default());
    }

    proptest! {
        #[test]
        fn the_level_stays_in_its_range(
            answers in prop::collection::vec((any::<bool>(), any::<Option<u64>>(), 0..100_000u64), 0..40), at in any::<u64>(),
            bytes in prop::collection::vec(any::<u8>(), 0..32),
        ) {
            let (mut recent, mut level) = (RecentAnswers::default(), ShedLevel::from_bytes(&bytes));
            for (refused, retry_after, now) in answers {
                let fraction = recent.note_answer(refused, now);
                prop_assert!((0.0..1.0).contains(&fraction));
                level = level.after_refusal(fraction, retry_after, now);
            }
            prop_assert!((0.0..=1.0).contains(&level.level(at)));
        }
    }
}
