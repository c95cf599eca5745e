//! Silent sources: silence is neither low load nor a failure.

use super::watch::{Watch, kv, server, watched};
use crate::alarm::alarms;
use crate::health::Reason;
use crate::signal::{Figures, Histogram, Millis, Reading};
use crate::state::FleetState;
use crate::topology::Topology;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, MISTRAL, WEST};
use meridian_policy::fleet::Fleet;
use meridian_policy::source::{Preset, SignalFormat, SignalSource};

#[test]
fn a_silent_region_keeps_its_share_and_takes_little_overflow() {
    let mut watch = Watch::new(watched());
    watch.at(0.95, 0.3, 0.3, 1);
    watch.at(0.75, 0.3, 0.3, 4);
    assert_eq!(watch.share(WEST, "global"), Some(78));
    // us-west-2 falls silent: its share stays.
    for _ in 0..30 {
        for region in [EAST, EU] {
            watch.report(region, vec![kv(0.3)]);
        }
        watch.tick();
    }
    assert_eq!(watch.reasons(WEST), [Reason::Stale]);
    assert_eq!(watch.share(WEST, "global"), Some(78));
    let west = Millis(watch.now);
    assert!(
        alarms(&watch.fleet, &watch.state, &watch.plan, west)
            .iter()
            .any(|alarm| alarm.message.contains("stale"))
    );
    // A silent region takes only a little overflow.
    let mut watch = Watch::new(watched());
    for _ in 0..20 {
        for region in [WEST, EU] {
            watch.report(region, vec![kv(if region == WEST { 0.99 } else { 0.3 })]);
        }
        watch.tick();
    }
    let weights = watch.weights(WEST);
    assert!(
        weights
            .iter()
            .any(|(region, weight)| *region == EU && *weight >= 50),
        "{weights:?}"
    );
    // After a restart without observations the placements stay.
    let before = watch.plan.clone();
    watch.state = FleetState::default();
    for _ in 0..5 {
        watch.tick();
    }
    assert_eq!(watch.plan.gateways, before.gateways);
}

/// us-west-2 with two models and one source that names its models itself.
fn one_page() -> Fleet {
    let mut fleet = watched();
    let west = fleet.regions.get_mut(WEST).unwrap();
    assert_eq!(west.pools.len(), 2);
    west.signals[0].model = None;
    fleet
}

#[test]
fn a_source_without_a_model_covers_the_models_that_it_reports() {
    let stale = |watch: &Watch, model: &str| {
        let signals = watch.state.pool(
            &watch.fleet,
            &WEST.parse().unwrap(),
            &model.parse().unwrap(),
            Millis(watch.now),
        );
        signals.stale
    };
    // Without a report it may cover either model.
    let mut watch = Watch::new(one_page());
    assert!(stale(&watch, LLAMA) && stale(&watch, MISTRAL));
    // After a report it covers the models in it, even after a long silence.
    watch.at(0.95, 0.3, 0.3, 1);
    watch.at(0.75, 0.3, 0.3, 4);
    assert!(!stale(&watch, LLAMA) && !stale(&watch, MISTRAL));
    let before = watch.share(WEST, "global");
    assert_eq!(before, Some(78));
    for _ in 0..1000 {
        for region in [EAST, EU] {
            watch.report(region, vec![kv(0.3)]);
        }
        watch.state.forget(&watch.fleet, Millis(watch.now));
        watch.tick();
    }
    assert!(stale(&watch, LLAMA) && !stale(&watch, MISTRAL));
    assert_eq!(
        watch.share(WEST, "global"),
        before,
        "silence does not count as low load"
    );
}

#[test]
fn a_partly_silent_pool_takes_no_traffic_back() {
    let mut fleet = watched();
    let west = &mut fleet.regions.get_mut(WEST).unwrap().signals;
    west.push(SignalSource {
        url: "http://the-other-half/metrics".into(),
        ..west[0].clone()
    });
    let mut watch = Watch::new(fleet);
    watch.at(0.95, 0.3, 0.3, 1);
    assert_eq!(watch.share(WEST, "global"), Some(78));
    watch.at(0.2, 0.3, 0.3, 30);
    assert_eq!(watch.share(WEST, "global"), Some(78));
    let alarms = alarms(&watch.fleet, &watch.state, &watch.plan, Millis(watch.now));
    assert!(
        alarms
            .iter()
            .any(|alarm| alarm.message.contains("some of its sources")),
        "{alarms:?}"
    );
    let mut fleet = Fleet::clone(&watch.fleet);
    fleet.regions.get_mut(WEST).unwrap().signals.pop();
    watch.fleet = Topology::new(fleet);
    watch.at(0.2, 0.3, 0.3, 30);
    assert_eq!(watch.share(WEST, "global"), Some(100));
}

#[test]
fn silent_gpus_do_not_count_as_low_load() {
    let mut fleet = watched();
    fleet.overflow.gpu = true;
    for region in fleet.regions.values_mut() {
        region.signals[0].format = SignalFormat::Preset(Preset::Dcgm);
    }
    let active = |engine_active: f64| Reading::Gpu {
        busy: None,
        engine_active: Some(engine_active),
    };
    let mut watch = Watch::new(fleet);
    for second in 0..60 {
        for region in [EAST, EU] {
            watch.report(region, vec![active(0.3)]);
        }
        if second < 5 {
            watch.report(WEST, vec![active(if second == 0 { 0.95 } else { 0.75 })]);
        }
        watch.tick();
    }
    assert_eq!(watch.reasons(WEST), [Reason::Stale]);
    assert_eq!(watch.share(WEST, "global"), Some(78));
}

