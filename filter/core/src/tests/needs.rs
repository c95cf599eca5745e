//! Requests that need fresh data.

use super::decisions::{CHAT, DE, US, admit, admitted, answered, check};
use super::refusals::openai;
use crate::answer::Answer;
use crate::classify::untrusted;
use crate::decision::Decision;
use crate::header_map::HeaderMap;
use crate::needs::fresh;
use crate::refusal;
use crate::request::RequestContext;
use crate::router::Router;
use meridian_fixtures::any_fleet::fleets;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST, example};
use meridian_planner::freshness::Freshness;
use meridian_planner::gate::Gate;
use meridian_planner::health::{Health, Reason};
use meridian_planner::placement::Placement;
use meridian_planner::plan::Plan;
use meridian_planner::plugins::{filter_policy, fresh_rule};
use meridian_planner::signal::Millis;
use meridian_planner::topology::Topology;
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use meridian_policy::filter_policy::{FilterPolicy, Lane};
use meridian_policy::fleet::Fleet;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;

const NEEDS: (&str, &str) = ("x-meridian-needs", "fresh");

/// A plan with these regions behind.
fn behind(regions: &[&str]) -> Plan {
    Plan {
        freshness: Freshness {
            behind: regions
                .iter()
                .map(|region| (*region).parse().unwrap())
                .collect(),
            ..Freshness::default()
        },
        ..Plan::default()
    }
}

/// A plan where us-west-2 keeps this share of its requests, and sends the rest to these regions.
fn shedding(mut plan: Plan, home_share: u8, overflow: &[(&str, u32)]) -> Plan {
    let placement = Placement {
        home_share,
        overflow: overflow
            .iter()
            .map(|(region, weight)| ((*region).parse().unwrap(), *weight))
            .collect(),
        ..Placement::home()
    };
    let models = BTreeMap::from([(LLAMA.parse().unwrap(), placement)]);
    let zones = BTreeMap::from([("global".parse().unwrap(), models)]);
    plan.gateways.insert(WEST.parse().unwrap(), zones);
    plan
}

fn decide(plan: &Plan, home: &str, headers: &[(&str, &str)], lease_ran_out: bool) -> Decision {
    try_decide(plan, home, headers, lease_ran_out).unwrap()
}

fn try_decide(
    plan: &Plan,
    home: &str,
    headers: &[(&str, &str)],
    lease_ran_out: bool,
) -> Result<Decision, Answer> {
    try_decide_in(&example(), plan, home, headers, lease_ran_out)
}

