//! Batch requests.

use super::decisions::{CHAT, US, admit, admitted, context};
use crate::answer::Answer;
use crate::decision::Decision;
use crate::header_map::HeaderMap;
use crate::request::RequestContext;
use crate::router::Admission;
use crate::router::Router;
use crate::routes::PoolId;
use crate::shed::ShedFractions;
use crate::tier::{Tier, digest, tier};
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST, example};
use meridian_policy::filter_policy::{BatchRule, FilterPolicy, Lane, ModelRule, Split};
use meridian_policy::fleet::Order;
use std::collections::{BTreeMap, BTreeSet};

const BATCH: (&str, &str) = ("x-meridian-tier", "batch");

fn of(headers: &[(&str, &str)], keys: &[&str]) -> Result<Tier, String> {
    let headers: HeaderMap = headers.iter().copied().collect();
    let keys: BTreeSet<String> = keys.iter().map(|key| digest(key)).collect();
    tier(&headers, &keys)
}

#[test]
fn a_header_or_an_api_key_sets_the_tier() {
    assert_eq!(of(&[], &["k"]), Ok(Tier::Interactive));
    assert_eq!(of(&[BATCH], &[]), Ok(Tier::Batch));
    assert_eq!(of(&[("x-meridian-tier", " Batch ")], &[]), Ok(Tier::Batch));
    let header = ("x-meridian-tier", "interactive");
    assert_eq!(of(&[header], &[]), Ok(Tier::Interactive));
    for key in [
        ("authorization", "Bearer k"),
        ("authorization", "bearer  k "),
        ("x-api-key", "k"),
        ("api-key", "k"),
    ] {
        assert_eq!(of(&[key], &["k"]), Ok(Tier::Batch), "{key:?}");
        assert_eq!(of(&[key, header], &["k"]), Ok(Tier::Batch), "the key wins");
        assert_eq!(of(&[key], &["other"]), Ok(Tier::Interactive));
    }
    for other in [
        ("authorization", "Basic k"),
        ("x-key", "k"),
        ("authorization", "k"),
    ] {
        assert_eq!(of(&[other], &["k"]), Ok(Tier::Interactive), "{other:?}");
    }
    assert_eq!(of(&[("x-meridian-tier", "fast")], &[]), Err("fast".into()));
    assert_eq!(
        digest("abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "FIPS 180-2, appendix B.1"
    );
}

fn rule_of(policy: &mut FilterPolicy) -> &mut ModelRule {
    let zone = policy.zones.get_mut("global").unwrap();
    zone.models.get_mut(LLAMA).unwrap()
}

fn decide(
    policy: &FilterPolicy,
    headers: &[(&str, &str)],
    context: &RequestContext<'_>,
) -> Result<Decision, Answer> {
    let (_, admission) = admit(&example(), WEST, "POST", CHAT, headers);
    let body = format!(r#"{{"model":"{LLAMA}"}}"#);
    Router::new(policy.clone()).decide(&admitted(admission), body.as_bytes(), context)
}

#[test]
fn batch_has_its_own_lane_and_leaves_first() {
    let (mut policy, _) = admit(&example(), WEST, "POST", CHAT, &[US]);
    let calm = decide(&policy, &[US, BATCH], &context()).unwrap();
    assert_eq!(calm.lane, Lane::Batch);
    assert!(
        calm.explain().ends_with(" tier=batch"),
        "{}",
        calm.explain()
    );
    assert_eq!(decide(&policy, &[US], &context()).unwrap().lane, Lane::Home);
    let rule = rule_of(&mut policy);
    rule.split = Some(Split {
        first: WEST.parse().unwrap(),
        home_share: 100,
        floor: 10,
        overflow: BTreeMap::from([(EAST.parse().unwrap(), 100)]),
        fixed: false,
        drains: false,
    });
    let pressed = RequestContext {
        refused: &|pool| {
            if pool.region.as_str() == WEST {
                0.01
            } else {
                0.0
            }
        },
        ..context()
    };
    let first = |headers: &[_]| decide(&policy, headers, &pressed).unwrap().lane;
    assert_eq!(
        first(&[US]),
        Lane::Home,
        "one percent of interactive requests leaves"
    );
    assert_eq!(
        first(&[US, BATCH]),
        Lane::Overflow,
        "all batch requests leave"
    );
    let rule = rule_of(&mut policy);
    rule.batch.elsewhere = 0;
    assert!(
        decide(&policy, &[US, BATCH], &pressed).is_err(),
        "the gate is closed"
    );
    assert!(decide(&policy, &[US, BATCH], &context()).is_ok());
    let rule = rule_of(&mut policy);
    rule.batch = BatchRule {
        at_first: false,
        ..BatchRule::default()
    };
    let lane = decide(&policy, &[US, BATCH], &pressed).unwrap().lane;
    assert_eq!(lane, Lane::Batch, "the batch lane already leads elsewhere");
    let rule = rule_of(&mut policy);
    let split = rule.split.as_mut().unwrap();
    (split.home_share, split.fixed) = (60, true);
    let full = RequestContext {
        refused: &|pool| f64::from(u8::from(pool.region.as_str() == WEST)),
        ..context()
    };
    let choice = decide(&policy, &[US], &full).unwrap().choice.unwrap();
    assert_eq!(
        (choice.home_share, choice.shed),
        (60, ShedFractions::default()),
        "the share is fixed"
    );
}

#[test]
fn batch_without_room_gets_429() {
    let (mut policy, _) = admit(&example(), WEST, "POST", CHAT, &[US]);
    let rule = rule_of(&mut policy);
    rule.batch.admitted = 40;
    let ids: Vec<[u8; 8]> = (0..1000_u64).map(u64::to_le_bytes).collect();
    let served = ids.iter().filter(|id| {
        let context = RequestContext {
            request_id: *id,
            ..context()
        };
        match decide(&policy, &[US, BATCH], &context) {
            Ok(_) => true,
            Err(answer) => {
                assert_eq!(answer.status, 429);
                assert!(answer.headers.contains(&("retry-after", "30".into())));
                assert!(answer.body.contains("batch_later"), "{}", answer.body);
                false
            }
        }
    });
    let served = served.count();
    assert!(served.abs_diff(400) < 60, "{served}");
    assert!(decide(&policy, &[US], &context()).is_ok());
}

#[test]
fn batch_is_not_sent_to_regions_that_refuse() {
    let (mut policy, _) = admit(&example(), WEST, "POST", CHAT, &[US]);
    let rule = rule_of(&mut policy);
    rule.batch = BatchRule {
        at_first: false,
        others: [(EAST.parse().unwrap(), 100)].into(),
        ..BatchRule::default()
    };
    let refuses = |who: &'static str| {
        let refuses = move |pool: &PoolId| f64::from(u8::from(pool.region.as_str() == who));
        let context = RequestContext {
            refused: &refuses,
            ..context()
        };
        (
            decide(&policy, &[US, BATCH], &context).is_err(),
            decide(&policy, &[US], &context).is_err(),
        )
    };
    assert_eq!(refuses(EAST), (true, false));
    assert_eq!(refuses(EU), (false, false));
}

#[test]
fn past_the_lease_batch_goes_home() {
    let (mut policy, _) = admit(&example(), WEST, "POST", CHAT, &[US]);
    let rule = rule_of(&mut policy);
    rule.batch.admitted = 0;
    assert!(decide(&policy, &[US, BATCH], &context()).is_err());
    let context = RequestContext {
        lease_ran_out: true,
        ..context()
    };
    let decision = decide(&policy, &[US, BATCH], &context).unwrap();
    assert_eq!(decision.lane, Lane::Home);
}

#[test]
fn an_unknown_tier_is_refused() {
    let (_, admission) = admit(
        &example(),
        WEST,
        "POST",
        CHAT,
        &[US, ("x-meridian-tier", "gold")],
    );
    let Admission::Answer(answer) = admission else {
        panic!()
    };
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("`gold`"), "{}", answer.body);
}

