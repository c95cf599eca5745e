//! Plans of whole fleets: what each signal shifts, and what holds whatever is observed.

use super::any_fleet::fleets;
use super::fleets::{LLAMA, MISTRAL, example};
use crate::chain::{Member, chain};
use crate::filter_policy::Lane;
use crate::fleet::{Fleet, Preset, SignalSource};
use crate::health::Reason;
use crate::placement::TOTAL_WEIGHT;
use crate::plan::{Plan, alarms, plan, regions_of};
use crate::signal::{Answers, AttemptCounts, Figures, Histogram, Millis, Observation, Reading};
use crate::state::FleetState;
use proptest::prelude::*;
use std::time::Duration;

const WEST: &str = "us-west-2";
const EAST: &str = "us-east-1";
const EU: &str = "eu-west-1";

/// The example, with a source for every pool.
fn watched() -> Fleet {
    let mut fleet = example();
    for (name, region) in &mut fleet.regions {
        region.signals = vec![SignalSource {
            url: format!("http://{name}/metrics"),
            preset: Preset::Vllm,
            model: Some(LLAMA.into()),
            max_running: None,
            every: Duration::from_secs(1),
        }];
    }
    fleet
}

/// A fleet, watched second by second.
struct Watch {
    fleet: Fleet,
    state: FleetState,
    plan: Plan,
    now: u64,
}

impl Watch {
    fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            state: FleetState::default(),
            plan: Plan::default(),
            now: 1_000_000_000,
        }
    }

    fn see(&mut self, region: &str, readings: Vec<Reading>) {
        let observation = Observation {
            region: region.into(),
            source: "signals[0]".into(),
            at: Millis(self.now),
            readings,
        };
        self.state.apply(&self.fleet, &observation);
    }

    fn tick(&mut self) {
        self.plan = plan(&self.fleet, &self.state, &self.plan, Millis(self.now));
        self.now += 1000;
    }

    /// Every region at this KV-cache use, for some seconds.
    fn at(&mut self, west: f64, east: f64, eu: f64, seconds: usize) {
        for _ in 0..seconds {
            for (region, use_of_it) in [(WEST, west), (EAST, east), (EU, eu)] {
                self.see(region, vec![kv(use_of_it)]);
            }
            self.tick();
        }
    }

    fn share(&self, gateway: &str, zone: &str) -> Option<u8> {
        let placement = self
            .plan
            .placement(&gateway.into(), &zone.into(), &LLAMA.into());
        placement.map(|placement| placement.home_share)
    }

    fn weights(&self, gateway: &str) -> Vec<(&str, u32)> {
        let placement = &self.plan.gateways[gateway]["global"][LLAMA];
        let weights = placement.overflow.iter();
        weights
            .map(|(region, weight)| (region.as_str(), *weight))
            .collect()
    }

    fn reasons(&self, region: &str) -> Vec<Reason> {
        let health = &self.plan.pools[region][LLAMA];
        health.reasons.iter().copied().collect()
    }
}

fn server(figures: Figures) -> Reading {
    Reading::Server {
        model: LLAMA.into(),
        engine: "0".into(),
        figures,
    }
}

fn kv(kv_cache: f64) -> Reading {
    server(Figures {
        kv_cache: Some(kv_cache),
        ..Default::default()
    })
}

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
    watch.at(0.4, 0.3, 0.3, 40);
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
    let policy = crate::FilterPolicy::for_region(&watch.fleet, &watch.plan, &EU.into(), None);
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
    let gateway = Reading::Attempts {
        zone: "global".into(),
        model: LLAMA.into(),
        lane: Lane::Home,
        to: WEST.into(),
        counts: AttemptCounts {
            answered: 50.0 * second,
            overloaded: second,
            failed: second,
        },
    };
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
    for second in 1..15u32 {
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
    watch.at(0.3, 0.3, 0.3, 90);
    // Lag and rates are forgotten, or have gone from the window.
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
fn a_dead_region_gets_nothing_and_its_callers_go_on_by_the_chain() {
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
    assert_eq!(watch.share(EAST, "global"), Some(100));
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
fn silence_is_not_good_news() {
    let mut watch = Watch::new(watched());
    watch.at(0.95, 0.3, 0.3, 5);
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
    };
    watch.see(WEST, vec![server(figures(0.2, 192.0))]);
    assert!((utilization(&watch) - 0.75).abs() < 1e-9);
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

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.0..1.2f64,
        2 => 0.0..1000.0f64,
        1 => any::<f64>(),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, -1.0, 1e300]),
    ]
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    (
        prop::collection::vec((any_value(), any_value()), 0..4),
        any_value(),
        any_value(),
    )
        .prop_map(|(buckets, sum, count)| Histogram {
            buckets,
            sum,
            count,
        })
}

