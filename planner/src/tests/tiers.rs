//! Batch routing, and the region orders of zones.

use super::watch::{Watch, attempts, kv, watched};
use crate::batch::{Batch, batch};
use crate::plan::Plan;
use crate::signal::{AttemptCounts, Millis, Observation, Reading};
use crate::topology::Topology;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST, example};
use meridian_policy::RegionName;
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::{Fleet, Order};
use std::collections::BTreeMap;

fn weights(fleet: &Fleet, plan: &Plan, gateway: &str) -> Batch {
    batch(
        &fleet.into(),
        plan,
        &"global".parse().unwrap(),
        &LLAMA.parse().unwrap(),
        &gateway.parse().unwrap(),
    )
    .unwrap()
}

fn to<'r>(weights: impl IntoIterator<Item = (&'r str, u32)>) -> BTreeMap<RegionName, u32> {
    weights
        .into_iter()
        .map(|(region, weight)| (region.parse().unwrap(), weight))
        .collect()
}

#[test]
fn batch_goes_to_the_cheapest_region_with_an_open_gate() {
    let mut fleet = example();
    let plan = Plan::default();
    assert_eq!(
        weights(&fleet, &plan, WEST).weights,
        to([(WEST, 100)]),
        "home without prices"
    );
    for (region, price) in [(WEST, 1.0), (EAST, 0.5), (EU, 0.8)] {
        fleet.regions.get_mut(region).unwrap().price = Some(price);
    }
    for gateway in [WEST, EAST, EU] {
        assert_eq!(weights(&fleet, &plan, gateway).weights, to([(EAST, 100)]));
    }
    // A pinned zone uses only its own regions.
    let eea = batch(
        &(&fleet).into(),
        &plan,
        &"eea".parse().unwrap(),
        &LLAMA.parse().unwrap(),
        &EU.parse().unwrap(),
    )
    .unwrap();
    assert_eq!(eea.weights, to([(EU, 100)]));
    let mut plan = plan;
    let mut gate = |region: &str, open| {
        let gates = plan.batch.entry(region.parse().unwrap()).or_default();
        let since = Millis(0);
        gates.insert(LLAMA.parse().unwrap(), crate::gate::Gate { open, since });
        weights(&fleet, &plan, WEST)
    };
    let some = gate(EAST, 50);
    assert_eq!(
        (some.admitted, some.weights),
        (100, to([(EAST, 50), (EU, 50)]))
    );
    let none = gate(EAST, 0);
    assert_eq!(none.weights, to([(EU, 100)]));
    gate(EU, 0);
    let part = gate(WEST, 40);
    assert_eq!((part.admitted, part.weights), (40, to([(WEST, 100)])));
    let nothing = gate(WEST, 0);
    assert_eq!(nothing.admitted, 0, "closed gates admit no batch");
}

/// Batch attempts of us-west-2's callers at its own pool.
fn batches(count: f64) -> Reading {
    Reading::Attempts {
        zone: "global".parse().unwrap(),
        model: LLAMA.parse().unwrap(),
        lane: Lane::Batch,
        to: WEST.parse().unwrap(),
        counts: AttemptCounts {
            answered: count,
            ..AttemptCounts::default()
        },
    }
}

#[test]
fn batch_leaves_a_region_before_its_interactive_callers_do() {
    let mut watch = Watch::new(watched());
    let mut counted = 0.0;
    let mut at = |watch: &mut Watch, west: f64, seconds: usize, is_there: bool| {
        for _ in 0..seconds {
            counted += if is_there { 10.0 } else { 0.0 };
            watch.report(
                WEST,
                vec![kv(west), batches(counted), attempts(counted, 0.0, 0.0)],
            );
            watch.at(west, 0.3, 0.3, 1);
        }
    };
    let gate = |watch: &Watch| {
        watch
            .plan
            .batch_gate(&WEST.parse().unwrap(), &LLAMA.parse().unwrap())
    };
    at(&mut watch, 0.5, 5, true);
    assert_eq!(gate(&watch), 100);
    at(&mut watch, 0.82, 8, true);
    assert!(gate(&watch) < 100, "the gate closes");
    assert_eq!(
        watch.share(WEST, "global"),
        Some(100),
        "interactive traffic stays"
    );
    at(&mut watch, 0.82, 60, true);
    assert_eq!(gate(&watch), 0);
    // Batch has left and the region is still overloaded: interactive traffic sheds.
    at(&mut watch, 0.82, 60, false);
    assert!(watch.share(WEST, "global").unwrap() < 100);
    at(&mut watch, 0.4, 120, false);
    assert_eq!(gate(&watch), 100, "the gate reopens");
}

