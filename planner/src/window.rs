//! Growth of cumulative counters over a sliding window, across restarts of the counting process.

use crate::signal::{AttemptCounts, Histogram, Millis};
use std::collections::VecDeque;
use std::time::Duration;

/// Length of the window for rates and percentiles.
pub const WINDOW: Duration = Duration::from_secs(30);

/// Minimum time between two kept samples, which bounds the size of a window. A closer sample replaces the previous one.
const SPACING: Duration = Duration::from_millis(500);

/// Cumulative counters that grow together.
pub trait Counts: Clone {
    /// Combines each counter with the same counter of `other`.
    fn combined(&self, other: &Self, with: impl Fn(f64, f64) -> f64) -> Self;
    /// Whether `self` can follow `earlier` without a restart: the layout is equal and no count is smaller.
    fn follows(&self, earlier: &Self) -> bool;
}

impl<const N: usize> Counts for [f64; N] {
    fn combined(&self, other: &Self, with: impl Fn(f64, f64) -> f64) -> Self {
        std::array::from_fn(|index| with(self[index], other[index]))
    }

    fn follows(&self, earlier: &Self) -> bool {
        self.iter().zip(earlier).all(|(now, last)| now >= last)
    }
}

impl Counts for AttemptCounts {
    fn combined(&self, other: &Self, with: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            answered: with(self.answered, other.answered),
            overloaded: with(self.overloaded, other.overloaded),
            failed: with(self.failed, other.failed),
            broken: with(self.broken, other.broken),
        }
    }

    fn follows(&self, earlier: &Self) -> bool {
        let pairs = self.each().into_iter().zip(earlier.each());
        pairs.into_iter().all(|(now, last)| now >= last)
    }
}

impl Counts for Histogram {
    fn combined(&self, other: &Self, with: impl Fn(f64, f64) -> f64) -> Self {
        let buckets = self.buckets.iter().zip(&other.buckets);
        Self {
            buckets: buckets
                .map(|((bound, one), (_, other))| (*bound, with(*one, *other)))
                .collect(),
            sum: with(self.sum, other.sum),
            count: with(self.count, other.count),
        }
    }

    fn follows(&self, earlier: &Self) -> bool {
        same_bounds(self, earlier) && self.count >= earlier.count
    }
}

/// Growth of counters over a sliding window.
#[derive(Clone, Debug)]
pub struct Window<C> {
    last: C,
    /// Cumulative growth since the first sample, by time.
    grown: VecDeque<(Millis, C)>,
}

impl<C: Counts> Window<C> {
    /// Starts at the first observed counts. Their age is unknown, so they are not growth.
    pub fn new(at: Millis, counted: C) -> Self {
        let nothing = counted.combined(&counted, |_, _| 0.0);
        Self {
            last: counted,
            grown: VecDeque::from([(at, nothing)]),
        }
    }

    /// Adds later counts. Smaller counts mean a restart: all of them are growth. Counts with another layout start a new
    /// window.
    pub fn push(&mut self, at: Millis, counted: C) {
        let Some((latest, total)) = self.grown.back().cloned() else {
            return;
        };
        if at < latest {
            return;
        }
        let nothing = counted.combined(&counted, |_, _| 0.0);
        let growth = if counted.follows(&self.last) {
            counted.combined(&self.last, |now, last| (now - last).max(0.0))
        } else if nothing.follows(&self.last.combined(&self.last, |_, _| 0.0)) {
            counted.clone()
        } else {
            *self = Self::new(at, counted);
            return;
        };
        self.last = counted;
        // The newest sample is replaced while it is too close to the one before it.
        let before = self.grown.len().checked_sub(2);
        if at == latest
            || before
                .and_then(|index| self.grown.get(index))
                .is_some_and(|(before, _)| latest.since(*before) < SPACING)
        {
            self.grown.pop_back();
        }
        let total = total.combined(&growth, |total, growth| total + growth);
        self.grown.push_back((at, total));
        // The oldest sample stays until the next one is old enough to start the window.
        while self
            .grown
            .get(1)
            .is_some_and(|(second, _)| at.since(*second) >= WINDOW)
        {
            self.grown.pop_front();
        }
    }

    /// The last counts.
    pub fn counted(&self) -> &C {
        &self.last
    }

    /// Growth within the window, up to the last sample.
    pub fn growth(&self) -> C {
        match (self.grown.front(), self.grown.back()) {
            (Some((_, first)), Some((_, last))) => {
                last.combined(first, |last, first| (last - first).max(0.0))
            }
            _ => self.last.combined(&self.last, |_, _| 0.0),
        }
    }

    /// Growth over at least the last `least`, extended back until `enough` holds or the window ends.
    pub fn recent(&self, least: Duration, enough: impl Fn(&C) -> bool) -> C {
        let Some((at, last)) = self.grown.back() else {
            return self.growth();
        };
        self.grown
            .iter()
            .rev()
            .filter(|(then, _)| at.since(*then) >= least)
            .map(|(_, then)| last.combined(then, |last, then| (last - then).max(0.0)))
            .find(enough)
            .unwrap_or_else(|| self.growth())
    }

    /// Growth over at least the last `least`, or over the whole window if it is shorter, and the time it took.
    pub fn growth_over(&self, least: Duration) -> (C, Duration) {
        let Some((at, last)) = self.grown.back() else {
            return (self.growth(), Duration::ZERO);
        };
        let begin = self.grown.iter().rev();
        let mut begin = begin.filter(|(then, _)| at.since(*then) >= least);
        match begin.next().or(self.grown.front()) {
            Some((then, first)) => {
                let growth = last.combined(first, |last, first| (last - first).max(0.0));
                (growth, at.since(*then))
            }
            None => (self.growth(), Duration::ZERO),
        }
    }

