//! Sources that are not heard: silence is neither calm nor alarm.

use super::watch::{Watch, kv, server, watched};
use crate::alarm::alarms;
use crate::health::Reason;
use crate::signal::{Figures, Histogram, Millis, Reading};
use crate::state::FleetState;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, MISTRAL, WEST};
use meridian_policy::fleet::Fleet;
use meridian_policy::source::{Preset, SignalFormat, SignalSource};

#[test]
fn silence_is_not_good_news() {
    let mut watch = Watch::new(watched());
    watch.at(0.95, 0.3, 0.3, 1);
    watch.at(0.75, 0.3, 0.3, 4);
    assert_eq!(watch.share(WEST, "global"), Some(78));
    // us-west-2 is heard no more: what it sheds stays shed.
    for _ in 0..30 {
        for region in [EAST, EU] {
            watch.see(region, vec![kv(0.3)]);
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
    // A region that is not heard gets a little, not all.
    let mut watch = Watch::new(watched());
    for _ in 0..20 {
        for region in [WEST, EU] {
            watch.see(region, vec![kv(if region == WEST { 0.99 } else { 0.3 })]);
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
    // A restart has heard nobody yet, and leaves things as they were.
    let before = watch.plan.clone();
    watch.state = FleetState::default();
    for _ in 0..5 {
        watch.tick();
    }
    assert_eq!(watch.plan.gateways, before.gateways);
}

/// Two models in us-west-2, read at one page that names its models itself.
fn one_page() -> Fleet {
    let mut fleet = watched();
    let west = fleet.regions.get_mut(WEST).unwrap();
    assert_eq!(west.pools.len(), 2);
    west.signals[0].model = None;
    fleet
}

#[test]
fn a_page_s_own_names_tell_what_it_is_about() {
    let stale = |watch: &Watch, model: &str| {
        let signals =
            watch
                .state
                .pool(&watch.fleet, &WEST.into(), &model.into(), Millis(watch.now));
        signals.stale
    };
    // Never heard, it may be about either.
    let mut watch = Watch::new(one_page());
    assert!(stale(&watch, LLAMA) && stale(&watch, MISTRAL));
    // Heard, it is about what it names; and that is remembered however long it is silent.
    watch.at(0.95, 0.3, 0.3, 1);
    watch.at(0.75, 0.3, 0.3, 4);
    assert!(!stale(&watch, LLAMA) && !stale(&watch, MISTRAL));
    let before = watch.share(WEST, "global");
    assert_eq!(before, Some(78));
    for _ in 0..1000 {
        for region in [EAST, EU] {
            watch.see(region, vec![kv(0.3)]);
        }
        watch.state.forget(&watch.fleet, Millis(watch.now));
        watch.tick();
    }
    assert!(stale(&watch, LLAMA) && !stale(&watch, MISTRAL));
    assert_eq!(watch.share(WEST, "global"), before, "silence is not calm");
}

#[test]
fn nobody_is_taken_back_while_half_of_a_pool_is_silent() {
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
    watch.fleet.regions.get_mut(WEST).unwrap().signals.pop();
    watch.at(0.2, 0.3, 0.3, 30);
    assert_eq!(watch.share(WEST, "global"), Some(100));
}

#[test]
fn gpus_that_are_the_load_and_fall_silent_are_no_calm() {
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
            watch.see(region, vec![active(0.3)]);
        }
        if second < 5 {
            watch.see(WEST, vec![active(if second == 0 { 0.95 } else { 0.75 })]);
        }
        watch.tick();
    }
    assert_eq!(watch.reasons(WEST), [Reason::Stale]);
    assert_eq!(watch.share(WEST, "global"), Some(78));
}

#[test]
fn an_engine_that_no_longer_tells_its_load_is_not_calm() {
    // Its queue is told of all the while, and there is none to speak of.
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
        watch.see(WEST, vec![figures(kv_cache, second)]);
        watch.at_others(0.3, 0.79);
        if second > 5 {
            assert_eq!(watch.share(WEST, "global"), Some(78), "{second}");
        }
    }
    let west = watch
        .state
        .pool(&watch.fleet, &WEST.into(), &LLAMA.into(), Millis(watch.now));
    assert!(west.utilization.is_none() && west.partial && !west.stale);
    // Whoever is hot gives it a little at most.
    for second in 120..150 {
        watch.see(WEST, vec![figures(None, second)]);
        watch.at_others(0.95, 0.79);
    }
    let east = watch.share(EAST, "global").unwrap();
    assert!(east >= 85, "{east}");
    // It tells it again.
    for second in 150..250 {
        watch.see(WEST, vec![figures(Some(0.3), second)]);
        watch.at_others(0.3, 0.3);
    }
    assert_eq!(watch.share(WEST, "global"), Some(100));
    // Its next version, which counts from nothing, never will: what it tells is all that there is to go by.
    for second in 250..350 {
        let counted = if second < 270 { second } else { second - 270 };
        watch.see(WEST, vec![figures(None, counted)]);
        watch.at_others(0.3, 0.3);
        let now = Millis(watch.now);
        let west = watch
            .state
            .pool(&watch.fleet, &WEST.into(), &LLAMA.into(), now);
        assert_eq!(west.partial, second < 270, "{second}");
    }
    // Nor one that tells nothing of what it counts before it has answered somebody.
    for second in 350..360 {
        let told = Figures {
            running: Some(60.0),
            waiting: Some(0.0),
            ..Figures::default()
        };
        watch.see(WEST, vec![server(told)]);
        watch.at_others(0.3, 0.3);
        let now = Millis(watch.now);
        let west = watch
            .state
            .pool(&watch.fleet, &WEST.into(), &LLAMA.into(), now);
        assert!(!west.partial, "{second}");
    }
    assert_eq!(watch.reasons(WEST), []);
}

#[test]
fn who_was_down_and_fell_silent_is_sent_nobody() {
    let mut watch = Watch::new(watched());
    watch.at(0.5, 0.3, 0.3, 3);
    let endpoints = |healthy| Reading::Endpoints {
        model: LLAMA.into(),
        healthy,
        total: 4,
    };
    watch.hear(EAST, "gateway", 0, vec![endpoints(0)]);
    for second in 0..40 {
        watch.see(WEST, vec![kv(0.95)]);
        watch.see(EU, vec![kv(0.5)]);
        if second == 5 {
            // The region is lost, its gateway and its sources with it.
            watch.state.gone(&EAST.into(), "gateway");
        }
        watch.tick();
        let weights = watch.weights(WEST);
        assert_eq!(weights, [(EU, 100)], "{second}");
    }
    // Envoy's own health checks may know better by now: the chain may ask it.
    assert!(!watch.plan.is_down(&EAST.into(), &LLAMA.into()));
    watch.hear(EAST, "gateway", 0, vec![endpoints(4)]);
    watch.at(0.3, 0.3, 0.3, 1);
    assert!(watch.plan.serves(&EAST.into(), &LLAMA.into()));
    assert_eq!(watch.share(EAST, "global"), Some(100));
}

#[test]
fn what_comes_late_takes_nothing_back() {
    // GPUs that are the load, too, and are told of some seconds late.
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
            watch.see(WEST, vec![kv(load)]);
            if late && second % 5 == 4 {
                watch.hear(
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
    // A second of much is not what lasts, and five of little no calm.
    for (low, peak, begin) in [(0.72, 0.86, 0.6), (0.6, 0.79, 0.95)] {
        let with = shares(true, low, peak, begin);
        assert_eq!(with, shares(false, low, peak, begin));
        assert!(with.iter().all(|share| share == &with[0]), "{with:?}");
    }
}
