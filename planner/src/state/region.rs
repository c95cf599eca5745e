//! Observations in one region, by source.

use super::engine::Engine;
use super::load::Loads;
use crate::signal::{AttemptCounts, Histogram, Millis};
use crate::window::Window;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::{Fleet, Region};
use meridian_policy::name::{FallbackName, ModelName, RegionName, ZoneName};
use meridian_policy::source::{SignalSource, Subject};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use utoipa::ToSchema;

/// GPU busy ratio that raises an alarm after a minute.
pub const GPU_HOT: f64 = 0.85;

/// Coverage of a pool's load by its sources.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceCoverage {
    /// A source reports the load.
    pub reported: bool,
    /// A source that should report the load is silent.
    pub missing: bool,
}

/// GPUs of a region, ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Gpu {
    /// Time with a running kernel.
    pub busy: Option<f64>,
    /// Time with active graphics or compute engines.
    pub engine_active: Option<f64>,
}

#[derive(Clone, Debug)]
pub(super) struct Gpus {
    pub(super) at: Millis,
    pub(super) gpu: Gpu,
    /// Start of the current busy period.
    pub(super) hot_since: Option<Millis>,
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
    pub(super) gateway: String,
}

/// The last observation of a source.
#[derive(Clone, Debug)]
pub(super) struct LastSeen {
    pub(super) at: Millis,
    /// The pools whose servers it reported.
    pub(super) pools: BTreeSet<ModelName>,
}

/// Jurisdiction violations of a fallback, as counted by one gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct JurisdictionViolations {
    pub(super) answers: f64,
    /// Time of the last change of the count.
    pub(super) last: Millis,
}

/// What one gateway counts, and when the count last grew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    pub(super) count: f64,
    /// Time of the last report.
    pub(super) at: Millis,
    /// Time of the last growth of the count, if it grew.
    pub(super) last: Option<Millis>,
}

/// Observations in a region.
#[derive(Clone, Debug, Default)]
pub struct RegionState {
    /// The last report of each source.
    pub(super) seen: BTreeMap<String, LastSeen>,
    /// By model, source and engine.
    pub(super) engines: BTreeMap<(ModelName, String, String), Engine>,
    pub loads: Loads,
    pub(super) gpus: BTreeMap<String, Gpus>,
    pub(super) lag: BTreeMap<String, (Millis, f64)>,
    /// Healthy and total endpoints, by model and gateway.
    pub(super) endpoints: BTreeMap<(ModelName, String), (Millis, (u64, u64))>,
    /// Addresses of the pools' DNS names, by model and gateway.
    pub(super) names: BTreeMap<(ModelName, String), (Millis, u64)>,
    /// Windows of attempts.
    pub attempts: BTreeMap<Attempts, Window<AttemptCounts>>,
    pub(super) first_token: BTreeMap<FirstTokens, Window<Histogram>>,
    /// Windows of answered and unanswered health checks, refused certificates and failed handshakes, by peer and gateway.
    pub(super) peer_checks: BTreeMap<(RegionName, String), Window<[f64; 4]>>,
    /// By the pool's region and model, and gateway.
    pub(super) missing_models: BTreeMap<(RegionName, ModelName, String), Growth>,
    /// Refused requests, by gateway.
    pub(super) mismatches: BTreeMap<String, Growth>,
    pub(super) jurisdiction_violations: BTreeMap<(FallbackName, String), JurisdictionViolations>,
    /// Number of values rejected because there are too many series.
    pub(super) rejected: u64,
}

impl RegionState {
    /// Attempt windows of this region's gateways for a pool.
    pub fn attempts_to<'s>(
        &'s self,
        to: &RegionName,
        model: &ModelName,
    ) -> impl Iterator<Item = (&'s Attempts, &'s Window<AttemptCounts>)> {
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
        self.names.retain(|(_, gateway), _| gateway != source);
        self.attempts.retain(|of, _| of.gateway != source);
        self.first_token.retain(|of, _| of.gateway != source);
        self.peer_checks.retain(|(_, gateway), _| gateway != source);
        self.missing_models
            .retain(|(.., gateway), _| gateway != source);
        self.mismatches.remove(source);
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
        self.names.retain(|_, (at, _)| !old(*at));
        self.attempts.retain(|_, window| !old(window.at()));
        self.first_token.retain(|_, window| !old(window.at()));
        self.peer_checks.retain(|_, window| !old(window.at()));
        self.missing_models.retain(|_, missing| !old(missing.at));
        self.mismatches.retain(|_, refused| !old(refused.at));
    }

    /// The gateways that refused requests lately because parts of a configuration did not fit together.
    pub fn mismatched(&self, is_recent: impl Fn(Millis) -> bool) -> Vec<&str> {
        let refusing = self.mismatches.iter();
        refusing
            .filter(|(_, refused)| refused.last.is_some_and(&is_recent))
            .map(|(gateway, _)| gateway.as_str())
            .collect()
    }

    /// Whether this region's gateways got recent answers of a pool without its model.
    pub fn lacks_model(
        &self,
        to: &RegionName,
        model: &ModelName,
        is_recent: impl Fn(Millis) -> bool,
    ) -> bool {
        let mut missing = self.missing_models.iter();
        missing.any(|((region, of, _), missing)| {
            region == to && of == model && missing.last.is_some_and(&is_recent)
        })
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

    /// Whether a pool's servers are in use although a gateway finds no address of its name.
    pub fn name_is_gone(&self, model: &ModelName, fresh: impl Fn(Millis) -> bool) -> bool {
        self.names.iter().any(|(key, (at, addresses))| {
            let endpoints = self.endpoints.get(key);
            let in_use = endpoints.is_some_and(|(_, (_, total))| *total > 0);
            key.0 == *model && *addresses == 0 && in_use && fresh(*at)
        })
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
}
