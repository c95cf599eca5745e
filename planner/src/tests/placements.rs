//! Shares and weights of one placement, step by step.

use crate::placement::{Candidate, HomePool, Placement, STEP_UP, Utilization};
use crate::signal::Millis;
use meridian_fixtures::fleets::fleet;
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use std::time::Duration;

fn first(utilization: f64) -> HomePool {
    HomePool {
        utilization: Some(Utilization {
            now: utilization,
            low: utilization,
            peak: utilization,
        }),
        down: false,
        serving: 100,
        unhealthy: None,
        unhealthy_step: 25,
        queues: false,
        silent: false,
        batch: false,
        sheddable: 1.0,
        own: 1.0,
        residence_time: Duration::ZERO,
        elasticity: 1.0,
        every: Duration::from_secs(1),
    }
}

fn other(region: &str, room: f64) -> Candidate {
    Candidate {
        region: region.into(),
        room,
        open: true,
        size: 1.0,
        measured: true,
        silent: false,
    }
}

/// Who would take some while nothing leaves: both, the nearer one more.
const BOTH_AT_REST: [(&str, u32); 2] = [("far", 37), ("near", 63)];

/// One that serves nobody.
fn closed(region: &str) -> Candidate {
    Candidate {
        open: false,
        ..other(region, 0.5)
    }
}

fn roomy() -> Vec<Candidate> {
    vec![other("near", 0.5), other("far", 0.5)]
}

/// One step a second.
struct Steps {
    placement: Placement,
    now: u64,
}

impl Steps {
    fn new() -> Self {
        Self {
            placement: Placement::home(),
            now: 1_000_000,
        }
    }

    fn step(&mut self, first: &HomePool, others: &[Candidate]) -> u8 {
        self.now += 1000;
        self.placement = self
            .placement
            .next(&fleet().overflow, first, others, Millis(self.now));
        self.placement.home_share
    }

    fn weights(&self) -> Vec<(&str, u32)> {
        let weights = self.placement.overflow.iter();
        weights
            .map(|(region, weight)| (region.as_str(), *weight))
            .collect()
    }
}

#[test]
fn too_full_a_region_sheds_what_brings_it_back_and_takes_it_back_when_it_is_calm() {
    let mut steps = Steps::new();
    assert_eq!(steps.step(&first(0.5), &roomy()), 100);
    assert_eq!(steps.weights(), BOTH_AT_REST);
    assert_eq!(steps.step(&first(0.95), &roomy()), 78, "0.75 / 0.95");
    assert_eq!(steps.step(&first(0.95), &roomy()), 78, "not seen yet");
    for utilization in [0.76, 0.78, 0.80, 0.72, 0.71] {
        assert_eq!(steps.step(&first(utilization), &roomy()), 78);
    }
    let mut shares = Vec::new();
    for _ in 0..40 {
        shares.push(steps.step(&first(0.3), &roomy()));
    }
    assert!(
        shares.is_sorted() && *shares.last().unwrap() == 100,
        "{shares:?}"
    );
    shares.dedup();
    assert!(
        shares.windows(2).all(|pair| pair[1] - pair[0] <= 10),
        "{shares:?}"
    );
    for _ in 0..600 {
        steps.step(&first(0.3), &roomy());
    }
    let Placement { step, was, .. } = &steps.placement;
    assert_eq!((step, was), (&None, &None), "nothing is left to remember");
}

#[test]
fn it_takes_back_no_more_than_it_can_hold() {
    let mut steps = Steps::new();
    steps.step(&first(0.95), &roomy());
    // Calm by a hair: all of it back would be too much at once.
    for _ in 0..4 {
        steps.step(&first(0.69), &roomy());
    }
    assert_eq!(steps.placement.home_share, 84, "78 * 0.75 / 0.69");
}

#[test]
fn noise_around_the_limit_does_not_make_it_come_and_go() {
    // Shedding works: the utilization follows the share.
    let mut steps = Steps::new();
    let mut shares = Vec::new();
    for second in 0..60u32 {
        let noise = f64::from(second.wrapping_mul(2_654_435_761) % 41) / 1000.0 - 0.02;
        let load = (0.80 + noise) * f64::from(steps.placement.home_share) / 100.0;
        shares.push(steps.step(&first(load), &roomy()));
    }
    shares.dedup();
    assert!(shares.len() <= 2, "{shares:?}");
    // Shedding does nothing: it is tried once, since no limit is passed for good.
    let mut steps = Steps::new();
    let mut shares = Vec::new();
    for second in 0..60u32 {
        let noise = f64::from(second.wrapping_mul(2_654_435_761) % 41) / 1000.0 - 0.02;
        let mut noisy = first(0.80 + noise);
        noisy.utilization = noisy.utilization.map(|utilization| Utilization {
            low: 0.78,
            peak: 0.82,
            ..utilization
        });
        shares.push(steps.step(&noisy, &roomy()));
    }
    shares.dedup();
    assert!(shares.len() <= 2, "{shares:?}");
}

