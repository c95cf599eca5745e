//! Plans of whole fleets: the effect of each signal.

use super::watch::{Watch, attempts, kv, server, watched};
use crate::alarm::{AlarmKind, alarms};
use crate::health::Reason;
use crate::plugins::filter_policy;
use crate::signal::{Answers, Figures, Histogram, Millis, PeerCheckCounts, Reading};
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST};
use meridian_policy::RegionName;
use meridian_policy::filter_policy::Lane;
use meridian_policy::filter_policy::TOTAL_WEIGHT;

#[test]
fn an_overloaded_region_overflows_and_recovers() {
    let mut watch = Watch::new(watched());
    watch.at(0.5, 0.3, 0.3, 3);
    assert_eq!(watch.share(WEST, "global"), Some(100));
    watch.at(0.95, 0.3, 0.3, 1);
    assert_eq!(
        watch.share(WEST, "global"),
        Some(78),
        "at the first observation"
    );
    assert_eq!(watch.weights(WEST), [(EAST, TOTAL_WEIGHT)]);
    assert_eq!(watch.share(EAST, "global"), Some(100));
    assert_eq!(
        watch.share(EU, "eea"),
        None,
        "a zone of one region has no choice"
    );
    watch.at(0.75, 0.4, 0.3, 10);
    assert_eq!(watch.share(WEST, "global"), Some(78));
    watch.at(0.4, 0.3, 0.3, 80);
    assert_eq!(watch.share(WEST, "global"), Some(100));
    // Small changes of load do not change the plan.
    let before = watch.plan.clone();
    watch.at(0.41, 0.32, 0.29, 30);
    assert_eq!(watch.plan, before);
}

#[test]
fn the_only_region_of_a_zone_keeps_its_callers_at_any_load() {
    let mut watch = Watch::new(watched());
    watch.at(0.3, 0.3, 0.95, 10);
    let policy = filter_policy(&watch.fleet, &watch.plan, &EU.parse().unwrap(), None);
    assert_eq!(policy.zones["eea"].models[LLAMA].split, None);
    assert_eq!(policy.zones["eea"].models[LLAMA].lane, Lane::Home);
    // Its other callers are shed to relieve the pinned ones.
    assert!(watch.share(EU, "global").unwrap() < 100);
    // No other region overflows to it.
    watch.at(0.95, 0.74, 0.95, 10);
    assert_eq!(watch.weights(WEST), [(EAST, TOTAL_WEIGHT)]);
}

#[test]
fn each_signal_sheds_only_its_own_region() {
    for reason in [
        Reason::QueueDepth,
        Reason::ReplicationLag,
        Reason::Errors,
        Reason::FirstToken,
    ] {
        check_reason(reason);
    }
}

/// Readings that make us-west-2 unhealthy for `reason` after `second` seconds, from its servers or its gateway.
fn readings_for(reason: Reason, second: f64) -> Vec<Reading> {
    let healthy = Figures {
        kv_cache: Some(0.3),
        ..Default::default()
    };
    let slow = Histogram {
        buckets: vec![
            (0.5, 0.0),
            (2.5, 0.0),
            (5.0, 10.0 * second),
            (10.0, 10.0 * second),
        ],
        sum: 40.0 * second,
        count: 10.0 * second,
    };
    let gateway = attempts(50.0 * second, second, second);
    match reason {
        Reason::QueueDepth => vec![server(Figures {
            waiting: Some(150.0),
            ..healthy
        })],
        Reason::ReplicationLag => vec![server(healthy), Reading::ReplicationLag { seconds: 45.0 }],
        Reason::FirstToken => {
            let seen = Reading::FirstToken {
                model: LLAMA.parse().unwrap(),
                to: WEST.parse().unwrap(),
                times: slow,
            };
            vec![server(healthy), seen]
        }
        Reason::Errors => vec![server(healthy), gateway],
        Reason::NoEndpoints | Reason::Stale | Reason::Drained => panic!("no signal of a server"),
    }
}

#[test]
fn errors_counted_by_servers_alone_make_a_pool_unhealthy() {
    let mut watch = Watch::new(watched());
    for second in 1..15u32 {
        let answers = Answers {
            all: 50.0 * f64::from(second),
            failed: 2.0 * f64::from(second),
        };
        let figures = Figures {
            kv_cache: Some(0.3),
            answers: Some(answers),
            ..Default::default()
        };
        watch.report(WEST, vec![server(figures)]);
        watch.tick();
    }
    assert_eq!(watch.reasons(WEST), [Reason::Errors]);
}

