//! Signals of a pool.

use super::FleetState;
use super::engine::Engine;
use super::horizon::calm;
use super::region::{Gpu, RegionState};
use crate::health::Reason;
use crate::placement::Utilization;
use crate::signal::{AttemptCounts, Figures, Histogram, Millis};
use crate::window::{WINDOW, Window, merged, quantile, rate};
use meridian_policy::fleet::{Fleet, Region};
use meridian_policy::name::{ModelName, RegionName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

/// Minimum number of answers for an error rate or a percentile.
const MIN_SAMPLES: f64 = 20.0;

/// Minimum number of failures for an error rate above 0. Fewer may be bad requests.
const MIN_FAILURES: f64 = 5.0;

/// Number of answers without a failure that suffices for an error rate of 0.
const MIN_CLEAN_SAMPLES: f64 = 5.0;

/// Signals of a pool at one time; `None` where no fresh value exists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolSignals {
    /// Utilization.
    pub utilization: Option<Utilization>,
    /// Running requests.
    pub running: Option<f64>,
    /// Waiting requests.
    pub waiting: Option<f64>,
    /// KV cache usage, a ratio: the mean over engines.
    pub kv_cache: Option<f64>,
    /// 95th percentile of the time to the first token, in seconds.
    pub first_token_p95: Option<f64>,
    /// Failures over answers, a ratio.
    pub error_rate: Option<f64>,
    /// Replication lag of the region's data store, in seconds.
    pub replication_lag: Option<f64>,
    /// The region has sources for its lag, and all of them are silent.
    pub lag_is_silent: bool,
    /// Requests per second from all gateways that count them.
    #[serde(rename = "comes")]
    pub request_rate: Option<f64>,
    /// The region's GPUs.
    pub gpu: Gpu,
    /// Healthy and total endpoints, as reported by the region's gateway with the most.
    pub endpoints: Option<(u64, u64)>,
    /// The pool has sources, and none of them has reported its load within the signal TTL.
    pub stale: bool,
    /// Some of its sources are silent, or an engine stopped reporting its load.
    pub partial: bool,
    /// Time of the last observed breach of each limit. A rate over the whole window does not show when a breach ended.
    #[serde(skip)]
    pub last_breach: BTreeMap<Reason, Millis>,
}

impl PoolSignals {
    /// Residence time by Little's law: running requests over request rate.
    pub fn residence_time(&self) -> Duration {
        residence_time(self.running, self.request_rate)
    }
}

/// Upper bound of the residence time, in seconds.
const MAX_RESIDENCE_SECONDS: f64 = 600.0;

fn residence_time(running: Option<f64>, request_rate: Option<f64>) -> Duration {
    let seconds = running
        .zip(request_rate)
        .map(|(running, request_rate)| running / request_rate);
    let seconds = seconds.filter(|seconds| seconds.is_finite());
    Duration::from_secs_f64(
        seconds
            .unwrap_or_default()
            .clamp(0.0, MAX_RESIDENCE_SECONDS),
    )
}

