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

/// Half-life of samples of whole answers, in milliseconds. It is long because a few answers are much longer than the others.
const WHOLE_HALF_LIFE_MS: f64 = 300_000.0;
/// Silence beyond the longest answer that does not count yet, in seconds.
const MIN_SILENCE_SECONDS: f64 = 1.0;

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

/// A gateway's observations of answers of a pool that come as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WholeAnswers {
    /// Attempts of this worker that await their answer.
    waiting: u32,
    /// The time of the newest sign of life: the last answer, or the start of the first attempt that waits. In milliseconds.
    alive_at: u64,
    /// Answers, of which old ones count less.
    samples: f64,
    /// The longest that an answer took lately, in seconds. Old ones count less.
    longest: f64,
    /// The time of the newest answer, in milliseconds.
    at: u64,
}

impl WholeAnswers {
    /// Starts an attempt.
    pub fn begin(&mut self, now_ms: u64) {
        if self.waiting == 0 {
            self.alive_at = now_ms;
        }
        self.waiting = self.waiting.saturating_add(1);
    }

    /// Takes in the answer of an attempt, which took so many seconds.
    pub fn answered(&mut self, seconds: f64, now_ms: u64) {
        let left = self.remaining(now_ms);
        *self = Self {
            waiting: self.waiting.saturating_sub(1),
            alive_at: now_ms,
            samples: self.samples * left + 1.0,
            longest: seconds.max(self.longest * left),
            at: now_ms,
        };
    }

    /// Ends an attempt without an answer.
    pub fn gone(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Whether an answer has come since a time, in milliseconds.
    pub fn has_answered(&self, since_ms: u64) -> bool {
        self.samples > 0.0 && self.at >= since_ms
    }

    /// The longest that an answer took lately, in seconds. `None` with too few samples.
    pub fn longest(&self, now_ms: u64) -> Option<f64> {
        let left = self.remaining(now_ms);
        (self.samples * left >= MIN_SAMPLES).then_some(self.longest * left)
    }

    /// Whether the pool has stopped to answer: several attempts wait, and nothing has come for longer than any answer took lately.
    pub fn is_silent(&self, now_ms: u64) -> bool {
        let silence = now_ms.saturating_sub(self.alive_at) as f64 / 1000.0;
        f64::from(self.waiting) > MIN_WAITING
            && self
                .longest(now_ms)
                .is_some_and(|longest| silence > longest + MIN_SILENCE_SECONDS)
    }

    fn remaining(&self, now_ms: u64) -> f64 {
        let age = now_ms.saturating_sub(self.at);
        0.5_f64.powf(age as f64 / WHOLE_HALF_LIFE_MS)
    }
}

/// How soon a pool answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolPace {
    /// Streamed answers.
    pub streamed: Pace,
    /// Whole answers.
    pub whole: WholeAnswers,
}

/// What an attempt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A first token. Attempts that waited for one when it started, itself included.
    FirstToken(u32),
    /// A whole answer.
    Whole,
}

impl PoolPace {
    /// Starts an attempt.
    pub fn begin(&mut self, streamed: bool, now_ms: u64) -> Awaited {
        if streamed {
            return Awaited::FirstToken(self.streamed.begin());
        }
        self.whole.begin(now_ms);
        Awaited::Whole
    }

    /// Takes in that what an attempt awaited has come, after so many seconds.
    pub fn answered(&mut self, awaited: Awaited, seconds: f64, now_ms: u64) {
        match awaited {
            Awaited::FirstToken(before) => self.streamed.first_token(before, seconds, now_ms),
            Awaited::Whole => self.whole.answered(seconds, now_ms),
        }
    }

    /// Ends an attempt without an answer.
    pub fn gone(&mut self, awaited: Awaited) {
        match awaited {
            Awaited::FirstToken(_) => self.streamed.gone(),
            Awaited::Whole => self.whole.gone(),
        }
    }

    /// Attempts of this worker that wait for what they want.
    pub fn own(&self) -> u32 {
        self.streamed.own.saturating_add(self.whole.waiting)
    }

    /// Whether any answer has come since a time, in milliseconds.
    pub fn has_answered(&self, since_ms: u64) -> bool {
        self.streamed.has_answered(since_ms) || self.whole.has_answered(since_ms)
    }
}

