//! Round trips decide which gateway gets scarce headroom.

use super::watch::{Watch, attempts, kv, watched};
use crate::signal::Reading;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST, names};
use meridian_policy::fleet::Fleet;
use std::time::Duration;

const SOUTH: &str = "ap-south-1";

/// Four regions. Callers of us-west-2 and us-east-1 overflow to eu-west-1 first and to ap-south-1 second, at these
/// round trips in milliseconds.
fn fleet(west: [u64; 2], east: [u64; 2]) -> Fleet {
    let mut fleet = watched();
    let mut south = fleet.regions[EU].clone();
    south.signals[0].url = format!("http://{SOUTH}/metrics");
    fleet.regions.insert(SOUTH.parse().unwrap(), south);
    let global = fleet.zones.get_mut("global").unwrap();
    global.regions.insert(SOUTH.parse().unwrap());
    for (here, other, [eu, south]) in [(WEST, EAST, west), (EAST, WEST, east)] {
        let region = fleet.regions.get_mut(here).unwrap();
        region.nearest = vec![
            EU.parse().unwrap(),
            SOUTH.parse().unwrap(),
            other.parse().unwrap(),
        ];
        let round_trips = [(EU, eu), (SOUTH, south)];
        region.round_trips = round_trips
            .map(|(to, ms)| (to.parse().unwrap(), Duration::from_millis(ms)))
            .into();
    }
    fleet
}

/// Percent of the overflow of us-west-2 and us-east-1 that goes to eu-west-1, if both are overloaded and it has
/// headroom for one of them.
fn to_dublin(fleet: Fleet) -> [u32; 2] {
    let mut watch = Watch::new(fleet);
    for _ in 0..4 {
        watch.report(SOUTH, vec![kv(0.1)]);
        watch.at(0.95, 0.95, 0.6, 1);
    }
    [WEST, EAST].map(|gateway| {
        let placement = &watch.plan.gateways[gateway]["global"][LLAMA];
        assert!(placement.home_share < 100, "{gateway} sheds");
        placement.overflow.get(EU).copied().unwrap_or_default()
    })
}

#[test]
fn near_headroom_goes_to_the_gateway_with_the_longer_alternative() {
    let [west, east] = to_dublin(fleet([140, 150], [70, 250]));
    assert!(west == 0 && east > 50, "{west} {east}");
    let [west, east] = to_dublin(fleet([70, 250], [140, 150]));
    assert!(west > 50 && east == 0, "{west} {east}");
}

#[test]
fn a_choice_that_sheds_nothing_keeps_an_overflow_region() {
    // Two zones with two regions each. One zone has no headroom left.
    let mut fleet = fleet([70, 250], [70, 250]);
    for (zone, regions) in [("global", [WEST, EAST]), ("eea", [EU, SOUTH])] {
        fleet.zones.get_mut(zone).unwrap().regions = names(&regions).collect();
    }
    let mut watch = Watch::new(fleet);
    let endpoints = |healthy| Reading::Endpoints {
        model: LLAMA.parse().unwrap(),
        healthy,
        total: 1,
    };
    for second in 0..60 {
        watch.report(SOUTH, vec![kv(0.95)]);
        match second {
            10 => watch.report_from(EAST, "gateway", 0, vec![endpoints(0)]),
            20 => watch.report_from(EAST, "gateway", 0, vec![endpoints(1)]),
            _ => {}
        }
        watch.at(0.3, 0.3, 0.95, 1);
        let weights = watch.weights(WEST);
        if (10..20).contains(&second) {
            assert_eq!(weights, [], "no region is left");
        } else {
            assert_eq!(weights, [(EAST, 100)], "{second}");
        }
    }
}

#[test]
fn a_configured_order_takes_precedence_over_round_trips() {
    // eu-west-1 is first in the order, although its round trip is longer.
    let mut watch = Watch::new(fleet([250, 10], [250, 10]));
    watch.report(SOUTH, vec![kv(0.1)]);
    watch.at(0.95, 0.3, 0.3, 4);
    assert_eq!(watch.weights(WEST), [(EU, 100)]);
}

#[test]
fn the_capacity_of_an_idle_region_follows_its_endpoints() {
    let weights = |east: Option<u64>| {
        let mut watch = Watch::new(watched());
        let all = [(WEST, Some(8)), (EAST, east), (EU, Some(8))];
        for (region, endpoints) in all {
            if let Some(healthy) = endpoints {
                let reading = Reading::Endpoints {
                    model: LLAMA.parse().unwrap(),
                    healthy,
                    total: healthy,
                };
                watch.report_from(region, "gateway", 0, vec![reading]);
            }
        }
        for second in 0..10 {
            let hot = if second < 8 { 0.3 } else { 0.95 };
            watch.report(WEST, vec![attempts(100.0 * f64::from(second), 0.0, 0.0)]);
            watch.at(hot, 0.3, 0.3, 1);
        }
        let weights = watch.weights(WEST);
        let to = |region| {
            let mut to = weights.iter().filter(|(to, _)| *to == region);
            to.next().map_or(0, |(_, weight)| *weight)
        };
        (to(EAST), to(EU))
    };
    assert_eq!(weights(Some(8)), (100, 0), "its headroom suffices for all");
    assert_eq!(
        weights(None),
        (100, 0),
        "its capacity is assumed to equal the others'"
    );
    let (small, large) = weights(Some(1));
    assert!(small > 0 && small < large, "{small} {large}");
}
