//! The current state of every pool, projected by what the plan sends to it.

use super::projection::{MIN_RATE, Projection};
use super::value::Plan;
use crate::gate::{self, Gate, PoolLoad};
use crate::health::{Health, Reason};
use crate::intent::{Drain, Intents, is_left};
use crate::placement::{Candidate, HomePool};
use crate::signal::Millis;
use crate::state::{FleetState, PoolSignals};
use crate::topology::Topology;
use meridian_policy::fleet::Order;
use meridian_policy::name::{ModelName, RegionName, ZoneName};
use meridian_policy::source::Subject;
use std::collections::BTreeMap;
use std::time::Duration;

/// Headroom of a region with unknown load, as a utilization.
const UNKNOWN_HEADROOM: f64 = 0.10;

/// Utilization below which the capacity of a pool cannot be estimated.
const MIN_UTILIZATION: f64 = 0.05;

/// Growth of utilization in percent per percent of request growth. The utilization of a loaded engine grows faster than
/// its requests, because a larger batch lengthens every request. Without request counts the value is 1.
const ELASTICITY: f64 = 2.5;

/// Step by which an unhealthy region sheds, in percentage points.
const STEP_UNHEALTHY: u8 = 25;
/// Step if late first tokens are the only reason, in percentage points. It is smaller because gateways already handle
/// slow requests one by one.
const STEP_SLOW: u8 = 10;

/// Headroom for zones with fewer regions, as a fraction of their traffic.
const RESTRICTED_ZONE_HEADROOM: f64 = 0.2;

/// Bounds of the projected change of utilization, as factors.
const GROWTH_BOUNDS: (f64, f64) = (0.3, 3.0);

/// Additional round trip to the next region if its round trip is unknown, in milliseconds.
const UNKNOWN_ROUND_TRIP_MS: f64 = 50.0;

/// Headroom of an unhealthy region. It is negative, so that overflow to the region also moves away.
const UNHEALTHY_HEADROOM: f64 = -1.0;

/// The current state of every pool.
pub struct PoolView<'p> {
    topology: &'p Topology,
    state: &'p FleetState,
    now: Millis,
    pools: BTreeMap<(&'p RegionName, &'p ModelName), Pool<'p>>,
    models: BTreeMap<&'p ModelName, ModelView>,
}

/// One pool.
#[derive(Default)]
struct Pool<'p> {
    signals: PoolSignals,
    health: Health,
    demand: Demand<'p>,
}

/// All pools of a model.
struct ModelView {
    /// Whether gateways count requests to some of them.
    counted: bool,
    /// Number of pools with a known capacity.
    known: usize,
    /// Sum of their capacities.
    capacity: f64,
    /// Healthy endpoints of them, if all of them tell.
    endpoints: Option<f64>,
}

impl Default for ModelView {
    fn default() -> Self {
        Self {
            counted: false,
            known: 0,
            capacity: 0.0,
            endpoints: Some(0.0),
        }
    }
}

impl ModelView {
    fn add(&mut self, signals: &PoolSignals) {
        let rate = signals.request_rate;
        self.counted |= rate.is_some_and(|rate| rate >= MIN_RATE);
        if let Some(capacity) = capacity(signals) {
            self.known += 1;
            self.capacity += capacity;
            let endpoints = self.endpoints.zip(endpoints(signals));
            self.endpoints = endpoints.map(|(sum, more)| sum + more);
        }
    }
}

/// The known capacity of a pool.
fn capacity(signals: &PoolSignals) -> Option<f64> {
    let utilization = signals.utilization?.now;
    let request_rate = signals.request_rate?;
    (utilization >= MIN_UTILIZATION && request_rate >= MIN_RATE).then(|| request_rate / utilization)
}

/// The known capacity of a pool of a model, or an estimate by the others.
fn capacity_or_estimate(pool: Option<&PoolSignals>, of_model: Option<&ModelView>) -> f64 {
    if let Some(known) = pool.and_then(capacity) {
        return known;
    }
    let Some(of_model) = of_model.filter(|of| of.known > 0) else {
        return 1.0;
    };
    match (pool.and_then(endpoints), of_model.endpoints) {
        (Some(healthy), Some(endpoints)) => of_model.capacity * healthy / endpoints,
        _ => of_model.capacity / of_model.known as f64,
    }
}

/// The healthy endpoints of a pool that has some.
fn endpoints(signals: &PoolSignals) -> Option<f64> {
    let (healthy, _) = signals.endpoints?;
    (healthy > 0).then_some(healthy as f64)
}

