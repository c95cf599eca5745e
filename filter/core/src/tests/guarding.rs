//! The plugin `guard`, attempt by attempt.

use super::envoy::{Envoy, Stream};
use crate::host::{Action, Fact, Host, Side};
use crate::plugins::{Configured, Plugin};
use crate::routes::PoolId;
use crate::worker::{Worker, refused};
use flate2::Compression;
use flate2::write::GzEncoder;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST, example};
use meridian_planner::plugins::guard_policy;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::rc::Rc;

const ROLE: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
pub(super) const HELLO: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"CUDA out of memory\",\"type\":\"server_error\",\"code\":500}}\n\n";
pub(super) const DONE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
pub(super) const EVENTS: &[(&str, &str)] =
    &[(":status", "200"), ("content-type", "text/event-stream")];
const LABELS: &str = "zone=global;model=llama-3_1-70b;lane=home;to=us-west-2";

pub(super) fn guard(envoy: &Rc<Envoy>) -> Configured {
    let policy = guard_policy(&example().into(), &WEST.parse().unwrap());
    envoy.plugin("guard", &serde_json::to_string(&policy).unwrap())
}

/// An attempt at a region or a fallback, whose request has come. Its request has a number.
pub(super) fn attempt(
    envoy: &Rc<Envoy>,
    guard: &Configured,
    worker: &mut Worker,
    (id, to, number): (u32, &str, Option<&str>),
) -> (Stream, Box<dyn Plugin>) {
    let stream = Stream::new(envoy, id);
    stream.fact_is(Fact::UpstreamRegion, to);
    stream.fact_is(Fact::UpstreamAddress, "10.0.0.1:8000");
    let mut plugin = guard.stream(id);
    let headers = [
        (":path", "/v1/chat/completions"),
        ("x-meridian-zone", "global"),
        ("x-meridian-model", LLAMA),
        ("x-meridian-lane", "home"),
        ("x-meridian-stream", "1"),
        ("x-meridian-slot", "7"),
        ("x-request-id", "request-1"),
        ("x-meridian-request", number.unwrap_or("1")),
        ("content-length", "150"),
    ];
    let action = stream.request(plugin.as_mut(), worker, &headers, false);
    assert_eq!(action, Action::Continue);
    (stream, plugin)
}

/// A peer whose context is no larger than one that was too small is told so, and asks no server.
#[test]
fn a_prompt_that_is_too_long_is_asked_of_no_server_with_as_small_a_context() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let mut fleet = example();
    for (region, context) in [(WEST, 512), (EAST, 512), (EU, 4096)] {
        let contexts = &mut fleet.regions.get_mut(region).unwrap().contexts;
        contexts.insert(LLAMA.parse().unwrap(), context);
    }
    let policy = guard_policy(&fleet.into(), &WEST.parse().unwrap());
    let guard = envoy.plugin("guard", &serde_json::to_string(&policy).unwrap());
    let mark = |stream: &Stream| stream.value(Side::Request, "x-meridian-too-long");
    // The peer's plugin, and then the first member's server, answer in one form.
    let peer = Stream::new(&envoy, 9);
    let mut pool = envoy.plugin("pool", "").stream(9);
    let marked = &[("x-meridian-too-long", "1"), ("x-meridian-model", LLAMA)];
    let action = peer.request(pool.as_mut(), &mut worker, marked, false);
    assert_eq!(action, Action::Pause);
    pool.on_done(&peer, &mut worker);
    let refusal = peer.reply.borrow().clone().unwrap();
    assert_eq!(refusal.status, 400);

    let json = &[(":status", "400"), ("content-type", "application/json")];
    for (id, region, told) in [(1, WEST, None), (2, EAST, Some("1"))] {
        let (stream, mut plugin) = attempt(&envoy, &guard, &mut worker, (id, region, None));
        assert_eq!(mark(&stream).as_deref(), told, "{region}");
        stream.response(plugin.as_mut(), &mut worker, json, false);
        let body = &refusal.body;
        stream.piece(plugin.as_mut(), &mut worker, Side::Response, body, true);
        let retry = stream.value(Side::Response, "x-meridian-retry");
        assert_eq!(retry.as_deref(), Some("context"), "{region}");
        plugin.on_done(&stream, &mut worker);
    }
    let (larger, _) = attempt(&envoy, &guard, &mut worker, (3, EU, None));
    assert_eq!(mark(&larger), None);
}

