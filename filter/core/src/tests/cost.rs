//! What a request costs in host calls, which are most of its price: a call that returns bytes takes 1 to 4 microseconds, one that sets
//! something or misses 0.3 to 1. Numbers that change here change what every request costs.

use super::decisions::{CHAT, US, admit, admitted, context};
use super::egressing::{ANSWER, BODY, CHAT as ASK, JSON, claude};
use super::envoy::{Calls, Envoy, Stream};
use super::guarding::{DONE, EVENTS, HELLO, guard};
use super::shares::keeping;
use crate::guard::{ApiKind, Head, Judge};
use crate::host::{Fact, Side};
use crate::plugins::{Configured, Plugin};
use crate::router::Router;
use crate::worker::Worker;
use allocation_counter::measure;
use meridian_fixtures::fleets::{EAST, LLAMA, WEST, example};
use meridian_planner::plan::Plan;
use meridian_planner::plugins::filter_policy;
use meridian_policy::FilterPolicy;
use serde_json::json;
use std::rc::Rc;

/// A gateway at home: router and guard of one worker.
struct Gateway {
    envoy: Rc<Envoy>,
    worker: Worker,
    router: Configured,
    guard: Configured,
}

impl Gateway {
    fn start(policy: &FilterPolicy) -> Self {
        let (envoy, mut worker) = (Envoy::start(), Worker::default());
        let policy = serde_json::to_vec(policy).unwrap();
        let any = Stream::new(&envoy, 0);
        let router = Configured::new(&any, &mut worker, b"router", &policy).unwrap();
        let guard = guard(&envoy);
        worker.tick(&any);
        Self {
            envoy,
            worker,
            router,
            guard,
        }
    }

    /// A chat, whose answer comes from a member in these pieces. The calls of the router, and those of the guard by hook.
    fn chat(
        &mut self,
        id: u32,
        to: &str,
        is_streamed: bool,
        pieces: &[&str],
    ) -> (Calls, Vec<Calls>) {
        let Self {
            envoy,
            worker,
            router,
            guard,
        } = self;
        let (caller, attempt) = (Stream::new(envoy, id), Stream::new(envoy, id + 1));
        caller.fact_is(Fact::SourceAddress, "10.0.0.1:40000");
        attempt.fact_is(Fact::UpstreamEndpoint, &format!("{to} 10.0.0.1:8000"));
        let (mut router, mut guard) = (router.stream(id), guard.stream(id + 1));
        let body = format!(r#"{{"model":"{LLAMA}","stream":{is_streamed},"messages":[]}}"#);
        let length = body.len().to_string();
        let head = [
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            ("cf-ipcountry", "US"),
            ("x-request-id", "request-1"),
            ("content-length", length.as_str()),
        ];
        caller.request(router.as_mut(), worker, &head, false);
        caller.piece(router.as_mut(), worker, Side::Request, &body, true);
        let routed = caller.headers_now(Side::Request);
        let routed: Vec<(&str, &str)> = routed
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut by_hook = Vec::new();
        attempt.request(guard.as_mut(), worker, &routed, false);
        by_hook.push(attempt.take_calls());
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let length = length.to_string();
        let json = [
            (":status", "200"),
            ("content-type", "application/json"),
            ("content-length", length.as_str()),
        ];
        let head = if is_streamed { EVENTS } else { &json };
        attempt.response(guard.as_mut(), worker, head, false);
        by_hook.push(attempt.take_calls());
        for (at, piece) in pieces.iter().enumerate() {
            let ends = at + 1 == pieces.len();
            attempt.piece(guard.as_mut(), worker, Side::Response, piece, ends);
            by_hook.push(attempt.take_calls());
        }
        guard.on_done(&attempt, worker);
        by_hook.push(attempt.take_calls());
        caller.response(router.as_mut(), worker, head, false);
        for (at, piece) in pieces.iter().enumerate() {
            let ends = at + 1 == pieces.len();
            caller.piece(router.as_mut(), worker, Side::Response, piece, ends);
        }
        router.on_done(&caller, worker);
        router.on_log(&caller, worker);
        (caller.take_calls(), by_hook)
    }
}

const WHOLE: &str = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"#;

fn calls(expected: &[(&'static str, u32)]) -> Calls {
    expected.iter().copied().collect()
}

fn policy() -> FilterPolicy {
    filter_policy(&example(), &Plan::default(), &WEST.parse().unwrap(), None)
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
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let pool = envoy.plugin("pool", "");
    let mut by_hook = Vec::new();
    for id in 0..2 {
        let (stream, mut plugin) = (Stream::new(&envoy, id), pool.stream(id));
        let plugin = plugin.as_mut();
        let head = [
            ("x-request-id", "request-1"),
            ("content-length", "70"),
            ("x-meridian-model", LLAMA),
            ("x-meridian-slot", "7"),
        ];
        stream.request(plugin, &mut worker, &head, false);
        by_hook = vec![stream.take_calls()];
        stream.fact_is(Fact::UpstreamEndpoint, &format!("{WEST} 10.0.0.1:8000"));
        stream.response(plugin, &mut worker, &[(":status", "200")], false);
        by_hook.push(stream.take_calls());
        plugin.on_done(&stream, &mut worker);
        by_hook.push(stream.take_calls());
    }
    let request = [("clock", 1), ("headers", 1), ("set header", 1)];
    let response = [("clock", 1), ("fact", 1), ("headers", 1)];
    let end = [("clock", 1)];
    assert_eq!(by_hook, [calls(&request), calls(&response), calls(&end)]);
}

#[test]
fn a_refusal() {
    let mut gateway = Gateway::start(&policy());
    let stream = Stream::new(&gateway.envoy, 1);
    stream.fact_is(Fact::SourceAddress, "10.0.0.1:40000");
    let mut router = gateway.router.stream(1);
    let head = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        ("cf-ipcountry", "US"),
    ];
    let (router, worker) = (router.as_mut(), &mut gateway.worker);
    stream.request(router, worker, &head, false);
    stream.piece(router, worker, Side::Request, r#"{"model":"none"}"#, true);
    let expected = [
        ("body", 1),
        ("clock", 1),
        ("fact", 1),
        ("headers", 1),
        ("reply", 1),
        ("set header", 1),
    ];
    assert_eq!(stream.take_calls(), calls(&expected));
}

/// A chat that is translated for Claude. The request is much dearer than its calls: it goes over a border, and is paid for.
#[test]
fn a_fallback() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let egress = claude(&envoy, &json!({}));
    let mut all = Vec::new();
    for id in 0..2 {
        let (stream, mut plugin) = (Stream::new(&envoy, id), egress.stream(id));
        let plugin: &mut dyn Plugin = plugin.as_mut();
        let id = format!("request-{id}");
        let head = ASK.iter().map(|(name, value)| match *name {
            "x-request-id" => (*name, id.as_str()),
            _ => (*name, *value),
        });
        let head: Vec<(&str, &str)> = head.collect();
        stream.request(plugin, &mut worker, &head, false);
        stream.piece(plugin, &mut worker, Side::Request, BODY, true);
        stream.response(plugin, &mut worker, JSON, false);
        stream.piece(plugin, &mut worker, Side::Response, ANSWER, true);
        plugin.on_done(&stream, &mut worker);
        all.push(stream.take_calls());
    }
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
    assert_eq!(all.pop(), Some(calls(&expected)));
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
