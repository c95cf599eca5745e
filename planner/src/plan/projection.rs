//! What the last steps will do that is not seen yet: what the plan sends to regions now, over what it sent there while they got as
//! full as they are.

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

/// Fewer requests per second say nothing about a pool.
pub const LEAST_RATE: f64 = 0.5;

/// How far back a region's utilization remembers what came.
const LEAST: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(30);

/// The requests for a model, as a plan sends them.
pub struct Projection<'f, 'p> {
    pub fleet: &'f Fleet,
    pub state: &'p FleetState,
    pub plan: &'p Plan,
    pub model: &'p ModelName,
    /// How long requests stay.
    pub residence_time: Duration,
    pub now: Millis,
}

impl<'f> Projection<'f, '_> {
    /// By which factor what comes to each region grows, against what came while its requests began.
    pub fn growth(&self) -> BTreeMap<&'f RegionName, f64> {
        let over = self.residence_time.clamp(LEAST, MOST);
        // What comes now, and what came.
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
                let (age, was) = match (&placement.step, &placement.was) {
                    (Some(step), Some(was)) => (self.now.since(step.at), was),
                    _ => (over, &PreviousShare::default()),
                };
                // While some of what came before the step is still there.
                let old = 1.0 - age.div_duration_f64(over).min(1.0);
                let mut each = |region: &RegionName, now: f64, was: f64| {
                    let then = now + (was - now) * old;
                    send(region, rate * now / 100.0, rate * then / 100.0);
                };
                each(
                    &first,
                    f64::from(placement.home_share),
                    f64::from(was.home_share),
                );
                let others = placement.overflow.keys().chain(was.overflow.keys());
                for region in others.collect::<BTreeSet<_>>() {
                    each(region, placement.part(region), was.part(region));
                }
            }
        }
        let each = sent
            .into_iter()
            .filter(|(_, (_, then))| *then >= LEAST_RATE);
        each.map(|(region, (now, then))| (region, now / then))
            .collect()
    }

    /// Who is asked first on the home lane: past a region that serves nobody, the chain goes on.
    fn first(&self, zone: &ZoneName, gateway: &RegionName) -> Option<RegionName> {
        let members = chain(self.fleet, zone, self.model, gateway);
        let mut regions = members.iter().filter_map(Member::region);
        regions
            .find(|region| self.plan.serves(region, self.model))
            .cloned()
    }
}
