//! Properties of plans of any fleet after any observations: residency, sums, bounds, determinism.

use crate::batch::batch;
use crate::intent::Intents;
use crate::placement::{HomePool, Placement, STEP_DOWN, STEP_UP};
use crate::plan::pool_view::PoolView;
use crate::plan::{Plan, plan};
use crate::signal::{
    Answers, AttemptCounts, Figures, Histogram, Millis, Observation, PeerCheckCounts, Reading,
};
use crate::state::FleetState;
use crate::topology::Topology;
use meridian_fixtures::any_fleet::{ZONES, fleets};
use meridian_fixtures::fleets::{LLAMA, MISTRAL};
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use meridian_policy::fleet::Order;
use proptest::prelude::*;
use std::collections::BTreeMap;

const WEST: &str = "us-west-2";
const EAST: &str = "us-east-1";
const EU: &str = "eu-west-1";

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.0..1.2f64,
        1 => Just(0.0),
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
    let lane = prop::sample::select(vec![Lane::Home, Lane::Overflow, Lane::Fallback]);
    let zone = prop::sample::select(vec![ZONES[0], ZONES[1], ZONES[3], "none"]);
    let maybe = || prop::option::of(any_value());
    let figures = (
        maybe(),
        maybe(),
        maybe(),
        maybe(),
        maybe(),
        prop::option::of(any_histogram()),
        prop::option::of((any_value(), any_value())),
    );
    prop_oneof![
        4 => (model(), figures).prop_map(|(model, (running, max_running, waiting, kv_cache, utilization, histogram, answers))| Reading::Server {
            model: model.parse().unwrap(),
            engine: "0".into(),
            figures: Figures {
                running, max_running, waiting, kv_cache, utilization,
                queue_time: histogram.clone(),
                first_token: histogram,
                answers: answers.map(|(all, failed)| Answers { all, failed }),
            },
        }),
        1 => (maybe(), maybe()).prop_map(|(busy, engine_active)| Reading::Gpu { busy, engine_active }),
        1 => any_value().prop_map(|seconds| Reading::ReplicationLag { seconds }),
        1 => (model(), 0..3u64, 0..3u64).prop_map(|(model, healthy, total)| Reading::Endpoints { model: model.parse().unwrap(), healthy, total }),
        2 => (model(), region(), any_value(), any_value(), any_value(), (lane, zone)).prop_map(|(model, to, answered, overloaded, failed, (lane, zone))| Reading::Attempts {
            zone: zone.parse().unwrap(),
            model: model.parse().unwrap(),
            lane,
            to: to.parse().unwrap(),
            counts: AttemptCounts { answered, overloaded, failed, broken: failed / 2.0 },
        }),
        1 => any_value().prop_map(|requests| Reading::Mismatches { requests }),
        1 => any_value().prop_map(|answers| Reading::JurisdictionViolations { fallback: "claude".parse().unwrap(), answers }),
        1 => (model(), region(), any_value()).prop_map(|(model, to, answers)| Reading::MissingModel { model: model.parse().unwrap(), to: to.parse().unwrap(), answers }),
        1 => (model(), 0..3u64).prop_map(|(model, addresses)| Reading::Name { model: model.parse().unwrap(), addresses }),
        1 => (region(), any_value(), any_value()).prop_map(|(to, answered, unanswered)| Reading::PeerChecks {
            to: to.parse().unwrap(),
            counts: PeerCheckCounts { answered, unanswered, ..PeerCheckCounts::default() },
        }),
        1 => (model(), region(), any_histogram()).prop_map(|(model, to, times)| Reading::FirstToken { model: model.parse().unwrap(), to: to.parse().unwrap(), times }),
    ]
}

/// Observations, each with the pause after it in milliseconds.
pub(super) fn any_stream() -> impl Strategy<Value = Vec<(Observation, u64)>> {
    let region = prop::sample::select(vec![WEST, EAST, EU, "eu-central-1", "ap-1", "mars"]);
    let one = (
        region,
        prop::collection::vec(any_reading(), 0..4),
        0..4000u64,
    );
    let one = one.prop_map(|(region, readings, pause)| {
        let observation = Observation {
            region: region.parse().unwrap(),
            source: "s".into(),
            at: Millis(0),
            readings,
        };
        (observation, pause)
    });
    prop::collection::vec(one, 0..40)
}

fn replay(
    fleet: &Topology,
    stream: &[(Observation, u64)],
    mut each: impl FnMut(&FleetState, Millis, &Plan, &Plan),
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
        let next = plan(fleet, &state, &Intents::default(), &prev, Millis(now));
        each(&state, Millis(now), &prev, &next);
        prev = next;
        now += pause;
    }
    prev
}

