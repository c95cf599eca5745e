//! Validation of reported values. Sources are not trusted: accepted values are finite and within their range.

use crate::signal::{Figures, Histogram};

/// Maximum number of buckets of a histogram.
const MAX_BUCKETS: usize = 256;

/// Whether a value is a valid count: finite and not negative.
pub fn amount(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// A valid ratio, at most 1. A value up to 1.5 is a rounding error; a higher one has another unit.
pub fn ratio(value: Option<f64>) -> Option<f64> {
    value
        .filter(|value| (0.0..=1.5).contains(value))
        .map(|value| value.min(1.0))
}

pub fn histogram(histogram: &Histogram) -> bool {
    amount(histogram.sum)
        && amount(histogram.count)
        && histogram.buckets.len() <= MAX_BUCKETS
        && histogram
            .buckets
            .iter()
            .all(|(bound, count)| bound.is_finite() && amount(*count))
}

/// An engine's figures without invalid values.
pub fn figures(figures: &Figures) -> Figures {
    let plain = |value: Option<f64>| value.filter(|value| amount(*value));
    Figures {
        running: plain(figures.running),
        max_running: plain(figures.max_running),
        waiting: plain(figures.waiting),
        kv_cache: ratio(figures.kv_cache),
        utilization: plain(figures.utilization),
        queue_time: figures.queue_time.clone().filter(histogram),
        first_token: figures.first_token.clone().filter(histogram),
        answers: figures
            .answers
            .filter(|answers| amount(answers.all) && amount(answers.failed)),
    }
}