fn check_reason(reason: Reason) {
    let mut watch = Watch::new(watched());
    watch.at(0.3, 0.3, 0.3, 3);
    let before = watch.plan.clone();
    // Late first tokens are shed in small steps.
    let seconds = if reason == Reason::FirstToken { 40 } else { 15 };
    for second in 1..seconds {
        for region in [EAST, EU] {
            watch.report(region, vec![kv(0.3)]);
        }
        watch.report(WEST, readings_for(reason, f64::from(second)));
        watch.tick();
    }
    assert_eq!(watch.reasons(WEST), [reason]);
    assert_eq!(
        watch.share(WEST, "global"),
        Some(10),
        "{reason:?}: down to the floor"
    );
    for other in [EAST, EU] {
        assert_eq!(watch.reasons(other), []);
        assert_eq!(watch.share(other, "global"), Some(100), "{reason:?}");
        assert!(
            !watch
                .weights(other)
                .iter()
                .any(|(region, _)| *region == WEST),
            "{reason:?}"
        );
    }
    // The lag clears at once. Rates leave the window, and the error memory expires after minutes.
    watch.at(0.3, 0.3, 0.3, 400);
    assert_eq!(
        watch.share(WEST, "global"),
        Some(100),
        "{reason:?}: back again"
    );
    assert_eq!(watch.plan.pools, before.pools, "{reason:?}");
}

#[test]
fn regions_that_are_all_unhealthy_keep_their_traffic() {
    let mut watch = Watch::new(watched());
    let full = || {
        server(Figures {
            kv_cache: Some(0.5),
            waiting: Some(500.0),
            ..Default::default()
        })
    };
    for _ in 0..20 {
        for region in [WEST, EAST, EU] {
            watch.report(region, vec![full()]);
        }
        watch.tick();
    }
    for region in [WEST, EAST, EU] {
        assert_eq!(watch.reasons(region), [Reason::QueueDepth]);
        assert_eq!(
            watch.share(region, "global"),
            Some(100),
            "no other region is healthy"
        );
    }
    assert_eq!(watch.share(EU, "eea"), None);
}

#[test]
fn a_dead_region_gets_no_overflow_and_its_callers_move_to_headroom() {
    let mut watch = Watch::new(watched());
    watch.at(0.3, 0.3, 0.3, 2);
    watch.report(
        EAST,
        vec![Reading::Endpoints {
            model: LLAMA.parse().unwrap(),
            healthy: 0,
            total: 2,
        }],
    );
    watch.at(0.95, 0.3, 0.3, 1);
    assert!(
        watch
            .plan
            .is_down(&EAST.parse().unwrap(), &LLAMA.parse().unwrap())
    );
    assert_eq!(watch.weights(WEST), [(EU, TOTAL_WEIGHT)]);
    assert_eq!(
        watch.share(EAST, "global"),
        Some(70),
        "the first step is immediate"
    );
    assert_eq!(watch.weights(EAST), [(EU, TOTAL_WEIGHT)]);
    watch.at(0.95, 0.3, 0.3, 3);
    assert_eq!(
        watch.share(EAST, "global"),
        Some(10),
        "traffic below the floor follows the chain"
    );
    watch.report(
        EAST,
        vec![Reading::Endpoints {
            model: LLAMA.parse().unwrap(),
            healthy: 1,
            total: 2,
        }],
    );
    watch.tick();
    assert!(
        !watch
            .plan
            .is_down(&EAST.parse().unwrap(), &LLAMA.parse().unwrap())
    );
}

#[test]
fn utilization_is_the_highest_ratio_among_resources() {
    let mut fleet = watched();
    let mut watch = Watch::new(fleet.clone());
    let figures = |kv_cache, running| Figures {
        kv_cache: Some(kv_cache),
        running: Some(running),
        max_running: Some(256.0),
        ..Default::default()
    };
    let utilization = |watch: &Watch| {
        watch
            .state
            .pool(
                &watch.fleet,
                &WEST.parse().unwrap(),
                &LLAMA.parse().unwrap(),
                Millis(watch.now),
            )
            .utilization
            .unwrap()
            .now
    };
    watch.report(WEST, vec![server(figures(0.2, 192.0))]);
    assert!((utilization(&watch) - 0.75).abs() < 1e-9);
    // The source's own measure counts too.
    let mut measured = Watch::new(fleet.clone());
    let with_own_measure = Figures {
        utilization: Some(0.9),
        ..figures(0.2, 192.0)
    };
    measured.report(WEST, vec![server(with_own_measure)]);
    assert!((utilization(&measured) - 0.9).abs() < 1e-9);
    // The mean over engines.
    let second = Reading::Server {
        model: LLAMA.parse().unwrap(),
        engine: "1".into(),
        figures: figures(0.25, 0.0),
    };
    watch.report(WEST, vec![second]);
    assert!((utilization(&watch) - 0.5).abs() < 1e-9);
    // The mean queue time is half of the limit.
    let waited = |count: f64| {
        let queue_time = Histogram {
            buckets: vec![],
            sum: count * 2.5,
            count,
        };
        server(Figures {
            queue_time: Some(queue_time),
            ..figures(0.2, 0.0)
        })
    };
    let mut watch = Watch::new(fleet.clone());
    watch.report(WEST, vec![waited(10.0)]);
    watch.now += 1000;
    watch.report(WEST, vec![waited(30.0)]);
    assert!((utilization(&watch) - 0.5).abs() < 1e-9);
    // GPUs count only if the fleet file enables them.
    for (gpu, expected) in [(false, 0.2), (true, 0.9)] {
        fleet.overflow.gpu = gpu;
        let mut watch = Watch::new(fleet.clone());
        let active = Reading::Gpu {
            busy: Some(1.0),
            engine_active: Some(0.9),
        };
        watch.report(WEST, vec![active, server(figures(0.2, 0.0))]);
        assert!((utilization(&watch) - expected).abs() < 1e-9);
    }
}