    /// Time of the latest sample whose growth since the previous sample satisfies `condition`.
    pub fn last_growth_with(&self, condition: impl Fn(&C) -> bool) -> Option<Millis> {
        let later = self.grown.iter().rev();
        let pairs = later.clone().zip(later.skip(1));
        pairs
            .map(|((at, last), (_, before))| {
                (
                    *at,
                    last.combined(before, |last, before| (last - before).max(0.0)),
                )
            })
            .find(|(_, growth)| condition(growth))
            .map(|(at, _)| at)
    }

    /// Time from the first to the last sample.
    pub fn length(&self) -> Duration {
        match (self.grown.front(), self.grown.back()) {
            (Some((first, _)), Some((last, _))) => last.since(*first),
            _ => Duration::ZERO,
        }
    }

    /// Time of the last sample.
    pub fn at(&self) -> Millis {
        self.grown.back().map_or(Millis(0), |(at, _)| *at)
    }
}

/// The sum of histograms. Histograms with other bounds than the first one are ignored.
pub fn merged<'h>(histograms: impl IntoIterator<Item = &'h Histogram>) -> Histogram {
    let mut all = Histogram::default();
    for histogram in histograms {
        if all.buckets.is_empty() {
            all = histogram.clone();
        } else if same_bounds(&all, histogram) {
            all = all.combined(histogram, |one, other| one + other);
        }
    }
    all
}

/// The quantile `part` (0 to 1), interpolated within its bucket as by Prometheus' `histogram_quantile`. Values above
/// the highest bound count as that bound. `None` without values.
pub fn quantile(histogram: &Histogram, part: f64) -> Option<f64> {
    if histogram.count <= 0.0 {
        return None;
    }
    let rank = part * histogram.count;
    let mut lower = (0.0, 0.0);
    for (bound, cumulative) in &histogram.buckets {
        if *cumulative >= rank {
            // Values are assumed to be spread evenly over their bucket, as in Prometheus.
            let (low, below) = lower;
            let inside = cumulative - below;
            let position = if inside > 0.0 {
                (rank - below) / inside
            } else {
                1.0
            };
            return Some(low + (bound - low) * position);
        }
        lower = (*bound, *cumulative);
    }
    histogram.buckets.last().map(|(bound, _)| *bound)
}

fn same_bounds(one: &Histogram, other: &Histogram) -> bool {
    let bounds = |histogram: &Histogram| {
        histogram
            .buckets
            .iter()
            .map(|(bound, _)| bound.to_bits())
            .collect::<Vec<_>>()
    };
    bounds(one) == bounds(other)
}

/// Growth per second, over at least the last `over`.
pub fn rate(
    window: &Window<AttemptCounts>,
    over: Duration,
    what: impl Fn(&AttemptCounts) -> f64,
) -> f64 {
    let (growth, took) = window.growth_over(over);
    let seconds = took.as_secs_f64();
    if seconds > 0.0 {
        what(&growth) / seconds
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_covers_the_window_across_a_restart() {
        let mut window = Window::new(Millis(0), [1000.0, 5.0]);
        assert_eq!(
            window.growth(),
            [0.0, 0.0],
            "the first counts are not growth"
        );
        window.push(Millis(10_000), [1010.0, 6.0]);
        window.push(Millis(20_000), [3.0, 0.0]);
        assert_eq!(window.growth(), [13.0, 1.0]);
        window.push(Millis(45_000), [4.0, 0.0]);
        assert_eq!(
            window.growth(),
            [4.0, 0.0],
            "the first growth has left the window"
        );
        window.push(Millis(44_000), [99.0, 9.0]);
        assert_eq!(window.growth(), [4.0, 0.0], "a late sample is ignored");
        assert_eq!(window.length(), Duration::from_secs(35));
    }

    #[test]
    fn a_window_is_bounded_and_slides_at_any_sampling_interval() {
        for every in [1, 20, 100, 200, 499, 500, 1000] {
            let mut window = Window::new(Millis(0), [0.0]);
            for sample in 1..=120_000 / every {
                window.push(Millis(sample * every), [f64::from(sample as u32)]);
            }
            assert!(
                window.grown.len() <= 64,
                "{} samples kept",
                window.grown.len()
            );
            let length = window.length();
            assert!(
                length >= WINDOW && length <= WINDOW + Duration::from_secs(1),
                "sampled every {every} ms, the window is {length:?} long"
            );
            let growth = window.growth()[0] * every as f64;
            assert!((growth - length.as_millis() as f64).abs() < 1.0);
        }
    }

    fn histogram(counts: &[f64]) -> Histogram {
        let bounds = [0.5, 1.0, 2.5];
        Histogram {
            buckets: bounds.into_iter().zip(counts.iter().copied()).collect(),
            sum: 0.0,
            count: *counts.last().unwrap(),
        }
    }

    #[test]
    fn quantiles_cover_the_growth_within_the_window() {
        let mut window = Window::new(Millis(0), histogram(&[100.0, 100.0, 100.0, 100.0]));
        assert_eq!(quantile(&window.growth(), 0.95), None);
        window.push(Millis(1000), histogram(&[100.0, 110.0, 120.0, 120.0]));
        assert_eq!(quantile(&window.growth(), 0.5), Some(1.0));
        assert_eq!(quantile(&window.growth(), 0.75), Some(1.75));
        window.push(Millis(2000), histogram(&[100.0, 110.0, 120.0, 220.0]));
        assert_eq!(quantile(&window.growth(), 0.95), Some(2.5));
        window.push(Millis(40_000), histogram(&[4.0, 4.0, 4.0, 4.0]));
        assert_eq!(
            quantile(&window.growth(), 0.5),
            Some(0.25),
            "the server restarted"
        );
    }
}
