//! Plans of whole fleets: what each signal shifts.

use super::watch::{Watch, attempts, kv, server, watched};
use crate::alarm::alarms;
use crate::health::Reason;
use crate::plugins::filter_policy;
use crate::signal::{Answers, Figures, Histogram, Millis, Reading};
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST};
use meridian_policy::filter_policy::Lane;
use meridian_policy::filter_policy::TOTAL_WEIGHT;

#[test]
fn overflow_and_back() {
    let mut watch = Watch::new(watched());
    watch.at(0.5, 0.3, 0.3, 3);
    assert_eq!(watch.share(WEST, "global"), Some(100));
    watch.at(0.95, 0.3, 0.3, 1);
    assert_eq!(watch.share(WEST, "global"), Some(78), "at the first sight");
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
    // A quiet fleet is left alone.
    let before = watch.plan.clone();
    watch.at(0.41, 0.32, 0.29, 30);
    assert_eq!(watch.plan, before);
}

#[test]
fn the_one_region_of_a_zone_keeps_its_callers_at_any_load() {
    let mut watch = Watch::new(watched());
    watch.at(0.3, 0.3, 0.95, 10);
    let policy = filter_policy(&watch.fleet, &watch.plan, &EU.into(), None);
    assert_eq!(policy.zones["eea"].models[LLAMA].split, None);
    assert_eq!(policy.zones["eea"].models[LLAMA].lane, Lane::Home);
    // Its other callers leave, also for those who cannot.
    assert!(watch.share(EU, "global").unwrap() < 100);
    // And nobody is sent there.
    watch.at(0.95, 0.74, 0.95, 10);
    assert_eq!(watch.weights(WEST), [(EAST, TOTAL_WEIGHT)]);
}

#[test]
fn each_signal_shifts_its_own_region_and_nothing_else() {
    for reason in [
        Reason::QueueDepth,
        Reason::ReplicationLag,
        Reason::Errors,
        Reason::FirstToken,
    ] {
        sickness(reason);
    }
}

/// What makes us-west-2 sick for a reason, after this many seconds of it: what its servers say, or what gateways see.
fn symptoms(reason: Reason, second: f64) -> Vec<Reading> {
    let well = Figures {
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
            ..well
        })],
        Reason::ReplicationLag => vec![server(well), Reading::ReplicationLag { seconds: 45.0 }],
        Reason::FirstToken => {
            let seen = Reading::FirstToken {
                model: LLAMA.into(),
                to: WEST.into(),
                times: slow,
            };
            vec![server(well), seen]
        }
        Reason::Errors => vec![server(well), gateway],
        Reason::NoEndpoints | Reason::Stale => panic!("no signal of a server"),
    }
}

#[test]
fn errors_that_only_the_servers_count() {
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
        watch.see(WEST, vec![server(figures)]);
        watch.tick();
    }
    assert_eq!(watch.reasons(WEST), [Reason::Errors]);
}

fn sickness(reason: Reason) {
    let mut watch = Watch::new(watched());
    watch.at(0.3, 0.3, 0.3, 3);
    let before = watch.plan.clone();
    // Late first tokens are shed in small steps.
    let seconds = if reason == Reason::FirstToken { 40 } else { 15 };
    for second in 1..seconds {
        for region in [EAST, EU] {
            watch.see(region, vec![kv(0.3)]);
        }
        watch.see(WEST, symptoms(reason, f64::from(second)));
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
    // Lag is forgotten; rates have gone from the window, and minutes later nobody believes any more what they said.
    watch.at(0.3, 0.3, 0.3, 400);
    assert_eq!(
        watch.share(WEST, "global"),
        Some(100),
        "{reason:?}: back again"
    );
    assert_eq!(watch.plan.pools, before.pools, "{reason:?}");
}

#[test]
fn a_zone_s_last_region_is_never_taken_out_by_a_soft_reason() {
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
            watch.see(region, vec![full()]);
        }
        watch.tick();
    }
    for region in [WEST, EAST, EU] {
        assert_eq!(watch.reasons(region), [Reason::QueueDepth]);
        assert_eq!(
            watch.share(region, "global"),
            Some(100),
            "there is no better place"
        );
    }
    assert_eq!(watch.share(EU, "eea"), None);
}

#[test]
fn a_dead_region_gets_nothing_and_its_callers_go_to_who_has_room() {
    let mut watch = Watch::new(watched());
    watch.at(0.3, 0.3, 0.3, 2);
    watch.see(
        EAST,
        vec![Reading::Endpoints {
            model: LLAMA.into(),
            healthy: 0,
            total: 2,
        }],
    );
    watch.at(0.95, 0.3, 0.3, 1);
    assert!(watch.plan.is_down(&EAST.into(), &LLAMA.into()));
    assert_eq!(watch.weights(WEST), [(EU, TOTAL_WEIGHT)]);
    assert_eq!(
        watch.share(EAST, "global"),
        Some(70),
        "step by step, at once"
    );
    assert_eq!(watch.weights(EAST), [(EU, TOTAL_WEIGHT)]);
    watch.at(0.95, 0.3, 0.3, 3);
    assert_eq!(
        watch.share(EAST, "global"),
        Some(10),
        "the floor goes on by the chain"
    );
    watch.see(
        EAST,
        vec![Reading::Endpoints {
            model: LLAMA.into(),
            healthy: 1,
            total: 2,
        }],
    );
    watch.tick();
    assert!(!watch.plan.is_down(&EAST.into(), &LLAMA.into()));
}

