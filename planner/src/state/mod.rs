//! State of the fleet: recent observations, and the signals of a pool at a given time.
//!
//! A signal past its TTL is unknown. Impossible values are rejected, whatever their source.

mod apply;
mod engine;
mod horizon;
mod load;
mod peers;
mod pool;
mod region;
mod sanitize;

pub use horizon::{RECENT, RETENTION};
pub use pool::PoolSignals;
pub use region::{Attempts, GPU_HOT, Gpu};

use crate::signal::{AttemptCounts, Millis, Observation, Reading};
use crate::topology::Topology;
use crate::window::{self, Window};
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::Fleet;
use meridian_policy::name::{FallbackName, ModelName, RegionName, ZoneName};
use region::RegionState;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Time for which a jurisdiction violation raises an alarm.
const VIOLATION_ALARM_TIME: Duration = Duration::from_secs(3600);

/// Time for which an answer of a pool without its model raises an alarm: while such a pool is out, it is asked every few seconds.
const MISSING_MODEL_ALARM_TIME: Duration = Duration::from_secs(300);

/// How long an alarm on refused requests stays after the last one.
const MISMATCH_ALARM_TIME: Duration = Duration::from_secs(60);

/// All recent observations.
#[derive(Clone, Debug, Default)]
pub struct FleetState {
    regions: BTreeMap<RegionName, RegionState>,
    /// By region and model of a pool: the regions whose gateways have counted attempts there.
    senders: BTreeMap<RegionName, BTreeMap<ModelName, BTreeSet<RegionName>>>,
    /// Time of the last edit of the fleet.
    edited: Option<Millis>,
}

impl FleetState {
    /// Applies an observation. A late one does not replace a newer one. Returns the number of values rejected because
    /// the region has too many series.
    pub fn apply(&mut self, fleet: &Fleet, observation: &Observation) -> u64 {
        let Some(known) = fleet.regions.get(&observation.region) else {
            return 0;
        };
        for reading in &observation.readings {
            if let Reading::Attempts { model, to, .. } | Reading::FirstToken { model, to, .. } =
                reading
            {
                self.note_sender(to, model, &observation.region);
            }
        }
        let state = self.regions.entry(observation.region.clone()).or_default();
        let edited = self.edited.map(|edited| observation.at.since(edited));
        let after_edit = edited.is_some_and(|age| age <= fleet.unhealthy.signal_ttl);
        state.apply(fleet, known, observation, after_edit)
    }

    fn note_sender(&mut self, to: &RegionName, model: &ModelName, sender: &RegionName) {
        let known = self.senders.get(to).and_then(|models| models.get(model));
        if !known.is_some_and(|known| known.contains(sender)) {
            let models = self.senders.entry(to.clone()).or_default();
            let senders = models.entry(model.clone()).or_default();
            senders.insert(sender.clone());
        }
    }

    /// The regions whose gateways may have sent requests to a pool, with their state.
    fn senders(
        &self,
        to: &RegionName,
        model: &ModelName,
    ) -> impl Iterator<Item = (&RegionName, &RegionState)> {
        let senders = self.senders.get(to).and_then(|models| models.get(model));
        let senders = senders.into_iter().flatten();
        senders.filter_map(|sender| self.regions.get_key_value(sender))
    }

    /// Records an edit of the fleet. Old counters of a region that returns are not growth.
    pub fn edited(&mut self, now: Millis) {
        self.edited = Some(now);
    }

    /// Drops the reports of a gateway that has gone, so that its counters no longer contribute to rates.
    pub fn gone(&mut self, region: &RegionName, source: &str) {
        if let Some(state) = self.regions.get_mut(region) {
            state.gone(source);
        }
    }

    /// Drops expired observations, and regions that the fleet no longer has.
    pub fn forget(&mut self, fleet: &Fleet, now: Millis) {
        self.regions
            .retain(|region, _| fleet.regions.contains_key(region));
        self.senders
            .retain(|region, _| fleet.regions.contains_key(region));
        for (region, state) in &mut self.regions {
            if let Some(known) = fleet.regions.get(region) {
                state.forget(known, |at| now.since(at) > RETENTION);
            }
        }
    }

    /// Attempts that a region's gateways have counted since they started, by gateway, zone, model, lane and target
    /// region.
    pub fn attempts_at(
        &self,
        region: &RegionName,
    ) -> impl Iterator<Item = (&Attempts, AttemptCounts)> {
        let state = self.regions.get(region).into_iter();
        let all = state.flat_map(|state| &state.attempts);
        all.map(|(attempts, window)| (attempts, *window.counted()))
    }