/// A whole answer is judged when as much of it has come as its head says, and not before. What judges it has no more to do.
#[test]
fn a_whole_answer_is_judged_when_its_length_has_come() {
    const WHOLE: &str = r#"{"choices":[{"finish_reason":"stop"}]}"#;
    let answer = |body: &str, length: usize| {
        let (envoy, mut worker) = (Envoy::start(), Worker::default());
        let guard = guard(&envoy);
        let stream = Stream::new(&envoy, 1);
        let mut plugin = guard.stream(1);
        let plugin = plugin.as_mut();
        let request = [(":path", "/v1/chat/completions")];
        stream.request(plugin, &mut worker, &request, false);
        let length = length.to_string();
        let head = [
            (":status", "200"),
            ("content-type", "application/json"),
            ("content-length", length.as_str()),
        ];
        stream.response(plugin, &mut worker, &head, false);
        let (one, two) = body.split_at(10);
        let mut piece =
            |piece, ends| stream.piece(plugin, &mut worker, Side::Response, piece, ends);
        let came = [piece(one, false), piece(two, false), piece("", true)];
        (stream.value(Side::Response, ":status").unwrap(), came)
    };
    let (status, came) = answer(WHOLE, WHOLE.len());
    assert_eq!(status, "200");
    assert_eq!(came, [None, Some(WHOLE.into()), Some(String::new())]);
    let (status, came) = answer(WHOLE, WHOLE.len() + 1);
    assert_eq!(status, "200");
    assert_eq!(came, [None, None, Some(WHOLE.into())], "the end decides");
    let error = r#"{"error":{"message":"out of memory"}}"#;
    let (status, came) = answer(error, error.len());
    assert_eq!(status, "502");
    assert!(came[0].is_none() && came[1].as_ref().unwrap().contains("error"));
    assert_eq!(came[2].as_deref(), Some(""), "nothing of the server's own");
}

const NO_MODEL: &str =
    r#"{"error":{"message":"The model `m` does not exist.","type":"NotFoundError","code":404}}"#;
const NO_RESPONSE: &str = r#"{"error":{"message":"Response with id 'resp_1' not found.","param":"response_id","code":404}}"#;

#[test]
fn a_pool_without_its_model_has_failed_and_what_else_is_missing_is_the_callers() {
    let head = [(":status", "404"), ("content-type", "application/json")];
    let answer = |to: &str, body: &str| {
        let (envoy, mut worker) = (Envoy::start(), Worker::default());
        let guard = guard(&envoy);
        let (stream, mut plugin) = attempt(&envoy, &guard, &mut worker, (1, to, None));
        let plugin = plugin.as_mut();
        stream.response(plugin, &mut worker, &head, false);
        let (one, two) = body.split_at(20);
        stream.piece(plugin, &mut worker, Side::Response, one, false);
        let rest = stream.piece(plugin, &mut worker, Side::Response, two, true);
        let status = stream.value(Side::Response, ":status").unwrap();
        let what = "meridian_failures;model=llama-3_1-70b;to=us-west-2;what=no_model";
        (status, rest.unwrap(), envoy.metric(what))
    };
    let (status, body, counted) = answer(WEST, NO_MODEL);
    assert_eq!((status.as_str(), counted), ("502", 1));
    assert!(body.contains("does not have this model"), "{body}");
    assert_eq!(
        answer(WEST, NO_RESPONSE),
        ("404".to_owned(), NO_RESPONSE.to_owned(), 0)
    );
    // A provider's answer is not held.
    assert_eq!(
        answer("fallback/claude", NO_MODEL),
        ("404".to_owned(), NO_MODEL[20..].to_owned(), 0)
    );
}

