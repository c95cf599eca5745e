//! Predicts a region's time to first token from the gateway's own attempts. The inputs are the attempts that wait now, the time
//! that recent attempts took, and the attempts that waited before those. This needs no query and has no delay. A queue shows as
//! soon as it forms, before any request has waited through it.

/// Weight of a new sample in the means, at the least: the memory is about 1/0.03 samples long.
const MIN_WEIGHT: f64 = 0.03;
/// Half-life of the samples while no attempt waits, in milliseconds: a region without requests may have become faster. A region
/// that does not answer its requests has not.
const HALF_LIFE_MS: f64 = 20_000.0;
/// Minimum samples for a prediction.
const MIN_SAMPLES: f64 = 10.0;

/// Minimum waiting attempts that count as a queue.
const MIN_WAITING: f64 = 4.0;
/// Minimum advantage of the other regions before requests leave home, in seconds.
const MARGIN_SECONDS: f64 = 0.1;
/// Relative delay beyond the margin at which all requests that may leave home leave.
const FULL_PRESSURE_DELAY: f64 = 0.3;

/// A gateway's observations of its streamed attempts at a region's pool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Attempts of this worker that await their first token.
    own: u32,
    /// Attempts of the gateway's other workers that await their first token, a moment ago.
    elsewhere: u32,
    /// Mean time to the first token, in seconds.
    first_token: f64,
    /// Mean number of attempts awaiting a first token when an attempt started, including that attempt.
    waiting_at_start: f64,
    /// Samples in the means, limited by the weight of new ones.
    samples: f64,
    /// Time of the newest sample, in milliseconds.
    at: u64,
}

impl Pace {
    /// Starts an attempt. Returns the number of attempts awaiting a first token, including this one.
    pub fn begin(&mut self) -> u32 {
        self.own = self.own.saturating_add(1);
        self.waiting()
    }

    /// Takes in the first token of an attempt. `before`: the result of [`Pace::begin`]; `seconds`: the time to first token.
    pub fn first_token(&mut self, before: u32, seconds: f64, now_ms: u64) {
        self.own = self.own.saturating_sub(1);
        self.samples = self.remaining_samples(now_ms) + 1.0;
        self.at = now_ms;
        let part = (1.0 / self.samples).max(MIN_WEIGHT);
        self.first_token += part * (seconds - self.first_token);
        self.waiting_at_start += part * (f64::from(before) - self.waiting_at_start);
        self.samples = self.samples.min(1.0 / MIN_WEIGHT);
    }

    /// Whether a first token has come since a time, in milliseconds.
    pub fn has_answered(&self, since_ms: u64) -> bool {
        self.samples > 0.0 && self.at >= since_ms
    }

    /// Ends an attempt without a first token.
    pub fn gone(&mut self) {
        self.own = self.own.saturating_sub(1);
    }

    /// Sets the number of waiting attempts of the gateway's other workers.
    pub fn set_elsewhere(&mut self, elsewhere: u32) {
        self.elsewhere = elsewhere;
    }

    /// Attempts of this worker that await their first token.
    pub fn own(&self) -> u32 {
        self.own
    }

    /// Attempts of all workers that await their first token.
    pub fn waiting(&self) -> u32 {
        self.own.saturating_add(self.elsewhere)
    }

    /// Predicted time to first token of a new request, in seconds. `None` with too few samples.
    pub fn expected(&self, now_ms: u64) -> Option<f64> {
        (self.remaining_samples(now_ms) >= MIN_SAMPLES).then(|| {
            self.first_token * (f64::from(self.waiting()) + 1.0) / self.waiting_at_start.max(1.0)
        })
    }

    /// Predicted time to first token without a queue, in seconds.
    fn unqueued(&self) -> f64 {
        self.first_token / self.waiting_at_start.max(1.0)
    }

    fn remaining_samples(&self, now_ms: u64) -> f64 {
        if self.waiting() > 0 {
            return self.samples;
        }
        let age = now_ms.saturating_sub(self.at);
        self.samples * 0.5_f64.powf(age as f64 / HALF_LIFE_MS)
    }
}