/// The time to first token of the region that gives one soonest, in seconds. A region without samples gives one at once, unless
/// attempts wait for it already. `None`: nothing is known.
pub fn soonest(regions: &[PoolPace], now_ms: u64) -> Option<f64> {
    let of = |region: &PoolPace| {
        let is_idle = f64::from(region.streamed.waiting()) < MIN_WAITING;
        let expected = region.streamed.expected(now_ms);
        expected.or_else(|| is_idle.then_some(0.0))
    };
    regions.iter().filter_map(of).reduce(f64::min)
}

/// The fraction of home's requests that should leave because others would answer sooner, 0 to 1. The other regions have weights.
/// All should leave while home has stopped to give whole answers.
pub fn pressure<'p>(
    home: &PoolPace,
    others: impl IntoIterator<Item = (&'p PoolPace, u32)>,
    now_ms: u64,
) -> f64 {
    if home.whole.is_silent(now_ms) {
        return 1.0;
    }
    let others = others.into_iter();
    let others = others.map(|(other, weight)| (&other.streamed, weight));
    queue_pressure(&home.streamed, others, now_ms)
}

/// The fraction of home's requests that should leave because other regions have a shorter time to first token, 0 to 1. A region
/// without samples counts as fast as home without a queue.
fn queue_pressure<'p>(
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

    /// A pool that answers every 100 ms, each time after so many seconds.
    fn answering(seconds: f64) -> WholeAnswers {
        let mut whole = WholeAnswers::default();
        for turn in 0..40 {
            whole.begin(turn * 100);
            whole.answered(seconds, turn * 100);
        }
        whole
    }

    #[test]
    fn a_pool_is_silent_once_nothing_has_come_for_longer_than_any_answer_took() {
        let mut whole = answering(2.0);
        assert!(!whole.is_silent(60_000), "nobody waits");
        for _ in 0..5 {
            whole.begin(5_000);
        }
        assert!(!whole.is_silent(7_900));
        assert!(whole.is_silent(8_100));
        whole.answered(3.1, 8_100);
        whole.begin(8_100);
        assert!(!whole.is_silent(8_200));
        whole.gone();
        assert!(!whole.is_silent(60_000), "four wait");
        let mut unknown = WholeAnswers::default();
        (0..20).for_each(|_| unknown.begin(0));
        assert!(!unknown.is_silent(1_000_000));
    }

    #[test]
    fn the_longest_answer_is_forgotten_slowly() {
        let mut whole = answering(2.0);
        whole.begin(4_000);
        whole.answered(30.0, 4_000);
        assert_eq!(whole.longest(4_000), Some(30.0));
        assert!((whole.longest(304_000).unwrap() - 15.0).abs() < 0.1);
        assert_eq!(whole.longest(1_200_000), None, "too long ago");
        assert_eq!(WholeAnswers::default().longest(0), None);
    }

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
        let leaves = |home: &Pace, other: &Pace| queue_pressure(home, [(other, 100)], NOW);
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
        let both = queue_pressure(&home(20), [(&far, 50), (&steady(2.0, 1), 50)], NOW);
        assert_eq!(both, 0.0, "half of them would find it worse");
        assert_eq!(
            queue_pressure(&home(20), [], NOW),
            0.0,
            "no other region takes requests"
        );
    }

    #[test]
    fn few_waiting_requests_or_samples_give_no_pressure() {
        let alone = steady(1.0, 1);
        let other = steady(0.2, 1);
        let two = with_waiting(alone, 2);
        assert_eq!(
            queue_pressure(&two, [(&other, 100)], NOW),
            0.0,
            "two at a time"
        );
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
        assert_eq!(queue_pressure(&home, [(&Pace::default(), 100)], NOW), 1.0);
        let bad = steady(30.0, 1);
        assert_eq!(queue_pressure(&home, [(&bad, 100)], NOW), 0.0);
        // Home continues to answer.
        let later = NOW + 60_000;
        let mut home = home;
        for _ in 0..40 {
            home.begin();
            home.first_token(4, 0.2, later);
        }
        assert_eq!(queue_pressure(&home, [(&bad, 100)], later), 1.0);
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
            queue_pressure(&stalled, [(&Pace::default(), 100)], much_later),
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
            let level = queue_pressure(&paces[0], [(&paces[1], 100)], now);
            prop_assert!((0.0..=1.0).contains(&level));
        }
    }
}