#[test]
fn an_answer_names_its_region_and_not_a_fallback_that_may_not_have_made_it() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let guard = guard(&envoy);
    for (to, region) in [
        (WEST, Some(WEST)),
        (EAST, Some(EAST)),
        ("fallback/claude", None),
    ] {
        let (stream, mut plugin) = attempt(&envoy, &guard, &mut worker, (1, to, None));
        let failed = [(":status", "503")];
        stream.response(plugin.as_mut(), &mut worker, &failed, true);
        let named = stream.value(Side::Response, "x-meridian-region");
        assert_eq!(named.as_deref(), region, "{to}");
    }
}

fn outcome(envoy: &Envoy, outcome: &str) -> u64 {
    envoy.metric(&format!("meridian_attempts;{LABELS};outcome={outcome}"))
}

#[test]
fn a_stream_is_held_until_its_first_content() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let (stream, mut plugin) = attempt(&envoy, &guard(&envoy), &mut worker, (1, WEST, None));
    let (plugin, worker) = (plugin.as_mut(), &mut worker);
    assert_eq!(
        stream.response(plugin, worker, EVENTS, false),
        Action::Pause
    );
    assert_eq!(
        stream.piece(plugin, worker, Side::Response, ROLE, false),
        None
    );
    assert_eq!(outcome(&envoy, "answered"), 0);
    envoy.pass(40);
    let first = stream.piece(plugin, worker, Side::Response, HELLO, false);
    assert_eq!(first, Some([ROLE, HELLO].concat()));
    assert_eq!(outcome(&envoy, "answered"), 1);
    let first_token = "meridian_first_token_ms;model=llama-3_1-70b;to=us-west-2";
    assert_eq!(envoy.metric(first_token), 40);
    let rest = stream.piece(plugin, worker, Side::Response, DONE, true);
    assert_eq!(rest.as_deref(), Some(DONE));
    plugin.on_done(&stream, worker);
    assert_eq!(outcome(&envoy, "broken"), 0);
}

#[test]
fn an_error_before_the_first_content_becomes_the_status() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let (stream, mut plugin) = attempt(&envoy, &guard(&envoy), &mut worker, (1, WEST, None));
    let (plugin, worker) = (plugin.as_mut(), &mut worker);
    stream.response(plugin, worker, EVENTS, false);
    assert_eq!(
        stream.piece(plugin, worker, Side::Response, ROLE, false),
        None
    );
    let body = stream
        .piece(plugin, worker, Side::Response, ERROR, false)
        .unwrap();
    assert_eq!(
        stream.value(Side::Response, ":status").as_deref(),
        Some("500")
    );
    assert_eq!(
        stream.value(Side::Response, "content-type").as_deref(),
        Some("application/json")
    );
    assert!(body.contains("CUDA out of memory"), "{body}");
    assert!(!body.contains("assistant"), "{body}");
    assert_eq!(outcome(&envoy, "failed"), 1);
    let rest = stream.piece(plugin, worker, Side::Response, DONE, true);
    assert_eq!(
        rest.as_deref(),
        Some(""),
        "nothing of a failed answer follows"
    );
}

#[test]
fn an_error_after_it_ends_the_stream_with_an_error_event() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let (stream, mut plugin) = attempt(&envoy, &guard(&envoy), &mut worker, (1, WEST, None));
    let (plugin, worker) = (plugin.as_mut(), &mut worker);
    stream.response(plugin, worker, EVENTS, false);
    stream
        .piece(plugin, worker, Side::Response, HELLO, false)
        .unwrap();
    let last = stream
        .piece(plugin, worker, Side::Response, ERROR, false)
        .unwrap();
    assert!(last.contains("error"), "{last}");
    let rest = stream.piece(plugin, worker, Side::Response, DONE, true);
    assert_eq!(rest.as_deref(), Some(""), "no proper end follows");
    assert_eq!(outcome(&envoy, "broken"), 1);
    plugin.on_done(&stream, worker);
    assert_eq!(outcome(&envoy, "broken"), 1, "it is counted once");
    assert_eq!(worker.attempts.take_broken(1), Some("error"));
}

