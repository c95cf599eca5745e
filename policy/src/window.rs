//! What happened lately, from cumulative counters: growth over a window, across restarts of whoever counts.

use crate::signal::{Histogram, Millis};
use std::collections::VecDeque;
use std::time::Duration;

/// How far back rates and percentiles look.
pub const WINDOW: Duration = Duration::from_secs(30);

/// Samples kept of one series; a source that is read more often is thinned out, never dropped.
const SAMPLES: usize = 64;

/// Several cumulative numbers that grow together.
#[derive(Clone, Debug)]
pub struct Window<const N: usize> {
    last: [f64; N],
    /// Growth since the first sample, at each time.
    grown: VecDeque<(Millis, [f64; N])>,
}

impl<const N: usize> Window<N> {
    /// Begins with what was counted when it was first seen; how long that took is not known, so it is no growth.
    pub fn new(at: Millis, counted: [f64; N]) -> Self {
        Self {
            last: counted,
            grown: VecDeque::from([(at, [0.0; N])]),
        }
    }

    /// Takes a later count. One that has shrunk has begun anew.
    pub fn push(&mut self, at: Millis, counted: [f64; N]) {
        let Some((latest, total)) = self.grown.back().copied() else {
            return;
        };
        if at < latest {
            return;
        }
        let restarted = counted.iter().zip(&self.last).any(|(now, last)| now < last);
        let growth = |index: usize| {
            let since = if restarted { 0.0 } else { self.last[index] };
            (counted[index] - since).max(0.0)
        };
        let total = std::array::from_fn(|index| total[index] + growth(index));
        self.last = counted;
        if at == latest {
            self.grown.pop_back();
        }
        self.grown.push_back((at, total));
        // The oldest stays until the next one is old enough to stand for the begin of the window.
        while self
            .grown
            .get(1)
            .is_some_and(|(second, _)| at.since(*second) >= WINDOW)
        {
            self.grown.pop_front();
        }
        if self.grown.len() > SAMPLES {
            self.grown.remove(1);
        }
    }

    /// Growth within the window, as of the last sample.
    pub fn growth(&self) -> [f64; N] {
        match (self.grown.front(), self.grown.back()) {
            (Some((_, first)), Some((_, last))) => {
                std::array::from_fn(|index| last[index] - first[index])
            }
            _ => [0.0; N],
        }
    }

    /// Time that the growth took.
    pub fn length(&self) -> Duration {
        match (self.grown.front(), self.grown.back()) {
            (Some((first, _)), Some((last, _))) => last.since(*first),
            _ => Duration::ZERO,
        }
    }

    /// When the last sample was taken.
    pub fn at(&self) -> Millis {
        self.grown.back().map_or(Millis(0), |(at, _)| *at)
    }
}

/// Values that a cumulative histogram took in lately.
#[derive(Clone, Debug)]
pub struct HistogramWindow {
    last: Histogram,
    grown: VecDeque<(Millis, Histogram)>,
}

impl HistogramWindow {
    /// Begins with what was counted when it was first seen.
    pub fn new(at: Millis, counted: Histogram) -> Self {
        let nothing = counted.emptied();
        Self {
            last: counted,
            grown: VecDeque::from([(at, nothing)]),
        }
    }

    /// Takes a later count. One that has shrunk, or has other bounds, has begun anew.
    pub fn push(&mut self, at: Millis, counted: Histogram) {
        if !same_bounds(&self.last, &counted) {
            *self = Self::new(at, counted);
            return;
        }
        let Some((latest, total)) = self.grown.back().cloned() else {
            return;
        };
        if at < latest {
            return;
        }
        let growth = if counted.count < self.last.count {
            counted.clone()
        } else {
            combined(&counted, &self.last, |now, last| (now - last).max(0.0))
        };
        self.last = counted;
        if at == latest {
            self.grown.pop_back();
        }
        self.grown.push_back((
            at,
            combined(&total, &growth, |total, growth| total + growth),
        ));
        while self
            .grown
            .get(1)
            .is_some_and(|(second, _)| at.since(*second) >= WINDOW)
        {
            self.grown.pop_front();
        }
        if self.grown.len() > SAMPLES {
            self.grown.remove(1);
        }
    }

