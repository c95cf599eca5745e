//! The plan: where every gateway sends every (zone, model) first, and how each pool is.
//!
//! A plan is a value: it can be stored, sent and compared, and the same fleet, observations and time give the same plan.
//! It holds what the next plan must know of this one, and nothing that changes without a decision.

use crate::chain::{Member, chain};
use crate::fleet::Fleet;
use crate::health::Health;
use crate::name::{ModelName, RegionName, ZoneName};
use crate::placement::{First, Other, Placement};
use crate::signal::Millis;
use crate::source::Subject;
use crate::state::{FleetState, PoolSignals};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a region can take at most while nobody knows how loaded it is, in utilization.
const UNKNOWN_ROOM: f64 = 0.10;

/// The room of a region that is sick.
const SICK: f64 = -1.0;

/// The zones and models of one gateway.
pub type Placements = BTreeMap<ZoneName, BTreeMap<ModelName, Placement>>;

/// Where requests go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How the pools are, by region.
    pub pools: BTreeMap<RegionName, BTreeMap<ModelName, Health>>,
    /// What each gateway does with its callers' requests, where it has a choice between regions.
    pub gateways: BTreeMap<RegionName, Placements>,
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

    /// Whether a region's pool serves nobody, so that no other region sends anything there.
    pub fn is_down(&self, region: &RegionName, model: &ModelName) -> bool {
        let pools = self.pools.get(region);
        pools
            .and_then(|pools| pools.get(model))
            .is_some_and(|health| health.down)
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
    let mut regions = chain(fleet, zone, model, gateway)
        .into_iter()
        .filter_map(|member| match member {
            Member::Pool(region) | Member::Peer(region) => Some(region),
            Member::Fallback(_) => None,
        });
    let first = regions.next()?;
    let others: Vec<RegionName> = regions.collect();
    (!others.is_empty()).then_some((first, others))
}

/// What is left of a plan in a fleet that may be another since: for a beginning at which nothing is observed yet. What the
/// plan does not have, or has for regions that are not there any more, stays at home.
pub fn carried_over(fleet: &Fleet, prev: &Plan) -> Plan {
    let mut next = Plan::default();
    for (name, region) in &fleet.regions {
        for model in region.pools.keys() {
            let health = prev.pools.get(name).and_then(|pools| pools.get(model));
            let pools = next.pools.entry(name.clone()).or_default();
            pools.insert(model.clone(), health.cloned().unwrap_or_default());
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
    };
    each_choice(fleet, |gateway, zone, model, (first, others)| {
        let before = prev.placement(gateway, zone, model).cloned();
        let placement = before.unwrap_or_else(Placement::home).next(
            &fleet.overflow,
            &known.first(&first, &others, model),
            &known.others(&others, model),
            now,
        );
        next.place(gateway, zone, model, placement);
    });
    next
}

/// The part of a pool's own callers that belongs to zones with another region to go to.
pub(crate) fn sheddable(
    fleet: &Fleet,
    state: &FleetState,
    region: &RegionName,
    model: &ModelName,
    now: Millis,
) -> f64 {
    let demand = state.demand(fleet, region, model, now);
    let all: f64 = demand.values().sum();
    if all <= 0.0 {
        return 1.0;
    }
    let movable = demand
        .iter()
        .filter(|(zone, _)| regions_of(fleet, zone, model, region).is_some());
    movable.map(|(_, rate)| rate).sum::<f64>() / all
}

/// Every pool as it is now.
struct Known<'p> {
    fleet: &'p Fleet,
    state: &'p FleetState,
    now: Millis,
    pools: BTreeMap<(&'p RegionName, &'p ModelName), (PoolSignals, Health)>,
    /// How many regions shed each model: they share the room of the others.
    shedding: BTreeMap<&'p ModelName, usize>,
}

impl<'p> Known<'p> {
    fn of(fleet: &'p Fleet, state: &'p FleetState, prev: &Plan, now: Millis) -> Self {
        let mut pools = BTreeMap::new();
        let mut shedding: BTreeMap<&ModelName, usize> = BTreeMap::new();
        for (name, region) in &fleet.regions {
            for model in region.pools.keys() {
                let signals = state.pool(fleet, name, model, now);
                let before = prev.pools.get(name).and_then(|pools| pools.get(model));
                let health = Health::of(fleet, &signals, before.unwrap_or(&Health::default()));
                let over = signals
                    .utilization
                    .is_some_and(|utilization| utilization.now > fleet.overflow.above);
                if over || health.sheds() {
                    *shedding.entry(model).or_default() += 1;
                }
                pools.insert((name, model), (signals, health));
            }
        }
        Self {
            fleet,
            state,
            now,
            pools,
            shedding,
        }
    }

