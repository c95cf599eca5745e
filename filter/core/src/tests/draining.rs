//! A region that is drained: requests that begin a conversation leave it before those that go on with one.

use super::decisions::{CHAT, US, admit, admitted, context};
use super::shares::keeping;
use crate::request::RequestContext;
use crate::router::Router;
use crate::worker::Beginnings;
use meridian_fixtures::fleets::{LLAMA, example};
use meridian_policy::filter_policy::Lane;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Of ten requests, those that begin a conversation.
const NEW_OF_TEN: usize = 3;

/// The conversations that leave, of those that begin and of those that go on, at this share.
fn leaving(home_share: u8, new_of_ten: usize) -> [BTreeSet<usize>; 2] {
    let mut policy = keeping(home_share);
    let rule = policy
        .zones
        .get_mut("global")
        .unwrap()
        .models
        .get_mut(LLAMA);
    rule.unwrap().split.as_mut().unwrap().drains = true;
    let router = Router::new(policy);
    let (_, admission) = admit(&example(), "us-west-2", "POST", CHAT, &[US]);
    let admitted = admitted(admission);
    let beginnings = RefCell::new(Beginnings::default());
    let mut leave = [BTreeSet::new(), BTreeSet::new()];
    for number in 0..4000_usize {
        let is_new = number % 10 < new_of_ten;
        let mut turns = vec![json!({ "role": "user", "content": format!("talk {number}") })];
        if !is_new {
            turns.push(json!({ "role": "assistant", "content": "yes" }));
            turns.push(json!({ "role": "user", "content": "and?" }));
        }
        let body = json!({ "model": LLAMA, "messages": turns }).to_string();
        let context = RequestContext {
            begins: &|pool, begins| {
                let now = number as u64 * 10;
                beginnings.borrow_mut().note(&pool.name, begins, now)
            },
            ..context()
        };
        let decision = router.decide(&admitted, body.as_bytes(), &context).unwrap();
        let said = if is_new { "drain=new" } else { "drain=ongoing" };
        assert!(decision.explain().contains(said), "{}", decision.explain());
        // The first ones tell how many begin.
        if decision.lane == Lane::Overflow && number >= 1000 {
            leave[usize::from(!is_new)].insert(number);
        }
    }
    leave
}

#[test]
fn new_conversations_leave_first_and_the_share_is_exact() {
    let all = [900, 2100];
    let mut before = [BTreeSet::new(), BTreeSet::new()];
    for share in [100, 85, 70, 50, 20, 0] {
        let [new, ongoing] = leaving(share, NEW_OF_TEN);
        let left = new.len() + ongoing.len();
        assert!(
            left.abs_diff(30 * (100 - usize::from(share))) < 150,
            "{share}: {left} of 3000 left"
        );
        if share > 70 {
            assert!(
                ongoing.len() < 20,
                "{share}: {} ongoing left",
                ongoing.len()
            );
        }
        if share < 70 {
            assert!(
                new.len() > all[0] * 98 / 100,
                "{share}: {} new left",
                new.len()
            );
        }
        // The measured part varies a little.
        let returned = before[1].difference(&ongoing).count();
        assert!(returned < 100, "{share}: {returned} ongoing came back");
        before = [new, ongoing];
    }
    assert_eq!(before.map(|left| left.len()), all);
}

#[test]
fn one_kind_alone_leaves_by_its_share() {
    for new_of_ten in [0, 10] {
        let left: usize = leaving(40, new_of_ten).iter().map(BTreeSet::len).sum();
        assert!(
            left.abs_diff(1800) < 200,
            "{new_of_ten}: {left} of 3000 left"
        );
    }
}
