//! Requests that leave home when it sheds, and plans that do not apply.

use super::decisions::{CHAT, US, admit, admitted};
use crate::decision::Decision;
use crate::pace::{Pace, PoolPace};
use crate::request::RequestContext;
use crate::router::Router;
use crate::routes::PoolId;
use meridian_fixtures::fleets::{LLAMA, example};
use meridian_policy::FilterPolicy;
use meridian_policy::filter_policy::{Lane, Split};
use std::collections::{BTreeMap, BTreeSet};

/// The policy of us-west-2 with this home share.
pub(super) fn keeping(home_share: u8) -> FilterPolicy {
    let (mut policy, _) = admit(&example(), "us-west-2", "POST", CHAT, &[US]);
    let rule = policy
        .zones
        .get_mut("global")
        .unwrap()
        .models
        .get_mut(LLAMA)
        .unwrap();
    rule.split = Some(Split {
        first: "us-west-2".parse().unwrap(),
        home_share,
        floor: 10,
        overflow: BTreeMap::from([("us-east-1".parse().unwrap(), 100)]),
        fixed: false,
        drains: false,
    });
    policy
}

fn decide(policy: &FilterPolicy, conversation: usize, context: &RequestContext<'_>) -> Decision {
    let (_, admission) = admit(&example(), "us-west-2", "POST", CHAT, &[US]);
    let body = format!(r#"{{"model":"{LLAMA}","prompt_cache_key":"c-{conversation}"}}"#);
    Router::new(policy.clone())
        .decide(&admitted(admission), body.as_bytes(), context)
        .unwrap()
}

fn context(refused: &dyn Fn(&PoolId) -> f64) -> RequestContext<'_> {
    RequestContext {
        request_id: b"id",
        lease_ran_out: false,
        refused,
        loaded: &|_| 0.0,
        pace: &|_| PoolPace::default(),
        hedges_used_up: false,
        breaker: &|_| None,
        begins: &|_, _| 0.5,
        may_probe: &|_| false,
        slot: &|_, ask| ask.affinity_slot,
        now_ms: 0,
    }
}

fn leaving_conversations(policy: &FilterPolicy, context: &RequestContext<'_>) -> BTreeSet<usize> {
    (0..1000)
        .filter(|conversation| decide(policy, *conversation, context).lane == Lane::Overflow)
        .collect()
}

#[test]
fn a_share_is_exact_and_shrinks_monotonically() {
    let context = context(&|_| 0.0);
    let mut before = BTreeSet::new();
    for share in [100, 90, 60, 30, 10, 0] {
        let leaving = leaving_conversations(&keeping(share), &context);
        let expected = 1000 - 10 * usize::from(share);
        assert!(
            leaving.len().abs_diff(expected) < 50,
            "{share}: {} leave",
            leaving.len()
        );
        assert!(
            leaving.is_superset(&before),
            "{share}: a conversation came back"
        );
        before = leaving;
    }
    assert_eq!(before.len(), 1000);
    assert!(leaving_conversations(&keeping(100), &context).is_empty());
}

#[test]
fn a_conversation_keeps_its_lane_and_its_region() {
    let context = context(&|_| 0.0);
    let policy = keeping(50);
    for conversation in 0..50 {
        let first = decide(&policy, conversation, &context);
        let again = decide(&policy, conversation, &context);
        assert_eq!(first.route_headers(), again.route_headers());
        let spread = first
            .route_headers()
            .iter()
            .any(|(name, _)| *name == "x-meridian-spread");
        assert_eq!(spread, first.lane == Lane::Overflow);
        assert!(!first.explain().contains("spread"));
    }
}

#[test]
fn requests_that_leave_spread_over_all_regions() {
    let context = context(&|_| 0.0);
    let policy = keeping(20);
    let spread = leaving_conversations(&policy, &context)
        .into_iter()
        .map(|conversation| decide(&policy, conversation, &context).spread % 100)
        .collect::<Vec<_>>();
    let low = spread.iter().filter(|place| **place < 50).count();
    assert!(
        low.abs_diff(spread.len() / 2) < 60,
        "{low} of {}",
        spread.len()
    );
}

