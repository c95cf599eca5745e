//! Whole runs of small cases.

use crate::case::{Case, Fault, Request, What};
use crate::cases::{OBJECTIVE, calibrated};
use crate::outcome::{Figures, Outcome};
use crate::strategy::Strategy;
use crate::topology::{THREE, everybody, fleet, pinned, round_trips, sites};
use crate::world::run;
use proptest::prelude::*;

const REPLICAS: usize = 2;
const SECONDS: f64 = 120.0;

/// Three regions that are asked for so many requests per second each, evenly, for two minutes.
fn small(rates: [f64; 3], faults: Vec<Fault>) -> Case {
    let mut requests = Vec::new();
    for (home, rate) in rates.into_iter().enumerate() {
        for index in 0..(SECONDS * rate) as u64 {
            let is_pinned = home == 0 && index % 5 != 0;
            requests.push(Request {
                // Not all regions' at the same time.
                at: (index as f64 + 0.3 * home as f64 + 0.1) / rate,
                home,
                zone: if is_pinned { pinned() } else { everybody() },
                prompt: 200 + index * 37 % 1500,
                output: 20 + index * 13 % 150,
                session: None,
            });
        }
    }
    requests.sort_by(|one, other| one.at.total_cmp(&other.at));
    Case {
        name: "small".to_owned(),
        about: "small".to_owned(),
        fleet: fleet(&THREE, &[REPLICAS; 3]),
        regions: sites(&THREE, &[REPLICAS; 3], calibrated().unwrap().profile),
        round_trip: round_trips(&THREE),
        requests,
        objective: OBJECTIVE,
        capacity: vec![1.0; 3],
        faults,
        seconds: SECONDS,
        disturbances: Vec::new(),
    }
}

fn figures(case: &Case, way: Strategy) -> Figures {
    run(case, way, 1).figures(case, 10.0)
}

/// Every request ends in exactly one way.
fn ends_once(case: &Case, outcome: &Outcome) -> bool {
    outcome
        .served
        .iter()
        .zip(&case.requests)
        .all(|(served, request)| {
            let whole = served.whole.is_some_and(|whole| {
                served
                    .first_token
                    .is_some_and(|first| 0.0 < first && first <= whole)
            });
            let by_one = served.fallback != served.region.is_some()
                || (served.fallback && served.region.is_none());
            by_one && whole != served.broken && request.at <= SECONDS
        })
}

#[test]
fn the_same_seed_has_the_same_outcome_and_another_has_another() {
    let case = small([2.0, 9.0, 2.0], Vec::new());
    for way in Strategy::ALL {
        let one = format!("{:?}", run(&case, way, 1).served);
        assert!(one == format!("{:?}", run(&case, way, 1).served), "{way:?}");
    }
    let of = |seed| format!("{:?}", run(&case, Strategy::Nearest, seed).served);
    assert!(of(1) != of(2), "the choice of a replica is drawn");
}

#[test]
fn every_request_ends_once_whatever_fails() {
    let fault = |region, what| Fault {
        region,
        from: 30.0,
        to: 60.0,
        what,
    };
    for faults in [
        vec![],
        vec![fault(Some(1), What::Lost)],
        vec![fault(None, What::Lost)],
        vec![
            fault(None, What::Slower(1.5)),
            fault(Some(1), What::SaysIdle),
        ],
    ] {
        let case = small([3.0, 6.0, 3.0], faults);
        for way in Strategy::ALL {
            let outcome = run(&case, way, 1);
            assert!(ends_once(&case, &outcome), "{way:?} {:?}", case.faults);
            assert_eq!(outcome.violations, 0, "{way:?}");
        }
    }
}

#[test]
fn a_lost_region_loses_only_what_it_had_begun() {
    let lost = Fault {
        region: Some(1),
        from: 60.0,
        to: 90.0,
        what: What::Lost,
    };
    let case = small([2.0, 6.0, 2.0], vec![lost]);
    for way in Strategy::ALL {
        let outcome = run(&case, way, 1);
        let mut broken = 0;
        for (served, request) in outcome
            .served
            .iter()
            .zip(&case.requests)
            .filter(|(served, _)| served.broken)
        {
            broken += 1;
            assert_eq!(served.region, Some(1), "{way:?}");
            let first = request.at + served.first_token.unwrap();
            // On its way for half a round trip at most.
            assert!(request.at < 60.0 && first < 60.2, "{way:?}: {first}");
        }
        assert!(broken < 60, "{way:?}: {broken}");
        // Nobody is served there while it is lost.
        let there = outcome
            .served
            .iter()
            .zip(&case.requests)
            .filter(|(served, request)| {
                let first = request.at + served.first_token.unwrap_or_default();
                served.region == Some(1) && (60.5..90.0).contains(&first)
            });
        assert_eq!(there.count(), 0, "{way:?}");
    }
    assert!(
        run(&case, Strategy::Nearest, 1)
            .served
            .iter()
            .any(|served| served.broken)
    );
}

