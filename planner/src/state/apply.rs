//! How an observation changes the state of its region: one method per reading.

use super::engine::Engine;
use super::load::Load;
use super::region::{
    Attempts, FirstTokens, GPU_HOT, Gpu, Gpus, Growth, JurisdictionViolations, LastSeen,
    RegionState,
};
use super::sanitize;
use crate::signal::{
    AttemptCounts, Figures, Histogram, Millis, Observation, PeerCheckCounts, Reading,
};
use crate::window::Window;
use meridian_policy::fleet::{Fleet, Region};
use meridian_policy::name::{FallbackName, ModelName, RegionName};
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of series of one kind in a region. It bounds memory if a source invents names.
const MAX_SERIES: usize = 10_000;

/// Source and time of a reading.
#[derive(Clone, Copy)]
struct Origin<'o> {
    source: &'o str,
    at: Millis,
    /// Time of the source's previous observation: its new counters started at zero after that. `None` if they may be
    /// older.
    since: Option<Millis>,
}

impl RegionState {
    /// Applies an observation and returns the number of values rejected because there are too many series.
    /// `after_edit`: the fleet was edited within the signal TTL.
    pub fn apply(
        &mut self,
        fleet: &Fleet,
        region: &Region,
        observation: &Observation,
        after_edit: bool,
    ) -> u64 {
        let rejected = self.rejected;
        let last = self.seen.get(&observation.source).map(|seen| seen.at);
        let origin = Origin {
            source: &observation.source,
            at: observation.at,
            // A counter that appears later at a known source started at zero. A counter in a source's first observation
            // may be older. So may a counter of a region or zone that is new in the fleet.
            since: last.filter(|_| !after_edit),
        };
        for reading in &observation.readings {
            self.reading(fleet, region, origin, reading);
        }
        let pools = pools_of(region, observation);
        let changes_all = fleet.overflow.gpu
            && observation
                .readings
                .iter()
                .any(|reading| matches!(reading, Reading::Gpu { .. }));
        let changed: Vec<&ModelName> = if changes_all {
            region.pools.keys().collect()
        } else {
            pools.iter().copied().collect()
        };
        let pools = pools.into_iter().cloned().collect();
        if last.is_none_or(|last| last <= origin.at) {
            self.note_seen(origin, pools);
        }
        for model in changed {
            self.note_load(fleet, model, origin.at);
        }
        self.rejected - rejected
    }

    /// Applies a reading if the fleet has its subject and its values are possible.
    fn reading(&mut self, fleet: &Fleet, region: &Region, origin: Origin<'_>, reading: &Reading) {
        match reading {
            Reading::Server {
                model,
                engine,
                figures,
            } if region.pools.contains_key(model) => self.server(origin, model, engine, figures),
            Reading::Gpu {
                busy,
                engine_active,
            } => self.gpu(origin, *busy, *engine_active),
            Reading::ReplicationLag { seconds } if sanitize::amount(*seconds) => {
                let source = origin.source.to_owned();
                let rejected = &mut self.rejected;
                keep_latest(&mut self.lag, rejected, source, origin.at, *seconds);
            }
            Reading::Endpoints {
                model,
                healthy,
                total,
            } if region.pools.contains_key(model) => {
                let key = (model.clone(), origin.source.to_owned());
                let counts = (*healthy, *total);
                let rejected = &mut self.rejected;
                keep_latest(&mut self.endpoints, rejected, key, origin.at, counts);
            }
            Reading::Name { model, addresses } if region.pools.contains_key(model) => {
                let key = (model.clone(), origin.source.to_owned());
                let rejected = &mut self.rejected;
                keep_latest(&mut self.names, rejected, key, origin.at, *addresses);
            }
            _ => self.counted(fleet, origin, reading),
        }
    }

