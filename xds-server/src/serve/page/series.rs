//! The signals of the last hour, for the page's charts.

use crate::serve::report::Report;
use meridian_planner::signal::Millis;
use meridian_planner::state::PoolSignals;
use meridian_policy::{Fleet, ModelName, RegionName};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Time between two values.
pub const STEP: Duration = Duration::from_secs(10);
/// Values that are kept of a signal: those of an hour.
const KEPT: usize = 360;

/// Values of a pool's signals at one time; `None` where none was fresh.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Values {
    at: Millis,
    utilization: Option<f32>,
    waiting: Option<f32>,
    first_token_p95: Option<f32>,
    error_rate: Option<f32>,
    replication_lag: Option<f32>,
}

impl Values {
    fn of(signals: &PoolSignals, at: Millis) -> Self {
        // Charts show three digits.
        let short = |value: Option<f64>| value.map(|value| value as f32);
        Self {
            at,
            utilization: short(signals.utilization.map(|utilization| utilization.now)),
            waiting: short(signals.waiting),
            first_token_p95: short(signals.first_token_p95),
            error_rate: short(signals.error_rate),
            replication_lag: short(signals.replication_lag),
        }
    }
}

type Pools<T> = BTreeMap<RegionName, BTreeMap<ModelName, T>>;

/// The signals of the last hour.
#[derive(Default)]
pub struct Series(Mutex<Pools<VecDeque<Values>>>);

/// The series of all pools.
#[derive(Debug, Serialize)]
pub struct Shown {
    step_ms: u64,
    limits: Limits,
    pools: Pools<Columns>,
}

/// What each signal is judged by.
#[derive(Debug, Serialize)]
struct Limits {
    utilization: f64,
    waiting: f64,
    first_token_p95: f64,
    error_rate: f64,
    replication_lag: f64,
}

/// The values of a pool's signals, by time: milliseconds since the Unix epoch.
#[derive(Debug, Default, Serialize)]
struct Columns {
    at: Vec<u64>,
    utilization: Vec<Option<f32>>,
    waiting: Vec<Option<f32>>,
    first_token_p95: Vec<Option<f32>>,
    error_rate: Vec<Option<f32>>,
    replication_lag: Vec<Option<f32>>,
}

impl Series {
    /// Keeps the values of a report. Pools that it does not have are forgotten.
    pub fn note(&self, report: &Report) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|region, pools| {
            let reported = report.regions.get(region);
            pools.retain(|model, _| reported.is_some_and(|it| it.pools.contains_key(model)));
            !pools.is_empty()
        });
        for (region, reported) in &report.regions {
            let pools = all.entry(region.clone()).or_default();
            for (model, pool) in &reported.pools {
                let values = pools.entry(model.clone()).or_default();
                if values.len() == KEPT {
                    values.pop_front();
                }
                values.push_back(Values::of(&pool.signals, report.at));
            }
        }
    }

    /// The series, with the limits of a fleet.
    pub fn shown(&self, fleet: &Fleet) -> Shown {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pools = all.iter().map(|(region, pools)| {
            let pools = pools.iter();
            let pools = pools.map(|(model, values)| (model.clone(), columns(values)));
            (region.clone(), pools.collect())
        });
        let unhealthy = &fleet.unhealthy;
        Shown {
            step_ms: u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX),
            limits: Limits {
                utilization: fleet.overflow.above,
                waiting: f64::from(unhealthy.queue_depth),
                first_token_p95: unhealthy.first_token_p95.as_secs_f64(),
                error_rate: unhealthy.error_rate,
                replication_lag: unhealthy.replication_lag.as_secs_f64(),
            },
            pools: pools.collect(),
        }
    }
}

fn columns(values: &VecDeque<Values>) -> Columns {
    let mut columns = Columns::default();
    for value in values {
        columns.at.push(value.at.0);
        columns.utilization.push(value.utilization);
        columns.waiting.push(value.waiting);
        columns.first_token_p95.push(value.first_token_p95);
        columns.error_rate.push(value.error_rate);
        columns.replication_lag.push(value.replication_lag);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::report::{PoolReport, RegionReport};

    fn report(at: u64, regions: &[&str]) -> Report {
        let pool = PoolReport {
            signals: PoolSignals {
                waiting: Some(at as f64),
                ..Default::default()
            },
            ..Default::default()
        };
        let regions = regions.iter().map(|region| {
            let pools = [("m".parse().unwrap(), pool.clone())].into();
            let report = RegionReport {
                pools,
                ..Default::default()
            };
            (region.parse().unwrap(), report)
        });
        Report {
            at: Millis(at),
            regions: regions.collect(),
            ..Default::default()
        }
    }

    #[test]
    fn an_hour_is_kept_of_the_pools_that_there_are() {
        let series = Series::default();
        let example = include_str!("../../../../envoy/fleet.yaml");
        let fleet = crate::fleet::parse(example).unwrap();
        for at in 0..400 {
            series.note(&report(at, &["us", "eu"]));
        }
        series.note(&report(400, &["us"]));
        let shown = serde_json::to_value(series.shown(&fleet)).unwrap();
        assert_eq!(shown["pools"]["eu"], serde_json::Value::Null);
        let waiting = shown["pools"]["us"]["m"]["waiting"].as_array().unwrap();
        assert_eq!(waiting.len(), KEPT);
        assert_eq!(
            (&waiting[0], &waiting[KEPT - 1]),
            (&41.0.into(), &400.0.into())
        );
        assert_eq!(
            shown["pools"]["us"]["m"]["error_rate"][0],
            serde_json::Value::Null
        );
        assert_eq!(shown["limits"]["waiting"], 100.0);
    }
}