    /// The values within the window.
    pub fn growth(&self) -> Histogram {
        match (self.grown.front(), self.grown.back()) {
            (Some((_, first)), Some((_, last))) => {
                combined(last, first, |last, first| last - first)
            }
            _ => Histogram::default(),
        }
    }

    /// When the last sample was taken.
    pub fn at(&self) -> Millis {
        self.grown.back().map_or(Millis(0), |(at, _)| *at)
    }
}

/// Both together; those with other bounds than the first are left out.
pub fn merged<'h>(histograms: impl IntoIterator<Item = &'h Histogram>) -> Histogram {
    let mut all = Histogram::default();
    for histogram in histograms {
        if all.buckets.is_empty() {
            all = histogram.clone();
        } else if same_bounds(&all, histogram) {
            all = combined(&all, histogram, |one, other| one + other);
        }
    }
    all
}

/// The value that this part of all values stays under, by the bucket's upper bound: never too low, and infinite for
/// what lies above all bounds. `None` without values.
pub fn quantile(histogram: &Histogram, part: f64) -> Option<f64> {
    if histogram.count <= 0.0 {
        return None;
    }
    let rank = part * histogram.count;
    let mut lower = (0.0, 0.0);
    for (bound, cumulative) in &histogram.buckets {
        if *cumulative >= rank {
            // Values are taken as spread evenly over their bucket, as Prometheus does.
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
    Some(f64::INFINITY)
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

fn combined(one: &Histogram, other: &Histogram, with: impl Fn(f64, f64) -> f64) -> Histogram {
    let buckets = one.buckets.iter().zip(&other.buckets);
    Histogram {
        buckets: buckets
            .map(|((bound, one), (_, other))| (*bound, with(*one, *other)))
            .collect(),
        sum: with(one.sum, other.sum),
        count: with(one.count, other.count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_what_came_within_the_window_across_a_restart() {
        let mut window = Window::new(Millis(0), [1000.0, 5.0]);
        assert_eq!(window.growth(), [0.0, 0.0], "what came before is nobody's");
        window.push(Millis(10_000), [1010.0, 6.0]);
        window.push(Millis(20_000), [3.0, 0.0]);
        assert_eq!(window.growth(), [13.0, 1.0]);
        window.push(Millis(45_000), [4.0, 0.0]);
        assert_eq!(
            window.growth(),
            [4.0, 0.0],
            "the first growth is out of the window"
        );
        window.push(Millis(44_000), [99.0, 9.0]);
        assert_eq!(
            window.growth(),
            [4.0, 0.0],
            "what comes late is not looked at"
        );
        assert_eq!(window.length(), Duration::from_secs(35));
    }

    #[test]
    fn a_series_is_bounded() {
        let mut window = Window::new(Millis(0), [0.0]);
        for sample in 1..10_000u32 {
            window.push(Millis(u64::from(sample)), [f64::from(sample)]);
        }
        assert!(window.grown.len() <= SAMPLES);
        assert_eq!(window.growth(), [9999.0]);
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
    fn quantiles_of_what_came_lately() {
        let mut window = HistogramWindow::new(Millis(0), histogram(&[100.0, 100.0, 100.0, 100.0]));
        assert_eq!(quantile(&window.growth(), 0.95), None);
        window.push(Millis(1000), histogram(&[100.0, 110.0, 120.0, 120.0]));
        assert_eq!(quantile(&window.growth(), 0.5), Some(1.0));
        assert_eq!(quantile(&window.growth(), 0.75), Some(1.75));
        window.push(Millis(2000), histogram(&[100.0, 110.0, 120.0, 220.0]));
        assert_eq!(quantile(&window.growth(), 0.95), Some(f64::INFINITY));
        window.push(Millis(40_000), histogram(&[4.0, 4.0, 4.0, 4.0]));
        assert_eq!(
            quantile(&window.growth(), 0.5),
            Some(0.25),
            "the server began anew"
        );
    }
}
