//! A region that other regions' gateways ask first, with callers of its own who have nowhere else to go.

use super::fleets::LLAMA;
use super::watch::{EAST, EU, WEST, Watch, counts, server, tried, watched};
use crate::filter_policy::Lane;
use crate::plan::known::Known;
use crate::signal::{Figures, Millis, Reading};

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
    let stay = |gateway| watch.share(gateway, "global").unwrap();
    let (own_share, guests_share) = (stay(EU), stay(EAST));
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
/// per second are of the zone `eea`, which may use it and eu-west-1.
fn room(pinned: f64) -> [f64; 2] {
    let mut fleet = watched();
    let eea = fleet.zones.get_mut("eea").unwrap();
    eea.regions.extend([EAST.into(), WEST.into()]);
    fleet
        .regions
        .insert("ap-south-1".into(), fleet.regions[EU].clone());
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
    let known = Known::of(&watch.fleet, &watch.state, &watch.plan, now);
    ["eea", "global"].map(|zone| {
        let others = known.others(&zone.into(), &WEST.into(), &[EAST.into()], &LLAMA.into());
        others[0].room
    })
}

#[test]
fn room_is_kept_for_those_who_may_use_fewer_regions() {
    let close = |room: [f64; 2], expected: [f64; 2]| {
        let mut both = room.iter().zip(expected);
        assert!(
            both.all(|(room, expected)| (room - expected).abs() < 0.005),
            "{room:?}, not {expected:?}"
        );
    };
    close(room(0.0), [0.25, 0.25]);
    // A tenth of half its load, which may become half as much again.
    close(room(5.0), [0.25, 0.225]);
    close(room(45.0), [0.25, 0.025]);
}
