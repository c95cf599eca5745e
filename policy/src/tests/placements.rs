//! Shares and weights of one placement, step by step.

use super::fleets::fleet;
use crate::placement::{First, Other, Placement, TOTAL_WEIGHT};
use crate::signal::Millis;
use std::time::Duration;

fn first(utilization: f64) -> First {
    First {
        utilization: Some(utilization),
        peak: Some(utilization),
        unhealthy: false,
        silent: false,
        sheddable: 1.0,
        every: Duration::from_secs(1),
    }
}

fn other(region: &str, room: f64) -> Other {
    Other {
        region: region.into(),
        room,
        open: room >= 0.0,
        known: true,
    }
}

fn roomy() -> Vec<Other> {
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

    fn step(&mut self, first: &First, others: &[Other]) -> u8 {
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
    assert_eq!(steps.weights(), [("near", TOTAL_WEIGHT)]);
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
    assert_eq!(steps.placement.step, None, "nothing is left to remember");
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
    // Shedding does nothing: it is tried once.
    let mut steps = Steps::new();
    let mut shares = Vec::new();
    for second in 0..60u32 {
        let noise = f64::from(second.wrapping_mul(2_654_435_761) % 41) / 1000.0 - 0.02;
        shares.push(steps.step(&first(0.80 + noise), &roomy()));
    }
    shares.dedup();
    assert!(shares.len() <= 2, "{shares:?}");
}

#[test]
fn shedding_that_does_nothing_stops_and_says_so() {
    let mut steps = Steps::new();
    let shares: Vec<u8> = (0..30)
        .map(|_| steps.step(&first(0.95), &roomy()))
        .collect();
    assert_eq!((shares[0], shares[29]), (78, 78));
    assert!(steps.placement.without_effect);
    // Worse is another matter, and calm is the end of it.
    assert!(steps.step(&first(1.1), &roomy()) < 78);
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
    let closed = Other {
        open: false,
        ..other("near", 0.5)
    };
    assert_eq!(steps.step(&first(1.0), &[closed]), 100);
    assert!(steps.weights().is_empty(), "nobody may be asked");
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
    let closed = Other {
        open: false,
        ..other("near", 0.3)
    };
    steps.step(&first(0.78), &[closed, other("far", 0.3)]);
    assert_eq!(steps.weights(), [("far", TOTAL_WEIGHT)]);
}

#[test]
fn an_unhealthy_region_sheds_step_by_step_down_to_the_floor() {
    let mut steps = Steps::new();
    let sick = First {
        unhealthy: true,
        ..first(0.4)
    };
    let mut shares: Vec<u8> = (0..30).map(|_| steps.step(&sick, &roomy())).collect();
    shares.dedup();
    assert_eq!(shares, [75, 50, 25, 10]);
    for _ in 0..60 {
        steps.step(&first(0.4), &roomy());
    }
    assert_eq!(steps.placement.home_share, 100);
}

#[test]
fn a_silent_region_keeps_what_it_has() {
    let mut steps = Steps::new();
    steps.step(&first(0.95), &roomy());
    let silent = First {
        utilization: None,
        peak: None,
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
    let half = First {
        sheddable: 0.5,
        ..first(0.9)
    };
    assert_eq!(
        steps.step(&half, &roomy()),
        70,
        "a third of the half that can leave, and 30 at most in a step"
    );
}