impl FleetState {
    /// Signals of a pool at `now`.
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
        let running = values(|figures| figures.running).map(sum);
        let request_rate = self.request_rate_to(region, model, fresh, WINDOW);
        let utilization = state.loads.utilization(
            model,
            fresh,
            calm(residence_time(running, request_rate)),
            now,
        );
        let known = fleet.regions.get(region);
        let source_coverage = known
            .map(|known| state.source_coverage(fleet, known, model, fresh))
            .unwrap_or_default();
        PoolSignals {
            utilization,
            running,
            request_rate,
            waiting: values(|figures| figures.waiting).map(sum),
            kv_cache: values(|figures| figures.kv_cache)
                .map(|values| values.iter().sum::<f64>() / values.len() as f64),
            first_token_p95: self.first_token_p95(region, model, &engines, fresh),
            error_rate: self.error_rate(region, model, &engines, fresh),
            replication_lag: state.lag(fresh),
            lag_is_silent: state.lag(fresh).is_none() && known.is_some_and(Region::reports_lag),
            gpu: state.gpu_of(fresh),
            endpoints: state.endpoints(model, fresh),
            stale: source_coverage.missing && !source_coverage.reported,
            partial: (source_coverage.missing && source_coverage.reported)
                || engines.iter().any(|engine| engine.stopped_reporting()),
            last_breach: self.last_breach(fleet, region, model, &engines, now),
        }
    }

    /// The higher 95th percentile of servers and gateways. Servers see their queue, gateways also the network.
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
        let gateways: Vec<_> = self
            .first_tokens(region, model, fresh)
            .map(Window::growth)
            .collect();
        [servers, gateways]
            .into_iter()
            .filter_map(|growths| {
                let all = merged(&growths);
                quantile(&all, 0.95).filter(|_| all.count >= MIN_SAMPLES)
            })
            .reduce(f64::max)
    }

    /// The higher error rate of servers and gateways.
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
        for window in self.attempts(region, model, fresh) {
            let counts = window.growth();
            gateways.0 += counts.all();
            gateways.1 += counts.errors();
        }
        [servers, gateways]
            .into_iter()
            .filter(|(all, failed)| {
                *all >= MIN_SAMPLES || (*all >= MIN_CLEAN_SAMPLES && *failed <= 0.0)
            })
            .map(|(all, failed)| {
                if failed >= MIN_FAILURES {
                    failed / all
                } else {
                    0.0
                }
            })
            .reduce(f64::max)
    }

    /// Time of the last observed breach of each limit.
    fn last_breach(
        &self,
        fleet: &Fleet,
        region: &RegionName,
        model: &ModelName,
        engines: &[&Engine],
        now: Millis,
    ) -> BTreeMap<Reason, Millis> {
        let limits = &fleet.unhealthy;
        let fails = |all: f64, failed: f64| failed > limits.error_rate * all;
        let slow = |times: &Histogram| {
            quantile(times, 0.95).is_some_and(|p95| p95 > limits.first_token_p95.as_secs_f64())
        };
        let servers = engines.iter().filter_map(|engine| engine.answers.as_ref());
        let errors = servers
            .filter_map(|window| window.last_growth_with(|[all, failed]| fails(*all, *failed)))
            .chain(self.attempts(region, model, |_| true).filter_map(|window| {
                window.last_growth_with(|counts| fails(counts.all(), counts.errors()))
            }));
        let servers = engines
            .iter()
            .filter_map(|engine| engine.first_token.as_ref());
        let first_token = servers
            .chain(self.first_tokens(region, model, |_| true))
            .filter_map(|window| window.last_growth_with(slow));
        let queue_falls = self
            .regions
            .get(region)
            .is_some_and(|state| state.loads.queue_falls(model, now));
        let last_breach = [
            (Reason::Errors, errors.max()),
            (Reason::FirstToken, first_token.max()),
            (Reason::QueueDepth, (!queue_falls).then_some(now)),
            (Reason::ReplicationLag, Some(now)),
        ];
        last_breach
            .into_iter()
            .filter_map(|(reason, at)| Some((reason, at?)))
            .collect()
    }

    /// Requests per second to a pool from all gateways, over at least the last `over`.
    fn request_rate_to(
        &self,
        region: &RegionName,
        model: &ModelName,
        fresh: impl Fn(Millis) -> bool,
        over: Duration,
    ) -> Option<f64> {
        let each = self.attempts(region, model, fresh);
        let each = each.map(|window| rate(window, over, AttemptCounts::all));
        each.filter(|rate| *rate > 0.0)
            .reduce(|sum, rate| sum + rate)
    }

    /// Attempt windows of all gateways for a pool.
    fn attempts(
        &self,
        region: &RegionName,
        model: &ModelName,
        fresh: impl Fn(Millis) -> bool,
    ) -> impl Iterator<Item = &Window<AttemptCounts>> {
        let senders = self.senders(region, model);
        let windows = senders.flat_map(|(_, state)| state.attempts_to(region, model));
        windows
            .map(|(_, window)| window)
            .filter(move |window| fresh(window.at()))
    }

    /// First-token windows of all gateways for a pool.
    fn first_tokens(
        &self,
        region: &RegionName,
        model: &ModelName,
        fresh: impl Fn(Millis) -> bool,
    ) -> impl Iterator<Item = &Window<Histogram>> {
        let senders = self.senders(region, model);
        let windows = senders.flat_map(|(_, state)| state.first_tokens_of(region, model));
        windows.filter(move |window| fresh(window.at()))
    }
}