#[test]
fn a_stream_that_falls_silent_is_ended() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let (stream, mut plugin) = attempt(&envoy, &guard(&envoy), &mut worker, (9, WEST, None));
    stream.response(plugin.as_mut(), &mut worker, EVENTS, false);
    stream.piece(plugin.as_mut(), &mut worker, Side::Response, HELLO, false);
    for _ in 0..59 {
        envoy.pass(1000);
        worker.tick(&stream);
    }
    assert!(envoy.ended.borrow().is_empty(), "its limit is 60 s");
    for _ in 0..3 {
        envoy.pass(1000);
        worker.tick(&stream);
    }
    assert_eq!(*envoy.ended.borrow(), [stream.id()]);
    assert_eq!(outcome(&envoy, "stalled"), 1);
}

#[test]
fn a_failed_answer_may_end_by_itself_before_its_stream_is_ended() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    for id in [7, 8] {
        let (stream, mut plugin) = attempt(&envoy, &guard(&envoy), &mut worker, (id, WEST, None));
        stream.response(plugin.as_mut(), &mut worker, EVENTS, false);
        stream.piece(plugin.as_mut(), &mut worker, Side::Response, ERROR, false);
        envoy.run(&mut worker, 200);
        assert!(envoy.ended.borrow().is_empty());
        if id == 7 {
            stream.piece(plugin.as_mut(), &mut worker, Side::Response, "", true);
        }
        envoy.run(&mut worker, 200);
    }
    assert_eq!(*envoy.ended.borrow(), [8]);
}

#[test]
fn a_stream_that_only_trickles_is_ended() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    // A token of 62 bytes every 20 s, of 2 s, and one every 2 s until they come no more.
    let [slow, quick, slower] = [(7, 20), (8, 2), (9, 2)].map(|(id, every)| {
        let (stream, mut plugin) = attempt(&envoy, &guard(&envoy), &mut worker, (id, WEST, None));
        stream.response(plugin.as_mut(), &mut worker, EVENTS, false);
        (stream, plugin, every)
    });
    let mut all = [slow, quick, slower];
    let mut ended = Vec::new();
    for second in 0..400 {
        for (stream, plugin, every) in &mut all {
            let stops = stream.id() == 9 && second > 200;
            let every = if stops { 20 } else { *every };
            if second % every == 0 && !envoy.ended.borrow().contains(&stream.id()) {
                stream.piece(plugin.as_mut(), &mut worker, Side::Response, HELLO, false);
            }
        }
        envoy.run(&mut worker, 1000);
        let so_far = envoy.ended.borrow().clone();
        for id in so_far.into_iter().skip(ended.len()) {
            ended.push((id, second));
        }
    }
    let [(7, first), (9, second)] = ended[..] else {
        panic!("{ended:?}")
    };
    assert!((59..63).contains(&first), "{ended:?}");
    assert!((240..=325).contains(&second), "{ended:?}");
    assert_eq!(outcome(&envoy, "stalled"), 2);
    let trickles = "meridian_failures;model=llama-3_1-70b;to=us-west-2;what=trickle";
    assert_eq!(envoy.metric(trickles), 2);
}

