//! What was observed in one region, by who observed it.

use super::engine::Engine;
use super::{CALM, sound};
use crate::filter_policy::Lane;
use crate::fleet::{Fleet, Region};
use crate::name::{ModelName, RegionName, ZoneName};
use crate::plan::GPU_HOT;
use crate::signal::Histogram;
use crate::signal::{Figures, Millis, Observation, Reading};
use crate::window::Window;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Series of one kind that a region may have; more are not taken, so that a source that invents names fills no memory.
const MOST_SERIES: usize = 10_000;

/// A region's GPUs, ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// Some kernel was running.
    pub busy: Option<f64>,
    /// Graphics and compute engines were active.
    pub engine_active: Option<f64>,
}

#[derive(Clone, Debug)]
struct Gpus {
    at: Millis,
    gpu: Gpu,
    /// Since when they are busy without a break.
    hot_since: Option<Millis>,
}

/// Attempts of one kind, at one gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempts {
    pub to: RegionName,
    pub model: ModelName,
    pub zone: ZoneName,
    pub lane: Lane,
    gateway: String,
}

/// First tokens as one gateway sees them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirstTokens {
    pub to: RegionName,
    pub model: ModelName,
    gateway: String,
}

#[derive(Clone, Debug, Default)]
pub struct RegionState {
    /// When each source was heard last.
    heard: BTreeMap<String, Millis>,
    /// By model, source and the source's own name for it.
    engines: BTreeMap<(ModelName, String, String), Engine>,
    utilization: BTreeMap<ModelName, VecDeque<(Millis, f64)>>,
    gpus: BTreeMap<String, Gpus>,
    lag: BTreeMap<String, (Millis, f64)>,
    /// By model and gateway: healthy, all.
    endpoints: BTreeMap<(ModelName, String), (Millis, (u64, u64))>,
    /// Answered, overloaded, failed.
    pub attempts: BTreeMap<Attempts, Window<[f64; 3]>>,
    pub first_token: BTreeMap<FirstTokens, Window<Histogram>>,
    /// Values that were not taken: there were too many series.
    untaken: u64,
}

impl RegionState {
    /// Takes an observation in; says how many of its values it has not taken because there are too many series.
    pub fn apply(&mut self, fleet: &Fleet, known: &Region, observation: &Observation) -> u64 {
        let untaken = self.untaken;
        let (at, source) = (observation.at, &observation.source);
        // What a source counts that it did not before has happened since; what it counts at first may be old.
        let since = self.heard.get(source).copied();
        if let Some(heard) = series(&mut self.heard, &mut self.untaken, source.clone(), || at) {
            *heard = at.max(*heard);
        }
        let mut changed: Vec<&ModelName> = Vec::new();
        for reading in &observation.readings {
            match reading {
                Reading::Server {
                    model,
                    engine,
                    figures,
                } if known.pools.contains_key(model) => {
                    let key = (model.clone(), source.clone(), engine.clone());
                    self.engine(key, at, figures);
                    changed.push(model);
                }
                Reading::Gpu {
                    busy,
                    engine_active,
                } => {
                    let gpu = Gpu {
                        busy: sound::ratio(*busy),
                        engine_active: sound::ratio(*engine_active),
                    };
                    self.gpu(source, at, gpu);
                    changed.extend(known.pools.keys());
                }
                Reading::ReplicationLag { seconds } if sound::amount(*seconds) => {
                    later(
                        &mut self.lag,
                        &mut self.untaken,
                        source.clone(),
                        at,
                        *seconds,
                    );
                }
                Reading::Endpoints {
                    model,
                    healthy,
                    total,
                } if known.pools.contains_key(model) => {
                    let key = (model.clone(), source.clone());
                    later(
                        &mut self.endpoints,
                        &mut self.untaken,
                        key,
                        at,
                        (*healthy, *total),
                    );
                }
                Reading::Attempts {
                    zone,
                    model,
                    lane,
                    to,
                    counts,
                } if fleet.zones.contains_key(zone) && fleet.regions.contains_key(to) => {
                    let counted = [counts.answered, counts.overloaded, counts.failed];
                    let key = Attempts {
                        to: to.clone(),
                        model: model.clone(),
                        zone: zone.clone(),
                        lane: *lane,
                        gateway: source.clone(),
                    };
                    if counted.into_iter().all(sound::amount) {
                        let new = || match since {
                            Some(since) => Window::new(since, [0.0; 3]),
                            None => Window::new(at, counted),
                        };
                        if let Some(window) =
                            series(&mut self.attempts, &mut self.untaken, key, new)
                        {
                            window.push(at, counted);
                        }
                    }
                }
                Reading::FirstToken { model, to, times }
                    if sound::histogram(times) && fleet.regions.contains_key(to) =>
                {
                    let key = FirstTokens {
                        to: to.clone(),
                        model: model.clone(),
                        gateway: source.clone(),
                    };
                    let new = || match since {
                        Some(since) => Window::new(since, times.emptied()),
                        None => Window::new(at, times.clone()),
                    };
                    if let Some(window) = series(&mut self.first_token, &mut self.untaken, key, new)
                    {
                        window.push(at, times.clone());
                    }
                }
                _ => {}
            }
        }
        changed.sort_unstable();
        changed.dedup();
        for model in changed {
            self.note_utilization(fleet, model, at);
        }
        self.untaken - untaken
    }

