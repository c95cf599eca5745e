//! Headroom of a region that takes overflow, with callers of its own who have no other region.

use super::watch::{Watch, attempts_to, counts, server, watched};
use crate::placement::HomePool;
use crate::plan::pool_view::PoolView;
use crate::signal::{Figures, Millis, Reading};
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST};
use meridian_policy::filter_policy::Lane;

/// Requests per second at a utilization of 1.
const FILL: f64 = 105.0;

fn loaded(requests: f64) -> Vec<Reading> {
    let utilization = (requests / FILL).min(1.0);
    vec![server(Figures {
        kv_cache: Some(utilization),
        running: Some(100.0 * utilization),
        ..Default::default()
    })]
}

/// The final utilization of eu-west-1, and the shares that its own gateway and us-east-1's keep there. The arguments
/// are requests per second: its pinned callers, its other callers, and those of us-east-1, which has no pool.
fn settled_state(pinned: f64, local: f64, remote: f64) -> (f64, u8, u8) {
    let mut fleet = watched();
    let east = fleet.regions.get_mut(EAST).unwrap();
    east.pools.clear();
    east.signals.clear();
    east.nearest = vec![EU.parse().unwrap(), WEST.parse().unwrap()];
    let mut watch = Watch::new(fleet);
    let mut counted = [0.0; 5];
    for second in 0..180 {
        let scale = if second < 60 { 0.6 } else { 1.0 };
        let part = |watch: &Watch, gateway| {
            f64::from(watch.share(gateway, "global").unwrap_or(100)) / 100.0
        };
        let (local_part, remote_part) = (part(&watch, EU), part(&watch, EAST));
        let arrivals = [
            pinned,
            local * local_part,
            local * (1.0 - local_part),
            remote * remote_part,
            remote * (1.0 - remote_part),
        ];
        let arrivals = arrivals.map(|rate| rate * scale);
        for (all, more) in counted.iter_mut().zip(arrivals) {
            *all += more;
        }
        watch.report(EU, loaded(arrivals[0] + arrivals[1] + arrivals[3]));
        watch.report(WEST, loaded(20.0 + arrivals[2] + arrivals[4]));
        let home = |zone, count| attempts_to(zone, Lane::Home, EU, counts(count, 0.0));
        let away = |count| attempts_to("global", Lane::Overflow, WEST, counts(count, 0.0));
        let [pinned, local, local_overflow, remote, remote_overflow] = counted;
        let local = vec![
            home("eea", pinned),
            home("global", local),
            away(local_overflow),
        ];
        watch.report_from(EU, "gateway-eu", 0, local);
        let remote = vec![home("global", remote), away(remote_overflow)];
        watch.report_from(EAST, "gateway-east", 0, remote);
        watch.tick();
    }
    let share = |gateway| watch.share(gateway, "global").unwrap();
    let (local_share, remote_share) = (share(EU), share(EAST));
    let requests =
        pinned + local * f64::from(local_share) / 100.0 + remote * f64::from(remote_share) / 100.0;
    (requests / FILL, local_share, remote_share)
}

#[test]
fn overflow_leaves_a_busy_region_until_it_is_below_its_limit() {
    for (pinned, local, remote) in [(20.0, 0.0, 80.0), (18.0, 2.0, 80.0), (10.0, 5.0, 85.0)] {
        let (utilization, local_share, remote_share) = settled_state(pinned, local, remote);
        assert!(
            utilization <= 0.8 && utilization > 0.65,
            "{pinned} {local} {remote}: {utilization}, {local_share}, {remote_share}"
        );
        assert!(remote_share < 100);
    }
}

/// Headroom of us-east-1 for callers of us-west-2 in the zones `eea` and `global`, at half its load. `pinned` of its 50
/// requests per second belong to `eea`, which has all regions of `global` except ap-south-1. `elsewhere`: ap-south-1
/// has the model. `down`: us-west-2 is down.
fn headrooms(pinned: f64, elsewhere: bool, down: bool) -> [f64; 2] {
    let mut fleet = watched();
    let eea = fleet.zones.get_mut("eea").unwrap();
    eea.regions
        .extend([EAST.parse().unwrap(), WEST.parse().unwrap()]);
    let mut asia = fleet.regions[EU].clone();
    if !elsewhere {
        asia.pools.clear();
    }
    fleet.regions.insert("ap-south-1".parse().unwrap(), asia);
    let global = fleet.zones.get_mut("global").unwrap();
    global.regions.insert("ap-south-1".parse().unwrap());
    let mut watch = Watch::new(fleet);
    for second in 0..30 {
        watch.report(EAST, loaded(0.5 * FILL));
        let second = f64::from(second);
        let arrivals = |zone, rate| attempts_to(zone, Lane::Home, EAST, counts(rate * second, 0.0));
        let arrivals = vec![arrivals("eea", pinned), arrivals("global", 50.0 - pinned)];
        watch.report_from(EAST, "gateway-east", 0, arrivals);
        watch.tick();
    }
    let now = Millis(watch.now - 1000);
    let view = PoolView::of(&watch.fleet, &watch.state, &watch.intents, &watch.plan, now);
    let (west, east, model) = (
        WEST.parse().unwrap(),
        [EAST.parse().unwrap()],
        LLAMA.parse().unwrap(),
    );
    let first = HomePool {
        down,
        ..view.home_pool(&west, &east, &model)
    };
    ["eea", "global"].map(|zone| {
        let others = view.candidates(&zone.parse().unwrap(), (&west, &first), &east, &model);
        others[0].headroom
    })
}

#[track_caller]
fn close(headrooms: [f64; 2], expected: [f64; 2]) {
    let mut pairs = headrooms.iter().zip(expected);
    assert!(
        pairs.all(|(headroom, expected)| (headroom - expected).abs() < 0.005),
        "{headrooms:?}, not {expected:?}"
    );
}

#[test]
fn headroom_is_reserved_for_zones_with_fewer_regions() {
    close(headrooms(0.0, true, false), [0.25, 0.25]);
    // A tenth of the load belongs to `eea`, and half of that is reserved: 0.2 times the elasticity.
    close(headrooms(5.0, true, false), [0.25, 0.225]);
    close(headrooms(45.0, true, false), [0.25, 0.025]);
    // Without the model in ap-south-1 both zones have the same regions, and nothing is reserved.
    close(headrooms(45.0, false, false), [0.25, 0.25]);
}

#[test]
fn no_headroom_is_reserved_if_the_home_region_is_lost() {
    close(headrooms(45.0, true, true), [0.25, 0.25]);
}

#[test]
fn shedding_uses_only_unreserved_headroom() {
    let share = |of_eu: &str| {
        let mut watch = Watch::new(watched());
        for second in 0..20 {
            let of_west = if second < 10 { 0.5 } else { 0.92 } * FILL;
            for (region, zone, requests) in [(WEST, "global", of_west), (EU, of_eu, 0.5 * FILL)] {
                watch.report(region, loaded(requests));
                let all = counts(requests * f64::from(second), 0.0);
                watch.report_from(
                    region,
                    "gateway",
                    0,
                    vec![attempts_to(zone, Lane::Home, region, all)],
                );
            }
            // us-east-1 has no headroom.
            watch.report(EAST, loaded(80.0));
            watch.tick();
        }
        watch.share(WEST, "global").unwrap()
    };
    assert!(share("global") < 90, "{}", share("global"));
    assert_eq!(share("eea"), 100);
}
