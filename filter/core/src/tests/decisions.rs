//! Decisions: lanes, affinity, and the lists of models.

use crate::answer::Answer;
use crate::decision::Decision;
use crate::header_map::HeaderMap;
use crate::pace::PoolPace;
use crate::request::{Head, RequestContext};
use crate::router::Router;
use crate::router::{Admission, Admitted};
use meridian_fixtures::fleets::{LLAMA, MISTRAL, example, with_eea};
use meridian_planner::plan::Plan;
use meridian_planner::plugins::filter_policy;
use meridian_policy::FilterPolicy;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::Fleet;
use serde_json::{Value, json};
use std::borrow::Cow;

pub(super) const CHAT: &str = "/v1/chat/completions";
pub(super) const MESSAGES: &str = "/v1/messages";
pub(super) const US: (&str, &str) = ("cf-ipcountry", "US");
pub(super) const DE: (&str, &str) = ("cf-ipcountry", "DE");
pub(super) const ANTHROPIC: (&str, &str) = ("anthropic-version", "2023-06-01");

/// Admits a request from a trusted edge at a region's gateway.
pub(super) fn admit(
    fleet: &Fleet,
    region: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (FilterPolicy, Admission) {
    let policy = filter_policy(
        &fleet.into(),
        &Plan::default(),
        &region.parse().unwrap(),
        None,
    );
    let headers: HeaderMap = headers.iter().copied().collect();
    let head = Head {
        method,
        path,
        source: Some([10, 0, 0, 1].into()),
        headers: &headers,
    };
    let admission = Router::new(policy.clone()).admit(&head);
    (policy, admission)
}

pub(super) fn answered(admission: Admission) -> Answer {
    match admission {
        Admission::Answer(answer) => answer,
        Admission::ReadBody(admitted) => panic!("{admitted:?}"),
    }
}

pub(super) fn admitted(admission: Admission) -> Admitted {
    match admission {
        Admission::ReadBody(admitted) => admitted,
        Admission::Answer(answer) => panic!("{answer:?}"),
    }
}

/// Checks all of a response: status, further headers, decision and body.
#[track_caller]
pub(super) fn check(
    answer: &Answer,
    status: u16,
    further: &[(&'static str, &str)],
    decision: &str,
    body: Value,
) {
    let mut headers = vec![
        ("content-type", "application/json".to_string()),
        ("x-meridian-decision", decision.to_string()),
    ];
    headers.extend(
        further
            .iter()
            .map(|(name, value)| (*name, value.to_string())),
    );
    assert_eq!(
        (answer.status, &answer.headers),
        (status, &headers),
        "{}",
        answer.body
    );
    assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), body);
}

pub(super) fn decide(
    fleet: &Fleet,
    region: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Decision, Answer> {
    let (policy, admission) = admit(fleet, region, "POST", path, headers);
    Router::new(policy.clone()).decide(&admitted(admission), body.as_bytes(), &context())
}

/// The context of a gateway without observations.
pub(super) fn context() -> RequestContext<'static> {
    RequestContext {
        request_id: b"id",
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
    }
}

#[test]
fn the_models_of_a_zone() {
    let list = |fleet: &Fleet, region, headers: &[_]| {
        answered(admit(fleet, region, "GET", "/v1/models?limit=20", headers).1)
    };
    let card = |id| json!({ "id": id, "object": "model", "created": 0, "owned_by": "meridian" });
    check(
        &list(&example(), "us-east-1", &[US]),
        200,
        &[],
        "answered=models zone=global by=cf-ipcountry",
        json!({ "object": "list", "data": [card(LLAMA), card(MISTRAL)] }),
    );
    let card = |id| json!({ "id": id, "type": "model", "display_name": id, "created_at": "1970-01-01T00:00:00Z" });
    check(
        &list(&example(), "us-east-1", &[US, ANTHROPIC]),
        200,
        &[],
        "answered=models zone=global by=cf-ipcountry",
        json!({ "data": [card(LLAMA), card(MISTRAL)], "has_more": false, "first_id": LLAMA, "last_id": MISTRAL }),
    );
    let nothing = nothing_for_eea();
    check(
        &list(&nothing, "eu-west-1", &[]),
        200,
        &[],
        "answered=models zone=eea by=unknown",
        json!({ "object": "list", "data": [] }),
    );
    check(
        &list(&nothing, "eu-west-1", &[ANTHROPIC]),
        200,
        &[],
        "answered=models zone=eea by=unknown",
        json!({ "data": [], "has_more": false, "first_id": null, "last_id": null }),
    );
}

/// The example fleet, where `eea` has neither a pool nor a fallback.
pub(super) fn nothing_for_eea() -> Fleet {
    let mut fleet = with_eea(|eea| eea.fallbacks.clear());
    fleet.regions.get_mut("eu-west-1").unwrap().pools.clear();
    fleet
}

#[test]
fn a_model_s_card() {
    for id in [
        "mistralai/Mistral-7B:instruct",
        "mistralai%2FMistral-7B%3Ainstruct",
        "mistralai%2fMistral-7B:instruct?x=1",
    ] {
        let path = format!("/v1/models/{id}");
        let (_, admission) = admit(&example(), "us-west-2", "GET", &path, &[US]);
        check(
            &answered(admission),
            200,
            &[],
            "answered=models zone=global by=cf-ipcountry",
            json!({ "id": MISTRAL, "object": "model", "created": 0, "owned_by": "meridian" }),
        );
    }
    let path = format!("/v1/models/{LLAMA}");
    let (_, admission) = admit(&example(), "us-west-2", "GET", &path, &[US, ANTHROPIC]);
    check(
        &answered(admission),
        200,
        &[],
        "answered=models zone=global by=cf-ipcountry",
        json!({ "id": LLAMA, "type": "model", "display_name": LLAMA, "created_at": "1970-01-01T00:00:00Z" }),
    );
}

/// Checks the lane and the explanation of a request.
#[track_caller]
fn check_lane(
    fleet: &Fleet,
    region: &str,
    country: (&str, &str),
    model: &str,
    expect: (Lane, &str),
) {
    let body = format!(r#"{{"model":"{model}"}}"#);
    let decision = decide(fleet, region, CHAT, &[country], &body).unwrap();
    assert_eq!((decision.lane, decision.explain().as_str()), expect);
}

#[test]
fn lanes() {
    check_lane(
        &example(),
        "us-west-2",
        US,
        LLAMA,
        (
            Lane::Home,
            "lane=home zone=global by=cf-ipcountry model=llama-3.1-70b",
        ),
    );
    // Another region has the model: still the home chain.
    check_lane(
        &example(),
        "us-east-1",
        US,
        MISTRAL,
        (
            Lane::Home,
            "lane=home zone=global by=cf-ipcountry model=mistralai/Mistral-7B:instruct",
        ),
    );
    // No region of the zone has the model.
    check_lane(
        &example(),
        "eu-west-1",
        DE,
        MISTRAL,
        (
            Lane::Fallback,
            "lane=fallback zone=eea by=cf-ipcountry model=mistralai/Mistral-7B:instruct",
        ),
    );
    check_lane(
        &example(),
        "eu-west-1",
        ("accept", "*/*"),
        LLAMA,
        (
            Lane::Home,
            "lane=home zone=eea by=unknown model=llama-3.1-70b",
        ),
    );
}

#[test]
fn a_decision_s_headers() {
    let body = format!(r#"{{"stream":true,"model":"{MISTRAL}","user":"u"}}"#);
    let decision = decide(&example(), "eu-west-1", CHAT, &[DE], &body).unwrap();
    let header = |name, value: &str| (name, Cow::Owned(value.to_owned()));
    assert_eq!(
        decision.route_headers(),
        [
            header("x-meridian-zone", "eea"),
            header("x-meridian-definition", decision.definition.as_str()),
            header("x-meridian-model", MISTRAL),
            header("x-meridian-lane", "fallback"),
            header("x-meridian-stream", "1"),
            header("x-meridian-slot", &decision.slot.to_string()),
        ]
    );
    let body = format!(r#"{{"model":"{MISTRAL}"}}"#);
    let decision = decide(&example(), "eu-west-1", CHAT, &[DE], &body).unwrap();
    assert_eq!(
        decision.route_headers()[4],
        header("x-meridian-stream", "0")
    );
}