#[test]
fn a_whole_answer_that_only_trickles_has_failed_before_its_caller_has_anything() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let (stream, mut plugin) = attempt(&envoy, &guard(&envoy), &mut worker, (7, WEST, None));
    let json = &[(":status", "404"), ("content-type", "application/json")];
    stream.response(plugin.as_mut(), &mut worker, json, false);
    // Nothing counts before its first byte.
    envoy.run(&mut worker, 120_000);
    for _ in 0..4 {
        assert!(envoy.failed.borrow().is_empty());
        let passed = stream.piece(plugin.as_mut(), &mut worker, Side::Response, "{", false);
        assert_eq!(passed, None);
        envoy.run(&mut worker, 20_000);
    }
    assert_eq!(*envoy.failed.borrow(), [(stream.id(), 502)]);
    assert!(envoy.ended.borrow().is_empty(), "its caller still waits");
    let passed = stream.piece(plugin.as_mut(), &mut worker, Side::Response, "{", true);
    assert_eq!(passed, None, "nothing of it follows");
    let line = envoy.lines.borrow().last().cloned().unwrap_or_default();
    assert!(
        line.ends_with("before its first content: trickle"),
        "{line}"
    );
    plugin.on_done(&stream, &mut worker);
    assert_eq!(outcome(&envoy, "unanswered"), 1);
    assert_eq!(worker.attempts.take_broken(1), None);
}

#[test]
fn without_a_least_rate_a_stream_may_trickle() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let mut policy = guard_policy(&example().into(), &WEST.parse().unwrap());
    policy.least_rate = None;
    let guard = envoy.plugin("guard", &serde_json::to_string(&policy).unwrap());
    let (stream, mut plugin) = attempt(&envoy, &guard, &mut worker, (7, WEST, None));
    stream.response(plugin.as_mut(), &mut worker, EVENTS, false);
    for _ in 0..20 {
        stream.piece(plugin.as_mut(), &mut worker, Side::Response, HELLO, false);
        envoy.run(&mut worker, 20_000);
    }
    assert!(envoy.ended.borrow().is_empty());
}

#[test]
fn refusals_and_streams_that_never_begin_lower_the_share() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let guard = guard(&envoy);
    let pool = PoolId::new(&WEST.parse().unwrap(), &LLAMA.parse().unwrap());
    let (stream, mut plugin) = attempt(&envoy, &guard, &mut worker, (1, WEST, None));
    let busy = [(":status", "429"), ("content-type", "application/json")];
    assert_eq!(refused(&stream, &pool), 0.0);
    let action = stream.response(plugin.as_mut(), &mut worker, &busy, true);
    assert_eq!(action, Action::Continue);
    let by_refusal = refused(&stream, &pool);
    assert!(by_refusal > 0.2, "{by_refusal}");
    plugin.on_done(&stream, &mut worker);
    envoy.pass(60_000);
    assert_eq!(refused(&stream, &pool), 0.0, "it is forgotten");
    let (stream, mut plugin) = attempt(&envoy, &guard, &mut worker, (2, WEST, None));
    envoy.pass(2000);
    plugin.on_done(&stream, &mut worker);
    assert_eq!(outcome(&envoy, "unanswered"), 1);
    assert!(refused(&stream, &pool) > 0.2);
}

#[test]
fn the_last_fallback_is_final_unless_another_attempt_may_be_answered() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let guard = guard(&envoy);
    let failed = [(":status", "503"), ("content-type", "application/json")];
    let (home, mut at_home) = attempt(&envoy, &guard, &mut worker, (1, WEST, None));
    let (last, mut at_last) = attempt(&envoy, &guard, &mut worker, (2, "fallback/claude", None));
    last.response(at_last.as_mut(), &mut worker, &failed, true);
    assert_eq!(last.value(Side::Response, "x-envoy-ratelimited"), None);
    let retry = last.value(Side::Response, "x-meridian-retry");
    assert_eq!(retry.as_deref(), Some("others"));
    at_home.on_done(&home, &mut worker);
    at_last.on_done(&last, &mut worker);
    let (last, mut at_last) = attempt(&envoy, &guard, &mut worker, (3, "fallback/claude", None));
    last.response(at_last.as_mut(), &mut worker, &failed, true);
    let is_final = last.value(Side::Response, "x-envoy-ratelimited");
    assert_eq!(is_final.as_deref(), Some("true"));
}

