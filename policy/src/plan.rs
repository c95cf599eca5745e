//! The plan: where every gateway sends every (zone, model) first, and how each pool is.
//!
//! A plan is a value: it can be stored, sent and compared, and the same fleet, observations and time give the same plan.
//! It holds what the next plan must know of this one, and nothing that changes without a decision.

use crate::chain::{Member, chain};
use crate::fleet::{Fleet, Overflow};
use crate::flow::{Want, allot};
use crate::freshness::Freshness;
use crate::health::{Health, Reason};
use crate::name::{ModelName, RegionName, ZoneName};
use crate::placement::{First, Other, Placement};
use crate::signal::Millis;
use crate::state::{FleetState, PoolSignals};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a region can take at most while nobody knows how loaded it is, in utilization.
const UNKNOWN_ROOM: f64 = 0.10;

/// Of a pool with less utilization, or fewer requests per second, it is not known how many it can take.
const LEAST_UTILIZATION: f64 = 0.05;
const LEAST_RATE: f64 = 0.5;

/// By how many percent utilization grows with each percent of requests more. Where an engine is far from empty it grows much
/// faster than what comes, for a fuller batch makes every request stay longer; where nobody counts what comes, nothing of it is seen.
const ELASTICITY: f64 = 2.5;

/// What an unhealthy region sheds in one step, in percent.
const STEP_UNHEALTHY: u8 = 25;
/// What it sheds where its first tokens are late and nothing else: of that its gateways take care themselves, request by request.
const STEP_SLOW: u8 = 10;

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
        freshness: prev
            .freshness
            .next(fleet, |region| state.lag(fleet, region, now)),
    };
    let mut choices: BTreeMap<ModelName, Vec<Choice>> = BTreeMap::new();
    each_choice(fleet, |gateway, zone, model, (first, others)| {
        let before = prev.placement(gateway, zone, model).cloned();
        let choice = Choice {
            gateway: gateway.clone(),
            zone: zone.clone(),
            before: before.unwrap_or_else(Placement::home),
            size: known.size(&first, model),
            first: known.first(&first, &others, model),
            others: known.others(&first, &others, model),
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

/// A gateway's choice between regions, for one zone and model.
struct Choice {
    gateway: RegionName,
    zone: ZoneName,
    before: Placement,
    first: First,
    /// Requests per second that are a utilization of 1 in the first region.
    size: f64,
    others: Vec<Other>,
}

impl Choice {
    /// Requests per second in one percent of them.
    fn percent(&self) -> f64 {
        self.before.load(&self.first) * self.size
    }
}

/// Of the room that regions have, each choice that wants some gets its own: together they take no more than there is.
fn share_room(limits: &Overflow, choices: &mut [Choice], now: Millis) {
    let wanted: Vec<f64> = choices
        .iter()
        .map(|choice| {
            choice
                .before
                .wants(limits, &choice.first, &choice.others, now)
        })
        .collect();
    if wanted.iter().all(|wanted| *wanted <= 0.0) {
        return;
    }
    let mut regions: BTreeMap<RegionName, (usize, f64)> = BTreeMap::new();
    let each = choices.iter().flat_map(|choice| &choice.others);
    for other in each.clone() {
        let place = regions.len();
        regions.entry(other.region.clone()).or_insert((place, 0.0));
    }
    let mut rooms = vec![0.0; regions.len()];
    for choice in choices.iter() {
        for other in &choice.others {
            let Some((place, given)) = regions.get_mut(&other.region) else {
                continue;
            };
            rooms[*place] = other.room * other.size * choice.size / choice.first.elasticity;
            *given += choice.before.part(&other.region) * choice.percent();
        }
    }
    // Where nothing measures it, what was given already is part of the room.
    for other in each.filter(|other| !other.measured) {
        if let Some((place, given)) = regions.get_mut(&other.region) {
            rooms[*place] -= std::mem::take(given);
        }
    }
    let place = |other: &Other| regions.get(&other.region).map(|(place, _)| *place);
    let open = |other: &&Other| other.open;
    let wants: Vec<Want> = choices
        .iter()
        .zip(&wanted)
        .map(|(choice, wanted)| Want {
            amount: wanted * choice.percent(),
            to: choice
                .others
                .iter()
                .filter(open)
                .filter_map(place)
                .collect(),
        })
        .collect();
    for (choice, taken) in choices.iter_mut().zip(allot(&wants, &rooms)) {
        let (percent, size) = (choice.percent(), choice.size);
        let elasticity = choice.first.elasticity;
        let had: Vec<f64> = choice
            .others
            .iter()
            .map(|other| choice.before.part(&other.region) * percent)
            .collect();
        let open = choice
            .others
            .iter_mut()
            .zip(had)
            .filter(|(other, _)| other.open);
        for ((other, had), taken) in open.zip(taken) {
            if other.room >= 0.0 {
                let own = if other.measured { taken } else { taken + had };
                other.room = own * elasticity / (other.size * size);
            }
        }
    }
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

/// What the plan sends to each region, in requests per second.
fn planned<'f>(
    fleet: &'f Fleet,
    state: &FleetState,
    plan: &Plan,
    model: &ModelName,
    over: Duration,
    now: Millis,
) -> BTreeMap<&'f RegionName, f64> {
    let mut sent: BTreeMap<&RegionName, f64> = BTreeMap::new();
    // Past a region that serves nobody, the chain goes on.
    let send_along = |zone: &ZoneName, gateway: &RegionName| {
        let members = chain(fleet, zone, model, gateway).into_iter();
        let mut regions = members.filter_map(|member| match member {
            Member::Pool(region) | Member::Peer(region) => Some(region),
            Member::Fallback(_) => None,
        });
        regions.find(|region| !plan.is_down(region, model))
    };
    let mut send = |region: &RegionName, rate: f64| {
        if let Some((region, _)) = fleet.regions.get_key_value(region) {
            *sent.entry(region).or_default() += rate;
        }
    };
    for gateway in fleet.regions.keys() {
        for (zone, rate) in state.served(fleet, gateway, model, over, now) {
            let Some(first) = send_along(zone, gateway) else {
                continue;
            };
            let Some(placement) = plan.placement(gateway, zone, model) else {
                send(&first, rate);
                continue;
            };
            send(&first, rate * f64::from(placement.home_share) / 100.0);
            for region in placement.overflow.keys() {
                send(region, rate * placement.part(region) / 100.0);
            }
        }
    }
    sent
}

/// How far back it is looked for what came.
const LOOK_LEAST: Duration = Duration::from_secs(5);
const LOOK_MOST: Duration = Duration::from_secs(30);

/// By which factor utilization is taken to change at most.
const GROWS: (f64, f64) = (0.3, 3.0);

/// Every pool as it is now.
struct Known<'p> {
    fleet: &'p Fleet,
    state: &'p FleetState,
    now: Millis,
    pools: BTreeMap<(&'p RegionName, &'p ModelName), (PoolSignals, Health)>,
}

impl<'p> Known<'p> {
    fn of(fleet: &'p Fleet, state: &'p FleetState, prev: &Plan, now: Millis) -> Self {
        let mut pools = BTreeMap::new();
        for (name, region) in &fleet.regions {
            for model in region.pools.keys() {
                let signals = state.pool(fleet, name, model, now);
                let before = prev.pools.get(name).and_then(|pools| pools.get(model));
                let health = Health::of(fleet, &signals, before.unwrap_or(&Health::default()));
                pools.insert((name, model), (signals, health));
            }
        }
        let mut known = Self {
            fleet,
            state,
            now,
            pools,
        };
        known.look_ahead(prev);
        known
    }

    /// A pool's utilization follows what comes to it as slowly as requests stay: what it will be is told by what the plan sends
    /// there, over what came while it got as full as it is.
    fn look_ahead(&mut self, prev: &Plan) {
        let (fleet, state, now) = (self.fleet, self.state, self.now);
        let ttl = fleet.unhealthy.signal_ttl;
        let models: BTreeSet<&ModelName> = self.pools.keys().map(|(_, model)| *model).collect();
        for model in models {
            let over = |signals: &PoolSignals| signals.stay().clamp(LOOK_LEAST, LOOK_MOST);
            let of_model = self.pools.iter().filter(|((_, of), _)| *of == model);
            let over = of_model.map(|(_, (signals, _))| over(signals)).max();
            let over = over.unwrap_or(LOOK_LEAST);
            let planned = planned(fleet, state, prev, model, over, now);
            for (region, sent) in planned {
                let came = state.comes_to(region, model, |at| now.since(at) <= ttl, over);
                let Some(came) = came.filter(|came| *came >= LEAST_RATE) else {
                    continue;
                };
                let Some((signals, _)) = self.pools.get_mut(&(region, model)) else {
                    continue;
                };
                let grows = (1.0 + ELASTICITY * (sent / came - 1.0)).clamp(GROWS.0, GROWS.1);
                if let Some(utilization) = &mut signals.utilization {
                    utilization.now *= grows;
                    utilization.low *= grows;
                    utilization.peak *= grows;
                }
            }
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
            down: health.down,
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
                .filter(|source| !source.preset.is_store())
                .map(|source| source.every)
                .max()
                .unwrap_or(Duration::ZERO),
            unhealthy_step: if health
                .sheds_for()
                .all(|reason| reason == Reason::FirstToken)
            {
                STEP_SLOW
            } else {
                STEP_UNHEALTHY
            },
            stay: signals.stay(),
            elasticity: if signals.comes.is_some_and(|comes| comes >= LEAST_RATE) {
                ELASTICITY
            } else {
                1.0
            },
        }
    }

    /// Requests per second that are a utilization of 1 in a pool; the mean of the others' where its own is not known, and 1 where
    /// none is.
    fn size(&self, region: &RegionName, model: &ModelName) -> f64 {
        let size = |signals: &PoolSignals| {
            let utilization = signals.utilization?.now;
            let comes = signals.comes?;
            (utilization >= LEAST_UTILIZATION && comes >= LEAST_RATE).then(|| comes / utilization)
        };
        let own = self.pools.get(&(region, model));
        own.and_then(|(signals, _)| size(signals))
            .unwrap_or_else(|| {
                let all = self.pools.iter().filter(|((_, of), _)| *of == model);
                let known: Vec<f64> = all.filter_map(|(_, (signals, _))| size(signals)).collect();
                if known.is_empty() {
                    1.0
                } else {
                    known.iter().sum::<f64>() / known.len() as f64
                }
            })
    }

    fn others(&self, first: &RegionName, regions: &[RegionName], model: &ModelName) -> Vec<Other> {
        let of_first = self.size(first, model);
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
                room,
                size: self.size(region, model) / of_first,
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
