//! The state of the fleet: everything that was observed lately, and what it says about a pool at a given time.
//!
//! A signal past its TTL says nothing, whatever it said. Values that cannot be are not taken, whoever sends them.

mod engine;
mod horizon;
mod load;
mod pool;
mod region;
mod sanitize;

pub use horizon::{FORGOTTEN, LATELY};
pub use pool::PoolSignals;
pub use region::{Attempts, GPU_HOT, Gpu};

use crate::chain::chain;
use crate::signal::{AttemptCounts, Millis, Observation};
use crate::window::{self, Window};
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::Fleet;
use meridian_policy::name::{FallbackName, ModelName, RegionName, ZoneName};
use region::RegionState;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an answer from outside of its fallback's jurisdiction is an alarm.
const VIOLATION_SHOWN: Duration = Duration::from_secs(3600);

/// Everything that was observed lately.
#[derive(Clone, Debug, Default)]
pub struct FleetState {
    regions: BTreeMap<RegionName, RegionState>,
    /// When the fleet became another one.
    edited: Option<Millis>,
}

impl FleetState {
    /// Takes an observation in. Later ones win; one that comes late is not looked at. Says how many of its values are not
    /// taken because the region has too many series.
    pub fn apply(&mut self, fleet: &Fleet, observation: &Observation) -> u64 {
        let Some(known) = fleet.regions.get(&observation.region) else {
            return 0;
        };
        let state = self.regions.entry(observation.region.clone()).or_default();
        let edited = self.edited.map(|edited| observation.at.since(edited));
        let anew = edited.is_some_and(|age| age <= fleet.unhealthy.signal_ttl);
        state.apply(fleet, known, observation, anew)
    }

    /// The fleet is another one from here on. What gateways have counted for ever of a region that is put back is no growth.
    pub fn edited(&mut self, now: Millis) {
        self.edited = Some(now);
    }

    /// Forgets what a gateway said that has gone: what it counted is nobody's rate any more.
    pub fn gone(&mut self, region: &RegionName, source: &str) {
        if let Some(state) = self.regions.get_mut(region) {
            state.gone(source);
        }
    }

    /// Forgets what is so old that nothing asks for it any more, and what the fleet no longer has.
    pub fn forget(&mut self, fleet: &Fleet, now: Millis) {
        self.regions
            .retain(|region, _| fleet.regions.contains_key(region));
        for (region, state) in &mut self.regions {
            if let Some(known) = fleet.regions.get(region) {
                state.forget(known, |at| now.since(at) > FORGOTTEN);
            }
        }
    }

    /// What the gateways of a region have counted of their attempts since each began: by gateway, zone, model, lane and the region that
    /// was asked.
    pub fn attempts_at(
        &self,
        region: &RegionName,
    ) -> impl Iterator<Item = (&Attempts, AttemptCounts)> {
        let own = self.regions.get(region).into_iter();
        let all = own.flat_map(|state| &state.attempts);
        all.map(|(attempts, window)| {
            let [answered, overloaded, failed] = *window.counted();
            let counts = AttemptCounts {
                answered,
                overloaded,
                failed,
            };
            (attempts, counts)
        })
    }

    /// Requests per second that are for a region's pool first, by the callers' gateway and zone. What other regions could not serve is
    /// not among them.
    pub fn demand<'s>(
        &'s self,
        fleet: &Fleet,
        region: &RegionName,
        model: &ModelName,
        now: Millis,
    ) -> BTreeMap<(&'s RegionName, &'s ZoneName), f64> {
        let mut demand = BTreeMap::new();
        for (gateway, state) in &self.regions {
            for (attempts, window) in state.attempts_to(region, model) {
                if attempts.lane == Lane::Home
                    && now.since(window.at()) <= fleet.unhealthy.signal_ttl
                    && let Some(rate) = per_second(window)
                {
                    *demand.entry((gateway, &attempts.zone)).or_default() += rate;
                }
            }
        }
        demand.retain(|(gateway, zone), _| {
            let members = chain(fleet, zone, model, gateway);
            members.first().and_then(Member::region) == Some(region)
        });
        demand
    }

    /// Requests per second of a gateway's callers that any region has answered, by zone, over so much time at least.
    pub fn served<'s>(
        &'s self,
        fleet: &Fleet,
        gateway: &RegionName,
        model: &ModelName,
        over: Duration,
        now: Millis,
    ) -> BTreeMap<&'s ZoneName, f64> {
        let mut served = BTreeMap::new();
        let own = self.regions.get(gateway);
        for (attempts, window) in own.into_iter().flat_map(|state| &state.attempts) {
            let fresh = now.since(window.at()) <= fleet.unhealthy.signal_ttl;
            // Where batch goes no share says.
            if attempts.model == *model && attempts.lane != Lane::Batch && fresh {
                *served.entry(&attempts.zone).or_default() +=
                    window::rate(window, over, |[answered, ..]| *answered);
            }
        }
        served
    }

    /// Requests per second that a region's pool is asked for by all gateways, by zone, without batch.
    pub fn asked<'s>(
        &'s self,
        fleet: &Fleet,
        region: &RegionName,
        model: &ModelName,
        now: Millis,
    ) -> BTreeMap<&'s ZoneName, f64> {
        let mut asked = BTreeMap::new();
        let all = self.regions.values();
        for (attempts, window) in all.flat_map(|state| state.attempts_to(region, model)) {
            let fresh = now.since(window.at()) <= fleet.unhealthy.signal_ttl;
            if attempts.lane != Lane::Batch && fresh {
                *asked.entry(&attempts.zone).or_default() += per_second(window).unwrap_or(0.0);
            }
        }
        asked
    }

    /// Batch requests per second that a region's pool is asked for, by all gateways.
    pub fn batch(&self, fleet: &Fleet, region: &RegionName, model: &ModelName, now: Millis) -> f64 {
        let all = self.regions.values();
        let its = all.flat_map(|state| state.attempts_to(region, model));
        let its = its.filter(|(attempts, window)| {
            attempts.lane == Lane::Batch && now.since(window.at()) <= fleet.unhealthy.signal_ttl
        });
        its.filter_map(|(_, window)| per_second(window)).sum()
    }

    /// Seconds that a region's data is behind.
    pub fn lag(&self, fleet: &Fleet, region: &RegionName, now: Millis) -> Option<f64> {
        let fresh = |at| now.since(at) <= fleet.unhealthy.signal_ttl;
        self.regions.get(region)?.lag(fresh)
    }

    /// Fallbacks whose answers to a region's gateway have been outside of their jurisdiction in the last hour, and how many were.
    pub fn jurisdiction_violations(
        &self,
        region: &RegionName,
        now: Millis,
    ) -> BTreeMap<&FallbackName, f64> {
        let state = self.regions.get(region);
        let lately = |at| now.since(at) <= VIOLATION_SHOWN;
        state.map_or_else(BTreeMap::new, |state| {
            state.jurisdiction_violations_of(lately)
        })
    }

    /// Whether a region's GPUs have been busy for a minute on end.
    pub fn gpu_is_hot(&self, fleet: &Fleet, region: &RegionName, now: Millis) -> bool {
        let state = self.regions.get(region);
        state.is_some_and(|state| {
            state.gpu_is_hot(|at| now.since(at) <= fleet.unhealthy.signal_ttl, now)
        })
    }
}

/// Attempts per second, of all outcomes; `None` of a window that has just begun.
fn per_second(window: &Window<[f64; 3]>) -> Option<f64> {
    let seconds = window.length().as_secs_f64();
    (seconds > 0.0).then(|| window.growth().iter().sum::<f64>() / seconds)
}
