//! Shares and weights of a single placement, step by step.

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
        drained: false,
        serving: 100,
        last_breach: None,
        unhealthy_step: 25,
        has_queue: false,
        silent: false,
        receives_batch: false,
        sheddable: 1.0,
        movable_share: 1.0,
        residence_time: Duration::ZERO,
        elasticity: 1.0,
        report_interval: Duration::from_secs(1),
    }
}

fn other(region: &str, headroom: f64) -> Candidate {
    Candidate {
        drained: false,
        region: region.parse().unwrap(),
        headroom,
        open: true,
        relative_capacity: 1.0,
        measured: true,
        silent: false,
    }
}

/// Weights at a share of 100: both candidates, the nearer one more.
const IDLE_WEIGHTS: [(&str, u32); 2] = [("far", 37), ("near", 63)];

/// A candidate that does not serve.
fn closed(region: &str) -> Candidate {
    Candidate {
        open: false,
        ..other(region, 0.5)
    }
}

fn with_headroom() -> Vec<Candidate> {
    vec![other("near", 0.5), other("far", 0.5)]
}

/// A placement with one step per second.
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
fn an_overloaded_region_sheds_to_its_target_and_recovers_when_calm() {
    let mut steps = Steps::new();
    assert_eq!(steps.step(&first(0.5), &with_headroom()), 100);
    assert_eq!(steps.weights(), IDLE_WEIGHTS);
    assert_eq!(
        steps.step(&first(0.95), &with_headroom()),
        78,
        "0.75 / 0.95"
    );
    assert_eq!(
        steps.step(&first(0.95), &with_headroom()),
        78,
        "the change is not visible yet"
    );
    for utilization in [0.76, 0.78, 0.80, 0.72, 0.71] {
        assert_eq!(steps.step(&first(utilization), &with_headroom()), 78);
    }
    let mut shares = Vec::new();
    for _ in 0..40 {
        shares.push(steps.step(&first(0.3), &with_headroom()));
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
        steps.step(&first(0.3), &with_headroom());
    }
    let Placement { step, previous, .. } = &steps.placement;
    assert_eq!((step, previous), (&None, &None), "no step is remembered");
}

#[test]
fn recovery_stays_below_the_target_utilization() {
    let mut steps = Steps::new();
    steps.step(&first(0.95), &with_headroom());
    // Barely below the recovery limit: returning everything at once would exceed the target.
    for _ in 0..4 {
        steps.step(&first(0.69), &with_headroom());
    }
    assert_eq!(steps.placement.home_share, 84, "78 * 0.75 / 0.69");
}

#[test]
fn noise_around_the_limit_does_not_change_the_share() {
    // Shedding has an effect: utilization follows the share.
    let mut steps = Steps::new();
    let mut shares = Vec::new();
    for second in 0..60u32 {
        let noise = f64::from(second.wrapping_mul(2_654_435_761) % 41) / 1000.0 - 0.02;
        let load = (0.80 + noise) * f64::from(steps.placement.home_share) / 100.0;
        shares.push(steps.step(&first(load), &with_headroom()));
    }
    shares.dedup();
    assert!(shares.len() <= 2, "{shares:?}");
    // Shedding has no effect. It happens at most once, because the utilization does not stay above the limit.
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
        shares.push(steps.step(&noisy, &with_headroom()));
    }
    shares.dedup();
    assert!(shares.len() <= 2, "{shares:?}");
}

#[test]
fn shedding_without_effect_stops_and_is_reported() {
    let mut steps = Steps::new();
    let mut shares: Vec<u8> = (0..30)
        .map(|_| steps.step(&first(0.95), &with_headroom()))
        .collect();
    shares.dedup();
    assert_eq!(shares, [78, 61, 48], "three ineffective steps");
    assert!(steps.placement.without_effect);
    // A higher utilization resumes shedding. A low one clears the flag.
    assert!(steps.step(&first(1.1), &with_headroom()) < 48);
    for _ in 0..40 {
        steps.step(&first(0.2), &with_headroom());
    }
    assert_eq!(
        (steps.placement.home_share, steps.placement.without_effect),
        (100, false)
    );
}