#[test]
fn shedding_that_does_nothing_stops_and_says_so() {
    let mut steps = Steps::new();
    let mut shares: Vec<u8> = (0..30)
        .map(|_| steps.step(&first(0.95), &roomy()))
        .collect();
    shares.dedup();
    assert_eq!(shares, [78, 61, 48], "three steps in vain");
    assert!(steps.placement.without_effect);
    // Worse is another matter, and calm is the end of it.
    assert!(steps.step(&first(1.1), &roomy()) < 48);
    for _ in 0..40 {
        steps.step(&first(0.2), &roomy());
    }
    assert_eq!(
        (steps.placement.home_share, steps.placement.without_effect),
        (100, false)
    );
}

#[test]
fn never_more_than_the_others_have_room_for() {
    let mut steps = Steps::new();
    assert_eq!(
        steps.step(&first(1.0), &[other("near", 0.05)]),
        95,
        "a twentieth of its load"
    );
    let mut steps = Steps::new();
    assert_eq!(steps.step(&first(1.0), &[other("near", 0.0)]), 100);
    let mut steps = Steps::new();
    assert_eq!(steps.step(&first(1.0), &[closed("near")]), 100);
    assert!(steps.weights().is_empty(), "nobody may be asked");
}

#[test]
fn a_full_pool_with_a_queue_sheds_until_the_queue_is_gone() {
    // Half as many again as it can hold: that does not show before a third has left.
    let full = |share: u8| HomePool {
        queues: share > 66,
        ..first((1.5 * f64::from(share) / 100.0).min(1.0))
    };
    let mut steps = Steps::new();
    let mut shares = vec![100];
    for _ in 0..30 {
        let share = steps.placement.home_share;
        shares.push(steps.step(&full(share), &roomy()));
    }
    shares.dedup();
    assert_eq!(shares, [100, 75, 56, 50]);
    assert!(!steps.placement.without_effect);
}

#[test]
fn what_fits_nowhere_stays_at_home() {
    // The only one with room dies, and has most of the requests.
    let mut steps = Steps::new();
    let sick = |now: u64| HomePool {
        unhealthy: Some(Millis(now)),
        ..first(0.5)
    };
    while steps.placement.home_share > 10 {
        steps.step(
            &sick(steps.now + 1000),
            &[other("near", 1.0), other("far", 0.05)],
        );
    }
    let shared = first(0.05);
    assert_eq!(
        steps.step(&shared, &[closed("near"), other("far", 0.1)]),
        80
    );
    assert_eq!(steps.weights(), [("far", TOTAL_WEIGHT)]);
}

#[test]
fn a_region_with_too_much_gives_back_step_by_step() {
    let mut steps = Steps::new();
    steps.step(&first(0.95), &[other("near", 0.5)]);
    assert_eq!(steps.placement.home_share, 78);
    let mut shares = vec![78];
    for _ in 0..10 {
        shares.push(steps.step(&first(0.72), &[other("near", -0.6)]));
    }
    shares.dedup();
    assert_eq!(shares, [78, 78 + STEP_UP, 98, 100]);
    assert_eq!(steps.weights(), [], "it is not asked any more");
    // A home that is worse keeps them away.
    let mut steps = Steps::new();
    steps.step(&first(0.95), &[other("near", 0.5)]);
    for _ in 0..10 {
        let sick = HomePool {
            unhealthy: Some(Millis(steps.now + 1000)),
            ..first(0.72)
        };
        assert_eq!(steps.step(&sick, &[other("near", -0.1)]), 78);
    }
}

#[test]
fn guests_are_passed_on_also_while_home_is_no_better() {
    for (down, unhealthy) in [(true, None), (false, Some(Millis(1)))] {
        let mut steps = Steps::new();
        let home = HomePool {
            down,
            unhealthy,
            ..first(0.4)
        };
        let near = |room: f64| [other("near", room), other("far", 0.0)];
        while steps.placement.home_share > 10 {
            let home = HomePool {
                unhealthy: unhealthy.map(|_| Millis(steps.now + 1000)),
                ..home
            };
            steps.step(&home, &near(1.0));
        }
        assert_eq!(steps.weights(), [("near", 100)]);
        // At night it had room for all of them; by day the other one has some.
        let day = [other("near", -0.1), other("far", 0.5)];
        for _ in 0..40 {
            assert!(steps.step(&home, &day) <= 10);
        }
        let far = steps
            .weights()
            .iter()
            .find(|(to, _)| *to == "far")
            .map(|(_, weight)| *weight);
        assert!(
            far.is_some_and(|far| far > 20),
            "{down}: {:?}",
            steps.weights()
        );
        // And where nobody has, home gets nobody.
        for _ in 0..40 {
            assert!(steps.step(&home, &[other("near", -0.1), other("far", -0.1)]) <= 10);
        }
    }
}