fn any_reading() -> impl Strategy<Value = Reading> {
    let model = || prop::sample::select(vec![LLAMA, MISTRAL, "qwen", "none"]);
    let region = || prop::sample::select(vec![WEST, EAST, EU, "mars"]);
    let maybe = || prop::option::of(any_value());
    let figures = (
        maybe(),
        maybe(),
        maybe(),
        maybe(),
        prop::option::of(any_histogram()),
        prop::option::of((any_value(), any_value())),
    );
    prop_oneof![
        4 => (model(), figures).prop_map(|(model, (running, max_running, waiting, kv_cache, histogram, answers))| Reading::Server {
            model: model.into(),
            engine: "0".into(),
            figures: Figures {
                running, max_running, waiting, kv_cache,
                queue_time: histogram.clone(),
                first_token: histogram,
                answers: answers.map(|(all, failed)| Answers { all, failed }),
            },
        }),
        1 => (maybe(), maybe()).prop_map(|(busy, engine_active)| Reading::Gpu { busy, engine_active }),
        1 => any_value().prop_map(|seconds| Reading::ReplicationLag { seconds }),
        1 => (model(), 0..3u64, 0..3u64).prop_map(|(model, healthy, total)| Reading::Endpoints { model: model.into(), healthy, total }),
        2 => (model(), region(), any_value(), any_value(), any_value(), any::<bool>()).prop_map(|(model, to, answered, overloaded, failed, home)| Reading::Attempts {
            zone: "eea".into(),
            model: model.into(),
            lane: if home { Lane::Home } else { Lane::Overflow },
            to: to.into(),
            counts: AttemptCounts { answered, overloaded, failed },
        }),
        1 => (model(), region(), any_histogram()).prop_map(|(model, to, times)| Reading::FirstToken { model: model.into(), to: to.into(), times }),
    ]
}

/// Observations with the time that passes after each.
fn any_stream() -> impl Strategy<Value = Vec<(Observation, u64)>> {
    let region = prop::sample::select(vec![WEST, EAST, EU, "eu-central-1", "ap-1", "mars"]);
    let one = (
        region,
        prop::collection::vec(any_reading(), 0..4),
        0..4000u64,
    );
    let one = one.prop_map(|(region, readings, pause)| {
        let observation = Observation {
            region: region.into(),
            source: "s".into(),
            at: Millis(0),
            readings,
        };
        (observation, pause)
    });
    prop::collection::vec(one, 0..40)
}

fn replay(
    fleet: &Fleet,
    stream: &[(Observation, u64)],
    mut each: impl FnMut(&Plan, &Plan),
) -> Plan {
    let (mut state, mut prev, mut now) = (FleetState::default(), Plan::default(), 5_000_000);
    for (observation, pause) in stream {
        state.apply(
            fleet,
            &Observation {
                at: Millis(now),
                ..observation.clone()
            },
        );
        let next = plan(fleet, &state, &prev, Millis(now));
        each(&prev, &next);
        prev = next;
        now += pause;
    }
    prev
}

proptest! {
    #[test]
    fn any_observations_give_a_plan_that_keeps_residency_and_is_bounded(fleet in fleets(), stream in any_stream()) {
        let mut checked = Ok(());
        replay(&fleet, &stream, |prev, next| {
            if checked.is_ok() {
                checked = is_sound(&fleet, prev, next);
            }
        });
        checked?;
    }

    #[test]
    fn the_same_observations_give_the_same_plan(fleet in fleets(), stream in any_stream()) {
        let once = replay(&fleet, &stream, |_, _| {});
        let again = replay(&fleet, &stream, |_, _| {});
        prop_assert_eq!(&once, &again);
        let text = serde_json::to_string(&once).unwrap();
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), once);
    }
}

fn is_sound(fleet: &Fleet, prev: &Plan, next: &Plan) -> Result<(), TestCaseError> {
    for (gateway, zones) in &next.gateways {
        for (zone, models) in zones {
            for (model, placement) in models {
                let (first, others) = regions_of(fleet, zone, model, gateway).unwrap();
                let allowed = chain(fleet, zone, model, gateway);
                for (region, weight) in &placement.overflow {
                    prop_assert!(*weight > 0 && others.contains(region) && *region != first);
                    prop_assert!(allowed.contains(&Member::Peer(region.clone())));
                    prop_assert!(
                        fleet.zones[zone].regions.contains(region),
                        "{region} is outside {zone}"
                    );
                }
                let sum: u32 = placement.overflow.values().sum();
                prop_assert!(
                    sum == TOTAL_WEIGHT
                        || (placement.overflow.is_empty() && placement.home_share == 100),
                    "{placement:?}"
                );
                let before = prev
                    .placement(gateway, zone, model)
                    .map_or(100, |before| before.home_share);
                let floor = (fleet.overflow.floor * 100.0).ceil() as u8;
                prop_assert!((floor..=100).contains(&placement.home_share));
                prop_assert!(
                    before.saturating_sub(placement.home_share) <= 30,
                    "{before} -> {placement:?}"
                );
                let back = placement.home_share.saturating_sub(before);
                prop_assert!(
                    back <= 10 || placement.overflow.is_empty() || placement.home_share == 100,
                    "{before} -> {placement:?}"
                );
            }
        }
    }
    Ok(())
}