#[test]
fn an_engine_that_stops_reporting_its_load_does_not_count_as_calm() {
    // It keeps reporting its queue, which is short.
    let figures = |kv_cache, second: u32| {
        let count = 10.0 * f64::from(second);
        server(Figures {
            kv_cache,
            running: Some(60.0),
            waiting: Some(3.0),
            queue_time: Some(Histogram {
                buckets: Vec::new(),
                sum: 0.05 * count,
                count,
            }),
            ..Default::default()
        })
    };
    let mut watch = Watch::new(watched());
    for second in 0..120 {
        let kv_cache = match second {
            0..3 => Some(0.95),
            3..40 => Some(0.78),
            _ => None,
        };
        watch.report(WEST, vec![figures(kv_cache, second)]);
        watch.at_others(0.3, 0.79);
        if second > 5 {
            assert_eq!(watch.share(WEST, "global"), Some(78), "{second}");
        }
    }
    let west = watch.state.pool(
        &watch.fleet,
        &WEST.parse().unwrap(),
        &LLAMA.parse().unwrap(),
        Millis(watch.now),
    );
    assert!(west.utilization.is_none() && west.partial && !west.stale);
    // A busy region overflows only a little to it.
    for second in 120..150 {
        watch.report(WEST, vec![figures(None, second)]);
        watch.at_others(0.95, 0.79);
    }
    let east = watch.share(EAST, "global").unwrap();
    assert!(east >= 85, "{east}");
    // It reports its load again.
    for second in 150..250 {
        watch.report(WEST, vec![figures(Some(0.3), second)]);
        watch.at_others(0.3, 0.3);
    }
    assert_eq!(watch.share(WEST, "global"), Some(100));
    // Its next version counts from zero and never reports the cache. Its remaining figures then suffice.
    for second in 250..350 {
        let counted = if second < 270 { second } else { second - 270 };
        watch.report(WEST, vec![figures(None, counted)]);
        watch.at_others(0.3, 0.3);
        let now = Millis(watch.now);
        let west = watch.state.pool(
            &watch.fleet,
            &WEST.parse().unwrap(),
            &LLAMA.parse().unwrap(),
            now,
        );
        assert_eq!(west.partial, second < 270, "{second}");
    }
    // The same holds for a version that reports no counters before its first request.
    for second in 350..360 {
        let figures = Figures {
            running: Some(60.0),
            waiting: Some(0.0),
            ..Figures::default()
        };
        watch.report(WEST, vec![server(figures)]);
        watch.at_others(0.3, 0.3);
        let now = Millis(watch.now);
        let west = watch.state.pool(
            &watch.fleet,
            &WEST.parse().unwrap(),
            &LLAMA.parse().unwrap(),
            now,
        );
        assert!(!west.partial, "{second}");
    }
    assert_eq!(watch.reasons(WEST), []);
}

#[test]
fn a_down_region_that_falls_silent_gets_no_overflow() {
    let mut watch = Watch::new(watched());
    watch.at(0.5, 0.3, 0.3, 3);
    let endpoints = |healthy| Reading::Endpoints {
        model: LLAMA.parse().unwrap(),
        healthy,
        total: 4,
    };
    watch.report_from(EAST, "gateway", 0, vec![endpoints(0)]);
    for second in 0..40 {
        watch.report(WEST, vec![kv(0.95)]);
        watch.report(EU, vec![kv(0.5)]);
        if second == 5 {
            // The region is lost with its gateway and its sources.
            watch.state.gone(&EAST.parse().unwrap(), "gateway");
        }
        watch.tick();
        let weights = watch.weights(WEST);
        assert_eq!(weights, [(EU, 100)], "{second}");
    }
    // The chain may include it: Envoy's health checks decide.
    assert!(
        !watch
            .plan
            .is_down(&EAST.parse().unwrap(), &LLAMA.parse().unwrap())
    );
    watch.report_from(EAST, "gateway", 0, vec![endpoints(4)]);
    watch.at(0.3, 0.3, 0.3, 1);
    assert!(
        watch
            .plan
            .serves(&EAST.parse().unwrap(), &LLAMA.parse().unwrap())
    );
    assert_eq!(watch.share(EAST, "global"), Some(100));
}

#[test]
fn late_observations_do_not_change_shares() {
    // GPU load also counts, and its reports arrive seconds late.
    let mut fleet = watched();
    fleet.overflow.gpu = true;
    let gpus = Reading::Gpu {
        busy: Some(0.5),
        engine_active: Some(0.5),
    };
    let shares = |late: bool, low: f64, peak: f64, begin: f64| {
        let mut watch = Watch::new(fleet.clone());
        watch.at(begin, 0.3, 0.3, 5);
        let mut shares = Vec::new();
        for second in 0..120 {
            let load = if second % 5 == 0 { peak } else { low };
            watch.report(WEST, vec![kv(load)]);
            if late && second % 5 == 4 {
                watch.report_from(
                    WEST,
                    "queries",
                    4000 + second % 4 * 1000,
                    vec![gpus.clone()],
                );
            }
            watch.at_others(0.3, 0.3);
            shares.push(watch.share(WEST, "global").unwrap());
        }
        shares
    };
    // One second of high load is not sustained, and five seconds of low load are not calm.
    for (low, peak, begin) in [(0.72, 0.86, 0.6), (0.6, 0.79, 0.95)] {
        let with = shares(true, low, peak, begin);
        assert_eq!(with, shares(false, low, peak, begin));
        assert!(with.iter().all(|share| share == &with[0]), "{with:?}");
    }
}
