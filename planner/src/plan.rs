//! The plan: where every gateway sends every (zone, model) first, and how each pool is.
//!
//! A plan is a value: it can be stored, sent and compared, and the same fleet, observations and time give the same plan.
//! It holds what the next plan must know of this one, and nothing that changes without a decision.

mod ahead;
mod alarm;
pub(crate) mod known;
mod room;

pub use alarm::{Alarm, AlarmKind, GPU_HOT, alarms};

use crate::chain::chain;
use crate::freshness::Freshness;
use crate::gate::Gate;
use crate::health::Health;
use crate::placement::{First, Placement};
use crate::signal::Millis;
use crate::state::FleetState;
use known::Known;
use meridian_policy::chain::Member;
use meridian_policy::fleet::{Fleet, Order};
use meridian_policy::name::{ModelName, RegionName, ZoneName};
use room::{Choice, share_room};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The zones and models of one gateway.
pub type Placements = BTreeMap<ZoneName, BTreeMap<ModelName, Placement>>;

/// Where requests go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How the pools are, by region.
    pub pools: BTreeMap<RegionName, BTreeMap<ModelName, Health>>,
    /// What each gateway does with its callers' requests, where it has a choice between regions.
    pub gateways: BTreeMap<RegionName, Placements>,
    /// How much of what batch brings each pool takes; all of it where nothing is said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub batch: BTreeMap<RegionName, BTreeMap<ModelName, Gate>>,
    /// Whose data is too far behind, and whose database serves instead.
    #[serde(default)]
    pub freshness: Freshness,
}

impl Plan {
    fn place(
        &mut self,
        gateway: &RegionName,
        zone: &ZoneName,
        model: &ModelName,
        placement: Placement,
    ) {
        let zones = self.gateways.entry(gateway.clone()).or_default();
        let models = zones.entry(zone.clone()).or_default();
        models.insert(model.clone(), placement);
    }

    /// What a gateway does with the requests of a (zone, model), if it has a choice.
    pub fn placement(
        &self,
        gateway: &RegionName,
        zone: &ZoneName,
        model: &ModelName,
    ) -> Option<&Placement> {
        self.gateways.get(gateway)?.get(zone)?.get(model)
    }

    /// How much of what batch brings a region's pool takes, in percent.
    pub fn batch_gate(&self, region: &RegionName, model: &ModelName) -> u8 {
        if !self.serves(region, model) {
            return 0;
        }
        let gates = self.batch.get(region);
        let gate = gates.and_then(|gates| gates.get(model));
        gate.map_or(100, |gate| gate.open.min(100))
    }

    /// Whether a region's pool serves nobody, so that no other region sends anything there.
    pub fn is_down(&self, region: &RegionName, model: &ModelName) -> bool {
        self.health(region, model).is_some_and(|health| health.down)
    }

    /// Whether a region's pool serves, as far as is known.
    pub fn serves(&self, region: &RegionName, model: &ModelName) -> bool {
        self.health(region, model).is_none_or(Health::serves)
    }

    fn health(&self, region: &RegionName, model: &ModelName) -> Option<&Health> {
        self.pools.get(region)?.get(model)
    }
}

/// The regions of a (zone, model) at a gateway in their order: the first, and the others. `None` where there is no
/// choice between regions.
pub fn regions_of(
    fleet: &Fleet,
    zone: &ZoneName,
    model: &ModelName,
    gateway: &RegionName,
) -> Option<(RegionName, Vec<RegionName>)> {
    let members = chain(fleet, zone, model, gateway);
    let mut regions = members.iter().filter_map(Member::region).cloned();
    let first = regions.next()?;
    let others: Vec<RegionName> = regions.collect();
    (!others.is_empty()).then_some((first, others))
}

