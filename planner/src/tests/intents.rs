//! What operators say: drains, overrides, freezes, and what speaks against them.

use super::observations::any_stream;
use super::watch::{Watch, attempts_to, server, watched};
use crate::health::Reason;
use crate::intent::{Action, Intent, Intents, Objection, objections};
use crate::placement::{STEP_DOWN, STEP_UP};
use crate::plan::{Plan, plan};
use crate::signal::{AttemptCounts, Figures, Millis, Observation};
use crate::state::FleetState;
use crate::topology::Topology;
use meridian_fixtures::any_fleet::{ZONES, fleets};
use meridian_fixtures::fleets::{EAST, EU, LLAMA, MISTRAL, WEST};
use meridian_policy::filter_policy::{Lane, TOTAL_WEIGHT};
use meridian_policy::fleet::Order;
use proptest::prelude::*;

pub(super) fn drain(region: &str, hard: bool) -> Action {
    Action::Drain {
        region: region.parse().unwrap(),
        model: None,
        hard,
    }
}

fn drain_llama(region: &str) -> Action {
    Action::Drain {
        region: region.parse().unwrap(),
        model: Some(LLAMA.parse().unwrap()),
        hard: false,
    }
}

pub(super) fn over(home_share: u8, overflow: &[(&str, u32)]) -> Action {
    let overflow = overflow.iter();
    Action::Override {
        gateway: WEST.parse().unwrap(),
        zone: "global".parse().unwrap(),
        model: LLAMA.parse().unwrap(),
        home_share,
        overflow: overflow
            .map(|(region, weight)| (region.parse().unwrap(), *weight))
            .collect(),
    }
}

/// Intents with the time between their beginning and their end in milliseconds, and when each begins.
pub(super) fn any_intents() -> impl Strategy<Value = Vec<(Action, u64, u64)>> {
    let region = || prop::sample::select(vec![WEST, EAST, EU, "mars"]);
    let model = || prop::sample::select(vec![LLAMA, MISTRAL, "none"]);
    let zone = prop::sample::select(vec![ZONES[0], ZONES[1], ZONES[3]]);
    let overflow = prop::collection::btree_map(region(), 0..5u32, 0..3);
    let drained = (region(), prop::option::of(model()), any::<bool>());
    let action = prop_oneof![
        3 => drained.prop_map(|(region, model, hard)| Action::Drain {
            region: region.parse().unwrap(),
            model: model.map(|model| model.parse().unwrap()),
            hard,
        }),
        2 => (region(), zone, model(), 0..=100u8, overflow).prop_map(|(gateway, zone, model, home_share, overflow)| Action::Override {
            gateway: gateway.parse().unwrap(),
            zone: zone.parse().unwrap(),
            model: model.parse().unwrap(),
            home_share,
            overflow: overflow.into_iter().map(|(region, weight)| (region.parse().unwrap(), weight)).collect(),
        }),
        1 => Just(Action::Freeze {}),
    ];
    prop::collection::vec((action, 0..60_000u64, 0..60_000u64), 0..5)
}