#[test]
fn overflow_never_exceeds_the_headroom() {
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
    assert!(steps.weights().is_empty(), "no region serves");
}

#[test]
fn a_full_pool_with_a_queue_sheds_until_the_queue_is_gone() {
    // The load is 1.5 times the capacity, so utilization stays at 1 until a third has left.
    let full = |share: u8| HomePool {
        has_queue: share > 66,
        ..first((1.5 * f64::from(share) / 100.0).min(1.0))
    };
    let mut steps = Steps::new();
    let mut shares = vec![100];
    for _ in 0..30 {
        let share = steps.placement.home_share;
        shares.push(steps.step(&full(share), &with_headroom()));
    }
    shares.dedup();
    assert_eq!(shares, [100, 75, 56, 50]);
    assert!(!steps.placement.without_effect);
}

#[test]
fn traffic_without_headroom_stays_at_home() {
    // The candidate with the most headroom and traffic dies.
    let mut steps = Steps::new();
    let unhealthy = |now: u64| HomePool {
        last_breach: Some(Millis(now)),
        ..first(0.5)
    };
    while steps.placement.home_share > 10 {
        steps.step(
            &unhealthy(steps.now + 1000),
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
fn an_overloaded_candidate_returns_overflow_step_by_step() {
    let mut steps = Steps::new();
    steps.step(&first(0.95), &[other("near", 0.5)]);
    assert_eq!(steps.placement.home_share, 78);
    let mut shares = vec![78];
    for _ in 0..10 {
        shares.push(steps.step(&first(0.72), &[other("near", -0.6)]));
    }
    shares.dedup();
    assert_eq!(shares, [78, 78 + STEP_UP, 98, 100]);
    assert_eq!(steps.weights(), [], "the candidate has no overflow left");
    // An unhealthy home takes no overflow back.
    let mut steps = Steps::new();
    steps.step(&first(0.95), &[other("near", 0.5)]);
    for _ in 0..10 {
        let unhealthy = HomePool {
            last_breach: Some(Millis(steps.now + 1000)),
            ..first(0.72)
        };
        assert_eq!(steps.step(&unhealthy, &[other("near", -0.1)]), 78);
    }
}

#[test]
fn overflow_moves_between_candidates_while_home_is_unfit() {
    for (down, last_breach) in [(true, None), (false, Some(Millis(1)))] {
        let mut steps = Steps::new();
        let home = HomePool {
            down,
            last_breach,
            ..first(0.4)
        };
        let near = |headroom: f64| [other("near", headroom), other("far", 0.0)];
        while steps.placement.home_share > 10 {
            let home = HomePool {
                last_breach: last_breach.map(|_| Millis(steps.now + 1000)),
                ..home
            };
            steps.step(&home, &near(1.0));
        }
        assert_eq!(steps.weights(), [("near", 100)]);
        // The candidate had headroom for all of it, and now only the other one has.
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
        // Without headroom anywhere, home takes none of it.
        for _ in 0..40 {
            assert!(steps.step(&home, &[other("near", -0.1), other("far", -0.1)]) <= 10);
        }
    }
}

#[test]
fn a_returning_region_takes_traffic_in_proportion_to_its_endpoints() {
    let mut steps = Steps::new();
    let down = HomePool {
        down: true,
        ..first(0.0)
    };
    while steps.placement.home_share > 10 {
        steps.step(&down, &with_headroom());
    }
    let back = |serving| HomePool {
        serving,
        ..first(0.5)
    };
    assert_eq!(steps.step(&back(5), &with_headroom()), 10);
    assert_eq!(steps.step(&back(30), &with_headroom()), 30);
    assert_eq!(steps.step(&back(30), &with_headroom()), 30);
    assert_eq!(steps.step(&back(60), &with_headroom()), 60);
    // The serving endpoints are overloaded: the region sheds as usual, and no longer counts as empty.
    steps.now += 60_000;
    let full = HomePool {
        serving: 60,
        ..first(0.95)
    };
    let shed = steps.step(&full, &with_headroom());
    assert!(shed < 60, "{shed}");
    assert_eq!(steps.step(&back(60), &with_headroom()), shed);
    // A region with all endpoints back takes all of its traffic at once.
    while steps.placement.home_share > 10 {
        steps.step(&down, &with_headroom());
    }
    assert_eq!(steps.step(&back(100), &with_headroom()), 100);
}

#[test]
fn a_silent_candidate_gets_a_little_overflow_once() {
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
fn noise_does_not_change_idle_weights() {
    let mut steps = Steps::new();
    steps.step(&first(0.5), &[other("near", 0.1), other("far", 0.5)]);
    let before = steps.placement.clone();
    for second in 0..60 {
        let near = other("near", if second % 2 == 0 { 0.02 } else { 0.0 });
        steps.step(&first(0.5), &[near, other("far", 0.5)]);
        assert_eq!(steps.placement, before);
    }
    // An overloaded candidate is replaced. It returns after a calm period.
    steps.step(&first(0.5), &[other("near", -0.06), other("far", 0.5)]);
    assert_eq!(steps.weights(), [("far", TOTAL_WEIGHT)]);
    steps.step(&first(0.5), &[other("near", 0.04), other("far", 0.5)]);
    assert_eq!(steps.weights(), [("far", TOTAL_WEIGHT)]);
    steps.step(&first(0.5), &[other("near", 0.06), other("far", 0.5)]);
    assert_eq!(steps.weights(), IDLE_WEIGHTS);
    // If all candidates are overloaded, there are no weights.
    steps.step(&first(0.5), &[other("near", -0.1), other("far", -0.1)]);
    assert_eq!(steps.weights(), []);
}

#[test]
fn headroom_is_used_nearest_first() {
    let mut steps = Steps::new();
    steps.step(&first(1.0), &[other("near", 0.1), other("far", 0.5)]);
    assert_eq!(steps.placement.home_share, 75);
    assert_eq!(steps.weights(), [("far", 60), ("near", 40)]);
    // Each candidate keeps its overflow, even if the nearest has no headroom left.
    for _ in 0..5 {
        steps.step(&first(0.78), &[other("near", 0.0), other("far", 0.3)]);
    }
    assert_eq!(steps.weights(), [("far", 60), ("near", 40)]);
    // A candidate that does not serve loses all overflow at once.
    steps.step(&first(0.78), &[closed("near"), other("far", 0.3)]);
    assert_eq!(steps.weights(), [("far", TOTAL_WEIGHT)]);
}

#[test]
fn an_unhealthy_region_sheds_step_by_step_down_to_the_floor() {
    let mut steps = Steps::new();
    let unhealthy = |at: u64| HomePool {
        last_breach: Some(Millis(at)),
        ..first(0.4)
    };
    let seen = steps.now + 1000;
    for _ in 0..30 {
        assert_eq!(
            steps.step(&unhealthy(seen), &with_headroom()),
            75,
            "one breach causes one step"
        );
    }
    let mut shares: Vec<u8> = (0..30)
        .map(|_| steps.step(&unhealthy(steps.now + 1000), &with_headroom()))
        .collect();
    shares.dedup();
    assert_eq!(shares, [50, 25, 10]);
    for _ in 0..60 {
        steps.step(&first(0.4), &with_headroom());
    }
    assert_eq!(steps.placement.home_share, 100);
}

#[test]
fn a_silent_region_keeps_its_share() {
    let mut steps = Steps::new();
    steps.step(&first(0.95), &with_headroom());
    let silent = HomePool {
        utilization: None,
        silent: true,
        ..first(0.0)
    };
    for _ in 0..30 {
        assert_eq!(steps.step(&silent, &with_headroom()), 78);
    }
}

#[test]
fn only_movable_traffic_is_shed() {
    // Half of its load belongs to zones without another region.
    let mut steps = Steps::new();
    let half = HomePool {
        sheddable: 0.5,
        ..first(0.9)
    };
    assert_eq!(
        steps.step(&half, &with_headroom()),
        70,
        "a third of the movable half, at most 30 per step"
    );
}

#[test]
fn a_step_of_an_older_control_plane_is_read() {
    let older = r#"{"at":1,"saw":0.9,"expected":0.7,"vain":2,"fled":true}"#;
    let step: crate::placement::Step = serde_json::from_str(older).unwrap();
    assert_eq!((step.ineffective_steps, step.evacuated), (2, true));
}