    /// Applies a reading of counters of a gateway.
    fn counted(&mut self, fleet: &Fleet, origin: Origin<'_>, reading: &Reading) {
        match reading {
            Reading::Attempts {
                zone,
                model,
                lane,
                to,
                counts,
            } if fleet.zones.contains_key(zone) && fleet.regions.contains_key(to) => {
                let key = Attempts {
                    to: to.clone(),
                    model: model.clone(),
                    zone: zone.clone(),
                    lane: *lane,
                    gateway: origin.source.to_owned(),
                };
                self.attempts(origin, key, counts);
            }
            Reading::FirstToken { model, to, times } if fleet.regions.contains_key(to) => {
                let key = FirstTokens {
                    to: to.clone(),
                    model: model.clone(),
                    gateway: origin.source.to_owned(),
                };
                self.first_tokens(origin, key, times);
            }
            Reading::PeerChecks { to, counts } if fleet.regions.contains_key(to) => {
                self.peer_checks(origin, to, counts);
            }
            Reading::MissingModel { model, to, answers } if fleet.regions.contains_key(to) => {
                let key = (to.clone(), model.clone(), origin.source.to_owned());
                self.missing_model(origin, key, *answers);
            }
            Reading::Mismatches { requests } => self.mismatches(origin, *requests),
            Reading::JurisdictionViolations { fallback, answers }
                if fleet.fallbacks.contains_key(fallback) =>
            {
                self.violations(origin, fallback, *answers);
            }
            _ => {}
        }
    }

    fn server(&mut self, origin: Origin<'_>, model: &ModelName, engine: &str, figures: &Figures) {
        let key = (model.clone(), origin.source.to_owned(), engine.to_owned());
        let new = || Engine::new(origin.at, figures);
        if let Some(engine) = series(&mut self.engines, &mut self.rejected, key, new) {
            engine.update(origin.at, figures);
        }
    }

    fn gpu(&mut self, origin: Origin<'_>, busy: Option<f64>, engine_active: Option<f64>) {
        let gpu = Gpu {
            busy: sanitize::ratio(busy),
            engine_active: sanitize::ratio(engine_active),
        };
        let at = origin.at;
        let new = || Gpus {
            at,
            gpu,
            hot_since: None,
        };
        let source = origin.source.to_owned();
        if let Some(gpus) = series(&mut self.gpus, &mut self.rejected, source, new)
            && gpus.at <= at
        {
            let is_hot = gpu.busy.is_some_and(|busy| busy > GPU_HOT);
            let since = gpus.hot_since.unwrap_or(at);
            *gpus = Gpus {
                at,
                gpu,
                hot_since: is_hot.then_some(since),
            };
        }
    }

    fn attempts(&mut self, origin: Origin<'_>, key: Attempts, counts: &AttemptCounts) {
        if !counts.each().into_iter().all(sanitize::amount) {
            return;
        }
        let new = || match origin.since {
            Some(since) => Window::new(since, AttemptCounts::default()),
            None => Window::new(origin.at, *counts),
        };
        if let Some(window) = series(&mut self.attempts, &mut self.rejected, key, new) {
            window.push(origin.at, *counts);
        }
    }

    fn first_tokens(&mut self, origin: Origin<'_>, key: FirstTokens, times: &Histogram) {
        if !sanitize::histogram(times) {
            return;
        }
        let new = || match origin.since {
            Some(since) => Window::new(since, times.emptied()),
            None => Window::new(origin.at, times.clone()),
        };
        if let Some(window) = series(&mut self.first_token, &mut self.rejected, key, new) {
            window.push(origin.at, times.clone());
        }
    }

    fn peer_checks(&mut self, origin: Origin<'_>, to: &RegionName, counts: &PeerCheckCounts) {
        let counted = [
            counts.answered,
            counts.unanswered,
            counts.refused_certificates,
            counts.failed_handshakes,
        ];
        if !counted.into_iter().all(sanitize::amount) {
            return;
        }
        let key = (to.clone(), origin.source.to_owned());
        let new = || Window::new(origin.at, counted);
        if let Some(window) = series(&mut self.peer_checks, &mut self.rejected, key, new) {
            window.push(origin.at, counted);
        }
    }

    /// Records a count of answers of a pool without its model.
    fn missing_model(
        &mut self,
        origin: Origin<'_>,
        key: (RegionName, ModelName, String),
        answers: f64,
    ) {
        let all = &mut self.missing_models;
        grow(all, &mut self.rejected, key, origin, answers);
    }

