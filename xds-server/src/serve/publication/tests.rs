//! Publications of one plan after another are those that would be made anew.

use super::{Publication, Publisher, publication};
use crate::history::History;
use crate::verify::tests::fleets::{EXAMPLE, RETRIEVAL, TWO_PINNED, row};
use crate::xds::ResourceType;
use meridian_planner::gate::Gate;
use meridian_planner::health::Health;
use meridian_planner::placement::Placement;
use meridian_planner::plan::Plan;
use meridian_planner::signal::Millis;
use meridian_planner::topology::Topology;
use meridian_policy::filter_policy::{Lease, TOTAL_WEIGHT};
use meridian_policy::{Fleet, RegionName};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

const LEASE: Lease = Lease {
    given: 1_700_000_000,
    runs_ms: 30_000,
};

fn fleet(text: &str) -> Fleet {
    crate::fleet::parse(text).unwrap()
}

/// A plan that random bytes make: which regions take overflow, which pools are down, which gates are open, which data is behind.
fn plan(topology: &Topology, bytes: &[u8]) -> Plan {
    let mut bytes = bytes.iter().copied().cycle();
    let mut next = || bytes.next().unwrap_or(0);
    let mut plan = Plan::default();
    topology.each_choice(|(gateway, zone, model), (_, others)| {
        let chosen: Vec<&RegionName> = others.iter().filter(|_| next() % 3 == 0).collect();
        let count = u32::try_from(chosen.len()).unwrap();
        let mut placement = Placement::home();
        for (index, region) in (0..).zip(chosen) {
            let rest = if index == 0 { TOTAL_WEIGHT % count } else { 0 };
            placement
                .overflow
                .insert(region.clone(), TOTAL_WEIGHT / count + rest);
            placement.home_share = next() % 101;
        }
        let zones = plan.gateways.entry(gateway.clone()).or_default();
        let models = zones.entry(zone.clone()).or_default();
        models.insert(model.clone(), placement);
    });
    for (name, region) in &topology.regions {
        for model in region.pools.keys() {
            let health = Health {
                down: next() % 5 == 0,
                ..Health::default()
            };
            let pools = plan.pools.entry(name.clone()).or_default();
            pools.insert(model.clone(), health);
            if next() % 4 == 0 {
                let gate = Gate {
                    open: next() % 101,
                    since: Millis(0),
                };
                let gates = plan.batch.entry(name.clone()).or_default();
                gates.insert(model.clone(), gate);
            }
        }
        match next() % 6 {
            0 => plan.freshness.behind.insert(name.clone()),
            1 => plan.freshness.unknown.insert(name.clone()),
            _ => false,
        };
    }
    plan
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_after_another_is_published_as_if_it_were_the_first(
        which in 0..4usize,
        with_earlier in any::<bool>(),
        plans in prop::collection::vec((prop::collection::vec(any::<u8>(), 40), any::<bool>()), 1..4),
    ) {
        let text = [EXAMPLE.to_owned(), TWO_PINNED.to_owned(), RETRIEVAL.to_owned(), row(7)][which].clone();
        let mut history = History::from(&fleet(&text));
        if with_earlier {
            let mut before = Fleet::clone(&history.current);
            for zone in before.zones.values_mut() {
                zone.content.refuse_remote = true;
            }
            history.earlier.push(Arc::new(before.into()));
        }
        let topology = history.current.clone();
        let mut publisher = Publisher::new(history.clone(), &Plan::default(), LEASE, &Publication::new()).unwrap();
        let mut lease = LEASE;
        for (bytes, renews) in plans {
            let next = plan(&topology, &bytes);
            lease.given += u64::from(renews);
            let before = publisher.publication();
            publisher.follow(&next, lease).unwrap();
            let followed = publisher.publication();
            let anew = publication(&history, &next, lease, &Publication::new()).unwrap();
            for (region, resources) in &anew {
                for kind in ResourceType::ALL {
                    prop_assert_eq!(followed[region].of(kind), resources.of(kind), "{} at {}", kind.label(), region);
                }
                let same = before[region] == followed[region];
                prop_assert_eq!(same, Arc::ptr_eq(&before[region], &followed[region]), "{}", region);
            }
        }
    }
}

#[test]
fn a_plan_makes_what_it_moves_and_nothing_else() {
    let history = History::from(&fleet(&row(7)));
    let topology = history.current.clone();
    let nothing = Publication::new();
    let mut publisher = Publisher::new(history, &Plan::default(), LEASE, &nothing).unwrap();
    let before = publisher.publication();
    let mut next = Plan::default();
    let first: RegionName = "r0".parse().unwrap();
    topology.each_choice(|(gateway, zone, model), (_, others)| {
        if *gateway == first {
            let mut placement = Placement::home();
            placement.overflow.insert(others[0].clone(), TOTAL_WEIGHT);
            placement.home_share = 50;
            let zones = next.gateways.entry(gateway.clone()).or_default();
            let models = zones.entry(zone.clone()).or_default();
            models.insert(model.clone(), placement);
        }
    });
    publisher.follow(&next, LEASE).unwrap();
    let after = publisher.publication();
    let mut moved = BTreeSet::new();
    for (region, resources) in &after {
        if *region != first {
            assert!(Arc::ptr_eq(resources, &before[region]), "{region}");
            continue;
        }
        for kind in ResourceType::ALL {
            for (name, resource) in resources.of(kind) {
                let old = before[region].get(kind, name).unwrap();
                if !Arc::ptr_eq(old, resource) {
                    moved.insert((kind.label(), name.to_string()));
                }
            }
        }
    }
    let names = |all: &[(&'static str, &str)]| -> BTreeSet<(&'static str, String)> {
        all.iter()
            .map(|(kind, name)| (*kind, (*name).to_owned()))
            .collect()
    };
    // Others have the same weights: the nearest region takes all that leaves home when nothing is planned.
    assert_eq!(
        moved,
        names(&[
            ("extension", "meridian.router"),
            ("extension", "meridian.router.native"),
        ])
    );
}

#[test]
fn a_renewed_lease_makes_the_routers_policies_alone() {
    let history = History::from(&fleet(EXAMPLE));
    let nothing = Publication::new();
    let plan = Plan::default();
    let mut publisher = Publisher::new(history, &plan, LEASE, &nothing).unwrap();
    let before = publisher.publication();
    let renewed = Lease {
        given: LEASE.given + 10,
        ..LEASE
    };
    publisher.follow(&plan, renewed).unwrap();
    for (region, resources) in &publisher.publication() {
        for kind in ResourceType::ALL {
            for (name, resource) in resources.of(kind) {
                let old = before[region].get(kind, name).unwrap();
                let is_router = name.starts_with("meridian.router");
                assert_eq!(Arc::ptr_eq(old, resource), !is_router, "{name} at {region}");
            }
        }
    }
}