    pub fn gone(&mut self, source: &str) {
        self.heard.remove(source);
        self.endpoints.retain(|(_, gateway), _| gateway != source);
        self.attempts.retain(|of, _| of.gateway != source);
        self.first_token.retain(|of, _| of.gateway != source);
    }

    pub fn forget(&mut self, old: impl Fn(Millis) -> bool) {
        self.heard.retain(|_, at| !old(*at));
        self.engines.retain(|_, engine| !old(engine.at));
        self.gpus.retain(|_, gpus| !old(gpus.at));
        self.lag.retain(|_, (at, _)| !old(*at));
        self.endpoints.retain(|_, (at, _)| !old(*at));
        self.attempts.retain(|_, window| !old(window.at()));
        self.first_token.retain(|_, window| !old(window.at()));
    }

    /// The pool's engines that were heard lately.
    pub fn engines<'s>(
        &'s self,
        model: &'s ModelName,
        fresh: impl Fn(Millis) -> bool + 's,
    ) -> impl Iterator<Item = &'s Engine> {
        let own = self.engines.iter().filter(move |((of, ..), _)| of == model);
        own.map(|(_, engine)| engine)
            .filter(move |engine| fresh(engine.at))
    }

    /// Utilization of now and the highest of the last seconds; the last value counts however few there are.
    pub fn utilization(
        &self,
        model: &ModelName,
        fresh: impl Fn(Millis) -> bool,
        now: Millis,
    ) -> Option<(f64, f64)> {
        let series = self.utilization.get(model)?;
        let (_, last) = series.back().filter(|(at, _)| fresh(*at))?;
        let recent = series.iter().filter(|(at, _)| now.since(*at) <= CALM);
        Some((*last, recent.map(|(_, value)| *value).fold(*last, f64::max)))
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

    /// Healthy endpoints and all of them, as the gateway sees it that has the most.
    pub fn endpoints(
        &self,
        model: &ModelName,
        fresh: impl Fn(Millis) -> bool,
    ) -> Option<(u64, u64)> {
        let own = self.endpoints.iter().filter(|((of, _), _)| of == model);
        own.filter(|(_, (at, _))| fresh(*at))
            .map(|(_, (_, endpoints))| *endpoints)
            .max()
    }

    fn engine(&mut self, key: (ModelName, String, String), at: Millis, figures: &Figures) {
        if let Some(engine) = series(&mut self.engines, &mut self.untaken, key, || {
            Engine::new(at, figures)
        }) {
            engine.update(at, figures);
        }
    }

    fn gpu(&mut self, source: &str, at: Millis, gpu: Gpu) {
        let hot = gpu.busy.is_some_and(|busy| busy > GPU_HOT);
        let new = || Gpus {
            at,
            gpu,
            hot_since: None,
        };
        if let Some(gpus) = series(&mut self.gpus, &mut self.untaken, source.to_owned(), new)
            && gpus.at <= at
        {
            let since = gpus.hot_since.unwrap_or(at);
            *gpus = Gpus {
                at,
                gpu,
                hot_since: hot.then_some(since),
            };
        }
    }

    /// The utilization of a pool after something about it was observed: the mean of its fresh engines, since requests go
    /// to the one with the least.
    fn note_utilization(&mut self, fleet: &Fleet, model: &ModelName, at: Millis) {
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
        let Some(utilization) = servers.into_iter().chain(of_gpu).reduce(f64::max) else {
            return;
        };
        let series = self.utilization.entry(model.clone()).or_default();
        series.retain(|(then, _)| at.since(*then) <= CALM && *then <= at);
        series.push_back((at, utilization));
    }
}

/// The series of a key, new where there is none yet; `None`, and counted, where there are too many.
fn series<'m, K: Ord, V>(
    map: &'m mut BTreeMap<K, V>,
    untaken: &mut u64,
    key: K,
    new: impl FnOnce() -> V,
) -> Option<&'m mut V> {
    if map.len() >= MOST_SERIES && !map.contains_key(&key) {
        *untaken += 1;
        return None;
    }
    Some(map.entry(key).or_insert_with(new))
}

fn later<K: Ord, V: Copy>(
    map: &mut BTreeMap<K, (Millis, V)>,
    untaken: &mut u64,
    key: K,
    at: Millis,
    value: V,
) {
    if let Some(entry) = series(map, untaken, key, || (at, value))
        && entry.0 <= at
    {
        *entry = (at, value);
    }
}