    /// Records a count of refused requests.
    fn mismatches(&mut self, origin: Origin<'_>, requests: f64) {
        let key = origin.source.to_owned();
        let all = &mut self.mismatches;
        grow(all, &mut self.rejected, key, origin, requests);
    }

    /// Records a changed count. A smaller count means that the gateway restarted.
    fn violations(&mut self, origin: Origin<'_>, fallback: &FallbackName, answers: f64) {
        if !sanitize::amount(answers) {
            return;
        }
        let key = (fallback.clone(), origin.source.to_owned());
        let new = || JurisdictionViolations {
            answers: 0.0,
            last: origin.at,
        };
        let all = &mut self.jurisdiction_violations;
        if let Some(known) = series(all, &mut self.rejected, key, new)
            && known.answers != answers
        {
            let last = origin.at;
            *known = JurisdictionViolations { answers, last };
        }
    }

    fn note_seen(&mut self, origin: Origin<'_>, pools: BTreeSet<ModelName>) {
        let seen = LastSeen {
            at: origin.at,
            pools,
        };
        let (source, new) = (origin.source.to_owned(), || seen.clone());
        if let Some(before) = series(&mut self.seen, &mut self.rejected, source, new) {
            *before = seen;
        }
    }

    /// Records a pool's load after an observation. Its utilization is the mean over its fresh engines, because requests
    /// go to the least loaded engine.
    fn note_load(&mut self, fleet: &Fleet, model: &ModelName, at: Millis) {
        // A late observation changes the current load, not an earlier one.
        let at = self.loads.at(model).map_or(at, |last| at.max(last));
        let fresh = |then: Millis| at.since(then) <= fleet.unhealthy.signal_ttl;
        let of_gpu = self
            .gpu_of(fresh)
            .engine_active
            .filter(|_| fleet.overflow.gpu);
        let each: Vec<f64> = self
            .engines(model, fresh)
            .filter_map(|engine| engine.utilization(fleet.overflow.queue_wait))
            .collect();
        let servers = (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64);
        let load = Load {
            at,
            utilization: servers.into_iter().chain(of_gpu).reduce(f64::max),
            waiting: self
                .engines(model, fresh)
                .filter_map(|engine| engine.figures.waiting)
                .sum(),
        };
        self.loads.note(model, load);
    }
}

/// The pools whose servers an observation reports.
fn pools_of<'o>(region: &Region, observation: &'o Observation) -> BTreeSet<&'o ModelName> {
    let models = observation
        .readings
        .iter()
        .filter_map(|reading| match reading {
            Reading::Server { model, .. } => Some(model),
            _ => None,
        });
    models
        .filter(|model| region.pools.contains_key(*model))
        .collect()
}

/// The series of a key, created if missing. `None` at the limit, counted in `rejected`.
fn series<'m, K: Ord, V>(
    map: &'m mut BTreeMap<K, V>,
    rejected: &mut u64,
    key: K,
    new: impl FnOnce() -> V,
) -> Option<&'m mut V> {
    if map.len() >= MAX_SERIES && !map.contains_key(&key) {
        *rejected += 1;
        return None;
    }
    Some(map.entry(key).or_insert_with(new))
}

fn keep_latest<K: Ord, V: Copy>(
    map: &mut BTreeMap<K, (Millis, V)>,
    rejected: &mut u64,
    key: K,
    at: Millis,
    value: V,
) {
    if let Some(entry) = series(map, rejected, key, || (at, value))
        && entry.0 <= at
    {
        *entry = (at, value);
    }
}

/// Records a count. It counts as grown if it did since this source's report before.
fn grow<K: Ord>(
    all: &mut BTreeMap<K, Growth>,
    rejected: &mut u64,
    key: K,
    origin: Origin<'_>,
    count: f64,
) {
    if !sanitize::amount(count) {
        return;
    }
    let new = || Growth {
        count: origin.since.map_or(count, |_| 0.0),
        at: origin.at,
        last: None,
    };
    if let Some(known) = series(all, rejected, key, new) {
        let has_grown = count > known.count;
        *known = Growth {
            count,
            at: origin.at,
            last: has_grown.then_some(origin.at).or(known.last),
        };
    }
}
