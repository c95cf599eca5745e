//! Observations in one region, by source.

use super::engine::Engine;
use super::load::{Load, Loads};
use super::sanitize;
use crate::signal::{AttemptCounts, Figures, Histogram, Millis, Observation, Reading};
use crate::window::Window;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::{Fleet, Region};
use meridian_policy::name::{FallbackName, ModelName, RegionName, ZoneName};
use meridian_policy::source::{SignalSource, Subject};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// GPU busy ratio that raises an alarm after a minute.
pub const GPU_HOT: f64 = 0.85;

/// Maximum number of series of one kind in a region. It bounds memory if a source invents names.
const MAX_SERIES: usize = 10_000;

/// Coverage of a pool's load by its sources.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceCoverage {
    /// A source reports the load.
    pub reported: bool,
    /// A source that should report the load is silent.
    pub missing: bool,
}

/// GPUs of a region, ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// Time with a running kernel.
    pub busy: Option<f64>,
    /// Time with active graphics or compute engines.
    pub engine_active: Option<f64>,
}

#[derive(Clone, Debug)]
struct Gpus {
    at: Millis,
    gpu: Gpu,
    /// Start of the current busy period.
    hot_since: Option<Millis>,
}

/// Labels of one gateway's attempt series. The field order groups the series of one pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempts {
    /// The target region.
    pub to: RegionName,
    /// The model.
    pub model: ModelName,
    /// The callers' zone.
    pub zone: ZoneName,
    /// The lane.
    pub lane: Lane,
    /// The gateway's node id.
    pub gateway: String,
}

/// Labels of one gateway's first-token series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirstTokens {
    pub to: RegionName,
    pub model: ModelName,
    gateway: String,
}

/// The last observation of a source.
#[derive(Clone, Debug)]
struct LastSeen {
    at: Millis,
    /// The pools whose servers it reported.
    pools: BTreeSet<ModelName>,
}

/// Jurisdiction violations of a fallback, as counted by one gateway.
#[derive(Clone, Copy, Debug)]
struct JurisdictionViolations {
    answers: f64,
    /// Time of the last change of the count.
    last: Millis,
}

/// Source and time of a reading.
#[derive(Clone, Copy)]
struct Origin<'o> {
    source: &'o str,
    at: Millis,
    /// Time of the source's previous observation: its new counters started at zero after that. `None` if they may be
    /// older.
    since: Option<Millis>,
}

/// Observations in a region.
#[derive(Clone, Debug, Default)]
pub struct RegionState {
    /// The last report of each source.
    seen: BTreeMap<String, LastSeen>,
    /// By model, source and engine.
    engines: BTreeMap<(ModelName, String, String), Engine>,
    pub loads: Loads,
    gpus: BTreeMap<String, Gpus>,
    lag: BTreeMap<String, (Millis, f64)>,
    /// Healthy and total endpoints, by model and gateway.
    endpoints: BTreeMap<(ModelName, String), (Millis, (u64, u64))>,
    /// Windows of answered, overloaded and failed attempts.
    pub attempts: BTreeMap<Attempts, Window<[f64; 3]>>,
    first_token: BTreeMap<FirstTokens, Window<Histogram>>,
    jurisdiction_violations: BTreeMap<(FallbackName, String), JurisdictionViolations>,
    /// Number of values rejected because there are too many series.
    rejected: u64,
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
        let counted = [counts.answered, counts.overloaded, counts.failed];
        if !counted.into_iter().all(sanitize::amount) {
            return;
        }
        let new = || match origin.since {
            Some(since) => Window::new(since, [0.0; 3]),
            None => Window::new(origin.at, counted),
        };
        if let Some(window) = series(&mut self.attempts, &mut self.rejected, key, new) {
            window.push(origin.at, counted);
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

    /// Attempt windows of this region's gateways for a pool.
    pub fn attempts_to<'s>(
        &'s self,
        to: &RegionName,
        model: &ModelName,
    ) -> impl Iterator<Item = (&'s Attempts, &'s Window<[f64; 3]>)> {
        let first = Attempts {
            to: to.clone(),
            model: model.clone(),
            zone: ZoneName::LOWEST,
            lane: Lane::ALL[0],
            gateway: String::new(),
        };
        let all = self.attempts.range(first.clone()..);
        all.take_while(move |(of, _)| of.to == first.to && of.model == first.model)
    }

