//! Projection of steps whose effect is not visible yet: current traffic to each region, relative to the traffic that
//! produced its utilization.

use super::value::Plan;
use crate::chain::chain;
use crate::placement::PreviousShare;
use crate::signal::Millis;
use crate::state::FleetState;
use meridian_policy::chain::Member;
use meridian_policy::fleet::Fleet;
use meridian_policy::name::{ModelName, RegionName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Minimum request rate for conclusions about a pool, in requests per second.
pub const MIN_RATE: f64 = 0.5;

/// Bounds of the time over which past requests influence utilization.
const MIN_HORIZON: Duration = Duration::from_secs(5);
const MAX_HORIZON: Duration = Duration::from_secs(30);

/// The traffic for a model, as a plan distributes it.
pub struct Projection<'f, 'p> {
    pub fleet: &'f Fleet,
    pub state: &'p FleetState,
    pub plan: &'p Plan,
    pub model: &'p ModelName,
    /// Residence time of requests.
    pub residence_time: Duration,
    pub now: Millis,
}

impl<'f> Projection<'f, '_> {
    /// Growth factor of the traffic to each region, relative to the traffic when its current requests started.
    pub fn growth(&self) -> BTreeMap<&'f RegionName, f64> {
        let over = self.residence_time.clamp(MIN_HORIZON, MAX_HORIZON);
        // Current and past traffic to each region, in requests per second.
        let mut sent: BTreeMap<&RegionName, (f64, f64)> = BTreeMap::new();
        let mut send = |region: &RegionName, now: f64, then: f64| {
            if let Some((region, _)) = self.fleet.regions.get_key_value(region) {
                let (all_now, all_then) = sent.entry(region).or_default();
                *all_now += now;
                *all_then += then;
            }
        };
        for gateway in self.fleet.regions.keys() {
            let served = self
                .state
                .served(self.fleet, gateway, self.model, over, self.now);
            for (zone, rate) in served {
                let Some(first) = self.first(zone, gateway) else {
                    continue;
                };
                let Some(placement) = self.plan.placement(gateway, zone, self.model) else {
                    send(&first, rate, rate);
                    continue;
                };
                let (age, previous) = match (&placement.step, &placement.previous) {
                    (Some(step), Some(previous)) => (self.now.since(step.at), previous),
                    _ => (over, &PreviousShare::default()),
                };
                // Fraction of the current requests that started before the step.
                let old = 1.0 - age.div_duration_f64(over).min(1.0);
                let mut each = |region: &RegionName, now: f64, was: f64| {
                    let then = now + (was - now) * old;
                    send(region, rate * now / 100.0, rate * then / 100.0);
                };
                each(
                    &first,
                    f64::from(placement.home_share),
                    f64::from(previous.home_share),
                );
                let others = placement.overflow.keys().chain(previous.overflow.keys());
                for region in others.collect::<BTreeSet<_>>() {
                    each(region, placement.part(region), previous.part(region));
                }
            }
        }
        let each = sent.into_iter().filter(|(_, (_, then))| *then >= MIN_RATE);
        each.map(|(region, (now, then))| (region, now / then))
            .collect()
    }

    /// The first region of the home lane that serves. Requests skip regions that do not.
    fn first(&self, zone: &ZoneName, gateway: &RegionName) -> Option<RegionName> {
        let members = chain(self.fleet, zone, self.model, gateway);
        let mut regions = members.iter().filter_map(Member::region);
        regions
            .find(|region| self.plan.serves(region, self.model))
            .cloned()
    }
}