#[test]
fn without_a_conversation_the_request_id_decides() {
    let policy = keeping(50);
    let lane = |id: &[u8]| {
        let (_, admission) = admit(&example(), "us-west-2", "POST", CHAT, &[US]);
        let body = format!(r#"{{"model":"{LLAMA}"}}"#);
        let context = RequestContext {
            request_id: id,
            lease_ran_out: false,
            refused: &|_| 0.0,
            loaded: &|_| 0.0,
            pace: &|_| PoolPace::default(),
            hedges_used_up: false,
            breaker: &|_| None,
            begins: &|_, _| 0.5,
            may_probe: &|_| false,
            slot: &|_, ask| ask.affinity_slot,
            now_ms: 0,
        };
        Router::new(policy.clone())
            .decide(&admitted(admission), body.as_bytes(), &context)
            .unwrap()
            .lane
    };
    let lanes: BTreeSet<Lane> = (0..100u8).map(|id| lane(&[id])).collect();
    assert_eq!(lanes.len(), 2);
}

#[test]
fn an_overloaded_home_keeps_less_at_once() {
    let hot = |pool: &PoolId| {
        if pool.region.as_str() == "us-west-2" && pool.model.as_str() == LLAMA {
            0.3
        } else {
            0.0
        }
    };
    let leaving = leaving_conversations(&keeping(100), &context(&hot));
    assert!(leaving.len().abs_diff(300) < 50, "{}", leaving.len());
    let decision = decide(&keeping(100), *leaving.first().unwrap(), &context(&hot));
    assert_eq!(
        decision.explain(),
        format!(
            "lane=overflow zone=global by=cf-ipcountry model={LLAMA} home_share=100 cooling=0.30"
        )
    );
}

#[test]
fn an_overloaded_home_keeps_its_floor_and_requests_that_others_refuse() {
    let all = context(&|pool| f64::from(u8::from(pool.region.as_str() == "us-west-2")));
    let leaving = leaving_conversations(&keeping(100), &all).len();
    assert!(leaving.abs_diff(900) < 50, "{leaving}");
    let leaving = leaving_conversations(&keeping(5), &all).len();
    assert!(leaving.abs_diff(950) < 40, "{leaving}");
    // If all regions refuse, all requests stay.
    assert!(leaving_conversations(&keeping(100), &context(&|_| 1.0)).is_empty());
    let half = context(&|pool| {
        if pool.region.as_str() == "us-west-2" {
            0.8
        } else {
            0.5
        }
    });
    let leaving = leaving_conversations(&keeping(100), &half).len();
    assert!(leaving.abs_diff(300) < 50, "{leaving}");
}

#[test]
fn requests_do_not_leave_for_regions_that_refuse() {
    let mut queue = Pace::default();
    for now in 0..40 {
        queue.begin();
        queue.first_token(1, 1.0, now);
    }
    for _ in 0..20 {
        queue.begin();
    }
    let at_home = |pool: &PoolId| pool.region.as_str() == "us-west-2";
    let pace = |pool: &PoolId| {
        let streamed = if at_home(pool) {
            queue
        } else {
            Pace::default()
        };
        PoolPace {
            streamed,
            ..PoolPace::default()
        }
    };
    let leave = |refuses: f64| {
        let refused = move |pool: &PoolId| {
            if at_home(pool) { 0.0 } else { refuses }
        };
        let context = RequestContext {
            pace: &pace,
            ..context(&refused)
        };
        leaving_conversations(&keeping(100), &context).len()
    };
    assert!(leave(0.0).abs_diff(900) < 50, "all but the floor");
    assert!(leave(0.6).abs_diff(400) < 50, "what the other takes");
    assert_eq!(leave(1.0), 0);
}

#[test]
fn a_home_with_a_high_load_report_keeps_less() {
    let kept = |home_share: u8, full: f64, lease_ran_out: bool| {
        let loaded = |pool: &PoolId| {
            if pool.region.as_str() == "us-west-2" {
                full
            } else {
                0.0
            }
        };
        let context = RequestContext {
            loaded: &loaded,
            lease_ran_out,
            ..context(&|_| 0.0)
        };
        1000 - leaving_conversations(&keeping(home_share), &context).len()
    };
    assert!(kept(100, 0.16, false).abs_diff(840) < 40);
    assert!(
        kept(78, 0.16, false).abs_diff(780) < 40,
        "it has shed that already"
    );
    assert!(kept(50, 0.0, false).abs_diff(500) < 50);
    assert_eq!(kept(100, 0.16, true), 1000);
}

#[test]
fn past_the_lease_all_requests_go_home() {
    let context = RequestContext {
        request_id: b"id",
        lease_ran_out: true,
        refused: &|_| 1.0,
        loaded: &|_| 0.0,
        pace: &|_| PoolPace::default(),
        hedges_used_up: false,
        breaker: &|_| None,
        begins: &|_, _| 0.5,
        may_probe: &|_| false,
        slot: &|_, ask| ask.affinity_slot,
        now_ms: 0,
    };
    assert!(leaving_conversations(&keeping(0), &context).is_empty());
    assert!(
        decide(&keeping(0), 1, &context)
            .explain()
            .ends_with("lease=ran-out")
    );
}

#[test]
fn without_another_region_all_requests_stay() {
    let (mut policy, admission) = admit(&example(), "us-west-2", "POST", CHAT, &[US]);
    policy.lease = None;
    let body = format!(r#"{{"model":"{LLAMA}"}}"#);
    let context = context(&|_| 1.0);
    let decision = Router::new(policy.clone())
        .decide(&admitted(admission), body.as_bytes(), &context)
        .unwrap();
    assert_eq!((decision.lane, decision.choice), (Lane::Home, None));
}