/// Demand for a pool, in requests per second.
#[derive(Default)]
struct Demand<'p> {
    /// Batch requests from all gateways.
    batch: f64,
    /// Interactive requests with this pool as the first one, by gateway and zone, and whether they can move to another
    /// region.
    interactive: BTreeMap<(&'p RegionName, &'p ZoneName), (f64, bool)>,
    /// Interactive requests by zone, for any position of this pool in the chain.
    by_zone: BTreeMap<&'p ZoneName, f64>,
}

impl Demand<'_> {
    /// Requests that can move to another region.
    fn movable(&self) -> f64 {
        let each = self.interactive.values();
        each.filter(|(_, moves)| *moves).map(|(rate, _)| rate).sum()
    }

    /// Fraction of the demand that can move, 0 to 1.
    fn sheddable(&self) -> f64 {
        let each = self.interactive.values();
        let all = self.batch + each.map(|(rate, _)| rate).sum::<f64>();
        if all > 0.0 { self.movable() / all } else { 1.0 }
    }
}

impl<'p> PoolView<'p> {
    pub fn of(
        topology: &'p Topology,
        state: &'p FleetState,
        intents: &Intents,
        prev: &Plan,
        now: Millis,
    ) -> Self {
        let mut pools = BTreeMap::new();
        for (name, region) in &topology.regions {
            for model in region.pools.keys() {
                let signals = state.pool(topology, name, model, now);
                let before = prev.pools.get(name).and_then(|pools| pools.get(model));
                let nothing = Health::default();
                let mut health = Health::of(topology, &signals, before.unwrap_or(&nothing), now);
                if let Some(drain) = intents.drain(name, model, now) {
                    health.reasons.insert(Reason::Drained);
                    health.down |= drain == Drain::Hard && is_left(topology, prev, name, model);
                }
                let pool = Pool {
                    health,
                    signals,
                    demand: demand(topology, state, name, model, now),
                };
                pools.insert((name, model), pool);
            }
        }
        let mut view = Self {
            topology,
            state,
            now,
            pools,
            models: BTreeMap::new(),
        };
        view.project(prev);
        for ((_, model), pool) in &view.pools {
            view.models.entry(*model).or_default().add(&pool.signals);
        }
        view
    }

    /// Replaces utilization by its projection. Utilization follows the request rate with the delay of the residence
    /// time.
    fn project(&mut self, prev: &Plan) {
        let mut residence_times: BTreeMap<&ModelName, Duration> = BTreeMap::new();
        for ((_, model), pool) in &self.pools {
            let longest = residence_times.entry(*model).or_default();
            *longest = pool.signals.residence_time().max(*longest);
        }
        let projection = Projection {
            topology: self.topology,
            state: self.state,
            plan: prev,
            residence_times,
            now: self.now,
        };
        for (pool, factor) in projection.growth() {
            let Some(Pool { signals, .. }) = self.pools.get_mut(&pool) else {
                continue;
            };
            let growth =
                (1.0 + ELASTICITY * (factor - 1.0)).clamp(GROWTH_BOUNDS.0, GROWTH_BOUNDS.1);
            // Projected growth does not cause shedding. A projected decrease does not cause recovery.
            if let Some(utilization) = &mut signals.utilization {
                utilization.now *= growth.min(1.0);
                utilization.low *= growth.min(1.0);
                utilization.peak *= growth.max(1.0);
            }
        }
    }

    pub fn health(&self) -> BTreeMap<RegionName, BTreeMap<ModelName, Health>> {
        let mut health: BTreeMap<RegionName, BTreeMap<ModelName, Health>> = BTreeMap::new();
        for ((region, model), pool) in &self.pools {
            health
                .entry((*region).clone())
                .or_default()
                .insert((*model).clone(), pool.health.clone());
        }
        health
    }

    /// The signals of a pool, with its projected utilization.
    pub fn signals(&self, region: &RegionName, model: &ModelName) -> Option<&PoolSignals> {
        let (region, known) = self.topology.regions.get_key_value(region)?;
        let (model, _) = known.pools.get_key_value(model)?;
        self.pools.get(&(region, model)).map(|pool| &pool.signals)
    }