#[test]
fn a_session_stays_together() {
    let (policy, _) = admit(&example(), WEST, "POST", CHAT, &[US]);
    let spread = |session: &[(&str, &str)], content: &str| {
        let headers: Vec<_> = [US].into_iter().chain(session.iter().copied()).collect();
        let (_, admission) = admit(&example(), WEST, "POST", CHAT, &headers);
        let body = format!(
            r#"{{"model":"{LLAMA}","messages":[{{"role":"user","content":"{content}"}}]}}"#
        );
        Router::new(policy.clone())
            .decide(&admitted(admission), body.as_bytes(), &context())
            .unwrap()
            .spread
    };
    let one = [("x-meridian-session", "s-1")];
    assert_eq!(spread(&one, "a"), spread(&one, "b"));
    assert_ne!(
        spread(&one, "a"),
        spread(&[("x-meridian-session", "s-2")], "a")
    );
    assert_ne!(spread(&[], "a"), spread(&[], "b"));
}

#[test]
fn a_zone_with_fixed_shares_serves_both_tiers() {
    let mut fleet = example();
    let parts = BTreeMap::from([(WEST.parse().unwrap(), 60), (EAST.parse().unwrap(), 20)]);
    fleet.zones.get_mut("global").unwrap().order = Order::Weighted(parts);
    let (policy, _) = admit(&fleet, WEST, "POST", CHAT, &[US]);
    assert!(decide(&policy, &[US], &context()).is_ok());
    let batch = decide(&policy, &[US, BATCH], &context()).unwrap();
    assert_eq!(batch.lane, Lane::Batch);
}