    /// Requests per second with a region's pool as the first one, by gateway region and zone. Retries from other
    /// regions are excluded.
    pub fn demand<'s>(
        &'s self,
        topology: &Topology,
        region: &RegionName,
        model: &ModelName,
        now: Millis,
    ) -> BTreeMap<(&'s RegionName, &'s ZoneName), f64> {
        let mut demand = BTreeMap::new();
        for (gateway, state) in self.senders(region, model) {
            for (attempts, window) in state.attempts_to(region, model) {
                if attempts.lane == Lane::Home
                    && now.since(window.at()) <= topology.unhealthy.signal_ttl
                    && let Some(rate) = per_second(window)
                {
                    *demand.entry((gateway, &attempts.zone)).or_default() += rate;
                }
            }
        }
        demand.retain(|(gateway, zone), _| {
            let members = topology.chain(zone, model, gateway);
            members.first().and_then(Member::region) == Some(region)
        });
        demand
    }

    /// Requests per second at a gateway that any region answered, by model and zone. `over`: the time for each model, at least.
    pub fn served<'s>(
        &'s self,
        fleet: &Fleet,
        gateway: &RegionName,
        over: impl Fn(&ModelName) -> Duration,
        now: Millis,
    ) -> BTreeMap<(&'s ModelName, &'s ZoneName), f64> {
        let mut served = BTreeMap::new();
        let state = self.regions.get(gateway);
        for (attempts, window) in state.into_iter().flat_map(|state| &state.attempts) {
            let fresh = now.since(window.at()) <= fleet.unhealthy.signal_ttl;
            // Home shares do not apply to batch.
            if attempts.lane != Lane::Batch && fresh {
                let rate = window::rate(window, over(&attempts.model), |counts| counts.answered);
                *served.entry((&attempts.model, &attempts.zone)).or_default() += rate;
            }
        }
        served
    }

    /// Requests per second to a region's pool from all gateways, by zone, without batch.
    pub fn rates_by_zone<'s>(
        &'s self,
        fleet: &Fleet,
        region: &RegionName,
        model: &ModelName,
        now: Millis,
    ) -> BTreeMap<&'s ZoneName, f64> {
        let mut rates = BTreeMap::new();
        let senders = self.senders(region, model);
        let all = senders.flat_map(|(_, state)| state.attempts_to(region, model));
        for (attempts, window) in all {
            let fresh = now.since(window.at()) <= fleet.unhealthy.signal_ttl;
            if attempts.lane != Lane::Batch && fresh {
                *rates.entry(&attempts.zone).or_default() += per_second(window).unwrap_or(0.0);
            }
        }
        rates
    }

    /// Batch requests per second to a region's pool from all gateways.
    pub fn batch_rate(
        &self,
        fleet: &Fleet,
        region: &RegionName,
        model: &ModelName,
        now: Millis,
    ) -> f64 {
        let senders = self.senders(region, model);
        let windows = senders.flat_map(|(_, state)| state.attempts_to(region, model));
        let windows = windows.filter(|(attempts, window)| {
            attempts.lane == Lane::Batch && now.since(window.at()) <= fleet.unhealthy.signal_ttl
        });
        windows.filter_map(|(_, window)| per_second(window)).sum()
    }

    /// Replication lag of a region, in seconds.
    pub fn lag(&self, fleet: &Fleet, region: &RegionName, now: Millis) -> Option<f64> {
        let fresh = |at| now.since(at) <= fleet.unhealthy.signal_ttl;
        self.regions.get(region)?.lag(fresh)
    }

    /// Fallbacks with jurisdiction violations at a region's gateways within the last hour, and their number.
    pub fn jurisdiction_violations(
        &self,
        region: &RegionName,
        now: Millis,
    ) -> BTreeMap<&FallbackName, f64> {
        let state = self.regions.get(region);
        let is_recent = |at| now.since(at) <= VIOLATION_ALARM_TIME;
        state.map_or_else(BTreeMap::new, |state| {
            state.jurisdiction_violations_of(is_recent)
        })
    }

    /// Whether servers of a pool say that they do not have its model, to any gateway.
    pub fn lacks_model(&self, region: &RegionName, model: &ModelName, now: Millis) -> bool {
        let is_recent = |at| now.since(at) <= MISSING_MODEL_ALARM_TIME;
        let mut gateways = self.regions.values();
        gateways.any(|gateways| gateways.lacks_model(region, model, is_recent))
    }

    /// The gateways of a region that refused requests lately because parts of a configuration did not fit together.
    pub fn mismatched(&self, region: &RegionName, now: Millis) -> Vec<&str> {
        let is_recent = |at| now.since(at) <= MISMATCH_ALARM_TIME;
        let state = self.regions.get(region);
        state.map_or_else(Vec::new, |state| state.mismatched(is_recent))
    }

    /// Whether a pool's servers are in use although its DNS name has no address any more.
    pub fn name_is_gone(
        &self,
        fleet: &Fleet,
        region: &RegionName,
        model: &ModelName,
        now: Millis,
    ) -> bool {
        let fresh = |at| now.since(at) <= fleet.unhealthy.signal_ttl;
        let state = self.regions.get(region);
        state.is_some_and(|state| state.name_is_gone(model, fresh))
    }

    /// Whether a region's GPUs have been busy for a minute without a break.
    pub fn gpu_is_hot(&self, fleet: &Fleet, region: &RegionName, now: Millis) -> bool {
        let state = self.regions.get(region);
        state.is_some_and(|state| {
            state.gpu_is_hot(|at| now.since(at) <= fleet.unhealthy.signal_ttl, now)
        })
    }
}

/// Attempts per second of all outcomes; `None` for a window with a single sample.
fn per_second(window: &Window<AttemptCounts>) -> Option<f64> {
    let seconds = window.length().as_secs_f64();
    (seconds > 0.0).then(|| window.growth().all() / seconds)
}