#[test]
fn a_region_that_comes_back_takes_as_much_as_serves() {
    let mut steps = Steps::new();
    let down = HomePool {
        down: true,
        ..first(0.0)
    };
    while steps.placement.home_share > 10 {
        steps.step(&down, &roomy());
    }
    let back = |serving| HomePool {
        serving,
        ..first(0.5)
    };
    assert_eq!(steps.step(&back(5), &roomy()), 10);
    assert_eq!(steps.step(&back(30), &roomy()), 30);
    assert_eq!(steps.step(&back(30), &roomy()), 30);
    assert_eq!(steps.step(&back(60), &roomy()), 60);
    // What comes is too much for those that serve: it is shed as ever, and no longer taken for empty.
    steps.now += 60_000;
    let full = HomePool {
        serving: 60,
        ..first(0.95)
    };
    let shed = steps.step(&full, &roomy());
    assert!(shed < 60, "{shed}");
    assert_eq!(steps.step(&back(60), &roomy()), shed);
    // One that comes back whole is asked as before at once.
    while steps.placement.home_share > 10 {
        steps.step(&down, &roomy());
    }
    assert_eq!(steps.step(&back(100), &roomy()), 100);
}

#[test]
fn a_region_that_is_not_heard_gets_a_little_once() {
    let silent = || Candidate {
        measured: false,
        silent: true,
        ..other("near", 0.1)
    };
    let mut steps = Steps::new();
    for _ in 0..60 {
        steps.step(&first(0.99), &[silent()]);
    }
    assert_eq!(
        steps.placement.home_share, 90,
        "a tenth of a full region's load"
    );
    for _ in 0..60 {
        let away = f64::from(steps.placement.home_share);
        steps.step(&first(1.2 * away / 90.0), &[silent()]);
    }
    assert!(steps.placement.home_share >= 88, "{:?}", steps.placement);
}

#[test]
fn at_rest_noise_changes_nothing() {
    let mut steps = Steps::new();
    steps.step(&first(0.5), &[other("near", 0.1), other("far", 0.5)]);
    let before = steps.placement.clone();
    for second in 0..60 {
        let near = other("near", if second % 2 == 0 { 0.02 } else { 0.0 });
        steps.step(&first(0.5), &[near, other("far", 0.5)]);
        assert_eq!(steps.placement, before);
    }
    // Too full is another matter; and it is the nearest again when it is calm.
    steps.step(&first(0.5), &[other("near", -0.06), other("far", 0.5)]);
    assert_eq!(steps.weights(), [("far", TOTAL_WEIGHT)]);
    steps.step(&first(0.5), &[other("near", 0.04), other("far", 0.5)]);
    assert_eq!(steps.weights(), [("far", TOTAL_WEIGHT)]);
    steps.step(&first(0.5), &[other("near", 0.06), other("far", 0.5)]);
    assert_eq!(steps.weights(), BOTH_AT_REST);
    // Where all are too full, nobody is named.
    steps.step(&first(0.5), &[other("near", -0.1), other("far", -0.1)]);
    assert_eq!(steps.weights(), []);
}

#[test]
fn room_is_taken_nearest_first() {
    let mut steps = Steps::new();
    steps.step(&first(1.0), &[other("near", 0.1), other("far", 0.5)]);
    assert_eq!(steps.placement.home_share, 75);
    assert_eq!(steps.weights(), [("far", 60), ("near", 40)]);
    // What each has it keeps; that the nearest is full now does not send its callers on.
    for _ in 0..5 {
        steps.step(&first(0.78), &[other("near", 0.0), other("far", 0.3)]);
    }
    assert_eq!(steps.weights(), [("far", 60), ("near", 40)]);
    // One that may not be asked any more loses all of it at once.
    steps.step(&first(0.78), &[closed("near"), other("far", 0.3)]);
    assert_eq!(steps.weights(), [("far", TOTAL_WEIGHT)]);
}

#[test]
fn an_unhealthy_region_sheds_step_by_step_down_to_the_floor() {
    let mut steps = Steps::new();
    let sick = |at: u64| HomePool {
        unhealthy: Some(Millis(at)),
        ..first(0.4)
    };
    let seen = steps.now + 1000;
    for _ in 0..30 {
        assert_eq!(
            steps.step(&sick(seen), &roomy()),
            75,
            "what was seen once is one step"
        );
    }
    let mut shares: Vec<u8> = (0..30)
        .map(|_| steps.step(&sick(steps.now + 1000), &roomy()))
        .collect();
    shares.dedup();
    assert_eq!(shares, [50, 25, 10]);
    for _ in 0..60 {
        steps.step(&first(0.4), &roomy());
    }
    assert_eq!(steps.placement.home_share, 100);
}

#[test]
fn a_silent_region_keeps_what_it_has() {
    let mut steps = Steps::new();
    steps.step(&first(0.95), &roomy());
    let silent = HomePool {
        utilization: None,
        silent: true,
        ..first(0.0)
    };
    for _ in 0..30 {
        assert_eq!(steps.step(&silent, &roomy()), 78);
    }
}

#[test]
fn only_what_can_leave_leaves() {
    // Half of its load belongs to zones that have no other region.
    let mut steps = Steps::new();
    let half = HomePool {
        sheddable: 0.5,
        ..first(0.9)
    };
    assert_eq!(
        steps.step(&half, &roomy()),
        70,
        "a third of the half that can leave, and 30 at most in a step"
    );
}
