//! Recent load of pools.

use super::horizon::{MAX_CALM, RECENT};
use crate::placement::Utilization;
use crate::signal::Millis;
use meridian_policy::name::ModelName;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Loads recorded within this time count as one sample.
const MERGE_INTERVAL: Duration = Duration::from_millis(200);

/// A queue below this fraction of its recent maximum is falling.
const FALLING_QUEUE: f64 = 0.95;

/// A pool's load at one time.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub at: Millis,
    pub utilization: Option<f64>,
    pub waiting: f64,
}

/// Loads of a region's pools, the latest last.
#[derive(Clone, Debug, Default)]
pub struct Loads(BTreeMap<ModelName, VecDeque<Load>>);

impl Loads {
    /// Time of a pool's last load.
    pub fn at(&self, model: &ModelName) -> Option<Millis> {
        Some(self.0.get(model)?.back()?.at)
    }

    /// Records a load that is not older than the last one. The engines of a pool report one after another. The last
    /// load within [`MERGE_INTERVAL`] replaces the earlier one.
    pub fn note(&mut self, model: &ModelName, load: Load) {
        let series = self.0.entry(model.clone()).or_default();
        series.retain(|then| load.at.since(then.at) <= MAX_CALM);
        let before = series
            .len()
            .checked_sub(2)
            .and_then(|index| series.get(index));
        if before.is_some_and(|before| load.at.since(before.at) < MERGE_INTERVAL) {
            series.pop_back();
        }
        series.push_back(load);
    }

    /// Current utilization, its minimum over [`RECENT`], and its maximum over `calm`. The last value always counts.
    pub fn utilization(
        &self,
        model: &ModelName,
        fresh: impl Fn(Millis) -> bool,
        calm: Duration,
        now: Millis,
    ) -> Option<Utilization> {
        let series = self.0.get(model)?;
        let last = series.back().filter(|load| fresh(load.at))?.utilization?;
        let since = |age: Duration| {
            let recent = series.iter().filter(move |load| now.since(load.at) <= age);
            recent.filter_map(|load| load.utilization)
        };
        Some(Utilization {
            now: last,
            low: since(RECENT).fold(last, f64::min),
            peak: since(calm).fold(last, f64::max),
        })
    }

    /// Whether the queue is shorter than its recent maximum.
    pub fn queue_falls(&self, model: &ModelName, now: Millis) -> bool {
        let series = self.0.get(model).into_iter().flatten();
        let recent = series
            .filter(|load| now.since(load.at) <= RECENT)
            .map(|load| load.waiting);
        let last = recent.clone().next_back().unwrap_or_default();
        recent.fold(0.0, f64::max) * FALLING_QUEUE > last
    }
}