#[test]
fn a_gate_closed_for_health_reopens_without_a_load_signal() {
    let mut fleet = watched();
    for region in fleet.regions.values_mut() {
        region.signals.clear();
    }
    let mut watch = Watch::new(fleet);
    let gate = |watch: &Watch| {
        watch
            .plan
            .batch_gate(&WEST.parse().unwrap(), &LLAMA.parse().unwrap())
    };
    let failing = |watch: &mut Watch, second: f64, failed: f64| {
        let seen = Observation {
            region: WEST.parse().unwrap(),
            source: "gateway".into(),
            at: Millis(watch.now),
            readings: vec![attempts(50.0 * second, 0.0, failed)],
        };
        watch.state.apply(&watch.fleet, &seen);
        watch.tick();
    };
    for second in 0..10 {
        let second = f64::from(second);
        failing(&mut watch, second, 10.0 * second);
    }
    assert_eq!(gate(&watch), 0);
    for second in 10..300 {
        failing(&mut watch, f64::from(second), 90.0);
    }
    assert_eq!(gate(&watch), 100);
}

#[test]
fn a_region_far_above_its_limit_closes_its_gate_at_once() {
    let mut watch = Watch::new(watched());
    watch.at(0.5, 0.3, 0.3, 3);
    watch.at(0.95, 0.3, 0.3, 1);
    assert_eq!(
        watch
            .plan
            .batch_gate(&WEST.parse().unwrap(), &LLAMA.parse().unwrap()),
        0
    );
}

#[test]
fn a_zone_with_a_priority_order_uses_it_at_every_gateway() {
    let mut fleet = example();
    let (zone, model) = ("global".parse().unwrap(), LLAMA.parse().unwrap());
    fleet.zones.get_mut("global").unwrap().order =
        Order::Priority(vec![EAST.parse().unwrap(), WEST.parse().unwrap()]);
    let topology = Topology::new(fleet);
    for gateway in [WEST, EAST, EU] {
        let (first, others) = topology
            .choice(&zone, &model, &gateway.parse().unwrap())
            .unwrap();
        assert_eq!(first.as_str(), EAST, "{gateway}");
        assert_eq!(others, [WEST, EU].map(RegionName::from_static), "{gateway}");
    }
    let west: RegionName = WEST.parse().unwrap();
    let reach = topology.reach(&zone, &model, &west).unwrap();
    assert_eq!(
        reach.chain()[..2],
        [
            Member::Peer(EAST.parse().unwrap()),
            Member::Pool(WEST.parse().unwrap())
        ]
    );
    // Home is one of the other regions and may take overflow.
    let back = reach.overflow_chain(&west, &west);
    assert_eq!(back[0], Member::Pool(WEST.parse().unwrap()));
    assert_eq!(back[2], Member::Peer(EAST.parse().unwrap()));
}

#[test]
fn a_zone_with_fixed_parts_keeps_them_at_any_load() {
    let mut fleet = watched();
    let parts = BTreeMap::from([
        (WEST.parse().unwrap(), 60),
        (EAST.parse().unwrap(), 20),
        (EU.parse().unwrap(), 20),
    ]);
    fleet.zones.get_mut("global").unwrap().order = Order::Weighted(parts);
    let mut watch = Watch::new(fleet);
    for load in [0.3, 0.95] {
        watch.at(load, 0.3, 0.3, 10);
        assert_eq!(
            watch.share(WEST, "global"),
            Some(60),
            "load does not change fixed parts"
        );
        assert_eq!(watch.share(EAST, "global"), Some(20));
        assert_eq!(watch.weights(WEST), [(EU, 50), (EAST, 50)]);
        assert_eq!(watch.weights(EAST), [(EU, 25), (WEST, 75)]);
    }
    let of_batch = |watch: &Watch| {
        let (zone, model, gateway) = (
            "global".parse().unwrap(),
            LLAMA.parse().unwrap(),
            EAST.parse().unwrap(),
        );
        batch(&watch.fleet, &watch.plan, &zone, &model, &gateway).unwrap()
    };
    watch.at(0.3, 0.3, 0.3, 60);
    let routing = of_batch(&watch);
    assert_eq!(
        routing.weights,
        to([(WEST, 60), (EAST, 20), (EU, 20)]),
        "batch has the same parts"
    );
    assert_eq!(routing.admitted, 100);
    // A region without endpoints has no part.
    watch.report(
        EAST,
        vec![Reading::Endpoints {
            model: LLAMA.parse().unwrap(),
            healthy: 0,
            total: 1,
        }],
    );
    watch.at(0.3, 0.3, 0.3, 1);
    assert_eq!(watch.share(WEST, "global"), Some(75));
    assert_eq!(watch.weights(WEST), [(EU, 100)]);
    let routing = of_batch(&watch);
    assert_eq!(routing.weights, to([(WEST, 75), (EU, 25)]));
    assert_eq!(
        routing.admitted, 100,
        "its part is divided among the others"
    );
}