/// The fraction of home's requests that should leave because other regions have a shorter time to first token, 0 to 1. The other
/// regions have weights. A region without samples counts as fast as home without a queue.
pub fn pressure<'p>(
    home: &Pace,
    others: impl IntoIterator<Item = (&'p Pace, u32)>,
    now_ms: u64,
) -> f64 {
    let Some(here) = home.expected(now_ms) else {
        return 0.0;
    };
    if f64::from(home.waiting()) < MIN_WAITING {
        return 0.0;
    }
    let (mut sum, mut weights) = (0.0, 0.0);
    for (other, weight) in others {
        let weight = f64::from(weight);
        sum += weight * other.expected(now_ms).unwrap_or_else(|| home.unqueued());
        weights += weight;
    }
    if weights <= 0.0 || sum <= 0.0 {
        return 0.0;
    }
    let there = sum / weights;
    ((here - there - MARGIN_SECONDS) / (FULL_PRESSURE_DELAY * there)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The pace of a region with a constant time to first token, behind a constant number of attempts.
    fn steady(seconds: f64, before: u32) -> Pace {
        let mut pace = Pace::default();
        for now in 0..40 {
            pace.begin();
            pace.first_token(before, seconds, now * 100);
        }
        pace
    }

    fn with_waiting(mut pace: Pace, waiting: u32) -> Pace {
        pace.own = waiting / 2;
        pace.set_elsewhere(waiting - waiting / 2);
        pace
    }

    const NOW: u64 = 4000;

    #[test]
    fn a_queue_raises_the_prediction_at_once() {
        let calm = steady(0.2, 4);
        let expected = |waiting| with_waiting(calm, waiting).expected(NOW).unwrap();
        assert!((expected(3) - 0.2).abs() < 0.01);
        assert!((expected(39) - 2.0).abs() < 0.1);
    }

    #[test]
    fn requests_leave_home_for_a_clear_advantage() {
        let home = |waiting| with_waiting(steady(0.2, 4), waiting);
        let far = steady(0.3, 1);
        let leaves = |home: &Pace, other: &Pace| pressure(home, [(other, 100)], NOW);
        assert_eq!(leaves(&home(4), &far), 0.0, "as it always is");
        assert_eq!(
            leaves(&home(6), &far),
            0.0,
            "0.35 s here, 0.3 s there: not worth a journey"
        );
        let some = leaves(&home(8), &far);
        assert!(some > 0.0 && some < 1.0, "{some}");
        assert_eq!(leaves(&home(20), &far), 1.0);
        assert_eq!(leaves(&home(20), &steady(2.0, 1)), 0.0, "it is worse there");
        let both = pressure(&home(20), [(&far, 50), (&steady(2.0, 1), 50)], NOW);
        assert_eq!(both, 0.0, "half of them would find it worse");
        assert_eq!(
            pressure(&home(20), [], NOW),
            0.0,
            "no other region takes requests"
        );
    }

    #[test]
    fn few_waiting_requests_or_samples_give_no_pressure() {
        let alone = steady(1.0, 1);
        let other = steady(0.2, 1);
        let two = with_waiting(alone, 2);
        assert_eq!(pressure(&two, [(&other, 100)], NOW), 0.0, "two at a time");
        let mut few = Pace::default();
        for now in 0..5 {
            few.begin();
            few.first_token(1, 1.0, now);
        }
        assert_eq!(few.expected(5), None);
    }

    #[test]
    fn unknown_regions_and_regions_with_old_samples_are_tried() {
        let home = with_waiting(steady(0.2, 4), 20);
        assert_eq!(pressure(&home, [(&Pace::default(), 100)], NOW), 1.0);
        let bad = steady(30.0, 1);
        assert_eq!(pressure(&home, [(&bad, 100)], NOW), 0.0);
        // Home continues to answer.
        let later = NOW + 60_000;
        let mut home = home;
        for _ in 0..40 {
            home.begin();
            home.first_token(4, 0.2, later);
        }
        assert_eq!(pressure(&home, [(&bad, 100)], later), 1.0);
    }

    #[test]
    fn has_answered_compares_with_the_last_first_token() {
        assert!(!Pace::default().has_answered(0));
        let mut pace = Pace::default();
        pace.begin();
        pace.first_token(1, 1.0, 500);
        assert!(pace.has_answered(400) && !pace.has_answered(600));
    }

    #[test]
    fn the_samples_of_a_stalled_home_do_not_decay() {
        let stalled = with_waiting(steady(0.2, 4), 20);
        let much_later = NOW + 600_000;
        assert_eq!(
            pressure(&stalled, [(&Pace::default(), 100)], much_later),
            1.0
        );
    }

    proptest! {
        #[test]
        fn pressure_stays_in_its_range(
            steps in prop::collection::vec((0..3u8, 0..1000u32, 0.0..1e6f64, any::<u64>()), 0..60), now in any::<u64>(),
        ) {
            let mut paces = [Pace::default(); 2];
            for (what, before, seconds, at) in steps {
                let pace = &mut paces[usize::from(before % 2 == 0)];
                match what {
                    0 => { pace.begin(); }
                    1 => pace.first_token(before, seconds, at),
                    _ => pace.gone(),
                }
            }
            let level = pressure(&paces[0], [(&paces[1], 100)], now);
            prop_assert!((0.0..=1.0).contains(&level));
        }
    }
}
