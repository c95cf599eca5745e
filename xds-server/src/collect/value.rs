//! Checks of values.

use super::refused::RefusalReason;
use meridian_planner::signal::Histogram;

/// Largest number of requests of one engine, or of endpoints of one pool.
pub(super) const MOST_REQUESTS: f64 = 1e6;
/// Largest value of a counter.
pub(super) const MOST_COUNTED: f64 = 1e15;
/// Largest time, in seconds: more than thirty years.
pub(super) const MOST_SECONDS: f64 = 1e9;
/// Largest number of buckets of a histogram.
const MOST_BUCKETS: usize = 256;
/// Tolerance for ratios above 1 due to rounding.
const ROUNDING: f64 = 0.01;

/// A finite value from 0 to `most`.
pub(super) fn amount(value: f64, most: f64) -> Result<f64, RefusalReason> {
    if value.is_nan() {
        Err(RefusalReason::NotANumber)
    } else if value.is_infinite() {
        Err(RefusalReason::Infinite)
    } else if value < 0.0 {
        Err(RefusalReason::Negative)
    } else if value > most {
        Err(RefusalReason::TooLarge)
    } else {
        // Turns minus zero into zero.
        Ok(value + 0.0)
    }
}

/// A value from 0 to 1.
pub(super) fn ratio(value: f64) -> Result<f64, RefusalReason> {
    Ok(amount(value, 1.0 + ROUNDING)?.min(1.0))
}

/// A cumulative histogram of times, as on a page: buckets in any order, with or without infinity.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) buckets: Vec<(f64, f64)>,
    pub(super) sum: Option<f64>,
    pub(super) count: Option<f64>,
}

impl Parts {
    /// The histogram in seconds. `unit` is the number of seconds in one unit of the page.
    ///
    /// # Errors
    ///
    /// If buckets, sum and count contradict each other.
    pub(super) fn assemble(mut self, unit: f64) -> Result<Histogram, RefusalReason> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let infinity = self.buckets.pop_if(|(bound, _)| *bound == f64::INFINITY);
        if self.buckets.len() > MOST_BUCKETS {
            return Err(RefusalReason::TooMany);
        }
        let all = self.count.or(infinity.map(|(_, count)| count));
        let count = amount(all.ok_or(RefusalReason::Contradicts)?, MOST_COUNTED)?;
        let sum = amount(
            self.sum.ok_or(RefusalReason::Contradicts)? * unit,
            MOST_COUNTED,
        )?;
        let mut buckets: Vec<(f64, f64)> = Vec::with_capacity(self.buckets.len());
        for (bound, up_to) in self.buckets {
            let bucket = (
                amount(bound * unit, MOST_SECONDS)?,
                amount(up_to, MOST_COUNTED)?,
            );
            let rises = buckets
                .last()
                .is_none_or(|last| last.0 < bucket.0 && last.1 <= bucket.1);
            if !rises || bucket.1 > count {
                return Err(RefusalReason::Contradicts);
            }
            buckets.push(bucket);
        }
        Ok(Histogram {
            buckets,
            sum,
            count,
        })
    }
}
