//! How loaded pools were lately.

use super::horizon::{CALM_MOST, LATELY};
use crate::placement::Utilization;
use crate::signal::Millis;
use meridian_policy::name::ModelName;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Loads that are noted within this time are of one moment.
const MOMENT: Duration = Duration::from_millis(200);

/// A queue of less than this part of what it was is on its way down.
const QUEUE_FALLS: f64 = 0.95;

/// A pool's load at one time.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub at: Millis,
    pub utilization: Option<f64>,
    pub waiting: f64,
}

/// Those of a region's pools, the latest last.
#[derive(Clone, Debug, Default)]
pub struct Loads(BTreeMap<ModelName, VecDeque<Load>>);

impl Loads {
    /// When a pool's load was noted last.
    pub fn at(&self, model: &ModelName) -> Option<Millis> {
        Some(self.0.get(model)?.back()?.at)
    }

    /// Notes a load that is not older than the last one. Many engines are one after the other heard of the same moment: the last word
    /// of it stands for all.
    pub fn note(&mut self, model: &ModelName, load: Load) {
        let series = self.0.entry(model.clone()).or_default();
        series.retain(|then| load.at.since(then.at) <= CALM_MOST);
        let before = series
            .len()
            .checked_sub(2)
            .and_then(|index| series.get(index));
        if before.is_some_and(|before| load.at.since(before.at) < MOMENT) {
            series.pop_back();
        }
        series.push_back(load);
    }

    /// Utilization of now, and its lowest of the last seconds and highest for as long as `calm`; the last value counts
    /// however few there are.
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
            low: since(LATELY).fold(last, f64::min),
            peak: since(calm).fold(last, f64::max),
        })
    }

    /// Whether fewer requests wait than did in the last seconds.
    pub fn queue_falls(&self, model: &ModelName, now: Millis) -> bool {
        let series = self.0.get(model).into_iter().flatten();
        let recent = series
            .filter(|load| now.since(load.at) <= LATELY)
            .map(|load| load.waiting);
        let last = recent.clone().next_back().unwrap_or_default();
        recent.fold(0.0, f64::max) * QUEUE_FALLS > last
    }
}
