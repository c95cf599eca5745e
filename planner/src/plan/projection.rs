//! Projection of steps whose effect is not visible yet: current traffic to each region, relative to the traffic that
//! produced its utilization.

use super::value::Plan;
use crate::placement::PreviousShare;
use crate::signal::Millis;
use crate::state::FleetState;
use crate::topology::Topology;
use meridian_policy::chain::Member;
use meridian_policy::name::{ModelName, RegionName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Minimum request rate for conclusions about a pool, in requests per second.
pub const MIN_RATE: f64 = 0.5;

/// Bounds of the time over which past requests influence utilization.
const MIN_HORIZON: Duration = Duration::from_secs(5);
const MAX_HORIZON: Duration = Duration::from_secs(30);

/// The traffic of all gateways, as a plan distributes it.
pub struct Projection<'f, 'p> {
    pub topology: &'f Topology,
    pub state: &'p FleetState,
    pub plan: &'p Plan,
    /// Residence time of the requests of each model.
    pub residence_times: BTreeMap<&'f ModelName, Duration>,
    pub now: Millis,
}

impl<'f> Projection<'f, '_> {
    /// Growth factor of the traffic to each pool, relative to the traffic when its current requests started.
    pub fn growth(&self) -> BTreeMap<(&'f RegionName, &'f ModelName), f64> {
        let over = |model: &ModelName| {
            let residence_time = self.residence_times.get(model).copied();
            residence_time
                .unwrap_or_default()
                .clamp(MIN_HORIZON, MAX_HORIZON)
        };
        // Current and past traffic to each pool, in requests per second.
        let mut sent: BTreeMap<(&RegionName, &ModelName), (f64, f64)> = BTreeMap::new();
        let mut send = |region: &RegionName, model: &'f ModelName, now: f64, then: f64| {
            if let Some((region, _)) = self.topology.regions.get_key_value(region) {
                let (all_now, all_then) = sent.entry((region, model)).or_default();
                *all_now += now;
                *all_then += then;
            }
        };
        for gateway in self.topology.regions.keys() {
            let served = self.state.served(self.topology, gateway, over, self.now);
            for ((model, zone), rate) in served {
                let Some((model, _)) = self.residence_times.get_key_value(model) else {
                    continue;
                };
                let Some(first) = self.first(zone, model, gateway) else {
                    continue;
                };
                let Some(placement) = self.plan.placement(gateway, zone, model) else {
                    send(first, model, rate, rate);
                    continue;
                };
                let over = over(model);
                let (age, previous) = match (&placement.step, &placement.previous) {
                    (Some(step), Some(previous)) => (self.now.since(step.at), previous),
                    _ => (over, &PreviousShare::default()),
                };
                // Fraction of the current requests that started before the step.
                let old = 1.0 - age.div_duration_f64(over).min(1.0);
                let mut each = |region: &RegionName, now: f64, was: f64| {
                    let then = now + (was - now) * old;
                    send(region, model, rate * now / 100.0, rate * then / 100.0);
                };
                each(
                    first,
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
        each.map(|(pool, (now, then))| (pool, now / then)).collect()
    }

    /// The first region of the home lane that serves. Requests skip regions that do not.
    fn first(
        &self,
        zone: &ZoneName,
        model: &ModelName,
        gateway: &RegionName,
    ) -> Option<&'f RegionName> {
        let members = self.topology.chain(zone, model, gateway);
        let mut regions = members.iter().filter_map(Member::region);
        regions.find(|region| self.plan.serves(region, model))
    }
}
