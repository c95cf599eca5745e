//! A region that other regions' gateways ask first, with callers of its own who have nowhere else to go.

use super::watch::{Watch, counts, server, tried, watched};
use crate::placement::HomePool;
use crate::plan::pool_view::PoolView;
use crate::signal::{Figures, Millis, Reading};
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST};
use meridian_policy::filter_policy::Lane;

/// Requests per second that fill a region.
const FILL: f64 = 105.0;

fn loaded(requests: f64) -> Vec<Reading> {
    let utilization = (requests / FILL).min(1.0);
    vec![server(Figures {
        kv_cache: Some(utilization),
        running: Some(100.0 * utilization),
        ..Default::default()
    })]
}

/// What eu-west-1's utilization becomes, and what us-east-1's and its own gateway's shares there: by so many requests per second of
/// its own pinned callers, its own others, and those of us-east-1, which has no pool.
fn settles(pinned: f64, own: f64, guests: f64) -> (f64, u8, u8) {
    let mut fleet = watched();
    let east = fleet.regions.get_mut(EAST).unwrap();
    east.pools.clear();
    east.signals.clear();
    east.nearest = vec![EU.into(), WEST.into()];
    let mut watch = Watch::new(fleet);
    let mut counted = [0.0; 5];
    for second in 0..180 {
        let scale = if second < 60 { 0.6 } else { 1.0 };
        let part = |watch: &Watch, gateway| {
            f64::from(watch.share(gateway, "global").unwrap_or(100)) / 100.0
        };
        let (of_own, of_guests) = (part(&watch, EU), part(&watch, EAST));
        let come = [
            pinned,
            own * of_own,
            own * (1.0 - of_own),
            guests * of_guests,
            guests * (1.0 - of_guests),
        ];
        let come = come.map(|rate| rate * scale);
        for (all, more) in counted.iter_mut().zip(come) {
            *all += more;
        }
        watch.see(EU, loaded(come[0] + come[1] + come[3]));
        watch.see(WEST, loaded(20.0 + come[2] + come[4]));
        let home = |zone, count| tried(zone, Lane::Home, EU, counts(count, 0.0));
        let away = |count| tried("global", Lane::Overflow, WEST, counts(count, 0.0));
        let [pinned, own, left, guests, guests_left] = counted;
        let own = vec![home("eea", pinned), home("global", own), away(left)];
        watch.hear(EU, "gateway-eu", 0, own);
        let guests = vec![home("global", guests), away(guests_left)];
        watch.hear(EAST, "gateway-east", 0, guests);
        watch.tick();
    }
    let residence_time = |gateway| watch.share(gateway, "global").unwrap();
    let (own_share, guests_share) = (residence_time(EU), residence_time(EAST));
    let requests =
        pinned + own * f64::from(own_share) / 100.0 + guests * f64::from(guests_share) / 100.0;
    (requests / FILL, own_share, guests_share)
}

#[test]
fn whoever_asks_first_leaves_and_as_many_as_must() {
    for (pinned, own, guests) in [(20.0, 0.0, 80.0), (18.0, 2.0, 80.0), (10.0, 5.0, 85.0)] {
        let (utilization, own_share, guests_share) = settles(pinned, own, guests);
        assert!(
            utilization <= 0.8 && utilization > 0.65,
            "{pinned} {own} {guests}: {utilization}, {own_share}, {guests_share}"
        );
        assert!(guests_share < 100);
    }
}

/// How much utilization us-east-1 has to give to callers of us-west-2, by the caller's zone, at half its load: so many of its 50 requests
/// per second are of the zone `eea`, which has all regions that `global` has but ap-south-1, where the model may be or not.
/// us-west-2 serves, or is down.
fn rooms(pinned: f64, elsewhere: bool, down: bool) -> [f64; 2] {
    let mut fleet = watched();
    let eea = fleet.zones.get_mut("eea").unwrap();
    eea.regions.extend([EAST.into(), WEST.into()]);
    let mut asia = fleet.regions[EU].clone();
    if !elsewhere {
        asia.pools.clear();
    }
    fleet.regions.insert("ap-south-1".into(), asia);
    let global = fleet.zones.get_mut("global").unwrap();
    global.regions.insert("ap-south-1".into());
    let mut watch = Watch::new(fleet);
    for second in 0..30 {
        watch.see(EAST, loaded(0.5 * FILL));
        let second = f64::from(second);
        let come = |zone, rate| tried(zone, Lane::Home, EAST, counts(rate * second, 0.0));
        let come = vec![come("eea", pinned), come("global", 50.0 - pinned)];
        watch.hear(EAST, "gateway-east", 0, come);
        watch.tick();
    }
    let now = Millis(watch.now - 1000);
    let known = PoolView::of(&watch.fleet, &watch.state, &watch.plan, now);
    let (west, east, model) = (WEST.into(), [EAST.into()], LLAMA.into());
    let first = HomePool {
        down,
        ..known.home_pool(&west, &east, &model)
    };
    ["eea", "global"].map(|zone| {
        let others = known.candidates(&zone.into(), (&west, &first), &east, &model);
        others[0].room
    })
}

#[track_caller]
fn close(rooms: [f64; 2], expected: [f64; 2]) {
    let mut both = rooms.iter().zip(expected);
    assert!(
        both.all(|(room, expected)| (room - expected).abs() < 0.005),
        "{rooms:?}, not {expected:?}"
    );
}

#[test]
fn room_is_kept_for_those_who_may_use_fewer_regions() {
    close(rooms(0.0, true, false), [0.25, 0.25]);
    // A tenth of half its load, which may become half as much again.
    close(rooms(5.0, true, false), [0.25, 0.225]);
    close(rooms(45.0, true, false), [0.25, 0.025]);
    // Where they have no fewer, by who has the model, it is anybody's.
    close(rooms(45.0, false, false), [0.25, 0.25]);
}

#[test]
fn no_room_is_kept_from_those_whose_own_region_is_lost() {
    close(rooms(45.0, true, true), [0.25, 0.25]);
}

#[test]
fn who_sheds_gets_what_is_not_kept() {
    let share = |of_eu: &str| {
        let mut watch = Watch::new(watched());
        for second in 0..20 {
            let of_west = if second < 10 { 0.5 } else { 0.92 } * FILL;
            for (region, zone, requests) in [(WEST, "global", of_west), (EU, of_eu, 0.5 * FILL)] {
                watch.see(region, loaded(requests));
                let all = counts(requests * f64::from(second), 0.0);
                watch.hear(
                    region,
                    "gateway",
                    0,
                    vec![tried(zone, Lane::Home, region, all)],
                );
            }
            // Nobody else has room.
            watch.see(EAST, loaded(80.0));
            watch.tick();
        }
        watch.share(WEST, "global").unwrap()
    };
    assert!(share("global") < 90, "{}", share("global"));
    assert_eq!(share("eea"), 100);
}
