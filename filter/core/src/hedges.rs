//! The budget of hedges: attempts of requests that another member works on already. Where every region has a queue they would
//! only make the queues longer.

/// Half-life of counted attempts, in milliseconds.
const HALF_LIFE_MS: f64 = 5000.0;
/// Fraction of attempts that may be hedges where no region is idle.
const MAX_FRACTION: f64 = 0.1;
/// Imaginary attempts, so that the first hedge does not use up the budget.
const PRIOR_ATTEMPTS: f64 = 20.0;

/// A worker's recent attempts, and which of them were hedges.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hedges {
    attempts: f64,
    hedges: f64,
    at: u64,
}

impl Hedges {
    /// An attempt begins.
    pub fn note(&mut self, is_hedge: bool, now_ms: u64) {
        let age = now_ms.saturating_sub(self.at) as f64;
        let left = 0.5_f64.powf(age / HALF_LIFE_MS);
        *self = Self {
            attempts: self.attempts * left + 1.0,
            hedges: self.hedges * left + f64::from(u8::from(is_hedge)),
            at: now_ms,
        };
    }

    /// Whether the budget is used up.
    pub fn are_used_up(&self) -> bool {
        self.hedges > MAX_FRACTION * (self.attempts + PRIOR_ATTEMPTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_attempts_may_be_hedges() {
        let used_up = |every: u64| {
            let mut hedges = Hedges::default();
            (0..1000).for_each(|number| hedges.note(number % every == 0, number * 20));
            hedges.are_used_up()
        };
        assert!(used_up(5) && !used_up(20));
        let mut hedges = Hedges::default();
        hedges.note(true, 0);
        assert!(!hedges.are_used_up(), "one is none");
        (0..10).for_each(|_| hedges.note(true, 0));
        assert!(hedges.are_used_up());
        (0..30).for_each(|second| hedges.note(false, second * 1000));
        assert!(!hedges.are_used_up(), "it comes back");
    }
}