    fn health(&self) -> BTreeMap<RegionName, BTreeMap<ModelName, Health>> {
        let mut health: BTreeMap<RegionName, BTreeMap<ModelName, Health>> = BTreeMap::new();
        for ((region, model), (_, of)) in &self.pools {
            health
                .entry((*region).clone())
                .or_default()
                .insert((*model).clone(), of.clone());
        }
        health
    }

    fn first(&self, region: &RegionName, others: &[RegionName], model: &ModelName) -> First {
        let nothing = (PoolSignals::default(), Health::default());
        let (signals, health) = self.pools.get(&(region, model)).unwrap_or(&nothing);
        First {
            utilization: signals.utilization,
            unhealthy: health
                .sheds_for()
                .filter_map(|reason| signals.signs.get(&reason))
                .max()
                .copied()
                .or(health.sheds().then_some(Millis(0))),
            queues: signals.waiting.is_some_and(|waiting| waiting > 0.0),
            silent: signals.stale || signals.partial,
            sheddable: sheddable(self.fleet, self.state, region, model, self.now),
            every: others
                .iter()
                .chain([region])
                .filter_map(|region| self.fleet.regions.get(region))
                .flat_map(|region| &region.signals)
                .filter(|source| source.subject() != Subject::Store)
                .map(|source| source.every)
                .max()
                .unwrap_or(Duration::ZERO),
        }
    }

    fn others(&self, regions: &[RegionName], model: &ModelName) -> Vec<Other> {
        let sharing = self.shedding.get(model).copied().unwrap_or_default().max(1) as f64;
        let other = |region: &RegionName| {
            let (signals, health) = self.pools.get(&(region, model))?;
            let room = if health.takes_more() {
                self.room(region, signals)
            } else {
                SICK
            };
            Some(Other {
                region: region.clone(),
                open: !health.down,
                room: room / sharing,
                measured: signals.utilization.is_some(),
                silent: signals.stale,
            })
        };
        regions.iter().filter_map(other).collect()
    }

    /// What a pool can take more before it would have to shed itself, in utilization; below nothing if it has to.
    fn room(&self, region: &RegionName, signals: &PoolSignals) -> f64 {
        let limits = &self.fleet.overflow;
        let target = limits.target();
        match signals.utilization {
            Some(utilization) if utilization.now > limits.above => target - utilization.now,
            Some(utilization) => (target - utilization.peak).max(0.0),
            None if signals.stale => UNKNOWN_ROOM,
            None if self
                .fleet
                .regions
                .get(region)
                .is_some_and(|region| region.signals.is_empty()) =>
            {
                target
            }
            // It has sources, of other things than its load.
            None => UNKNOWN_ROOM,
        }
    }
}

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Alarm {
    /// The region.
    pub region: RegionName,
    /// What is wrong.
    pub message: String,
}

/// What a person should look at now.
pub fn alarms(fleet: &Fleet, state: &FleetState, plan: &Plan, now: Millis) -> Vec<Alarm> {
    let mut alarms = BTreeSet::new();
    for (name, region) in &fleet.regions {
        for model in region.pools.keys() {
            let mut alarm = |message: String| {
                alarms.insert(Alarm {
                    region: name.clone(),
                    message,
                });
            };
            if state.gpu_is_hot(fleet, name, now) {
                alarm(format!("GPUs busy above {GPU_HOT} for a minute"));
            }
            for reason in plan
                .pools
                .get(name)
                .and_then(|pools| pools.get(model))
                .into_iter()
                .flat_map(|health| &health.reasons)
            {
                alarm(format!("{model}: {reason}"));
            }
            if state.pool(fleet, name, model, now).partial {
                alarm(format!(
                    "{model}: some of its sources are silent; it takes nobody back"
                ));
            }
        }
    }
    for region in fleet.regions.keys() {
        for (fallback, answers) in state.misplaced(region, now) {
            alarms.insert(Alarm {
                region: region.clone(),
                message: format!(
                    "the fallback {fallback} says that it made {answers} answers outside of its jurisdiction; see the gateway's \
                     log, and take it from the zones that it may not serve"
                ),
            });
        }
    }
    each_choice(fleet, |gateway, zone, model, (first, _)| {
        let placement = plan.placement(gateway, zone, model);
        if placement.is_some_and(|placement| placement.without_effect) {
            alarms.insert(Alarm {
                region: first,
                message: format!(
                    "{model}: shedding at {gateway} does not lower its utilization; it goes no further"
                ),
            });
        }
    });
    alarms.into_iter().collect()
}

/// GPUs that are busier than this for a minute are worth a look.
pub const GPU_HOT: f64 = 0.85;
