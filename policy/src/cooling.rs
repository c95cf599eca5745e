//! The local fast path: a gateway whose home pool has just said that it has too much to do sends part of its callers
//! elsewhere at once, long before the control plane can know. It is forgotten as quickly as it is learnt.
//!
//! The state is a few bytes that all workers of an Envoy share.

use serde::{Deserialize, Serialize};

/// One answer of 429 or 503 takes this part of what home still keeps.
const PER_ANSWER: f64 = 0.3;
/// Half of it is forgotten after this time.
const HALF_LIFE_MS: f64 = 3000.0;
/// Less than this is nothing.
const NOTHING: f64 = 0.02;
/// The longest `Retry-After` that is obeyed, in milliseconds.
const LONGEST_HOLD_MS: u64 = 60_000;

/// How much a pool's share is lowered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cooling {
    /// The part of the share that is taken away, 0 to 1, at `at`.
    level: f64,
    /// Milliseconds since the Unix epoch, by the gateway's own clock. Later than now while a `Retry-After` holds.
    at: u64,
}

impl Cooling {
    /// What is taken away now.
    pub fn level(&self, now_ms: u64) -> f64 {
        let age = now_ms.saturating_sub(self.at) as f64;
        let level = self.level * 0.5_f64.powf(age / HALF_LIFE_MS);
        if level < NOTHING { 0.0 } else { level }
    }

    /// After an answer of 429 or 503, with its `Retry-After` in seconds: until then nothing is forgotten.
    #[must_use]
    pub fn after_overload(&self, retry_after: Option<u64>, now_ms: u64) -> Self {
        let level = self.level(now_ms);
        let hold = retry_after
            .unwrap_or(0)
            .saturating_mul(1000)
            .min(LONGEST_HOLD_MS);
        Self {
            level: level + (1.0 - level) * PER_ANSWER,
            at: self.at.max(now_ms + hold),
        }
    }

    /// As bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.level.to_le_bytes());
        bytes[8..].copy_from_slice(&self.at.to_le_bytes());
        bytes
    }

    /// From bytes; anything else than [`Cooling::to_bytes`] made is no cooling.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let part =
            |range: std::ops::Range<usize>| bytes.get(range).and_then(|part| part.try_into().ok());
        let (Some(level), Some(at), 16) = (part(0..8), part(8..16), bytes.len()) else {
            return Self::default();
        };
        let level = f64::from_le_bytes(level);
        if !(0.0..=1.0).contains(&level) {
            return Self::default();
        }
        Self {
            level,
            at: u64::from_le_bytes(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_comes_at_once_and_goes_by_itself() {
        let none = Cooling::default();
        assert_eq!(none.level(5), 0.0);
        let one = none.after_overload(None, 1_000);
        assert!((one.level(1_000) - 0.3).abs() < 1e-9);
        assert!((one.level(4_000) - 0.15).abs() < 1e-9);
        assert_eq!(one.level(60_000), 0.0);
        let many = (0..20).fold(none, |cooling, at| cooling.after_overload(None, 1_000 + at));
        assert!(many.level(1_100) > 0.95 && many.level(1_100) <= 1.0);
    }

    #[test]
    fn a_retry_after_is_kept_to_within_reason() {
        let told = Cooling::default().after_overload(Some(10), 0);
        assert_eq!(told.level(10_000), told.level(0));
        assert!(told.level(13_000) < told.level(10_000));
        let absurd = Cooling::default().after_overload(Some(u64::MAX), 0);
        assert_eq!(absurd.level(200_000), 0.0);
    }

    #[test]
    fn it_travels_as_bytes() {
        let cooling = Cooling::default().after_overload(Some(3), 77);
        assert_eq!(Cooling::from_bytes(&cooling.to_bytes()), cooling);
        assert_eq!(Cooling::from_bytes(&[1, 2, 3]), Cooling::default());
        assert_eq!(Cooling::from_bytes(&[0xff; 16]), Cooling::default());
    }

    proptest! {
        #[test]
        fn it_never_leaves_its_range(
            answers in prop::collection::vec((any::<Option<u64>>(), 0..100_000u64), 0..40), at in any::<u64>(),
            bytes in prop::collection::vec(any::<u8>(), 0..32),
        ) {
            let mut cooling = Cooling::from_bytes(&bytes);
            for (retry_after, now) in answers {
                cooling = cooling.after_overload(retry_after, now);
            }
            prop_assert!((0.0..=1.0).contains(&cooling.level(at)));
        }
    }
}