    /// First-token windows of this region's gateways for a pool.
    pub fn first_tokens_of<'s>(
        &'s self,
        to: &RegionName,
        model: &ModelName,
    ) -> impl Iterator<Item = &'s Window<Histogram>> {
        let first = FirstTokens {
            to: to.clone(),
            model: model.clone(),
            gateway: String::new(),
        };
        let all = self.first_token.range(first.clone()..);
        all.take_while(move |(of, _)| of.to == first.to && of.model == first.model)
            .map(|(_, window)| window)
    }

    pub fn gone(&mut self, source: &str) {
        self.seen.remove(source);
        self.endpoints.retain(|(_, gateway), _| gateway != source);
        self.attempts.retain(|of, _| of.gateway != source);
        self.first_token.retain(|of, _| of.gateway != source);
        // A gateway that returns under this name counts from zero.
        let of_source = self
            .jurisdiction_violations
            .iter_mut()
            .filter(|((_, gateway), _)| gateway == source);
        of_source.for_each(|(_, jurisdiction_violations)| jurisdiction_violations.answers = 0.0);
    }

    /// Drops old observations. The last reports of sources in the fleet file are kept while the sources are silent.
    pub fn forget(&mut self, known: &Region, old: impl Fn(Millis) -> bool) {
        let configured: BTreeSet<String> = known.signals.iter().map(SignalSource::key).collect();
        self.seen
            .retain(|source, seen| !old(seen.at) || configured.contains(source));
        self.engines.retain(|_, engine| !old(engine.at));
        self.gpus.retain(|_, gpus| !old(gpus.at));
        self.lag.retain(|_, (at, _)| !old(*at));
        self.endpoints.retain(|_, (at, _)| !old(*at));
        self.attempts.retain(|_, window| !old(window.at()));
        self.first_token.retain(|_, window| !old(window.at()));
    }

    /// Fallbacks with recent jurisdiction violations, and their total number.
    pub fn jurisdiction_violations_of(
        &self,
        is_recent: impl Fn(Millis) -> bool,
    ) -> BTreeMap<&FallbackName, f64> {
        let mut all = BTreeMap::new();
        for ((fallback, _), jurisdiction_violations) in &self.jurisdiction_violations {
            if is_recent(jurisdiction_violations.last) {
                *all.entry(fallback).or_default() += jurisdiction_violations.answers;
            }
        }
        all
    }

    /// The pool's engines with a fresh report.
    pub fn engines<'s>(
        &'s self,
        model: &'s ModelName,
        fresh: impl Fn(Millis) -> bool + 's,
    ) -> impl Iterator<Item = &'s Engine> {
        let of_model = self.engines.iter().filter(move |((of, ..), _)| of == model);
        of_model
            .map(|(_, engine)| engine)
            .filter(move |engine| fresh(engine.at))
    }

    /// Whether sources report a pool's load, and whether a source that should report it is silent.
    pub fn source_coverage(
        &self,
        fleet: &Fleet,
        known: &Region,
        model: &ModelName,
        fresh: impl Fn(Millis) -> bool,
    ) -> SourceCoverage {
        let mut source_coverage = SourceCoverage::default();
        for source in &known.signals {
            let last = self.seen.get(&source.key());
            let is_fresh = last.is_some_and(|last| fresh(last.at));
            let reported = last.is_some_and(|last| last.pools.contains(model));
            // A source without a model covers the region's only pool. With several pools, its reports show which pools
            // it covers.
            let subject = source.subject();
            if subject == Subject::Store {
                continue;
            }
            let covers = match &source.model {
                _ if subject == Subject::Gpus => fleet.overflow.gpu,
                Some(named) => named == model,
                None => known.pools.len() == 1,
            };
            let unknown = source.model.is_none()
                && subject == Subject::Servers
                && last.is_none_or(|last| last.pools.is_empty());
            if is_fresh && (reported || (subject == Subject::Gpus && covers)) {
                source_coverage.reported = true;
            } else if covers || (!is_fresh && (reported || unknown)) {
                source_coverage.missing = true;
            }
        }
        source_coverage
    }

    pub fn gpu_of(&self, fresh: impl Fn(Millis) -> bool) -> Gpu {
        let all = self.gpus.values().filter(|gpus| fresh(gpus.at));
        let highest = |value: fn(&Gpu) -> Option<f64>| {
            all.clone()
                .filter_map(|gpus| value(&gpus.gpu))
                .reduce(f64::max)
        };
        Gpu {
            busy: highest(|gpu| gpu.busy),
            engine_active: highest(|gpu| gpu.engine_active),
        }
    }

    pub fn gpu_is_hot(&self, fresh: impl Fn(Millis) -> bool, now: Millis) -> bool {
        let minute = Duration::from_secs(60);
        self.gpus
            .values()
            .filter(|gpus| fresh(gpus.at))
            .any(|gpus| {
                gpus.hot_since
                    .is_some_and(|since| now.since(since) >= minute)
            })
    }

    pub fn lag(&self, fresh: impl Fn(Millis) -> bool) -> Option<f64> {
        let all = self.lag.values().filter(|(at, _)| fresh(*at));
        all.map(|(_, seconds)| *seconds).reduce(f64::max)
    }

    /// Healthy and total endpoints, as reported by the gateway with the most.
    pub fn endpoints(
        &self,
        model: &ModelName,
        fresh: impl Fn(Millis) -> bool,
    ) -> Option<(u64, u64)> {
        let of_model = self.endpoints.iter().filter(|((of, _), _)| of == model);
        of_model
            .filter(|(_, (at, _))| fresh(*at))
            .map(|(_, (_, endpoints))| *endpoints)
            .max()
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