#[test]
fn a_peer_that_does_not_take_a_zone_is_counted() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let guard = guard(&envoy);
    let count = || envoy.metric("meridian_mismatched;what=peer");
    let refused = [(":status", "403"), ("x-meridian-retry", "1")];
    for (id, to, head, counted) in [
        (1, EAST, &refused[..], 1),
        (2, EAST, &refused[..1], 1),
        (3, "fallback/claude", &refused[..], 1),
        (4, EAST, &[(":status", "404"), ("x-meridian-retry", "1")], 2),
        (5, EAST, &[(":status", "503"), ("x-meridian-retry", "1")], 2),
    ] {
        let (stream, mut plugin) = attempt(&envoy, &guard, &mut worker, (id, to, None));
        stream.response(plugin.as_mut(), &mut worker, head, true);
        assert_eq!(count(), counted, "{to} {head:?}");
    }
}

#[test]
fn an_answer_that_is_encoded_all_the_same_is_decoded_and_judged() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let (stream, mut plugin) = attempt(&envoy, &guard(&envoy), &mut worker, (1, WEST, None));
    let asked = stream.value(Side::Request, "accept-encoding");
    assert_eq!(asked.as_deref(), Some("identity"));
    let gzip = [EVENTS, &[("content-encoding", "gzip")]].concat();
    stream.response(plugin.as_mut(), &mut worker, &gzip, false);
    assert_eq!(stream.value(Side::Response, "content-encoding"), None);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut heard = Vec::new();
    for event in [ROLE, HELLO, ERROR] {
        encoder.write_all(event.as_bytes()).unwrap();
        encoder.flush().unwrap();
        let piece = std::mem::take(encoder.get_mut());
        heard.push(stream.bytes(plugin.as_mut(), &mut worker, Side::Response, &piece, false));
    }
    let [role, hello, error] = &heard[..] else {
        panic!()
    };
    assert_eq!(
        (role, hello.as_deref()),
        (&None, Some([ROLE, HELLO].concat().as_str()))
    );
    assert!(error.as_ref().unwrap().contains("CUDA out of memory"));
    assert_eq!(outcome(&envoy, "broken"), 1);
}

/// A failed answer, held until it is known to be one: what passes of it, and whether its headers went on alone.
fn failing(others: usize, head: &[(&str, &str)], pieces: &[&str]) -> (Option<String>, bool) {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let mut policy = guard_policy(&example().into(), &WEST.parse().unwrap());
    let smaller = BTreeMap::from([(LLAMA.parse().unwrap(), BTreeSet::from([WEST.to_owned()]))]);
    policy
        .smaller_context
        .insert("global".parse().unwrap(), smaller);
    let guard = envoy.plugin("guard", &serde_json::to_string(&policy).unwrap());
    let mut all = Vec::new();
    for id in 0..others {
        let id = u32::try_from(id).unwrap() + 2;
        all.push(attempt(
            &envoy,
            &guard,
            &mut worker,
            (id, "us-east-1", None),
        ));
    }
    let (stream, mut plugin) = attempt(&envoy, &guard, &mut worker, (1, WEST, None));
    let action = stream.response(plugin.as_mut(), &mut worker, head, false);
    assert_eq!(action, Action::Pause);
    let mut passed = None;
    for (index, piece) in pieces.iter().enumerate() {
        assert_eq!(passed, None, "it is held up to the last piece");
        let ends = index + 1 == pieces.len();
        passed = stream.piece(plugin.as_mut(), &mut worker, Side::Response, piece, ends);
        assert!(
            stream.body(Side::Response, 0, usize::MAX).is_empty(),
            "Envoy holds nothing of it"
        );
    }
    (passed, stream.has_released_headers.get())
}

#[test]
fn envoy_gets_no_body_of_a_failure_that_it_drops() {
    let ended = [ROLE, "data: [DONE]\n\n"];
    let json: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/json")];
    let bad: &[(&str, &str)] = &[(":status", "400"), ("content-type", "application/json")];
    let too_long =
        r#"{"error":{"message":"This model's maximum context length is 8192 tokens","code":400}}"#;
    type Answer<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: [Answer<'_>; 5] = [
        (EVENTS, &[ROLE, ERROR]),
        (EVENTS, &ended),
        (EVENTS, &[""]),
        (json, &["{}"]),
        (bad, &[too_long]),
    ];
    for (head, pieces) in cases {
        assert_eq!(failing(1, head, pieces), (None, true), "{pieces:?}");
        assert_eq!(failing(3, head, pieces), (None, true), "{pieces:?}");
        let (passed, alone) = failing(0, head, pieces);
        assert!(passed.unwrap().contains("error") && !alone, "{pieces:?}");
    }
}