#[test]
fn pinned_requests_have_only_a_fallback_when_their_region_is_lost() {
    let lost = Fault {
        region: Some(0),
        from: 20.0,
        to: 100.0,
        what: What::Lost,
    };
    let case = small([4.0, 2.0, 2.0], vec![lost]);
    for way in Strategy::ALL {
        let outcome = run(&case, way, 1);
        let (mut fallbacks, mut elsewhere) = (0, 0);
        for (served, request) in outcome.served.iter().zip(&case.requests) {
            fallbacks += usize::from(served.fallback);
            if request.zone == pinned() {
                assert!(served.region.is_none_or(|region| region == 0), "{way:?}");
            } else {
                assert!(!served.fallback, "{way:?}");
                elsewhere += usize::from(request.home == 0 && served.region != Some(0));
            }
        }
        assert!(fallbacks > 200, "{way:?}: {fallbacks}");
        assert!(elsewhere > 50, "{way:?}: {elsewhere}");
        assert_eq!(outcome.violations, 0);
    }
}

#[test]
fn home_serves_all_that_goes_to_the_nearest_and_a_third_of_what_goes_round() {
    let case = small([1.0, 2.0, 2.0], Vec::new());
    let nearest = figures(&case, Strategy::Nearest);
    assert!((nearest.home - 1.0).abs() < 1e-9 && nearest.crossed == 0.0);
    let round = figures(&case, Strategy::RoundRobin);
    assert!(round.home < 0.6 && round.crossed > 0.0, "{}", round.home);
}

#[test]
fn meridian_and_the_oracle_are_better_than_the_nearest_when_one_is_asked_for_too_much() {
    let case = small([1.0, 14.0, 1.0], Vec::new());
    let of = |way| figures(&case, way);
    let (nearest, meridian, oracle) = (
        of(Strategy::Nearest),
        of(Strategy::Meridian),
        of(Strategy::Oracle),
    );
    assert!(
        meridian.first_token[1] < 0.5 * nearest.first_token[1],
        "{meridian:?} {nearest:?}"
    );
    assert!(meridian.attainment > nearest.attainment + 0.1);
    assert!(oracle.first_token[1] < meridian.first_token[1]);
}

#[test]
fn who_believes_pages_believes_one_that_lies() {
    let with = |what: Option<What>| {
        let fault = |what| Fault {
            region: Some(1),
            from: 30.0,
            to: SECONDS,
            what,
        };
        let case = small([4.0, 6.0, 4.0], what.map(fault).into_iter().collect());
        figures(&case, Strategy::LeastLoad).whole[1]
    };
    let (honest, idle) = (with(None), with(Some(What::SaysIdle)));
    assert!(
        idle > 1.5 * honest,
        "{idle} s, with honest pages {honest} s"
    );
}

#[test]
fn a_pinned_request_may_use_its_zone_alone() {
    let case = small([1.0, 1.0, 1.0], Vec::new());
    for (id, request) in case.requests.iter().enumerate() {
        let may = [0, 1, 2].map(|region| case.may_use(id, region));
        let all = request.zone != pinned();
        assert_eq!(may, [true, all, all]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn nobody_leaves_a_zone_and_nobody_is_forgotten(
        rates in prop::array::uniform3(0.5..8.0f64), region in 0..3usize, from in 0.0..100.0f64, way in 0..Strategy::ALL.len(), seed in any::<u64>(),
    ) {
        let lost = Fault { region: Some(region), from, to: from + 15.0, what: What::Lost };
        let case = small(rates, vec![lost]);
        let outcome = run(&case, Strategy::ALL[way], seed);
        prop_assert!(ends_once(&case, &outcome));
        prop_assert_eq!(outcome.violations, 0);
    }
}