#[test]
fn a_jurisdiction_violation_raises_an_alarm_for_an_hour() {
    let mut watch = Watch::new(watched());
    let alarm = |watch: &Watch, later: u64| {
        let now = Millis(watch.now + later);
        let alarms = alarms(&watch.fleet, &watch.state, &watch.plan, now);
        let mut alarms = alarms.into_iter().map(|alarm| alarm.message);
        alarms.find(|message| message.contains("jurisdiction"))
    };
    let jurisdiction_violations = |answers| {
        vec![Reading::JurisdictionViolations {
            fallback: "claude-eu".parse().unwrap(),
            answers,
        }]
    };
    assert_eq!(alarm(&watch, 0), None);
    for _ in 0..5 {
        watch.report(EU, jurisdiction_violations(3.0));
        watch.tick();
    }
    let said = alarm(&watch, 0).unwrap();
    assert!(
        said.contains("claude-eu") && said.contains("3 answers"),
        "{said}"
    );
    // Repeating the same count is not a new violation.
    assert!(alarm(&watch, 3_594_000).is_some());
    assert_eq!(alarm(&watch, 3_601_000), None);
    watch.report(EU, jurisdiction_violations(4.0));
    assert!(alarm(&watch, 3_599_000).is_some());
    // A restarted gateway counts the same number again.
    watch.now += 4_000_000;
    assert_eq!(alarm(&watch, 0), None);
    let source = watch.fleet.regions[EU].signals[0].key();
    watch.state.gone(&EU.parse().unwrap(), &source);
    watch.report(EU, jurisdiction_violations(4.0));
    assert!(alarm(&watch, 0).is_some());
    watch.report(
        EU,
        vec![Reading::JurisdictionViolations {
            fallback: "none".parse().unwrap(),
            answers: 1.0,
        }],
    );
    assert!(!alarm(&watch, 0).unwrap().contains("none"));
}

#[test]
fn a_gateway_that_cannot_reach_a_peer_raises_an_alarm_that_says_why() {
    let mut watch = Watch::new(watched());
    let source = watch.fleet.regions[WEST].signals[0].key();
    let mut counts = PeerCheckCounts::default();
    let mut after = |seconds: u64, per_second: [f64; 4]| {
        for _ in 0..seconds {
            counts.answered += per_second[0];
            counts.unanswered += per_second[1];
            counts.refused_certificates += per_second[2];
            counts.failed_handshakes += per_second[3];
            let to = EU.parse().unwrap();
            watch.report(WEST, vec![Reading::PeerChecks { to, counts }]);
            watch.tick();
        }
        let alarms = alarms(&watch.fleet, &watch.state, &watch.plan, Millis(watch.now));
        let mut peers = alarms
            .into_iter()
            .filter(|alarm| alarm.kind == AlarmKind::PeerUnreachable);
        let alarm = peers.next().map(|alarm| (alarm.region, alarm.message));
        assert!(peers.next().is_none());
        alarm
    };
    let why = |alarm: Option<(RegionName, String)>| {
        let (region, message) = alarm.unwrap();
        assert_eq!(region.as_str(), WEST);
        let told = message.strip_prefix(&format!("{source} cannot reach the gateway of {EU}: "));
        told.unwrap().to_owned()
    };
    assert_eq!(after(10, [1.0, 0.0, 0.0, 0.0]), None);
    assert_eq!(after(1, [0.0, 2.0, 0.0, 0.0]), None, "two may be lost");
    assert!(why(after(7, [0.0, 2.0, 0.0, 0.0])).contains("no answer"));
    assert!(why(after(7, [0.0, 2.0, 2.0, 0.0])).contains("certificate: expired"));
    assert!(why(after(7, [0.0, 2.0, 0.0, 2.0])).contains("handshake"));
    // An answer that the pool is down comes from a gateway that can be reached.
    assert_eq!(after(1, [1.0, 0.0, 0.0, 0.0]), None);
}

