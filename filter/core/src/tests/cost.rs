//! What a request costs in host calls, which are most of its price: a call that returns bytes takes 1 to 4 microseconds, one that sets
//! something or misses 0.3 to 1. Numbers that change here change what every request costs.

use super::decisions::{CHAT, US, admit, admitted, context};
use super::envoy::Calls;
use super::guarding::{DONE, HELLO};
use super::paths::{Fallback, Gateway, Peer, WHOLE, policy};
use super::shares::keeping;
use crate::guard::{ApiKind, Head, Judge};
use crate::router::Router;
use allocation_counter::measure;
use meridian_fixtures::fleets::{EAST, LLAMA, WEST, example};
use meridian_policy::FilterPolicy;

fn calls(expected: &[(&'static str, u32)]) -> Calls {
    expected.iter().copied().collect()
}

/// The second request at home: the first one of a worker learns the names of metrics.
fn second(is_streamed: bool, pieces: &[&str]) -> (Calls, Vec<Calls>) {
    second_at(&policy(), WEST, is_streamed, pieces)
}

fn second_at(
    policy: &FilterPolicy,
    to: &str,
    is_streamed: bool,
    pieces: &[&str],
) -> (Calls, Vec<Calls>) {
    let mut gateway = Gateway::start(policy);
    gateway.chat(1, to, is_streamed, pieces);
    gateway.chat(3, to, is_streamed, pieces)
}

/// What the router asks of its host for a request that stays at home.
const ROUTER: [(&str, u32); 6] = [
    ("body", 1),
    ("clock", 1),
    ("fact", 1),
    ("headers", 1),
    ("route", 1),
    ("set header", 9),
];

/// What the guard asks in the hooks of a request's and of an answer's head, and at the end.
const REQUEST: [(&str, u32); 5] = [
    ("clock", 1),
    ("fact", 1),
    ("headers", 1),
    ("set header", 2),
    ("set shared", 1),
];
const HEAD: [(&str, u32); 2] = [("headers", 1), ("set header", 1)];
const END: [(&str, u32); 2] = [("clock", 1), ("set shared", 1)];

#[test]
fn a_whole_answer_at_home() {
    let (router, guard) = second(false, &[WHOLE]);
    assert_eq!(router, calls(&ROUTER));
    let body = calls(&[("body", 1), ("clock", 3), ("metric", 1)]);
    assert_eq!(guard, [calls(&REQUEST), calls(&HEAD), body, calls(&END)]);
}

/// Envoy may show the end of a body by an empty piece.
#[test]
fn a_whole_answer_at_home_whose_end_comes_by_itself() {
    let (_, at_once) = second(false, &[WHOLE]);
    let (_, mut apart) = second(false, &[WHOLE, ""]);
    assert_eq!(apart.remove(3), calls(&[]));
    // The rate of an answer under way is looked at.
    apart[2].entry("clock").and_modify(|calls| *calls -= 1);
    assert_eq!(apart, at_once);
}

/// Each chunk is read once, and nothing else: the clock and counters cost next to nothing.
#[test]
fn a_stream_at_home() {
    let (router, guard) = second(true, &[HELLO, HELLO, HELLO, DONE]);
    assert_eq!(router, calls(&ROUTER));
    let first = [
        ("body", 1),
        ("clock", 5),
        ("metric", 2),
        ("set header", 1),
        ("set shared", 1),
    ];
    let chunk = calls(&[("body", 1), ("clock", 1)]);
    let last = calls(&[("body", 1)]);
    let expected = [
        calls(&REQUEST),
        calls(&HEAD),
        calls(&first),
        chunk.clone(),
        chunk,
        last,
        calls(&END),
    ];
    assert_eq!(guard, expected);
}

/// A request that home sheds.
#[test]
fn an_answer_by_another_region() {
    let (as_seen, guard) = second_at(&keeping(0), EAST, false, &[WHOLE]);
    let mut router = calls(&ROUTER);
    router.insert("absent", 4); // Whether others refuse, or have told of their load.
    router.insert("set header", 10);
    // Of the other region's servers nothing is known, and nothing is noted.
    let mut request = calls(&REQUEST);
    request.remove("set shared");
    assert_eq!((as_seen, &guard[0]), (router, &request));
}

/// The gateway at the other end.
#[test]
fn a_request_of_another_gateway() {
    let mut peer = Peer::start();
    peer.chat(0);
    let by_hook = peer.chat(1);
    let request = [("clock", 1), ("headers", 1), ("set header", 1)];
    let response = [("clock", 1), ("fact", 1), ("headers", 1)];
    let end = [("clock", 1)];
    assert_eq!(by_hook, [calls(&request), calls(&response), calls(&end)]);
}

#[test]
fn a_refusal() {
    let mut gateway = Gateway::start(&policy());
    let expected = [
        ("body", 1),
        ("clock", 1),
        ("fact", 1),
        ("headers", 1),
        ("reply", 1),
        ("set header", 1),
    ];
    assert_eq!(gateway.refuse(1), calls(&expected));
}

/// A chat that is translated for Claude. The request is much dearer than its calls: it goes over a border, and is paid for.
#[test]
fn a_fallback() {
    let mut fallback = Fallback::start();
    fallback.chat(0);
    let expected = [
        ("absent", 6),
        ("body", 2),
        ("clock", 4),
        ("header", 4),
        ("headers", 2),
        ("metric", 1),
        ("set body", 2),
        ("set header", 13),
        ("set shared", 2),
        ("shared", 2),
    ];
    assert_eq!(fallback.chat(1), calls(&expected));
}

/// What a decision allocates: its strings.
#[test]
fn allocations_of_a_decision() {
    let router = Router::new(policy());
    let (_, admission) = admit(&example(), WEST, "POST", CHAT, &[US]);
    let admitted = admitted(admission);
    let body = format!(r#"{{"model":"{LLAMA}","messages":[{{"role":"user","content":"Hi"}}]}}"#);
    let decide = || router.decide(&admitted, body.as_bytes(), &context());
    let mut decision = None;
    let allocations = measure(|| decision = Some(decide()));
    assert!(decision.unwrap().is_ok());
    assert_eq!(allocations.count_total, 10);
}

/// What the judgement of a whole answer allocates.
#[test]
fn allocations_of_a_judgement() {
    let kind = ApiKind::of("/v1/chat/completions");
    let head = Head {
        status: 200,
        content_type: "application/json",
        content_encoding: "",
    };
    let mut judge = Judge::begin(kind, false, &head).unwrap();
    let allocations = measure(|| {
        let _ = judge.read(WHOLE.as_bytes(), true);
    });
    assert_eq!(allocations.count_total, 3);
}
