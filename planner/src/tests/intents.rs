//! What operators say: drains, overrides, freezes, and what speaks against them.

use super::watch::{Watch, attempts_to, server, watched};
use crate::health::Reason;
use crate::intent::{Action, Intent, Objection, objections};
use crate::placement::{STEP_DOWN, STEP_UP};
use crate::signal::{AttemptCounts, Figures, Millis};
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST};
use meridian_policy::filter_policy::{Lane, TOTAL_WEIGHT};

fn drain(region: &str, hard: bool) -> Action {
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

fn over(home_share: u8, overflow: &[(&str, u32)]) -> Action {
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

impl Watch {
    /// An operator says something, for some seconds.
    fn say(&mut self, action: Action, seconds: u64) {
        let number = self.intents.0.len() as u64 + 1;
        let intent = Intent {
            action,
            by: "test".into(),
            why: "a test".into(),
            created: Millis(self.now),
            expires: Millis(self.now + seconds * 1000),
            forced: Vec::new(),
        };
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
    watch.say(Action::Freeze, 60);
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
    assert_eq!(watch.objects(&Action::Freeze), [""; 0]);
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
