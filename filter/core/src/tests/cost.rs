//! What a request costs in host calls, which are most of its price: a call that returns bytes takes 1 to 4 microseconds, one that sets
//! something or misses 0.3 to 1. Numbers that change here change what every request costs.

use super::envoy::{Calls, Envoy, Stream};
use super::guarding::{DONE, EVENTS, HELLO, guard};
use crate::host::{Fact, Side};
use crate::plugins::Configured;
use crate::worker::Worker;
use meridian_fixtures::fleets::{LLAMA, WEST, example};
use meridian_planner::plan::Plan;
use meridian_planner::plugins::filter_policy;
use std::rc::Rc;

/// A gateway at home: router and guard of one worker.
struct Gateway {
    envoy: Rc<Envoy>,
    worker: Worker,
    router: Configured,
    guard: Configured,
}

impl Gateway {
    fn start() -> Self {
        let (envoy, mut worker) = (Envoy::start(), Worker::default());
        let policy = filter_policy(&example(), &Plan::default(), &WEST.parse().unwrap(), None);
        let policy = serde_json::to_vec(&policy).unwrap();
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

    /// A chat, whose answer comes in these pieces. The calls of the router, and those of the guard by hook.
    fn chat(&mut self, id: u32, is_streamed: bool, pieces: &[&str]) -> (Calls, Vec<Calls>) {
        let Self {
            envoy,
            worker,
            router,
            guard,
        } = self;
        let (caller, attempt) = (Stream::new(envoy, id), Stream::new(envoy, id + 1));
        caller.fact_is(Fact::SourceAddress, "10.0.0.1:40000");
        attempt.fact_is(Fact::UpstreamEndpoint, &format!("{WEST} 10.0.0.1:8000"));
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

/// The second request: the first one of a worker learns the names of metrics.
fn second(is_streamed: bool, pieces: &[&str]) -> (Calls, Vec<Calls>) {
    let mut gateway = Gateway::start();
    gateway.chat(1, is_streamed, pieces);
    gateway.chat(3, is_streamed, pieces)
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
