//! What was observed in one region, by who observed it.

use super::engine::Engine;
use super::load::{Load, Loads};
use super::sound;
use crate::plan::GPU_HOT;
use crate::signal::{Figures, Histogram, Millis, Observation, Reading};
use crate::window::Window;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::{Fleet, Region};
use meridian_policy::name::{FallbackName, ModelName, RegionName, ZoneName};
use meridian_policy::source::{SignalSource, Subject};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Series of one kind that a region may have; more are not taken, so that a source that invents names fills no memory.
const MOST_SERIES: usize = 10_000;

/// Who tells of a pool's load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Voices {
    /// Somebody does.
    pub told: bool,
    /// Somebody should, and was not heard lately.
    pub missing: bool,
}

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

/// Attempts of one kind, at one gateway. Those at one pool follow each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempts {
    /// The region that was asked.
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

/// First tokens as one gateway sees them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirstTokens {
    pub to: RegionName,
    pub model: ModelName,
    gateway: String,
}

/// A source, as it was heard last.
#[derive(Clone, Debug)]
struct Heard {
    at: Millis,
    /// The pools whose servers it told of.
    pools: BTreeSet<ModelName>,
}

/// Answers that were made outside of a fallback's jurisdiction, as one gateway has counted them.
#[derive(Clone, Copy, Debug)]
struct Misplaced {
    answers: f64,
    /// When there was another one.
    last: Millis,
}

#[derive(Clone, Debug, Default)]
pub struct RegionState {
    /// When each source was heard last, and what about.
    heard: BTreeMap<String, Heard>,
    /// By model, source and the source's own name for it.
    engines: BTreeMap<(ModelName, String, String), Engine>,
    pub loads: Loads,
    gpus: BTreeMap<String, Gpus>,
    lag: BTreeMap<String, (Millis, f64)>,
    /// By model and gateway: healthy, all.
    endpoints: BTreeMap<(ModelName, String), (Millis, (u64, u64))>,
    /// Answered, overloaded, failed.
    pub attempts: BTreeMap<Attempts, Window<[f64; 3]>>,
    first_token: BTreeMap<FirstTokens, Window<Histogram>>,
    misplaced: BTreeMap<(FallbackName, String), Misplaced>,
    /// Values that were not taken: there were too many series.
    untaken: u64,
}

impl RegionState {
    /// Takes an observation in; says how many of its values it has not taken because there are too many series. `anew`: the fleet
    /// is another one since a moment ago.
    pub fn apply(
        &mut self,
        fleet: &Fleet,
        known: &Region,
        observation: &Observation,
        anew: bool,
    ) -> u64 {
        let untaken = self.untaken;
        let (at, source) = (observation.at, &observation.source);
        let last = self.heard.get(source).map(|heard| heard.at);
        // What a source counts that it did not before has happened since; what it counts at first may be old, and so may be what it
        // counts of a region or zone that is new in the fleet.
        let since = last.filter(|_| !anew);
        let mut changed: Vec<&ModelName> = Vec::new();
        let mut told = BTreeSet::new();
        for reading in &observation.readings {
            match reading {
                Reading::Server {
                    model,
                    engine,
                    figures,
                } if known.pools.contains_key(model) => {
                    let key = (model.clone(), source.clone(), engine.clone());
                    self.engine(key, at, figures);
                    told.insert(model.clone());
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
                    if fleet.overflow.gpu {
                        changed.extend(known.pools.keys());
                    }
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
                Reading::Misplaced { fallback, answers }
                    if sound::amount(*answers) && fleet.fallbacks.contains_key(fallback) =>
                {
                    self.misplaced(fallback, source, *answers, at);
                }
                _ => {}
            }
        }
        if last.is_none_or(|last| last <= at) {
            let heard = Heard { at, pools: told };
            if let Some(before) = series(&mut self.heard, &mut self.untaken, source.clone(), || {
                heard.clone()
            }) {
                *before = heard;
            }
        }
        changed.sort_unstable();
        changed.dedup();
        for model in changed {
            self.note_load(fleet, model, at);
        }
        self.untaken - untaken
    }

    /// What its gateways have counted of attempts at a pool.
    pub fn attempts_to<'s>(
        &'s self,
        to: &RegionName,
        model: &ModelName,
    ) -> impl Iterator<Item = (&'s Attempts, &'s Window<[f64; 3]>)> {
        let first = Attempts {
            to: to.clone(),
            model: model.clone(),
            zone: "".into(),
            lane: Lane::ALL[0],
            gateway: String::new(),
        };
        let all = self.attempts.range(first.clone()..);
        all.take_while(move |(of, _)| of.to == first.to && of.model == first.model)
    }