proptest! {
    #[test]
    fn any_observations_give_a_plan_that_keeps_residency_and_is_bounded(fleet in fleets(), stream in any_stream()) {
        let mut checked = Ok(());
        let fleet = Topology::new(fleet);
        replay(&fleet, &stream, |state, now, prev, next| {
            if checked.is_ok() {
                checked = check_plan(&fleet, state, now, prev, next);
            }
        });
        checked?;
    }

    #[test]
    fn the_same_observations_give_the_same_plan(fleet in fleets(), stream in any_stream()) {
        let fleet = Topology::new(fleet);
        let once = replay(&fleet, &stream, |_, _, _, _| {});
        let again = replay(&fleet, &stream, |_, _, _, _| {});
        prop_assert_eq!(&once, &again);
        let text = serde_json::to_string(&once).unwrap();
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), once);
    }
}

fn check_plan(
    fleet: &Topology,
    state: &FleetState,
    now: Millis,
    prev: &Plan,
    next: &Plan,
) -> Result<(), TestCaseError> {
    let view = PoolView::of(fleet, state, &Intents::default(), prev, now);
    let mut gains = BTreeMap::new();
    for (gateway, zones) in &next.gateways {
        for (zone, models) in zones {
            for (model, placement) in models {
                let reach = fleet.reach(zone, model, gateway).unwrap();
                let (first, others) = reach.choice().unwrap();
                for (region, weight) in &placement.overflow {
                    prop_assert!(*weight > 0 && others.contains(region) && region != first);
                    let chain = reach.overflow_chain(gateway, region);
                    prop_assert_eq!(chain.first().and_then(Member::region), Some(region));
                    prop_assert!(
                        fleet.zones[zone].regions.contains(region),
                        "{region} is outside {zone}"
                    );
                    prop_assert!(next.serves(region, model), "{region} does not serve");
                }
                let sum: u32 = placement.overflow.values().sum();
                prop_assert!(
                    sum == TOTAL_WEIGHT
                        || (placement.overflow.is_empty() && placement.home_share == 100),
                    "{placement:?}"
                );
                if matches!(fleet.zones[zone].order, Order::Weighted(_)) {
                    continue;
                }
                let home = Placement::home();
                let before = prev.placement(gateway, zone, model).unwrap_or(&home);
                let change = format!("{before:?} -> {placement:?}");
                prop_assert!(
                    (fleet.overflow.floor_percent()..=100).contains(&placement.home_share)
                );
                prop_assert!(
                    before.home_share.saturating_sub(placement.home_share) <= STEP_DOWN,
                    "{change}"
                );
                let lost: f64 = before
                    .overflow
                    .keys()
                    .filter(|region| !next.serves(region, model))
                    .map(|region| before.part(region))
                    .sum();
                let back = placement.home_share.saturating_sub(before.home_share);
                // A region that serves again takes all of its traffic back at once.
                let evacuated = before.step.is_some_and(|step| step.evacuated);
                prop_assert!(
                    evacuated || f64::from(back) <= f64::from(STEP_UP) + lost + 1.0,
                    "{change}"
                );
                // Overflow does not exceed the headroom. One percent is rounding.
                let here = HomePool {
                    movable_share: view.movable_share(first, model, gateway, zone),
                    ..view.home_pool(first, others, model)
                };
                let there = view.candidates(zone, (first, &here), others, model);
                let percent = before.load(&here) * view.capacity(first, model);
                for other in &there {
                    let more = placement.part(&other.region) - before.part(&other.region);
                    let headroom = other.headroom.max(0.0) * view.capacity(&other.region, model)
                        / here.elasticity;
                    let gains: &mut Vec<(f64, f64)> = gains
                        .entry((other.region.clone(), model.clone()))
                        .or_default();
                    gains.push((headroom, (more - 1.0).max(0.0) * percent));
                }
            }
        }
    }
    for gateway in fleet.regions.keys() {
        for (name, zone) in &fleet.zones {
            for model in fleet.models() {
                let Some(batch) = batch(fleet, next, name, model, gateway) else {
                    continue;
                };
                let mut regions = batch.weights.keys();
                prop_assert!(regions.all(|region| zone.regions.contains(region)));
                let sum: u32 = batch.weights.values().sum();
                prop_assert!(sum == TOTAL_WEIGHT && batch.admitted <= 100, "{batch:?}");
            }
        }
    }
    // Traffic under a small cap also consumes the larger caps.
    for ((region, model), gains) in gains {
        for (headroom, _) in &gains {
            let no_more = gains.iter().filter(|(other, _)| *other <= headroom + 1e-6);
            let gained: f64 = no_more.map(|(_, gained)| gained).sum();
            prop_assert!(
                gained <= headroom + 1e-5,
                "{region} of {model}: {gained} for a headroom of {headroom}"
            );
        }
    }
    Ok(())
}