/// Envoy would drop the head of an answer, then get its body, and crash.
#[test]
fn only_an_error_of_a_peer_asks_for_another_member() {
    let retry = meridian_policy::headers::RETRY;
    for (to, status, asks_on) in [
        (WEST, "200", false),
        (WEST, "404", false),
        ("us-east-1", "200", false),
        ("us-east-1", "404", true),
        ("us-east-1", "503", true),
    ] {
        let (envoy, mut worker) = (Envoy::start(), Worker::default());
        let guard = guard(&envoy);
        let (stream, mut plugin) = attempt(&envoy, &guard, &mut worker, (1, to, None));
        let head = [
            (":status", status),
            ("content-type", "text/event-stream"),
            (retry, "1"),
        ];
        stream.response(plugin.as_mut(), &mut worker, &head, false);
        let left = stream.header(Side::Response, retry).is_some();
        assert_eq!(left, asks_on, "{to} {status}");
    }
}

#[test]
fn a_failure_of_the_request_itself_passes_while_others_wait() {
    let refused = "data: {\"error\":{\"message\":\"no such tool\",\"code\":400}}\n\n";
    let (passed, alone) = failing(1, EVENTS, &[ROLE, refused]);
    assert!(passed.unwrap().contains("no such tool") && !alone);
}

/// A client that follows a redirect would send the prompt to another host.
#[test]
fn a_redirect_of_a_pool_or_a_provider_is_a_failure_on_every_path() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let guard = guard(&envoy);
    let paths = [
        ("/v1/chat/completions", "error"),
        ("/v1/responses?x=1", "error"),
        ("/v1/embeddings", "error"),
        ("/v1/rerank", "error"),
        ("/v1/score", "error"),
        ("/v1/audio/speech", "error"),
        ("/v1/messages", "type"),
        ("/v1/messages/count_tokens", "type"),
    ];
    let mut id = 0;
    for (path, field) in paths {
        for status in ["300", "301", "302", "303", "304", "307", "308"] {
            for (to, ending) in [
                (WEST, "body"),
                ("fallback/claude", "trailers"),
                (EU, "none"),
            ] {
                id += 1;
                let (stream, mut plugin) = attempt(&envoy, &guard, &mut worker, (id, to, None));
                let asked = [(":path", path), ("x-meridian-stream", "0")];
                stream.request(plugin.as_mut(), &mut worker, &asked, false);
                let head = [(":status", status), ("location", "https://elsewhere/")];
                stream.response(plugin.as_mut(), &mut worker, &head, ending == "none");
                let body = match ending {
                    "body" => {
                        stream.piece(plugin.as_mut(), &mut worker, Side::Response, "moved", false)
                    }
                    "trailers" => {
                        stream.trailers_come(Side::Response, &[("location", "https://elsewhere/")]);
                        plugin.on_response_trailers(&stream, &mut worker);
                        assert!(!stream.has_trailers(Side::Response), "{path}");
                        let reply = stream.reply.borrow().clone().unwrap();
                        assert_eq!(reply.status, 502, "{path} {status}");
                        Some(reply.body)
                    }
                    _ => None,
                };
                assert_eq!(
                    stream.value(Side::Response, ":status").as_deref(),
                    Some("502"),
                    "{path} {status}"
                );
                if let Some(body) = body {
                    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                    assert!(!body[field].is_null(), "{path}: {body}");
                    assert!(
                        body["error"]["message"]
                            .as_str()
                            .unwrap()
                            .contains("redirect"),
                        "{path}: {body}"
                    );
                }
            }
        }
    }
}