    pub fn home_pool(
        &self,
        region: &RegionName,
        others: &[RegionName],
        model: &ModelName,
    ) -> HomePool {
        let nothing = Pool::default();
        let Pool {
            signals,
            health,
            demand,
        } = self.pools.get(&(region, model)).unwrap_or(&nothing);
        HomePool {
            utilization: signals.utilization,
            down: health.reasons.contains(&Reason::NoEndpoints),
            drained: health.reasons.contains(&Reason::Drained),
            serving: match signals.endpoints {
                Some((healthy, total)) if total > 0 => {
                    (healthy as f64 / total as f64 * 100.0).ceil().min(100.0) as u8
                }
                _ => 100,
            },
            last_breach: health
                .sheds_for()
                .filter_map(|reason| signals.last_breach.get(&reason))
                .max()
                .copied()
                .or(health.sheds().then_some(Millis(0))),
            has_queue: signals.waiting.is_some_and(|waiting| waiting > 0.0),
            silent: signals.stale || signals.partial,
            receives_batch: demand.batch >= MIN_RATE,
            sheddable: demand.sheddable(),
            movable_share: 1.0,
            report_interval: others
                .iter()
                .chain([region])
                .filter_map(|region| self.topology.regions.get(region))
                .flat_map(|region| &region.signals)
                .filter(|source| source.subject() != Subject::Store)
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
            residence_time: signals.residence_time(),
            elasticity: self.elasticity(model),
        }
    }

    /// Fraction of a region's movable traffic that belongs to one gateway and zone, 0 to 1.
    pub fn movable_share(
        &self,
        first: &RegionName,
        model: &ModelName,
        gateway: &RegionName,
        zone: &ZoneName,
    ) -> f64 {
        let Some(Pool { demand, .. }) = self.pools.get(&(first, model)) else {
            return 1.0;
        };
        let movable = demand.movable();
        let share = demand.interactive.get(&(gateway, zone));
        if movable > 0.0 {
            share.map_or(0.0, |(rate, _)| rate / movable)
        } else {
            1.0
        }
    }

    /// The batch gates of the pools that do not accept all batch traffic.
    pub fn gates(&self, prev: &Plan) -> BTreeMap<RegionName, BTreeMap<ModelName, Gate>> {
        let mut gates: BTreeMap<RegionName, BTreeMap<ModelName, Gate>> = BTreeMap::new();
        for ((region, model), Pool { health, .. }) in &self.pools {
            let first = self.home_pool(region, &[], model);
            let load = PoolLoad {
                utilization: first.utilization,
                silent: first.silent,
                // A pool without endpoints takes nothing. Its gate keeps its state until endpoints return.
                unhealthy: health.sheds() && !first.down,
                receives_batch: first.receives_batch,
                settling_time: first.settling_time(),
            };
            let before = prev.batch.get(*region).and_then(|gates| gates.get(*model));
            if let Some(gate) =
                gate::next(before.copied(), &self.topology.overflow, &load, self.now)
            {
                let of_region = gates.entry((*region).clone()).or_default();
                of_region.insert((*model).clone(), gate);
            }
        }
        gates
    }

    /// Growth of utilization per request growth, for all pools of a model. It is 1 if no gateway counts requests.
    fn elasticity(&self, model: &ModelName) -> f64 {
        let pools = self.models.get(model);
        if pools.is_some_and(|pools| pools.counted) {
            ELASTICITY
        } else {
            1.0
        }
    }

    /// Capacity of a pool: requests per second at a utilization of 1. An unknown capacity is estimated from the model's
    /// other pools: by healthy endpoint, or as their mean without endpoint counts. It is 1 if no capacity is known.
    pub fn capacity(&self, region: &RegionName, model: &ModelName) -> f64 {
        capacity_or_estimate(self.signals(region, model), self.models.get(model))
    }

    /// The other regions as candidates for a zone's overflow from the first region.
    pub fn candidates(
        &self,
        zone: &ZoneName,
        (first, home): (&RegionName, &HomePool),
        regions: &[RegionName],
        model: &ModelName,
    ) -> Vec<Candidate> {
        let capacity = self.capacity(first, model);
        let of_model = self.models.get(model);
        let other = |region: &RegionName| {
            let pool = self.pools.get(&(region, model))?;
            let Pool {
                signals, health, ..
            } = pool;
            let headroom = if health.takes_more() {
                // Nothing is reserved against zones whose own region fails them.
                let restricted = if home.is_lost() {
                    0.0
                } else {
                    self.restricted_zone_share(zone, pool, model)
                };
                self.headroom(region, signals, restricted, home.elasticity)
            } else {
                UNHEALTHY_HEADROOM
            };
            Some(Candidate {
                region: region.clone(),
                open: health.serves(),
                drained: health.reasons.contains(&Reason::Drained),
                headroom,
                relative_capacity: capacity_or_estimate(Some(signals), of_model) / capacity,
                measured: signals.utilization.is_some(),
                silent: signals.stale || (signals.partial && signals.utilization.is_none()),
            })
        };
        regions.iter().filter_map(other).collect()
    }

    /// Whether a pool serves, as far as is known.
    pub fn serves(&self, region: &RegionName, model: &ModelName) -> bool {
        let pool = self.pools.get(&(region, model));
        pool.is_some_and(|pool| pool.health.serves())
    }

