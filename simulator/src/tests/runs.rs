//! Runs of small cases.

use crate::case::{Case, Fault, FaultKind, Request};
use crate::cases::{OBJECTIVE, calibrated};
use crate::engine::run;
use crate::results::{RunMetrics, RunResult};
use crate::strategy::Strategy;
use crate::topology::{THREE, fleet, open_zone, pinned_zone, region_specs, round_trips};
use proptest::prelude::*;

const REPLICAS: usize = 2;
const SECONDS: f64 = 120.0;

/// Three regions with constant request rates, in requests per second, for two minutes.
fn small(rates: [f64; 3], faults: Vec<Fault>) -> Case {
    let mut requests = Vec::new();
    for (home, rate) in rates.into_iter().enumerate() {
        for index in 0..(SECONDS * rate) as u64 {
            let is_pinned = home == 0 && index % 5 != 0;
            requests.push(Request {
                // Shifted, so that the regions' requests do not coincide.
                at: (index as f64 + 0.3 * home as f64 + 0.1) / rate,
                home,
                zone: if is_pinned {
                    pinned_zone()
                } else {
                    open_zone()
                },
                prompt: 200 + index * 37 % 1500,
                output: 20 + index * 13 % 150,
                session: None,
            });
        }
    }
    requests.sort_by(|one, other| one.at.total_cmp(&other.at));
    Case {
        name: "small".to_owned(),
        description: "small".to_owned(),
        fleet: fleet(&THREE, &[REPLICAS; 3]),
        regions: region_specs(&THREE, &[REPLICAS; 3], calibrated().unwrap().profile),
        round_trip: round_trips(&THREE),
        requests,
        objective: OBJECTIVE,
        capacity: vec![1.0; 3],
        faults,
        seconds: SECONDS,
        disturbances: Vec::new(),
    }
}

fn metrics(case: &Case, strategy: Strategy) -> RunMetrics {
    run(case, strategy, 1).metrics(case, 10.0)
}

/// Every request ends once: at a region, at a fallback, or with a cut answer.
fn ends_once(case: &Case, run: &RunResult) -> bool {
    run.requests
        .iter()
        .zip(&case.requests)
        .all(|(result, request)| {
            let is_complete = result.latency.is_some_and(|latency| {
                result
                    .ttft
                    .is_some_and(|ttft| 0.0 < ttft && ttft <= latency)
            });
            let has_one_server = result.fallback != result.region.is_some()
                || (result.fallback && result.region.is_none());
            has_one_server && is_complete != result.is_cut && request.at <= SECONDS
        })
}

#[test]
fn the_result_depends_on_the_case_and_the_seed_alone() {
    let case = small([2.0, 9.0, 2.0], Vec::new());
    for strategy in Strategy::ALL {
        let one = format!("{:?}", run(&case, strategy, 1).requests);
        assert!(
            one == format!("{:?}", run(&case, strategy, 1).requests),
            "{strategy:?}"
        );
    }
    let of = |seed| format!("{:?}", run(&case, Strategy::Nearest, seed).requests);
    assert!(of(1) != of(2), "servers are picked at random");
}

#[test]
fn every_request_ends_once_whatever_fails() {
    let fault = |region, kind| Fault {
        region,
        from: 30.0,
        to: 60.0,
        kind,
    };
    for faults in [
        vec![],
        vec![fault(Some(1), FaultKind::Outage)],
        vec![fault(None, FaultKind::Outage)],
        vec![
            fault(None, FaultKind::Slowdown(1.5)),
            fault(Some(1), FaultKind::IdleMetrics),
        ],
    ] {
        let case = small([3.0, 6.0, 3.0], faults);
        for strategy in Strategy::ALL {
            let run = run(&case, strategy, 1);
            assert!(ends_once(&case, &run), "{strategy:?} {:?}", case.faults);
            assert_eq!(run.residency_violations, 0, "{strategy:?}");
        }
    }
}

