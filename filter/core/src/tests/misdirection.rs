//! Callers of a pinned zone at a gateway outside it.

use super::decisions::{CHAT, DE, MESSAGES, US, admit, admitted, answered, check, decide};
use super::refusals::{anthropic, openai};
use meridian_fixtures::fleets::{LLAMA, example, with_eea};
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::Misdirected;
use serde_json::Value;

#[test]
fn misdirected_callers_get_the_right_gateways() {
    let message = "Callers of the residency zone `eea` are not served by this gateway. Use: \
                   https://eu-west-1.llm.example.com.";
    let decision = "refused=misdirected zone=eea";
    let (_, admission) = admit(&example(), "us-west-2", "POST", CHAT, &[DE]);
    let body = openai(message, "invalid_request_error", Value::Null, "misdirected");
    check(&answered(admission), 421, &[], decision, body);
    let (_, admission) = admit(&example(), "us-west-2", "POST", MESSAGES, &[DE]);
    let body = anthropic(message, "invalid_request_error");
    check(&answered(admission), 421, &[], decision, body);
    for path in ["/v1/models", "/v1/models/llama-3.1-70b"] {
        let (_, admission) = admit(&example(), "us-east-1", "GET", path, &[DE]);
        assert_eq!(answered(admission).status, 421);
    }

    let mut fleet = with_eea(|eea| {
        eea.regions = ["us-east-1".parse().unwrap(), "eu-west-1".parse().unwrap()].into();
    });
    fleet.regions.get_mut("us-east-1").unwrap().public.url = None;
    let (_, admission) = admit(&fleet, "us-west-2", "POST", CHAT, &[DE]);
    let answer = answered(admission);
    assert!(
        answer
            .body
            .contains("Use: us-east-1, https://eu-west-1.llm.example.com."),
        "the nearest first, by its name where it has no URL: {}",
        answer.body
    );
}

#[test]
fn misdirected_callers_are_redirected_with_path_and_query() {
    let fleet = with_eea(|eea| eea.misdirected = Misdirected::Redirect);
    let path = "/v1/messages?beta=true&x=a%2Fb";
    let location = format!("https://eu-west-1.llm.example.com{path}");
    let (_, admission) = admit(&fleet, "us-west-2", "POST", path, &[DE]);
    let message = format!(
        "Callers of the residency zone `eea` are not served by this gateway. Use: {location}."
    );
    check(
        &answered(admission),
        307,
        &[("location", &location)],
        "refused=misdirected zone=eea",
        anthropic(&message, "invalid_request_error"),
    );
    let (_, admission) = admit(&fleet, "us-west-2", "POST", CHAT, &[US]);
    admitted(admission);
    let (_, admission) = admit(&fleet, "eu-west-1", "POST", CHAT, &[DE]);
    admitted(admission);

    let mut fleet = fleet;
    fleet.regions.get_mut("eu-west-1").unwrap().public.url = None;
    let (_, admission) = admit(&fleet, "us-west-2", "POST", CHAT, &[DE]);
    let answer = answered(admission);
    assert_eq!(answer.status, 421, "nowhere to redirect to");
    assert!(answer.body.contains("Use: eu-west-1."), "{}", answer.body);
}

#[test]
fn misdirected_callers_are_forwarded_where_the_fleet_accepts_it() {
    let fleet = with_eea(|eea| eea.misdirected = Misdirected::Forward);
    let decision = decide(
        &fleet,
        "us-west-2",
        CHAT,
        &[DE],
        &format!(r#"{{"model":"{LLAMA}"}}"#),
    )
    .unwrap();
    assert_eq!(
        (decision.caller.zone.as_str(), decision.lane),
        ("eea", Lane::Home)
    );
}