#[test]
fn a_name_without_an_address_raises_an_alarm_while_its_servers_are_in_use() {
    let mut watch = Watch::new(watched());
    let model = || LLAMA.parse().unwrap();
    let mut gone = |addresses: u64, total: u64| {
        let endpoints = Reading::Endpoints {
            model: model(),
            healthy: total,
            total,
        };
        let name = Reading::Name {
            model: model(),
            addresses,
        };
        watch.report(WEST, vec![endpoints, name]);
        watch.tick();
        let alarms = alarms(&watch.fleet, &watch.state, &watch.plan, Millis(watch.now));
        let gone = alarms.iter().filter(|it| it.kind == AlarmKind::NameGone);
        gone.map(|it| it.region.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(gone(2, 2), [""; 0]);
    assert_eq!(gone(1, 2), [""; 0], "a server that leaves");
    assert_eq!(gone(0, 2), [WEST]);
    assert_eq!(gone(0, 0), [""; 0], "none is in use: it is down");
}

#[test]
fn a_pool_without_its_model_raises_an_alarm_for_some_minutes() {
    let mut watch = Watch::new(watched());
    let missing = |to: &str, answers: f64| Reading::MissingModel {
        model: LLAMA.parse().unwrap(),
        to: to.parse().unwrap(),
        answers,
    };
    let alarms = |watch: &Watch, later: u64| {
        let now = Millis(watch.now + later);
        let alarms = alarms(&watch.fleet, &watch.state, &watch.plan, now);
        let missing = alarms
            .iter()
            .filter(|it| it.kind == AlarmKind::ModelMissing);
        missing.map(|it| it.region.to_string()).collect::<Vec<_>>()
    };
    // What was counted before the control plane started may be old.
    watch.report(WEST, vec![missing(EAST, 7.0)]);
    watch.tick();
    watch.report(WEST, vec![missing(EAST, 7.0)]);
    assert_eq!(alarms(&watch, 0), [""; 0]);
    watch.report(WEST, vec![missing(EAST, 8.0)]);
    assert_eq!(alarms(&watch, 299_000), [EAST]);
    assert_eq!(alarms(&watch, 301_000), [""; 0]);
    // A count that is new at a known gateway began at zero.
    watch.tick();
    watch.report(WEST, vec![missing(EAST, 8.0), missing(WEST, 1.0)]);
    assert_eq!(alarms(&watch, 0), [EAST, WEST]);
}

#[test]
fn a_gateway_whose_parts_do_not_fit_together_raises_an_alarm_for_a_minute() {
    let mut watch = Watch::new(watched());
    let refused = |requests| vec![Reading::Mismatches { requests }];
    let alarms = |watch: &Watch, later: u64| {
        let now = Millis(watch.now + later);
        let alarms = alarms(&watch.fleet, &watch.state, &watch.plan, now);
        let mismatched = alarms.iter().filter(|it| it.kind == AlarmKind::Mismatched);
        mismatched
            .map(|it| it.region.to_string())
            .collect::<Vec<_>>()
    };
    watch.report(WEST, refused(7.0));
    watch.tick();
    watch.report(WEST, refused(7.0));
    assert_eq!(alarms(&watch, 0), [""; 0], "it may have been long ago");
    watch.report(WEST, refused(8.0));
    assert_eq!(alarms(&watch, 59_000), [WEST]);
    assert_eq!(alarms(&watch, 61_000), [""; 0]);
}

#[test]
fn busy_gpus_raise_an_alarm_after_a_minute() {
    let mut watch = Watch::new(watched());
    let hot = |watch: &Watch| {
        let alarms = alarms(&watch.fleet, &watch.state, &watch.plan, Millis(watch.now));
        alarms.iter().any(|alarm| alarm.message.contains("GPU"))
    };
    for second in 0..70 {
        watch.report(
            WEST,
            vec![Reading::Gpu {
                busy: Some(0.97),
                engine_active: None,
            }],
        );
        assert_eq!(hot(&watch), second >= 60, "{second}");
        watch.tick();
    }
    watch.report(
        WEST,
        vec![Reading::Gpu {
            busy: Some(0.2),
            engine_active: None,
        }],
    );
    assert!(!hot(&watch));
}