#[test]
fn utilization_is_what_runs_out_first() {
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
            .pool(&watch.fleet, &WEST.into(), &LLAMA.into(), Millis(watch.now))
            .utilization
            .unwrap()
            .now
    };
    watch.see(WEST, vec![server(figures(0.2, 192.0))]);
    assert!((utilization(&watch) - 0.75).abs() < 1e-9);
    // The source's own measure is one of them.
    let mut measured = Watch::new(fleet.clone());
    let own = Figures {
        utilization: Some(0.9),
        ..figures(0.2, 192.0)
    };
    measured.see(WEST, vec![server(own)]);
    assert!((utilization(&measured) - 0.9).abs() < 1e-9);
    // The mean over engines.
    let second = Reading::Server {
        model: LLAMA.into(),
        engine: "1".into(),
        figures: figures(0.25, 0.0),
    };
    watch.see(WEST, vec![second]);
    assert!((utilization(&watch) - 0.5).abs() < 1e-9);
    // Waiting for half of what may be waited.
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
    watch.see(WEST, vec![waited(10.0)]);
    watch.now += 1000;
    watch.see(WEST, vec![waited(30.0)]);
    assert!((utilization(&watch) - 0.5).abs() < 1e-9);
    // GPUs only where the fleet file says so.
    for (gpu, expected) in [(false, 0.2), (true, 0.9)] {
        fleet.overflow.gpu = gpu;
        let mut watch = Watch::new(fleet.clone());
        let active = Reading::Gpu {
            busy: Some(1.0),
            engine_active: Some(0.9),
        };
        watch.see(WEST, vec![active, server(figures(0.2, 0.0))]);
        assert!((utilization(&watch) - expected).abs() < 1e-9);
    }
}

#[test]
fn an_answer_from_outside_of_its_jurisdiction_is_an_alarm_for_an_hour() {
    let mut watch = Watch::new(watched());
    let alarm = |watch: &Watch, later: u64| {
        let now = Millis(watch.now + later);
        let alarms = alarms(&watch.fleet, &watch.state, &watch.plan, now);
        let mut alarms = alarms.into_iter().map(|alarm| alarm.message);
        alarms.find(|message| message.contains("jurisdiction"))
    };
    let jurisdiction_violations = |answers| {
        vec![Reading::JurisdictionViolations {
            fallback: "claude-eu".into(),
            answers,
        }]
    };
    assert_eq!(alarm(&watch, 0), None);
    for _ in 0..5 {
        watch.see(EU, jurisdiction_violations(3.0));
        watch.tick();
    }
    let said = alarm(&watch, 0).unwrap();
    assert!(
        said.contains("claude-eu") && said.contains("3 answers"),
        "{said}"
    );
    // That it is told again and again is no news.
    assert!(alarm(&watch, 3_594_000).is_some());
    assert_eq!(alarm(&watch, 3_601_000), None);
    watch.see(EU, jurisdiction_violations(4.0));
    assert!(alarm(&watch, 3_599_000).is_some());
    // A gateway that begins anew, and has as many again.
    watch.now += 4_000_000;
    assert_eq!(alarm(&watch, 0), None);
    let source = watch.fleet.regions[EU].signals[0].key();
    watch.state.gone(&EU.into(), &source);
    watch.see(EU, jurisdiction_violations(4.0));
    assert!(alarm(&watch, 0).is_some());
    watch.see(
        EU,
        vec![Reading::JurisdictionViolations {
            fallback: "none".into(),
            answers: 1.0,
        }],
    );
    assert!(!alarm(&watch, 0).unwrap().contains("none"));
}

#[test]
fn hot_gpus_are_an_alarm_after_a_minute() {
    let mut watch = Watch::new(watched());
    let hot = |watch: &Watch| {
        let alarms = alarms(&watch.fleet, &watch.state, &watch.plan, Millis(watch.now));
        alarms.iter().any(|alarm| alarm.message.contains("GPU"))
    };
    for second in 0..70 {
        watch.see(
            WEST,
            vec![Reading::Gpu {
                busy: Some(0.97),
                engine_active: None,
            }],
        );
        assert_eq!(hot(&watch), second >= 60, "{second}");
        watch.tick();
    }
    watch.see(
        WEST,
        vec![Reading::Gpu {
            busy: Some(0.2),
            engine_active: None,
        }],
    );
    assert!(!hot(&watch));
}