    /// Interactive requests per second of a zone to a pool.
    pub fn rate_of_zone(&self, region: &RegionName, model: &ModelName, zone: &ZoneName) -> f64 {
        let pool = self.pools.get(&(region, model));
        let rate = pool.and_then(|pool| pool.demand.by_zone.get(zone));
        rate.copied().unwrap_or_default()
    }

    /// Requests per second that a pool could take besides, by its utilization and capacity. An unknown capacity is estimated from the
    /// model's other pools; `None` if none is known.
    pub fn room(&self, region: &RegionName, model: &ModelName) -> Option<f64> {
        let of_model = self.models.get(model)?;
        if of_model.known == 0 {
            return None;
        }
        let pool = self.pools.get(&(region, model));
        let Some(pool) = pool.filter(|pool| pool.health.takes_more()) else {
            return Some(0.0);
        };
        let elasticity = self.elasticity(model);
        let headroom = self
            .headroom(region, &pool.signals, 0.0, elasticity)
            .max(0.0);
        Some(headroom * self.capacity(region, model) / elasticity)
    }

    /// Round trips from a gateway to regions in chain order, in milliseconds. Each is raised above the one before it,
    /// because a configured order takes precedence over measurements.
    pub fn round_trips(&self, gateway: &RegionName, regions: &[Candidate]) -> Vec<f64> {
        let here = self.topology.regions.get(gateway);
        let known = |region: &RegionName| match here?.round_trips.get(region) {
            Some(round_trip) => Some(round_trip.as_secs_f64() * 1e3),
            None => (region == gateway).then_some(0.0),
        };
        let round_trips = regions.iter().scan(0.0, |last: &mut f64, other| {
            *last = match known(&other.region) {
                Some(round_trip) => round_trip.max(*last + 1.0),
                None => *last + UNKNOWN_ROUND_TRIP_MS,
            };
            Some(*last)
        });
        round_trips.collect()
    }

    /// Fraction of a pool's requests, 0 to 1, from zones whose regions for the model are a proper subset of this
    /// zone's.
    fn restricted_zone_share(&self, zone: &ZoneName, pool: &Pool<'_>, model: &ModelName) -> f64 {
        let Pool {
            signals, demand, ..
        } = pool;
        let by_zone = demand.by_zone.iter();
        let restricted: f64 = by_zone
            .clone()
            .filter(|(other, _)| self.topology.is_restricted(other, zone, model))
            .map(|(_, rate)| rate)
            .sum();
        let all = demand.batch + by_zone.map(|(_, rate)| rate).sum::<f64>();
        // Gateways may not count all of its requests.
        let all = all.max(signals.request_rate.unwrap_or_default());
        if all > 0.0 { restricted / all } else { 0.0 }
    }

    /// Headroom of a pool before it sheds, as a utilization; negative if it must shed. Part of it is reserved for
    /// growth of `restricted`, the fraction of the pool's requests from zones with fewer regions.
    fn headroom(
        &self,
        region: &RegionName,
        signals: &PoolSignals,
        restricted: f64,
        elasticity: f64,
    ) -> f64 {
        let limits = &self.topology.overflow;
        let target = limits.target();
        match signals.utilization {
            Some(utilization) if utilization.now > limits.above => target - utilization.now,
            Some(utilization) => {
                let reserved_peak =
                    utilization.peak * (1.0 + RESTRICTED_ZONE_HEADROOM * elasticity * restricted);
                (target - reserved_peak).max(0.0)
            }
            None if signals.stale => UNKNOWN_HEADROOM * (1.0 - restricted),
            None if self
                .topology
                .regions
                .get(region)
                .is_some_and(|region| region.signals.is_empty()) =>
            {
                target * (1.0 - restricted)
            }
            // It has sources, but none for its load.
            None => UNKNOWN_HEADROOM * (1.0 - restricted),
        }
    }
}

/// Demand for a pool.
fn demand<'p>(
    topology: &'p Topology,
    state: &'p FleetState,
    region: &RegionName,
    model: &ModelName,
    now: Millis,
) -> Demand<'p> {
    let rates = state.demand(topology, region, model, now).into_iter();
    let moves = |gateway: &RegionName, zone: &ZoneName| {
        let order = topology.zones.get(zone).map(|zone| &zone.order);
        order.is_some_and(|order| !matches!(order, Order::Weighted(_)))
            && topology.choice(zone, model, gateway).is_some()
    };
    Demand {
        batch: state.batch_rate(topology, region, model, now),
        interactive: rates
            .map(|((gateway, zone), rate)| ((gateway, zone), (rate, moves(gateway, zone))))
            .collect(),
        by_zone: state.rates_by_zone(topology, region, model, now),
    }
}