    /// What its gateways have seen of a pool's first tokens.
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
        self.heard.remove(source);
        self.endpoints.retain(|(_, gateway), _| gateway != source);
        self.attempts.retain(|of, _| of.gateway != source);
        self.first_token.retain(|of, _| of.gateway != source);
        // Whoever comes back by this name counts from nothing.
        let own = self
            .misplaced
            .iter_mut()
            .filter(|((_, gateway), _)| gateway == source);
        own.for_each(|(_, misplaced)| misplaced.answers = 0.0);
    }

    /// Forgets what is old. What a source of the fleet file tells of is remembered however long it is silent.
    pub fn forget(&mut self, known: &Region, old: impl Fn(Millis) -> bool) {
        let stays: BTreeSet<String> = known.signals.iter().map(SignalSource::key).collect();
        self.heard
            .retain(|source, heard| !old(heard.at) || stays.contains(source));
        self.engines.retain(|_, engine| !old(engine.at));
        self.gpus.retain(|_, gpus| !old(gpus.at));
        self.lag.retain(|_, (at, _)| !old(*at));
        self.endpoints.retain(|_, (at, _)| !old(*at));
        self.attempts.retain(|_, window| !old(window.at()));
        self.first_token.retain(|_, window| !old(window.at()));
    }

    /// Fallbacks that have lately answered from outside of their jurisdiction, and how often in all.
    pub fn misplaced_of(&self, lately: impl Fn(Millis) -> bool) -> BTreeMap<&FallbackName, f64> {
        let mut all = BTreeMap::new();
        for ((fallback, _), misplaced) in &self.misplaced {
            if lately(misplaced.last) {
                *all.entry(fallback).or_default() += misplaced.answers;
            }
        }
        all
    }

    /// A gateway that counts less than before has begun anew.
    fn misplaced(&mut self, fallback: &FallbackName, source: &str, answers: f64, at: Millis) {
        let key = (fallback.clone(), source.to_owned());
        let new = || Misplaced {
            answers: 0.0,
            last: at,
        };
        if let Some(known) = series(&mut self.misplaced, &mut self.untaken, key, new)
            && known.answers != answers
        {
            *known = Misplaced { answers, last: at };
        }
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

    /// Whether a pool's load is told of by its sources, and whether one that should tell of it is silent.
    pub fn voices(
        &self,
        fleet: &Fleet,
        known: &Region,
        model: &ModelName,
        fresh: impl Fn(Millis) -> bool,
    ) -> Voices {
        let mut voices = Voices::default();
        for source in &known.signals {
            let heard = self.heard.get(&source.key());
            let lately = heard.is_some_and(|heard| fresh(heard.at));
            let told = heard.is_some_and(|heard| heard.pools.contains(model));
            // One that names no model is about the region's only one; of several its own words tell, once it was heard.
            let subject = source.subject();
            if subject == Subject::Store {
                continue;
            }
            let about = match &source.model {
                _ if subject == Subject::Gpus => fleet.overflow.gpu,
                Some(named) => named == model,
                None => known.pools.len() == 1,
            };
            let unknown = source.model.is_none()
                && subject == Subject::Servers
                && heard.is_none_or(|heard| heard.pools.is_empty());
            if lately && (told || (subject == Subject::Gpus && about)) {
                voices.told = true;
            } else if about || (!lately && (told || unknown)) {
                voices.missing = true;
            }
        }
        voices
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

    /// The load of a pool after something about it was observed. Its utilization is the mean of its fresh engines, since
    /// requests go to the one with the least.
    fn note_load(&mut self, fleet: &Fleet, model: &ModelName, at: Millis) {
        // What comes late tells what is known by now, and nothing of what was.
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
