//! What is known about a pool.

use super::FleetState;
use super::engine::Engine;
use super::region::{Gpu, RegionState};
use crate::fleet::{Fleet, Preset, SignalSource};
use crate::name::{ModelName, RegionName};
use crate::signal::{Figures, Millis};
use crate::window::{merged, quantile};
use serde::{Deserialize, Serialize};

/// Fewer answers than this say nothing about a rate or a percentile.
const MIN_SAMPLES: f64 = 20.0;

/// Fewer failures than this are bad requests rather than a bad region.
const MIN_FAILURES: f64 = 5.0;

/// What is known about a pool at some time; `None` where nothing fresh is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolSignals {
    /// Utilization of now, 1 is full.
    pub utilization: Option<f64>,
    /// The highest utilization of the last seconds.
    pub peak: Option<f64>,
    /// Requests in work.
    pub running: Option<f64>,
    /// Requests that wait.
    pub waiting: Option<f64>,
    /// KV-cache in use, the mean over engines.
    pub kv_cache: Option<f64>,
    /// 95th percentile of the time to the first token, in seconds.
    pub first_token_p95: Option<f64>,
    /// Failures among answers, a ratio.
    pub error_rate: Option<f64>,
    /// Seconds that the region's data store is behind.
    pub replication_lag: Option<f64>,
    /// The region's GPUs.
    pub gpu: Gpu,
    /// Healthy endpoints and all of them, as the region's gateway sees it that has the most.
    pub endpoints: Option<(u64, u64)>,
    /// The pool has sources, by the fleet file or because they were heard, and none of them was heard lately.
    pub stale: bool,
}

impl FleetState {
    /// What is known about a pool.
    pub fn pool(
        &self,
        fleet: &Fleet,
        region: &RegionName,
        model: &ModelName,
        now: Millis,
    ) -> PoolSignals {
        let ttl = fleet.unhealthy.signal_ttl;
        let fresh = |at: Millis| now.since(at) <= ttl;
        let nothing = RegionState::default();
        let state = self.regions.get(region).unwrap_or(&nothing);
        let engines: Vec<&Engine> = state.engines(model, fresh).collect();
        let values = |value: fn(&Figures) -> Option<f64>| -> Option<Vec<f64>> {
            let values = engines.iter().filter_map(|engine| value(&engine.figures));
            Some(values.collect::<Vec<f64>>()).filter(|values| !values.is_empty())
        };
        let sum = |values: Vec<f64>| values.iter().sum::<f64>();
        let utilization = state.utilization(model, fresh, now);
        PoolSignals {
            utilization: utilization.map(|(now, _)| now),
            peak: utilization.map(|(_, peak)| peak),
            running: values(|figures| figures.running).map(sum),
            waiting: values(|figures| figures.waiting).map(sum),
            kv_cache: values(|figures| figures.kv_cache)
                .map(|values| values.iter().sum::<f64>() / values.len() as f64),
            first_token_p95: self.first_token_p95(region, model, &engines, fresh),
            error_rate: self.error_rate(region, model, &engines, fresh),
            replication_lag: state.lag(fresh),
            gpu: state.gpu_of(fresh),
            endpoints: state.endpoints(model, fresh),
            stale: engines.is_empty()
                && (has_sources(fleet, region, model)
                    || state.engines(model, |_| true).next().is_some()),
        }
    }

    /// The servers know their own queue, the gateways the way to them: the slower one is what callers see.
    fn first_token_p95(
        &self,
        region: &RegionName,
        model: &ModelName,
        engines: &[&Engine],
        fresh: impl Fn(Millis) -> bool,
    ) -> Option<f64> {
        let servers = engines
            .iter()
            .filter_map(|engine| engine.first_token.as_ref());
        let servers: Vec<_> = servers.map(|window| window.growth()).collect();
        let gateways = self.regions.values().flat_map(|state| &state.first_token);
        let gateways: Vec<_> = gateways
            .filter(|(of, window)| of.to == *region && of.model == *model && fresh(window.at()))
            .map(|(_, window)| window.growth())
            .collect();
        [servers, gateways]
            .into_iter()
            .filter_map(|growths| {
                let all = merged(&growths);
                quantile(&all, 0.95).filter(|_| all.count >= MIN_SAMPLES)
            })
            .reduce(f64::max)
    }

    /// Of what the servers answered, or of what the gateways had from them, whichever is worse.
    fn error_rate(
        &self,
        region: &RegionName,
        model: &ModelName,
        engines: &[&Engine],
        fresh: impl Fn(Millis) -> bool,
    ) -> Option<f64> {
        let mut servers = (0.0, 0.0);
        for window in engines.iter().filter_map(|engine| engine.answers.as_ref()) {
            let [all, failed] = window.growth();
            servers = (servers.0 + all, servers.1 + failed);
        }
        let mut gateways = (0.0, 0.0);
        for (of, window) in self.regions.values().flat_map(|state| &state.attempts) {
            if of.to == *region && of.model == *model && fresh(window.at()) {
                let [answered, overloaded, failed] = window.growth();
                gateways.0 += answered + overloaded + failed;
                gateways.1 += overloaded + failed;
            }
        }
        [servers, gateways]
            .into_iter()
            .filter(|(all, _)| *all >= MIN_SAMPLES)
            .map(|(all, failed)| {
                if failed >= MIN_FAILURES {
                    failed / all
                } else {
                    0.0
                }
            })
            .reduce(f64::max)
    }
}

/// Whether the fleet file has a source that must be about this pool. One that names no model is about the region's only
/// one; of several it is not known which.
fn has_sources(fleet: &Fleet, region: &RegionName, model: &ModelName) -> bool {
    let Some(region) = fleet.regions.get(region) else {
        return false;
    };
    let about = |source: &SignalSource| match &source.model {
        _ if source.preset != Preset::Vllm => false,
        Some(named) => named == model,
        None => region.pools.len() == 1,
    };
    region.signals.iter().any(about)
}