fn try_decide_in(
    fleet: &Fleet,
    plan: &Plan,
    home: &str,
    headers: &[(&str, &str)],
    lease_ran_out: bool,
) -> Result<Decision, Answer> {
    let policy = filter_policy(&fleet.into(), plan, &home.parse().unwrap(), None);
    let (_, admission) = admit(fleet, home, "POST", CHAT, headers);
    let body = format!(r#"{{"model":"{LLAMA}"}}"#);
    let context = RequestContext {
        request_id: b"id",
        lease_ran_out,
        refused: &|_| 0.0,
        loaded: &|_| 0.0,
        pace: &|_| crate::pace::PoolPace::default(),
        hedges_used_up: false,
        breaker: &|_| None,
        begins: &|_, _| 0.5,
        may_probe: &|_| false,
        slot: &|_, ask| ask.affinity_slot,
        now_ms: 0,
    };
    Router::new(policy.clone()).decide(&admitted(admission), body.as_bytes(), &context)
}

fn explained(plan: &Plan, home: &str, country: (&str, &str)) -> (Lane, String) {
    let decision = decide(plan, home, &[country, NEEDS], false);
    let why = decision.explain();
    let (_, fresh) = why.rsplit_once(' ').unwrap();
    (decision.lane, fresh.into())
}

#[test]
fn requests_that_need_fresh_data_go_to_fresh_regions() {
    let at_west = |plan: &Plan| explained(plan, WEST, US);
    assert_eq!(at_west(&behind(&[])), (Lane::Home, "fresh=yes".into()));
    assert_eq!(at_west(&behind(&[EAST])), (Lane::Home, "fresh=yes".into()));
    assert_eq!(at_west(&behind(&[WEST])), (Lane::Fresh, "fresh=yes".into()));
    let all = behind(&[WEST, EAST, EU]);
    assert_eq!(at_west(&all), (Lane::Home, "fresh=no".into()));
    // A request without the need takes the ordinary lane.
    let decision = decide(&behind(&[WEST]), WEST, &[US], false);
    assert_eq!(decision.lane, Lane::Home);
    assert!(!decision.explain().contains("fresh"));
}

#[test]
fn the_need_for_fresh_data_does_not_leave_the_zone() {
    let plan = behind(&[EU]);
    assert_eq!(explained(&plan, EU, DE), (Lane::Home, "fresh=no".into()));
    assert_eq!(explained(&plan, EU, US), (Lane::Fresh, "fresh=yes".into()));
}

#[test]
fn a_home_that_sheds_sends_fresh_requests_to_fresh_regions_only() {
    let plan = |behind_too: &[&str]| shedding(behind(behind_too), 0, &[(EAST, 60), (EU, 40)]);
    assert_eq!(explained(&plan(&[]), WEST, US).0, Lane::Overflow, "all are");
    assert_eq!(explained(&plan(&[EAST]), WEST, US).0, Lane::Fresh);
    let none_else = explained(&plan(&[EAST, EU]), WEST, US);
    assert_eq!(none_else, (Lane::Home, "fresh=yes".into()));
    let fresh = |plan: &Plan| {
        fresh_rule(
            &example().into(),
            plan,
            &"global".parse().unwrap(),
            &LLAMA.parse().unwrap(),
            &WEST.parse().unwrap(),
        )
    };
    assert_eq!(fresh(&plan(&[])), None);
    let weights = fresh(&plan(&[EAST])).unwrap().others;
    assert_eq!(
        weights,
        BTreeMap::from([(EU.parse().unwrap(), TOTAL_WEIGHT)])
    );
    let weights = fresh(&plan(&[WEST])).unwrap().others;
    let as_planned = BTreeMap::from([(EAST.parse().unwrap(), 60), (EU.parse().unwrap(), 40)]);
    assert_eq!(weights, as_planned);
    // If no region has room by the plan, the nearest takes the requests.
    let weights = fresh(&behind(&[WEST])).unwrap().others;
    assert_eq!(
        weights,
        BTreeMap::from([(EAST.parse().unwrap(), TOTAL_WEIGHT)])
    );
}

#[test]
fn unknown_freshness_is_reported_as_unknown() {
    let unknown = |mut plan: Plan, regions: &[&str]| {
        plan.freshness.unknown = regions
            .iter()
            .map(|region| (*region).parse().unwrap())
            .collect();
        plan
    };
    let at_west = |plan: &Plan| explained(plan, WEST, US);
    let yes = |lane| (lane, "fresh=yes".to_owned());
    let unknown_fresh = |lane| (lane, "fresh=unknown".to_owned());
    assert_eq!(
        at_west(&unknown(behind(&[]), &[EU])),
        unknown_fresh(Lane::Home)
    );
    assert_eq!(at_west(&unknown(behind(&[EU]), &[EAST])), yes(Lane::Home));
    assert_eq!(
        at_west(&unknown(behind(&[EU]), &[WEST])),
        unknown_fresh(Lane::Home)
    );
    // A region that is known to be fresh precedes a nearer one of unknown freshness.
    let plan = unknown(behind(&[WEST]), &[EAST]);
    assert_eq!(at_west(&plan), yes(Lane::Fresh));
    let others = |plan: &Plan| {
        let policy = filter_policy(&example().into(), plan, &WEST.parse().unwrap(), None);
        let fresh = policy.zones["global"].models[LLAMA].fresh.clone();
        fresh.unwrap().others
    };
    assert_eq!(others(&plan), [(EU.parse().unwrap(), TOTAL_WEIGHT)].into());
    let plan = unknown(behind(&[WEST]), &[EAST, EU]);
    assert_eq!(at_west(&plan), unknown_fresh(Lane::Fresh));
    assert_eq!(
        others(&plan),
        [(EAST.parse().unwrap(), TOTAL_WEIGHT)].into()
    );
}

#[test]
fn a_home_that_is_down_is_not_fresh() {
    let mut plan = behind(&[EAST]);
    let dead = Health {
        down: true,
        reasons: [Reason::NoEndpoints].into(),
        failed: None,
    };
    plan.pools.insert(
        WEST.parse().unwrap(),
        [(LLAMA.parse().unwrap(), dead)].into(),
    );
    assert_eq!(
        explained(&plan, WEST, US),
        (Lane::Fresh, "fresh=yes".into())
    );
}

#[test]
fn batch_respects_the_gates_of_fresh_regions() {
    const BATCH: (&str, &str) = ("x-meridian-tier", "batch");
    let gates = |mut plan: Plan, gates: &[(&str, u8)]| {
        for (region, open) in gates {
            let gate = Gate {
                open: *open,
                since: Millis::default(),
            };
            let gates = BTreeMap::from([(LLAMA.parse().unwrap(), gate)]);
            plan.batch.insert((*region).parse().unwrap(), gates);
        }
        plan
    };
    let lane = |plan: &Plan| {
        let decision = try_decide(plan, WEST, &[US, NEEDS, BATCH], false);
        decision
            .map(|decision| decision.lane)
            .map_err(|answer| answer.status)
    };
    let west_behind = |open| gates(behind(&[WEST]), open);
    assert_eq!(lane(&west_behind(&[])), Ok(Lane::Fresh));
    assert_eq!(lane(&west_behind(&[(EAST, 0)])), Err(429));
    assert_eq!(
        lane(&west_behind(&[(EU, 0)])),
        Ok(Lane::Fresh),
        "no request goes there"
    );
    let others = shedding(west_behind(&[(EU, 0)]), 80, &[(EAST, 60), (EU, 40)]);
    assert_eq!(lane(&others), Err(429), "no more than any of them lets in");
    let east_behind = |open| gates(behind(&[EAST]), open);
    assert_eq!(lane(&east_behind(&[])), Ok(Lane::Home));
    let full = east_behind(&[(WEST, 0)]);
    assert_eq!(
        lane(&full),
        Ok(Lane::Fresh),
        "it leaves home for a fresh region"
    );
    let full = east_behind(&[(WEST, 0), (EU, 0)]);
    assert_eq!(lane(&full), Err(429));
    let only_home = gates(behind(&[EAST, EU]), &[(WEST, 0)]);
    assert_eq!(
        lane(&only_home),
        Err(429),
        "even if other regions take batch"
    );
    let none_fresh = gates(behind(&[WEST, EAST, EU]), &[(WEST, 0)]);
    assert_eq!(lane(&none_fresh), Ok(Lane::Batch), "as without the need");
    for plan in [full, only_home] {
        let interactive = try_decide(&plan, WEST, &[US, NEEDS], false);
        assert_eq!(interactive.unwrap().lane, Lane::Home);
        let past_the_lease = try_decide(&plan, WEST, &[US, NEEDS, BATCH], true);
        assert_eq!(past_the_lease.unwrap().lane, Lane::Home);
    }
}

#[test]
fn past_the_lease_freshness_is_unknown() {
    let decision = decide(&behind(&[WEST]), WEST, &[US, NEEDS], true);
    assert_eq!(decision.lane, Lane::Home);
    assert!(decision.explain().ends_with(" fresh=unknown"));
}

#[test]
fn the_lane_picks_a_region_by_the_conversation() {
    let decision = decide(&behind(&[WEST]), WEST, &[US, NEEDS], false);
    let headers: BTreeMap<_, _> = decision.route_headers().into_iter().collect();
    assert_eq!(headers["x-meridian-lane"], "fresh");
    assert_eq!(headers["x-meridian-spread"].len(), 16);
}

#[test]
fn values_of_the_needs_header() {
    let read = |values: &[&str]| {
        let headers = values.iter().map(|value| ("x-meridian-needs", value));
        let headers: HeaderMap = headers.collect();
        fresh(&headers, None).map_err(|reason| match reason {
            refusal::Reason::UnknownNeed { need, .. } => need,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(read(&[]), Ok(false));
    assert_eq!(read(&["", " , "]), Ok(false));
    for values in [
        &["fresh"][..],
        &["Fresh"],
        &["fresh, fresh"],
        &["", "fresh"],
    ] {
        assert_eq!(read(values), Ok(true), "{values:?}");
    }
    assert_eq!(read(&["fresh", "cheap"]), Err("cheap".into()));
    let (_, admission) = admit(
        &example(),
        WEST,
        "POST",
        CHAT,
        &[US, ("x-meridian-needs", "frech")],
    );
    let message = "The header `x-meridian-needs` asks for `frech`, which is nothing that can be had; `fresh` is.";
    let body = openai(
        message,
        "invalid_request_error",
        Value::Null,
        "unknown_need",
    );
    check(&answered(admission), 400, &[], "refused=unknown_need", body);
}

#[test]
fn a_fleet_may_have_its_own_needs_header() {
    let mut fleet = example();
    fleet.needs_header = Some("x-rag".into());
    let why = |name, value| {
        let decided = try_decide_in(&fleet, &behind(&[]), WEST, &[US, (name, value)], false);
        decided.map(|decision| decision.explain())
    };
    for header in ["x-rag", "x-meridian-needs"] {
        assert!(why(header, "fresh").unwrap().ends_with(" fresh=yes"));
    }
    let (_, admission) = admit(&fleet, WEST, "POST", CHAT, &[US, ("x-rag", "frech")]);
    let refused = answered(admission).body;
    assert!(refused.contains("`x-rag` asks for `frech`"), "{refused}");
}

#[test]
fn callers_may_send_the_needs_header() {
    let fleet = example();
    let policy = filter_policy(
        &(&fleet).into(),
        &Plan::default(),
        &WEST.parse().unwrap(),
        None,
    );
    let headers = [
        "x-meridian-needs",
        "x-meridian-needs-not",
        "x-meridian-zone",
    ];
    let request: HeaderMap = headers.iter().map(|name| (name, "fresh")).collect();
    let removed = untrusted(&policy.sources, None, &request);
    assert_eq!(removed, ["x-meridian-needs-not", "x-meridian-zone"]);
}

#[test]
fn a_policy_omits_freshness_while_all_regions_are_fresh() {
    let policy = |plan: &Plan| {
        let policy = filter_policy(&example().into(), plan, &WEST.parse().unwrap(), None);
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<FilterPolicy>(&json).unwrap(), policy);
        json
    };
    assert!(!policy(&behind(&[])).contains("\"fresh\""));
    assert!(policy(&behind(&[WEST])).contains("\"fresh\""));
}

proptest! {
    #[test]
    fn the_fresh_lane_leads_to_fresh_regions_of_the_zone(fleet in fleets(), which in any::<u8>()) {
        let regions = fleet.regions.keys().enumerate();
        let some = regions.filter(|(index, _)| which >> index & 1 == 1);
        let names: Vec<&str> = some.map(|(_, region)| region.as_str()).collect();
        let plan = behind(&names);
        let topology = Topology::from(&fleet);
        for home in fleet.regions.keys() {
            for (name, zone) in &fleet.zones {
                for model in fleet.models() {
                    let Some(fresh) = fresh_rule(&topology, &plan, name, model, home) else {
                        continue;
                    };
                    let sum: u32 = fresh.others.values().sum();
                    prop_assert!(fresh.others.is_empty() || sum == TOTAL_WEIGHT, "{fresh:?}");
                    for other in fresh.others.keys() {
                        prop_assert!(zone.regions.contains(other));
                        let (_, others) = topology.choice(name, model, home).unwrap();
                        prop_assert!(others.contains(other));
                        prop_assert!(!names.contains(&other.as_str()), "{other} is behind");
                    }
                }
            }
        }
    }
}