/// What is left of a plan in a fleet that may be another since: for a beginning at which nothing is observed yet. What the
/// plan does not have, or has for regions that are not there any more, stays at home.
pub fn carried_over(fleet: &Fleet, prev: &Plan) -> Plan {
    let mut next = Plan {
        freshness: prev.freshness.carried_over(fleet),
        ..Plan::default()
    };
    for (name, region) in &fleet.regions {
        for model in region.pools.keys() {
            let health = prev.pools.get(name).and_then(|pools| pools.get(model));
            let pools = next.pools.entry(name.clone()).or_default();
            pools.insert(model.clone(), health.cloned().unwrap_or_default());
        }
    }
    for (region, gates) in &prev.batch {
        let pools = fleet.regions.get(region).map(|region| &region.pools);
        let is_there = |model: &ModelName| pools.is_some_and(|pools| pools.contains_key(model));
        let kept = gates.iter().filter(|(model, _)| is_there(model));
        let kept: BTreeMap<_, _> = kept.map(|(model, gate)| (model.clone(), *gate)).collect();
        if !kept.is_empty() {
            next.batch.insert(region.clone(), kept);
        }
    }
    each_choice(fleet, |gateway, zone, model, (_, others)| {
        let before = prev.placement(gateway, zone, model);
        let fits = |placement: &&Placement| {
            let mut regions = placement.overflow.keys();
            regions.all(|region| others.contains(region))
        };
        let placement = before.filter(fits).cloned();
        next.place(
            gateway,
            zone,
            model,
            placement.unwrap_or_else(Placement::home),
        );
    });
    next
}

/// Calls back for every (gateway, zone, model) that has a choice between regions: the first, and the others.
fn each_choice(
    fleet: &Fleet,
    mut call: impl FnMut(&RegionName, &ZoneName, &ModelName, (RegionName, Vec<RegionName>)),
) {
    for gateway in fleet.regions.keys() {
        for zone in fleet.zones.keys() {
            for model in fleet.models() {
                if let Some(regions) = regions_of(fleet, zone, model, gateway) {
                    call(gateway, zone, model, regions);
                }
            }
        }
    }
}

/// The plan that follows `prev`, by what was observed until `now`.
pub fn plan(fleet: &Fleet, state: &FleetState, prev: &Plan, now: Millis) -> Plan {
    let known = Known::of(fleet, state, prev, now);
    let mut next = Plan {
        pools: known.health(),
        gateways: BTreeMap::new(),
        batch: known.gates(prev),
        freshness: prev
            .freshness
            .next(fleet, |region| state.lag(fleet, region, now)),
    };
    let mut choices: BTreeMap<ModelName, Vec<Choice>> = BTreeMap::new();
    each_choice(fleet, |gateway, zone, model, (first, others)| {
        if let Some(Order::Weighted(weights)) = fleet.zones.get(zone).map(|zone| &zone.order) {
            let of_first = known.first(&first, &others, model);
            let others = known.others(zone, (&first, &of_first), &others, model);
            let placement = Placement::fixed(weights, (&first, &of_first), &others);
            next.place(gateway, zone, model, placement);
            return;
        }
        let before = prev.placement(gateway, zone, model).cloned();
        let of_first = known.first(&first, &others, model);
        let others = known.others(zone, (&first, &of_first), &others, model);
        let choice = Choice {
            gateway: gateway.clone(),
            zone: zone.clone(),
            before: before.unwrap_or_else(Placement::home),
            size: known.size(&first, model),
            first: First {
                // What a closed gate still has are others' retries.
                batch: of_first.batch && next.batch_gate(&first, model) > 0,
                own: known.own(&first, model, gateway, zone),
                ..of_first
            },
            ways: known.ways(gateway, &others),
            others,
        };
        choices.entry(model.clone()).or_default().push(choice);
    });
    for (model, mut choices) in choices {
        share_room(&fleet.overflow, &mut choices, now);
        for choice in choices {
            let placement = choice
                .before
                .next(&fleet.overflow, &choice.first, &choice.others, now);
            next.place(&choice.gateway, &choice.zone, &model, placement);
        }
    }
    next
}
