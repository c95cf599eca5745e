//! Requests that can wait, and the orders in which zones ask their regions.

use super::decisions::{CHAT, DE, US, admit, admitted, here};
use super::fleets::{LLAMA, example};
use super::watch::{EAST, EU, WEST, Watch, attempts, kv, watched};
use crate::answer::Answer;
use crate::chain::{Member, chain, overflow_chain};
use crate::decide::{Admission, Decision, Here};
use crate::filter_policy::{BatchRule, FilterPolicy, Lane, Less, ModelRule, Split};
use crate::fleet::{Fleet, Order};
use crate::name::{ModelName, RegionName};
use crate::plan::{Plan, regions_of};
use crate::signal::{AttemptCounts, Millis, Observation, Reading};
use crate::tier::{Batch, Tier, batch, digest, tier};
use std::collections::{BTreeMap, BTreeSet};

const BATCH: (&str, &str) = ("x-meridian-tier", "batch");

fn of(headers: &[(&str, &str)], keys: &[&str]) -> Result<Tier, String> {
    let headers: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let keys: BTreeSet<String> = keys.iter().map(|key| digest(key)).collect();
    tier(&headers, &keys)
}

#[test]
fn a_tier_is_said_by_a_header_or_by_a_key() {
    assert_eq!(of(&[], &["k"]), Ok(Tier::Interactive));
    assert_eq!(of(&[BATCH], &[]), Ok(Tier::Batch));
    assert_eq!(of(&[("x-meridian-tier", " Batch ")], &[]), Ok(Tier::Batch));
    let said = ("x-meridian-tier", "interactive");
    assert_eq!(of(&[said], &[]), Ok(Tier::Interactive));
    for key in [
        ("authorization", "Bearer k"),
        ("authorization", "bearer  k "),
        ("x-api-key", "k"),
        ("api-key", "k"),
    ] {
        assert_eq!(of(&[key], &["k"]), Ok(Tier::Batch), "{key:?}");
        assert_eq!(
            of(&[key, said], &["k"]),
            Ok(Tier::Batch),
            "a key is no choice"
        );
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
    here: &Here<'_>,
) -> Result<Decision, Answer> {
    let (_, admission) = admit(&example(), WEST, "POST", CHAT, headers);
    let body = format!(r#"{{"model":"{LLAMA}"}}"#);
    policy.decide(&admitted(admission), body.as_bytes(), here)
}

#[test]
fn batch_has_a_lane_of_its_own_and_leaves_before_the_others() {
    let (mut policy, _) = admit(&example(), WEST, "POST", CHAT, &[US]);
    let calm = decide(&policy, &[US, BATCH], &here()).unwrap();
    assert_eq!(calm.lane, Lane::Batch);
    assert!(
        calm.explain().ends_with(" tier=batch"),
        "{}",
        calm.explain()
    );
    assert_eq!(decide(&policy, &[US], &here()).unwrap().lane, Lane::Home);
    let rule = rule_of(&mut policy);
    rule.split = Some(Split {
        first: WEST.into(),
        home_share: 100,
        floor: 10,
        overflow: BTreeMap::from([(EAST.into(), 100)]),
        fixed: false,
    });
    let pressed = Here {
        cooling: &|region, _| if region.as_str() == WEST { 0.01 } else { 0.0 },
        ..here()
    };
    let first = |headers: &[_]| decide(&policy, headers, &pressed).unwrap().lane;
    assert_eq!(first(&[US]), Lane::Home, "a hundredth of the others leaves");
    assert_eq!(first(&[US, BATCH]), Lane::Overflow, "all of batch does");
    let rule = rule_of(&mut policy);
    rule.batch.elsewhere = 0;
    assert!(
        decide(&policy, &[US, BATCH], &pressed).is_err(),
        "not through a gate that is closed"
    );
    assert!(decide(&policy, &[US, BATCH], &here()).is_ok());
    let rule = rule_of(&mut policy);
    rule.batch = BatchRule {
        at_first: false,
        ..BatchRule::default()
    };
    let lane = decide(&policy, &[US, BATCH], &pressed).unwrap().lane;
    assert_eq!(lane, Lane::Batch, "it is elsewhere already");
    let rule = rule_of(&mut policy);
    let split = rule.split.as_mut().unwrap();
    (split.home_share, split.fixed) = (60, true);
    let full = Here {
        cooling: &|region, _| f64::from(u8::from(region.as_str() == WEST)),
        ..here()
    };
    let choice = decide(&policy, &[US], &full).unwrap().choice.unwrap();
    assert_eq!(
        (choice.home_share, choice.less),
        (60, Less::default()),
        "a fixed part"
    );
}

#[test]
fn batch_that_has_no_room_is_told_to_come_later() {
    let (mut policy, _) = admit(&example(), WEST, "POST", CHAT, &[US]);
    let rule = rule_of(&mut policy);
    rule.batch.admitted = 40;
    let ids: Vec<[u8; 8]> = (0..1000_u64).map(u64::to_le_bytes).collect();
    let served = ids.iter().filter(|id| {
        let here = Here {
            request_id: *id,
            ..here()
        };
        match decide(&policy, &[US, BATCH], &here) {
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
    assert!(decide(&policy, &[US], &here()).is_ok());
}

#[test]
fn batch_is_not_sent_to_whom_refuses() {
    let (mut policy, _) = admit(&example(), WEST, "POST", CHAT, &[US]);
    let rule = rule_of(&mut policy);
    rule.batch = BatchRule {
        at_first: false,
        others: [(EAST.into(), 100)].into(),
        ..BatchRule::default()
    };
    let refuses = |who: &'static str| {
        let refuses =
            move |region: &RegionName, _: &ModelName| f64::from(u8::from(region.as_str() == who));
        let here = Here {
            cooling: &refuses,
            ..here()
        };
        (
            decide(&policy, &[US, BATCH], &here).is_err(),
            decide(&policy, &[US], &here).is_err(),
        )
    };
    assert_eq!(refuses(EAST), (true, false));
    assert_eq!(refuses(EU), (false, false));
}

#[test]
fn past_the_lease_batch_goes_home_as_others_do() {
    let (mut policy, _) = admit(&example(), WEST, "POST", CHAT, &[US]);
    let rule = rule_of(&mut policy);
    rule.batch.admitted = 0;
    assert!(decide(&policy, &[US, BATCH], &here()).is_err());
    let here = Here {
        lease_ran_out: true,
        ..here()
    };
    let decision = decide(&policy, &[US, BATCH], &here).unwrap();
    assert_eq!(decision.lane, Lane::Home);
}

#[test]
fn a_tier_that_is_none_is_refused() {
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
        policy
            .decide(&admitted(admission), body.as_bytes(), &here())
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

fn weights(fleet: &Fleet, plan: &Plan, gateway: &str) -> Batch {
    batch(
        fleet,
        plan,
        &"global".into(),
        &LLAMA.into(),
        &gateway.into(),
    )
    .unwrap()
}

fn to<'r>(weights: impl IntoIterator<Item = (&'r str, u32)>) -> BTreeMap<RegionName, u32> {
    weights
        .into_iter()
        .map(|(region, weight)| (region.into(), weight))
        .collect()
}

#[test]
fn batch_goes_where_it_is_cheapest_as_far_as_there_is_room() {
    let mut fleet = example();
    let plan = Plan::default();
    assert_eq!(
        weights(&fleet, &plan, WEST).weights,
        to([(WEST, 100)]),
        "without prices home"
    );
    for (region, price) in [(WEST, 1.0), (EAST, 0.5), (EU, 0.8)] {
        fleet.regions.get_mut(region).unwrap().price = Some(price);
    }
    for gateway in [WEST, EAST, EU] {
        assert_eq!(weights(&fleet, &plan, gateway).weights, to([(EAST, 100)]));
    }
    // A pinned zone has its own regions alone.
    let eea = batch(&fleet, &plan, &"eea".into(), &LLAMA.into(), &EU.into()).unwrap();
    assert_eq!(eea.weights, to([(EU, 100)]));
    let mut plan = plan;
    let mut gate = |region: &str, open| {
        let gates = plan.batch.entry(region.into()).or_default();
        let since = Millis(0);
        gates.insert(LLAMA.into(), crate::tier::Gate { open, since });
        weights(&fleet, &plan, WEST)
    };
    let some = gate(EAST, 50);
    assert_eq!(
        (some.admitted, some.weights),
        (100, to([(EAST, 50), (EU, 50)]))
    );
    let none = gate(EAST, 0);
    assert_eq!(none.weights, to([(EU, 100)]));
    gate(EU, 0);
    let part = gate(WEST, 40);
    assert_eq!((part.admitted, part.weights), (40, to([(WEST, 100)])));
    let nothing = gate(WEST, 0);
    assert_eq!(nothing.admitted, 0, "nobody is crowded out");
}

/// Batch of us-west-2's callers at its own pool.
fn batches(count: f64) -> Reading {
    Reading::Attempts {
        zone: "global".into(),
        model: LLAMA.into(),
        lane: Lane::Batch,
        to: WEST.into(),
        counts: AttemptCounts {
            answered: count,
            overloaded: 0.0,
            failed: 0.0,
        },
    }
}

#[test]
fn batch_leaves_a_region_before_its_interactive_callers_do() {
    let mut watch = Watch::new(watched());
    let mut counted = 0.0;
    let mut at = |watch: &mut Watch, west: f64, seconds: usize, is_there: bool| {
        for _ in 0..seconds {
            counted += if is_there { 10.0 } else { 0.0 };
            watch.see(
                WEST,
                vec![kv(west), batches(counted), attempts(counted, 0.0, 0.0)],
            );
            watch.at(west, 0.3, 0.3, 1);
        }
    };
    let gate = |watch: &Watch| watch.plan.batch_gate(&WEST.into(), &LLAMA.into());
    at(&mut watch, 0.5, 5, true);
    assert_eq!(gate(&watch), 100);
    at(&mut watch, 0.82, 8, true);
    assert!(gate(&watch) < 100, "batch gives way");
    assert_eq!(watch.share(WEST, "global"), Some(100), "and nobody else");
    at(&mut watch, 0.82, 60, true);
    assert_eq!(gate(&watch), 0);
    // Batch is gone, and it is still too full: now others leave.
    at(&mut watch, 0.82, 60, false);
    assert!(watch.share(WEST, "global").unwrap() < 100);
    at(&mut watch, 0.4, 120, false);
    assert_eq!(gate(&watch), 100, "and back");
}

#[test]
fn a_gate_that_closed_for_health_opens_where_nobody_measures_load() {
    let mut fleet = watched();
    for region in fleet.regions.values_mut() {
        region.signals.clear();
    }
    let mut watch = Watch::new(fleet);
    let gate = |watch: &Watch| watch.plan.batch_gate(&WEST.into(), &LLAMA.into());
    let failing = |watch: &mut Watch, second: f64, failed: f64| {
        let seen = Observation {
            region: WEST.into(),
            source: "gateway".into(),
            at: Millis(watch.now),
            readings: vec![attempts(50.0 * second, 0.0, failed)],
        };
        watch.state.apply(&watch.fleet, &seen);
        watch.tick();
    };
    for second in 0..10 {
        let second = f64::from(second);
        failing(&mut watch, second, 10.0 * second);
    }
    assert_eq!(gate(&watch), 0);
    for second in 10..300 {
        failing(&mut watch, f64::from(second), 90.0);
    }
    assert_eq!(gate(&watch), 100);
}

#[test]
fn a_region_that_is_far_too_full_takes_no_batch_at_once() {
    let mut watch = Watch::new(watched());
    watch.at(0.5, 0.3, 0.3, 3);
    watch.at(0.95, 0.3, 0.3, 1);
    assert_eq!(watch.plan.batch_gate(&WEST.into(), &LLAMA.into()), 0);
}

#[test]
fn a_zone_may_have_an_order_of_its_own() {
    let mut fleet = example();
    let (zone, model) = ("global".into(), LLAMA.into());
    fleet.zones.get_mut("global").unwrap().order = Order::Priority(vec![EAST.into(), WEST.into()]);
    for gateway in [WEST, EAST, EU] {
        let (first, others) = regions_of(&fleet, &zone, &model, &gateway.into()).unwrap();
        assert_eq!(first.as_str(), EAST, "{gateway}");
        assert_eq!(others, [WEST, EU].map(Into::into), "{gateway}");
    }
    let members = chain(&fleet, &zone, &model, &WEST.into());
    assert_eq!(
        members[..2],
        [Member::Peer(EAST.into()), Member::Pool(WEST.into())]
    );
    // Home is one of the others, and may be the one that takes some.
    let back = overflow_chain(&fleet, &zone, &model, &WEST.into(), &WEST.into());
    assert_eq!(back[0], Member::Pool(WEST.into()));
    assert_eq!(back[2], Member::Peer(EAST.into()));
}

#[test]
fn a_zone_may_have_fixed_parts() {
    let mut fleet = watched();
    let parts = BTreeMap::from([(WEST.into(), 60), (EAST.into(), 20), (EU.into(), 20)]);
    fleet.zones.get_mut("global").unwrap().order = Order::Weighted(parts);
    let mut watch = Watch::new(fleet);
    for load in [0.3, 0.95] {
        watch.at(load, 0.3, 0.3, 10);
        assert_eq!(watch.share(WEST, "global"), Some(60), "load moves nobody");
        assert_eq!(watch.share(EAST, "global"), Some(20));
        assert_eq!(watch.weights(WEST), [(EU, 50), (EAST, 50)]);
        assert_eq!(watch.weights(EAST), [(EU, 25), (WEST, 75)]);
    }
    let of_batch = |watch: &Watch| {
        let (zone, model, gateway) = ("global".into(), LLAMA.into(), EAST.into());
        batch(&watch.fleet, &watch.plan, &zone, &model, &gateway).unwrap()
    };
    watch.at(0.3, 0.3, 0.3, 60);
    let own = of_batch(&watch);
    assert_eq!(
        own.weights,
        to([(WEST, 60), (EAST, 20), (EU, 20)]),
        "batch has the same"
    );
    assert_eq!(own.admitted, 100);
    // One without endpoints has no part.
    watch.see(
        EAST,
        vec![Reading::Endpoints {
            model: LLAMA.into(),
            healthy: 0,
            total: 1,
        }],
    );
    watch.at(0.3, 0.3, 0.3, 1);
    assert_eq!(watch.share(WEST, "global"), Some(75));
    assert_eq!(watch.weights(WEST), [(EU, 100)]);
    let own = of_batch(&watch);
    assert_eq!(own.weights, to([(WEST, 75), (EU, 25)]));
    assert_eq!(own.admitted, 100, "others take its part");
    let own = decide(
        &admit(&watch.fleet, WEST, "POST", CHAT, &[DE]).0,
        &[US],
        &here(),
    );
    assert!(own.is_ok());
}