/// What must be true of a plan, whatever was said.
fn check(
    fleet: &Topology,
    intents: &Intents,
    now: Millis,
    prev: &Plan,
    next: &Plan,
) -> Result<(), TestCaseError> {
    let is_frozen = intents.is_frozen(now);
    for (gateway, zones) in &next.gateways {
        for (zone, models) in zones {
            for (model, placement) in models {
                let (first, others) = fleet.choice(zone, model, gateway).unwrap();
                prop_assert!(placement.is_among(others), "{placement:?}");
                let sum: u32 = placement.overflow.values().sum();
                let is_home = placement.overflow.is_empty() && placement.home_share == 100;
                prop_assert!(sum == TOTAL_WEIGHT || is_home, "{placement:?}");
                let Some(before) = prev.placement(gateway, zone, model) else {
                    continue;
                };
                if is_frozen {
                    prop_assert_eq!(placement, before);
                    continue;
                }
                let place = (gateway, zone, model);
                let is_fixed = matches!(fleet.zones[zone].order, Order::Weighted(_));
                if is_fixed || intents.placement(place, |_| true, now).is_some() {
                    continue;
                }
                let fall = before.home_share.saturating_sub(placement.home_share);
                prop_assert!(fall <= STEP_DOWN, "{before:?} -> {placement:?}");
                for region in others
                    .iter()
                    .filter(|to| intents.drain(to, model, now).is_some())
                {
                    let more = placement.part(region) - before.part(region);
                    prop_assert!(
                        more <= 1.0,
                        "{region} is drained: {before:?} -> {placement:?}"
                    );
                }
                let is_drained = intents.drain(first, model, now).is_some();
                let lost = before.overflow.keys().any(|to| !next.serves(to, model));
                let relieves = before
                    .overflow
                    .keys()
                    .any(|to| before.part(to) > placement.part(to));
                let rises = placement.home_share > before.home_share;
                prop_assert!(
                    !(is_drained && rises) || lost || relieves,
                    "{before:?} -> {placement:?}"
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_is_said_plans_keep_residency_and_move_in_steps(fleet in fleets(), stream in any_stream(), said in any_intents()) {
        let fleet = Topology::new(fleet);
        let (mut state, mut prev, begin) = (FleetState::default(), Plan::default(), 5_000_000);
        let mut now = begin;
        for (observation, pause) in stream {
            state.apply(&fleet, &Observation { at: Millis(now), ..observation });
            let mut intents = Intents::default();
            let begun = said.iter().enumerate().filter(|(_, (_, _, since))| begin + since <= now);
            for (number, (action, lasts, since)) in begun {
                intents.0.insert(number as u64, intent(action.clone(), begin + since, *lasts));
            }
            let next = plan(&fleet, &state, &intents, &prev, Millis(now));
            check(&fleet, &intents, Millis(now), &prev, &next)?;
            for (action, ..) in &said {
                objections(&fleet, &state, &intents, &next, action, Millis(now));
            }
            prev = next;
            now += pause;
        }
    }
}

pub(super) fn intent(action: Action, created: u64, lasts: u64) -> Intent {
    Intent {
        action,
        by: "test".into(),
        why: "a test".into(),
        created: Millis(created),
        expires: Millis(created + lasts),
        forced: Vec::new(),
    }
}

impl Watch {
    /// An operator says something, for some seconds.
    pub(super) fn say(&mut self, action: Action, seconds: u64) {
        let number = self.intents.0.len() as u64 + 1;
        let intent = intent(action, self.now, seconds * 1000);
        self.intents.0.insert(number, intent);
    }

    /// The shares of us-west-2's own callers while time passes.
    fn shares(&mut self, seconds: usize) -> Vec<u8> {
        let each = (0..seconds).map(|_| {
            self.at(0.3, 0.3, 0.3, 1);
            self.share(WEST, "global").unwrap()
        });
        let mut shares: Vec<u8> = each.collect();
        shares.dedup();
        shares
    }

    fn objects(&self, action: &Action) -> Vec<String> {
        let now = Millis(self.now);
        let all = objections(
            &self.fleet,
            &self.state,
            &self.intents,
            &self.plan,
            action,
            now,
        );
        all.iter().map(Objection::to_string).collect()
    }
}

#[test]
fn callers_leave_a_drained_region_in_steps_and_come_back_in_steps() {
    let mut watch = Watch::new(watched());
    watch.at(0.3, 0.3, 0.3, 10);
    watch.say(drain(WEST, false), 60);
    let down = watch.shares(59);
    assert_eq!(*down.last().unwrap(), 0);
    assert!(
        down.windows(2)
            .all(|pair| pair[1] < pair[0] && pair[0] - pair[1] <= STEP_DOWN)
    );
    assert_eq!(watch.reasons(WEST), [Reason::Drained]);
    assert!(
        !watch
            .plan
            .is_down(&WEST.parse().unwrap(), &LLAMA.parse().unwrap())
    );
    let up = watch.shares(120);
    assert_eq!(*up.last().unwrap(), 100, "{up:?}");
    assert!(
        up.windows(2)
            .all(|pair| pair[1] > pair[0] && pair[1] - pair[0] <= STEP_UP)
    );
    assert_eq!(watch.reasons(WEST), []);
}

#[test]
fn nobody_overflows_to_a_drained_region() {
    let mut watch = Watch::new(watched());
    watch.at(0.3, 0.3, 0.3, 10);
    watch.say(drain(WEST, false), 1000);
    watch.at(0.3, 0.95, 0.95, 20);
    for gateway in [EAST, EU] {
        assert!(
            watch.weights(gateway).iter().all(|(to, _)| *to != WEST),
            "{gateway}"
        );
    }
    // What is there already leaves.
    let mut watch = Watch::new(watched());
    watch.at(0.3, 0.95, 0.7, 10);
    assert_eq!(watch.weights(EAST), [(WEST, TOTAL_WEIGHT)]);
    watch.say(drain(WEST, false), 1000);
    watch.at(0.3, 0.6, 0.3, 60);
    assert!(watch.weights(EAST).iter().all(|(to, _)| *to != WEST));
}

#[test]
fn a_hard_drain_ends_in_a_pool_that_counts_as_down() {
    let mut watch = Watch::new(watched());
    watch.at(0.3, 0.3, 0.3, 10);
    watch.say(drain(WEST, true), 60);
    let is_down = |watch: &Watch| {
        watch
            .plan
            .is_down(&WEST.parse().unwrap(), &LLAMA.parse().unwrap())
    };
    while watch.share(WEST, "global") != Some(0) {
        assert!(!is_down(&watch));
        watch.at(0.3, 0.3, 0.3, 1);
    }
    watch.at(0.0, 0.3, 0.3, 1);
    assert!(is_down(&watch));
    watch.at(0.0, 0.3, 0.3, 60);
    assert!(!is_down(&watch), "it has ended");
}

#[test]
fn an_override_is_the_last_word_and_ends_in_steps() {
    let mut watch = Watch::new(watched());
    watch.at(0.3, 0.3, 0.3, 10);
    watch.say(over(40, &[(EAST, 1), (EU, 3)]), 30);
    watch.at(0.3, 0.3, 0.3, 1);
    let weights = [(EU, TOTAL_WEIGHT / 4 * 3), (EAST, TOTAL_WEIGHT / 4)];
    let mut expected = weights.to_vec();
    expected.sort_unstable();
    let is_said = |watch: &Watch| {
        assert_eq!(watch.share(WEST, "global"), Some(40));
        let mut weights = watch.weights(WEST);
        weights.sort_unstable();
        assert_eq!(weights, expected);
    };
    is_said(&watch);
    watch.at(0.99, 0.3, 0.99, 20);
    is_said(&watch);
    watch.at(0.3, 0.3, 0.3, 9);
    let up = watch.shares(100);
    assert_eq!(*up.last().unwrap(), 100);
    assert!(
        up.windows(2)
            .all(|pair| pair[1] > pair[0] && pair[1] - pair[0] <= STEP_UP)
    );
}

#[test]
fn a_freeze_moves_nothing_and_health_goes_on() {
    let mut watch = Watch::new(watched());
    watch.at(0.95, 0.3, 0.3, 5);
    let before = watch.plan.gateways.clone();
    assert_ne!(watch.share(WEST, "global"), Some(100));
    watch.say(Action::Freeze {}, 60);
    for _ in 0..50 {
        watch.report(
            WEST,
            vec![server(Figures {
                kv_cache: Some(0.99),
                waiting: Some(500.0),
                ..Default::default()
            })],
        );
        watch.at_others(0.3, 0.3);
    }
    assert_eq!(watch.plan.gateways, before);
    assert_eq!(watch.reasons(WEST), [Reason::QueueDepth]);
    watch.at(0.95, 0.3, 0.3, 30);
    assert_ne!(watch.plan.gateways, before, "it has ended");
}

#[test]
fn what_cannot_be_is_refused_with_names_and_figures() {
    let mut watch = Watch::new(watched());
    let mut answered = 0.0;
    for _ in 0..60 {
        answered += 20.0;
        let counts = AttemptCounts {
            answered,
            ..Default::default()
        };
        watch.report_from(
            WEST,
            "gateway",
            0,
            vec![attempts_to("global", Lane::Home, WEST, counts)],
        );
        watch.at(0.6, 0.7, 0.7, 1);
    }
    assert_eq!(
        watch.objects(&drain(EU, false)),
        [
            "callers of `eea` would have no region with llama-3.1-70b that is neither drained nor down"
        ]
    );
    let objections = watch.objects(&drain_llama(WEST));
    assert!(
        objections.len() == 1
            && objections[0].starts_with(
                "20.0 requests/s of llama-3.1-70b would leave, and the others have room for "
            ),
        "{objections:?}"
    );
    watch.at(0.2, 0.1, 0.1, 60);
    assert_eq!(watch.objects(&drain_llama(WEST)), [""; 0]);
    watch.say(drain(EAST, false), 100);
    assert_eq!(watch.objects(&Action::Freeze {}), [""; 0]);
    let unknown = watch.objects(&drain("mars", false));
    assert_eq!(
        unknown,
        ["region: the fleet has no `mars`; it has: eu-west-1, us-east-1, us-west-2"]
    );
    assert_eq!(watch.objects(&over(40, &[(EAST, 1)])), [""; 0]);
    for (action, part) in [
        (over(140, &[(EAST, 1)]), "home_share: 140 is no percentage"),
        (
            over(40, &[]),
            "overflow: a region must take what home does not keep",
        ),
        (
            over(40, &[(WEST, 1)]),
            "overflow: the fleet has no `us-west-2`",
        ),
    ] {
        let said = watch.objects(&action);
        assert!(said.len() == 1 && said[0].starts_with(part), "{said:?}");
    }
}
