//! Lasting breaches and short ones.

use super::watch::{Watch, attempts, attempts_to, counts, kv, server, watched};
use crate::signal::{Figures, Histogram, Millis};
use crate::topology::Topology;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST};
use meridian_policy::Fleet;
use meridian_policy::filter_policy::Lane;

#[test]
fn a_short_burst_of_failures_causes_one_step() {
    let mut watch = Watch::new(watched());
    watch.report(WEST, vec![kv(0.3), attempts(0.0, 0.0, 0.0)]);
    watch.at(0.3, 0.3, 0.3, 1);
    let mut shares = Vec::new();
    for second in 1..60u32 {
        let answered = 10.0 * f64::from(second);
        let failed = if second > 5 { 8.0 } else { 0.0 };
        watch.report(WEST, vec![attempts(answered, 0.0, failed)]);
        watch.at(0.3, 0.3, 0.3, 1);
        shares.push(watch.share(WEST, "global").unwrap());
    }
    assert_eq!(shares.iter().min(), Some(&75), "{shares:?}");
    assert_eq!(shares.last(), Some(&100));
}

#[test]
fn a_429_does_not_count_as_a_failure() {
    let mut watch = Watch::new(watched());
    for second in 0..20u32 {
        let second = f64::from(second);
        watch.report(WEST, vec![attempts(3.0 * second, 7.0 * second, 0.0)]);
        watch.at(0.3, 0.3, 0.3, 1);
    }
    assert_eq!(watch.reasons(WEST), []);
    assert!(
        !watch
            .plan
            .is_down(&WEST.parse().unwrap(), &LLAMA.parse().unwrap())
    );
    for second in 20..40u32 {
        let second = f64::from(second);
        watch.report(WEST, vec![attempts(60.0, 140.0, 7.0 * second)]);
        watch.at(0.3, 0.3, 0.3, 1);
    }
    assert!(
        watch
            .plan
            .is_down(&WEST.parse().unwrap(), &LLAMA.parse().unwrap())
    );
}

#[test]
fn a_shrinking_queue_stops_shedding() {
    let mut watch = Watch::new(watched());
    let mut waiting = 400.0;
    let mut shares = Vec::new();
    for _ in 0..40 {
        let figures = Figures {
            kv_cache: Some(0.75),
            waiting: Some(waiting),
            ..Default::default()
        };
        for region in [EAST, EU] {
            watch.report(region, vec![kv(0.2)]);
        }
        watch.report(WEST, vec![server(figures)]);
        watch.tick();
        shares.push(watch.share(WEST, "global").unwrap());
        waiting *= if *shares.last().unwrap() < 100 {
            0.93
        } else {
            1.0
        };
    }
    assert_eq!(shares.iter().min(), Some(&75), "{shares:?}");
}

#[test]
fn a_single_long_wait_does_not_raise_utilization() {
    let mut watch = Watch::new(watched());
    for second in 0..10u32 {
        let count = f64::from(second.min(2));
        let queue_time = Histogram {
            buckets: vec![],
            sum: count * 20.0,
            count,
        };
        let figures = Figures {
            kv_cache: Some(0.3),
            queue_time: Some(queue_time),
            ..Default::default()
        };
        watch.report(WEST, vec![server(figures)]);
        watch.tick();
        assert_eq!(watch.share(WEST, "global"), Some(100));
    }
}

/// Number of direction changes of us-west-2's share in ten minutes in which all of its `requests` per second fail. The
/// second value is its share two minutes after it works again.
fn reversals(requests: f64) -> (usize, u8) {
    let mut watch = Watch::new(watched());
    let (mut answered, mut failed) = (0.0, 0.0);
    let mut shares = Vec::new();
    for second in 0..720 {
        let share = watch.share(WEST, "global").unwrap_or(100);
        let arrivals = requests * f64::from(share) / 100.0;
        *(if second < 600 {
            &mut failed
        } else {
            &mut answered
        }) += arrivals;
        watch.report(WEST, vec![attempts(answered, 0.0, failed)]);
        watch.at(0.1, 0.3, 0.3, 1);
        if second < 600 {
            shares.push(i32::from(watch.share(WEST, "global").unwrap()));
        }
    }
    let steps: Vec<i32> = shares.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let moves: Vec<i32> = steps.into_iter().filter(|step| *step != 0).collect();
    let turns = moves
        .windows(2)
        .filter(|pair| (pair[0] > 0) != (pair[1] > 0));
    (turns.count(), watch.share(WEST, "global").unwrap())
}

#[test]
fn a_failing_region_with_little_traffic_does_not_recover() {
    for requests in [3.0, 5.0, 8.0, 20.0] {
        let (turns, final_share) = reversals(requests);
        assert!(turns <= 2, "{requests}/s: {turns}");
        assert_eq!(final_share, 100, "{requests}/s");
    }
}

#[test]
fn counts_from_before_a_region_returned_are_not_growth() {
    let mut watch = Watch::new(watched());
    let whole = watch.fleet.clone();
    let mut without = Fleet::clone(&whole);
    without.regions.remove(EAST);
    for zone in without.zones.values_mut() {
        zone.regions.remove(EAST);
    }
    for region in without.regions.values_mut() {
        region.nearest.retain(|other| other.as_str() != EAST);
    }
    let mut for_seconds = |fleet: Topology, seconds: u32| {
        watch.fleet = fleet;
        watch.state.edited(Millis(watch.now));
        for second in 0..seconds {
            let of_west = counts(10.0 * f64::from(second), 0.0);
            let own = attempts_to("global", Lane::Home, WEST, of_west);
            let old = attempts_to("global", Lane::Overflow, EAST, counts(40_000.0, 60_000.0));
            watch.report_from(WEST, "gateway", 0, vec![own, old]);
            watch.state.forget(&watch.fleet, Millis(watch.now));
            watch.at(0.5, 0.3, 0.3, 1);
        }
        let (east, now) = (EAST.parse().unwrap(), Millis(watch.now));
        let request_rate = watch
            .state
            .pool(&watch.fleet, &east, &LLAMA.parse().unwrap(), now)
            .request_rate;
        (
            request_rate,
            watch
                .plan
                .pools
                .get(EAST)
                .map(|pools| pools[LLAMA].reasons.clone()),
        )
    };
    for_seconds(whole.clone(), 5);
    for_seconds(without.into(), 700);
    for seconds in [1, 20] {
        let (request_rate, reasons) = for_seconds(whole.clone(), seconds);
        assert_eq!((request_rate, reasons), (None, Some([].into())));
    }
}