#[test]
fn an_outage_cuts_only_answers_in_progress() {
    let outage = Fault {
        region: Some(1),
        from: 60.0,
        to: 90.0,
        kind: FaultKind::Outage,
    };
    let case = small([2.0, 6.0, 2.0], vec![outage]);
    for strategy in Strategy::ALL {
        let run = run(&case, strategy, 1);
        let mut cut = 0;
        for (result, request) in run
            .requests
            .iter()
            .zip(&case.requests)
            .filter(|(result, _)| result.is_cut)
        {
            cut += 1;
            assert_eq!(result.region, Some(1), "{strategy:?}");
            let first = request.at + result.ttft.unwrap();
            // The token was in transit for at most half a round trip.
            assert!(request.at < 60.0 && first < 60.2, "{strategy:?}: {first}");
        }
        assert!(cut < 60, "{strategy:?}: {cut}");
        // The region serves nothing during the outage.
        let there = run
            .requests
            .iter()
            .zip(&case.requests)
            .filter(|(result, request)| {
                let first = request.at + result.ttft.unwrap_or_default();
                result.region == Some(1) && (60.5..90.0).contains(&first)
            });
        assert_eq!(there.count(), 0, "{strategy:?}");
    }
    assert!(
        run(&case, Strategy::Nearest, 1)
            .requests
            .iter()
            .any(|result| result.is_cut)
    );
}

#[test]
fn pinned_requests_use_a_fallback_when_their_only_region_is_down() {
    let outage = Fault {
        region: Some(0),
        from: 20.0,
        to: 100.0,
        kind: FaultKind::Outage,
    };
    let case = small([4.0, 2.0, 2.0], vec![outage]);
    for strategy in Strategy::ALL {
        let run = run(&case, strategy, 1);
        let (mut fallbacks, mut elsewhere) = (0, 0);
        for (result, request) in run.requests.iter().zip(&case.requests) {
            fallbacks += usize::from(result.fallback);
            if request.zone == pinned_zone() {
                assert!(
                    result.region.is_none_or(|region| region == 0),
                    "{strategy:?}"
                );
            } else {
                assert!(!result.fallback, "{strategy:?}");
                elsewhere += usize::from(request.home == 0 && result.region != Some(0));
            }
        }
        assert!(fallbacks > 200, "{strategy:?}: {fallbacks}");
        assert!(elsewhere > 50, "{strategy:?}: {elsewhere}");
        assert_eq!(run.residency_violations, 0);
    }
}

#[test]
fn nearest_serves_at_home_and_round_robin_a_third() {
    let case = small([1.0, 2.0, 2.0], Vec::new());
    let nearest = metrics(&case, Strategy::Nearest);
    assert!((nearest.served_at_home - 1.0).abs() < 1e-9 && nearest.cross_region_gb == 0.0);
    let round = metrics(&case, Strategy::RoundRobin);
    assert!(
        round.served_at_home < 0.6 && round.cross_region_gb > 0.0,
        "{}",
        round.served_at_home
    );
}

#[test]
fn meridian_and_the_oracle_beat_nearest_when_one_region_is_overloaded() {
    let case = small([1.0, 14.0, 1.0], Vec::new());
    let of = |strategy| metrics(&case, strategy);
    let (nearest, meridian, oracle) = (
        of(Strategy::Nearest),
        of(Strategy::Meridian),
        of(Strategy::Oracle),
    );
    assert!(
        meridian.ttft[1] < 0.5 * nearest.ttft[1],
        "{meridian:?} {nearest:?}"
    );
    assert!(meridian.slo_attainment > nearest.slo_attainment + 0.1);
    assert!(oracle.ttft[1] < meridian.ttft[1]);
}

#[test]
fn false_metrics_mislead_least_load() {
    let with = |kind: Option<FaultKind>| {
        let fault = |kind| Fault {
            region: Some(1),
            from: 30.0,
            to: SECONDS,
            kind,
        };
        let case = small([4.0, 6.0, 4.0], kind.map(fault).into_iter().collect());
        metrics(&case, Strategy::LeastLoad).latency[1]
    };
    let (honest, idle) = (with(None), with(Some(FaultKind::IdleMetrics)));
    assert!(
        idle > 1.5 * honest,
        "{idle} s, with true metrics {honest} s"
    );
}

#[test]
fn a_pinned_request_may_use_its_zone_alone() {
    let case = small([1.0, 1.0, 1.0], Vec::new());
    for (id, request) in case.requests.iter().enumerate() {
        let may = [0, 1, 2].map(|region| case.may_use(id, region));
        let all = request.zone != pinned_zone();
        assert_eq!(may, [true, all, all]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn no_request_leaves_its_zone_and_every_request_ends(
        rates in prop::array::uniform3(0.5..8.0f64), region in 0..3usize, from in 0.0..100.0f64, strategy in 0..Strategy::ALL.len(), seed in any::<u64>(),
    ) {
        let outage = Fault { region: Some(region), from, to: from + 15.0, kind: FaultKind::Outage };
        let case = small(rates, vec![outage]);
        let run = run(&case, Strategy::ALL[strategy], seed);
        prop_assert!(ends_once(&case, &run));
        prop_assert_eq!(run.residency_violations, 0);
    }
}
