//! Responses as real servers send them, and what the guard does with them.

use super::pieces::pieces;
use super::*;
use proptest::prelude::*;

const ROLE: &str = r#"data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}

"#;
const EMPTY: &str = r#"data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":null,"token_ids":null}]}

"#;
const WORD: &str = r#"data: {"choices":[{"index":0,"delta":{"content":"one "},"finish_reason":null}]}

"#;
const LAST: &str = r#"data: {"choices":[{"index":0,"delta":{"content":"."},"finish_reason":"stop"}]}

"#;
const USAGE: &str = r#"data: {"choices":[],"usage":{"prompt_tokens":8,"total_tokens":16,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4}}}

"#;
const DONE: &str = "data: [DONE]\n\n";
const ERROR: &str = r#"data: {"error":{"message":"queue is full","type":"ServiceUnavailable","param":null,"code":503}}

"#;

/// The caller's view of a response in pieces: its body, the first piece that releases a part, and the failure.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    body: String,
    released_at: Option<usize>,
    failure: Option<Failure>,
    broken: Option<Failure>,
    usage: Option<Usage>,
}

const EVENTS: &str = "text/event-stream";

fn judged<'p>(
    kind: ApiKind,
    content_type: &str,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Outcome {
    let mut judge = Judge::begin(
        kind,
        content_type.starts_with(EVENTS),
        &Head::of(200, content_type),
    )
    .unwrap();
    let pieces: Vec<&[u8]> = pieces.into_iter().collect();
    let all = pieces.concat();
    let mut outcome = Outcome::default();
    let mut body = Vec::new();
    let mut released = 0;
    for (index, piece) in pieces.iter().enumerate() {
        match judge.read(piece, index + 1 == pieces.len()) {
            Step::Hold => assert_eq!(outcome.released_at, None, "what is released stays so"),
            Step::Fail(failure) => {
                assert_eq!(outcome.released_at, None, "a part was released already");
                outcome.failure = Some(failure);
                break;
            }
            Step::Release(release) => {
                outcome.released_at.get_or_insert(index);
                let until = usize::try_from(release.until).unwrap();
                if until > released {
                    body.extend_from_slice(&all[released..until]);
                    released = until;
                }
                body.extend_from_slice(release.add.as_bytes());
                if release.broken.is_some() {
                    outcome.broken = release.broken;
                }
            }
        }
    }
    outcome.body = String::from_utf8(body).unwrap();
    outcome.usage = judge.usage();
    outcome
}

/// A stream of Chat Completions, event by event.
fn chat(events: &[&str]) -> Outcome {
    let pieces = events
        .iter()
        .map(|event| event.as_bytes())
        .chain([&b""[..]]);
    judged(ApiKind::Chat, "text/event-stream; charset=utf-8", pieces)
}

fn error(status: Option<u16>, message: &str) -> Option<Failure> {
    Some(Failure::Error {
        status,
        message: message.into(),
    })
}

#[test]
fn an_error_event_stands_alone_wherever_the_stream_breaks() {
    let long = format!("data: {}", "x".repeat(sse::MAX_EVENT_BYTES));
    for last in [long.as_str(), "data: {"] {
        let outcome = chat(&[ROLE, WORD, last]);
        assert_eq!(outcome.broken, Some(Failure::Incomplete));
        let events: Vec<&str> = outcome.body.trim_end().split("\n\n").collect();
        let error = Failure::Incomplete.event(ApiKind::Chat);
        assert_eq!(events.last(), Some(&error.trim_end()));
    }
}

#[test]
fn a_stream_is_released_from_its_first_content_on() {
    let events = [ROLE, EMPTY, WORD, WORD, LAST, USAGE, DONE];
    let outcome = chat(&events);
    assert_eq!(
        (outcome.body, outcome.released_at),
        (events.concat(), Some(2))
    );
    assert_eq!((outcome.failure, outcome.broken), (None, None));
    let usage = Usage {
        uncached: 8,
        completion: 7,
        cached: 4,
        ..Usage::default()
    };
    assert_eq!(outcome.usage, Some(usage));
    for first in [
        r#"{"reasoning":"hm"}"#,
        r#"{"reasoning_content":"hm"}"#,
        r#"{"tool_calls":[{"index":0,"function":{"name":"f"}}]}"#,
        r#"{"refusal":"no"}"#,
    ] {
        let first = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{first}}}]}}\n\n");
        assert_eq!(
            chat(&[ROLE, &first, LAST, DONE]).released_at,
            Some(1),
            "{first}"
        );
    }
    // The response has no content, and ends regularly.
    let nothing = LAST.replace('.', "");
    let outcome = chat(&[ROLE, &nothing, DONE]);
    assert_eq!((outcome.failure, outcome.released_at), (None, Some(3)));
}

#[test]
fn invalid_usage_does_not_invalidate_a_response() {
    for (event, usage) in [
        (
            r#"{"prompt_tokens":8,"input_tokens":8,"output_tokens":null,"completion_tokens":7,"input_tokens_details":null}"#,
            Some((8, 7)),
        ),
        (r#"{"input_tokens":3,"output_tokens":2}"#, Some((3, 2))),
        (r#"{"prompt_tokens":8.0}"#, None),
        (r#""none""#, None),
        ("null", None),
    ] {
        let chunk = format!("data: {{\"choices\":[],\"usage\":{event}}}\n\n");
        let whole = format!(r#"{{"choices":[{{"finish_reason":"stop"}}],"usage":{event}}}"#);
        let stream = chat(&[ROLE, WORD, LAST, &chunk, DONE]);
        let pieces = [whole.as_bytes(), b""];
        for outcome in [stream, judged(ApiKind::Chat, "application/json", pieces)] {
            assert_eq!((outcome.failure, outcome.broken), (None, None), "{event}");
            let tokens = outcome
                .usage
                .map(|usage| (usage.prompt(), usage.completion));
            assert_eq!(tokens, usage, "{event}");
        }
    }
}

#[test]
fn a_failure_before_the_first_content_fails_the_response() {
    assert_eq!(
        chat(&[ERROR, DONE]).failure,
        error(Some(503), "queue is full")
    );
    assert_eq!(
        chat(&[ROLE, ERROR]).failure,
        error(Some(503), "queue is full")
    );
    assert_eq!(
        chat(&["data: {\"error\":\"Unauthorized\"}\n\n"]).failure,
        error(None, "Unauthorized")
    );
    assert_eq!(chat(&[ROLE, DONE]).failure, Some(Failure::Incomplete));
    assert_eq!(chat(&[ROLE, EMPTY]).failure, Some(Failure::Incomplete));
    assert_eq!(chat(&[]).failure, Some(Failure::Incomplete));
    assert_eq!(
        chat(&[ROLE, "data: {\"choices\":[{\n\n"]).failure,
        Some(Failure::Malformed)
    );
    let abort = LAST.replace("\"stop\"", "\"abort\"");
    assert_eq!(chat(&[ROLE, &abort, DONE]).failure, Some(Failure::Aborted));
    // Content that was not released yet does not commit a response that fails.
    let all = [ROLE, WORD, ERROR].concat();
    assert_eq!(chat(&[&all]).failure, error(Some(503), "queue is full"));
}

#[test]
fn a_later_failure_is_an_error_event_without_a_regular_end() {
    let half = &WORD[..40];
    let unfinished = WORD.replace("\"finish_reason\":null", "\"finish_reason\":\"\"");
    for (rest, failure) in [
        (&[ERROR, WORD, DONE][..], error(Some(503), "queue is full")),
        (
            &["data: {\"choices\":[{\n\n", WORD, DONE],
            Some(Failure::Malformed),
        ),
        (&[DONE], Some(Failure::Incomplete)),
        (&[&unfinished], Some(Failure::Incomplete)),
        (&[half], Some(Failure::Incomplete)),
        (&[], Some(Failure::Incomplete)),
    ] {
        let events = [&[ROLE, WORD], rest].concat();
        let outcome = chat(&events);
        assert_eq!(
            (outcome.failure, &outcome.broken),
            (None, &failure),
            "{rest:?}"
        );
        let event = failure.unwrap().event(ApiKind::Chat);
        let passes = if *rest == [&unfinished] {
            &unfinished
        } else {
            ""
        };
        assert_eq!(
            outcome.body,
            [ROLE, WORD, passes, &event].concat(),
            "{rest:?}"
        );
    }
}

#[test]
fn a_missing_last_event_is_added() {
    let outcome = chat(&[ROLE, WORD, LAST]);
    assert_eq!(
        (outcome.body, outcome.broken),
        ([ROLE, WORD, LAST, DONE].concat(), None)
    );
    // One of two choices is complete.
    let second = WORD.replace("\"index\":0", "\"index\":1");
    let outcome = chat(&[ROLE, WORD, &second, LAST]);
    assert_eq!(outcome.broken, Some(Failure::Incomplete));
}

#[test]
fn events_of_any_size_pass() {
    let long = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "x".repeat(300_000)
    );
    let (one, other) = long.split_at(100_000);
    let outcome = chat(&[ROLE, one, other, LAST, DONE]);
    assert_eq!(outcome.body, [ROLE, &long, LAST, DONE].concat());
    assert_eq!(outcome.released_at, Some(2));
    // A long stream of comments without content.
    let comments = ": keep-alive\n\n".repeat(30_000);
    assert_eq!(chat(&[&comments, "data"]).released_at, Some(0));
}

#[test]
fn large_events_are_judged() {
    let text = "x".repeat(100_000);
    let finished = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":\"stop\"}}]}}\n\n"
    );
    let outcome = chat(&[ROLE, WORD, &finished, DONE]);
    assert_eq!(
        (outcome.failure, outcome.broken),
        (None, None),
        "the last chunk has content"
    );
    let aborted = finished.replace("stop", "abort");
    assert_eq!(
        chat(&[ROLE, &aborted, DONE]).failure,
        Some(Failure::Aborted)
    );
    let late = chat(&[ROLE, WORD, &aborted, DONE]);
    assert_eq!(late.broken, Some(Failure::Aborted));
    assert!(late.body.len() < 2000, "the large event stays behind");

    let delta = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n";
    let responses = |events: &[&str]| {
        judged(
            ApiKind::Responses,
            EVENTS,
            events.iter().map(|event| event.as_bytes()),
        )
    };
    let created = format!(
        "event: response.created\ndata: {{\"type\":\"response.created\",\"response\":{{\"instructions\":\"{text}\"}}}}\n\n"
    );
    let whole = format!(
        "event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{{\"output\":[{{\"text\":\"{text}\"}}],\"usage\":{{\"input_tokens\":3,\"output_tokens\":4}}}}}}\n\n"
    );
    let outcome = responses(&[&created, delta, &whole]);
    assert_eq!((outcome.failure, &outcome.broken), (None, &None));
    assert_eq!(
        outcome.released_at,
        Some(1),
        "what repeats the request is no content"
    );
    assert_eq!(outcome.usage.map(|usage| usage.completion), Some(4));
    let failed = whole.replace("response.completed", "response.failed");
    assert!(responses(&[&created, &failed]).failure.is_some());
}

#[test]
fn what_keeps_a_stream_alive_is_neither_content_nor_failure() {
    let ping = "event: ping\ndata: {}\n\n: keep-alive\n\n";
    for kind in [
        ApiKind::Chat,
        ApiKind::Completions,
        ApiKind::Messages,
        ApiKind::Responses,
    ] {
        let pieces = [ping, ping].map(str::as_bytes);
        let outcome = judged(kind, EVENTS, pieces);
        assert_eq!(outcome.failure, Some(Failure::Incomplete), "{kind:?}");
        assert_eq!(outcome.released_at, None, "{kind:?}");
    }
    let outcome = chat(&[ping, ROLE, ping, WORD, ping, LAST, ping, DONE]);
    assert_eq!((outcome.failure, outcome.broken), (None, None));
    let bare = "data: {\"error\":{\"message\":\"no room\",\"code\":503}}\n\n";
    for kind in [ApiKind::Messages, ApiKind::Responses] {
        let outcome = judged(kind, EVENTS, [ping.as_bytes(), bare.as_bytes()]);
        assert_eq!(outcome.failure, error(Some(503), "no room"), "{kind:?}");
    }
}

#[test]
fn anthropic_s_stream() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1,\"cache_read_input_tokens\":3}}}\n\n";
    let block = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    let word = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"one\"}}\n\n";
    let end = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\n";
    let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let overloaded = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let messages = |events: &[&str]| {
        let pieces = events
            .iter()
            .map(|event| event.as_bytes())
            .chain([&b""[..]]);
        judged(ApiKind::Messages, "text/event-stream", pieces)
    };
    let whole = messages(&[start, block, ping, word, end, stop]);
    assert_eq!((whole.released_at, whole.broken), (Some(3), None));
    let usage = Usage {
        uncached: 9,
        cache_read: 3,
        completion: 5,
        cached: 3,
        ..Usage::default()
    };
    assert_eq!(whole.usage, Some(usage));
    assert_eq!(
        messages(&[start, block, overloaded]).failure,
        error(Some(503), "Overloaded")
    );
    assert_eq!(messages(&[start, ping]).failure, Some(Failure::Incomplete));
    let late = messages(&[start, word, overloaded, stop]);
    let started = [start, word, "event: error\ndata: "].concat();
    let event = late.body.strip_prefix(&started).unwrap();
    assert!(
        event.contains("overloaded_error") && event.contains("Overloaded"),
        "{event}"
    );
    assert!(!event.contains("message_stop"));
    assert!(messages(&[start, word, end]).body.ends_with(stop));
    let cut = messages(&[start, word]);
    assert!(
        cut.body.contains("event: error") && !cut.body.contains("message_stop"),
        "{}",
        cut.body
    );
    let tool = "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"name\":\"f\"}}\n\n";
    assert_eq!(messages(&[start, tool, end, stop]).released_at, Some(1));
}

#[test]
fn the_responses_api_s_stream() {
    let created = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\"}}\n\n";
    let item = "data: {\"type\":\"response.output_item.added\",\"item\":{}}\n\n";
    let word = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"one\"}\n\n";
    let end = "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":4,\"input_tokens_details\":{\"cached_tokens\":1}}}}\n\n";
    let failed = "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"oops\"}}}\n\n";
    let responses = |events: &[&str]| {
        let pieces = events
            .iter()
            .map(|event| event.as_bytes())
            .chain([&b""[..]]);
        judged(ApiKind::Responses, "text/event-stream", pieces)
    };
    let whole = responses(&[created, item, word, end]);
    assert_eq!((whole.released_at, &whole.broken), (Some(2), &None));
    assert_eq!(whole.body, [created, item, word, end].concat());
    assert_eq!(whole.usage.unwrap().completion, 4);
    assert_eq!(responses(&[created, failed]).failure, error(None, "oops"));
    let error_event = "data: {\"type\":\"error\",\"code\":\"429\",\"message\":\"slow down\"}\n\n";
    assert_eq!(
        responses(&[created, error_event]).failure,
        error(Some(429), "slow down")
    );
    assert_eq!(
        responses(&[created, word]).broken,
        Some(Failure::Incomplete)
    );
}

fn whole(kind: ApiKind, body: &str) -> Outcome {
    judged(kind, "application/json", [body.as_bytes(), b""])
}

#[test]
fn unstreamed_chats_and_completions() {
    let fine = r#"{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":2}}"#;
    let outcome = whole(ApiKind::Chat, fine);
    assert_eq!((outcome.body.as_str(), outcome.failure), (fine, None));
    assert_eq!(outcome.usage.unwrap().prompt(), 8);
    let cases = [
        (
            ApiKind::Chat,
            r#"{"choices":[{"message":{"content":""},"finish_reason":"abort"}]}"#,
            Some(Failure::Aborted),
        ),
        (
            ApiKind::Chat,
            r#"{"error":{"message":"no","code":500}}"#,
            error(Some(500), "no"),
        ),
        (
            ApiKind::Chat,
            r#"{"error":"Unauthorized"}"#,
            error(None, "Unauthorized"),
        ),
        (
            ApiKind::Chat,
            r#"{"choices":[]}"#,
            Some(Failure::Incomplete),
        ),
        (ApiKind::Completions, "", Some(Failure::Incomplete)),
        (ApiKind::Completions, "<html>", Some(Failure::Malformed)),
        (
            ApiKind::Completions,
            r#"{"choices":[{"text":"x","finish_reason":"length"}]}"#,
            None,
        ),
    ];
    for (kind, body, failure) in cases {
        assert_eq!(whole(kind, body).failure, failure, "{body}");
    }
}

#[test]
fn unstreamed_responses_of_other_apis() {
    let cases = [
        (
            ApiKind::Embeddings,
            r#"{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":3}}"#,
            None,
        ),
        (
            ApiKind::Embeddings,
            r#"{"data":[]}"#,
            Some(Failure::Incomplete),
        ),
        (
            ApiKind::Messages,
            r#"{"content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn"}"#,
            None,
        ),
        (
            ApiKind::Messages,
            r#"{"content":[],"stop_reason":"abort"}"#,
            Some(Failure::Aborted),
        ),
        (
            ApiKind::Responses,
            r#"{"output":[],"status":"completed"}"#,
            None,
        ),
        (
            ApiKind::Responses,
            r#"{"output":[],"status":"failed"}"#,
            Some(Failure::Aborted),
        ),
    ];
    for (kind, body, failure) in cases {
        assert_eq!(whole(kind, body).failure, failure, "{body}");
    }
}

#[test]
fn what_is_no_response_of_the_api_fails() {
    let whole = br#"{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}"#;
    let heads = [
        (200, "text/html"),
        (200, "text/plain"),
        (200, "application/xml"),
        (200, "application/problem+json"),
        (200, ""),
        (201, "application/json"),
        (202, "application/json"),
        (204, ""),
        (206, EVENTS),
    ];
    for streamed in [false, true] {
        for (status, content_type) in heads {
            let mut judge =
                Judge::begin(ApiKind::Chat, streamed, &Head::of(status, content_type)).unwrap();
            let step = judge.read(whole, false);
            assert_eq!(
                step,
                Step::Fail(Failure::Malformed),
                "{status} {content_type}"
            );
        }
        let other = if streamed { "application/json" } else { EVENTS };
        let mut judge = Judge::begin(ApiKind::Chat, streamed, &Head::of(200, other)).unwrap();
        assert_eq!(
            judge.read(whole, true),
            Step::Fail(Failure::Malformed),
            "{other}"
        );
        let encoded = Head {
            content_encoding: "br",
            ..Head::of(200, "application/json")
        };
        let mut judge = Judge::begin(ApiKind::Chat, streamed, &encoded).unwrap();
        assert_eq!(judge.read(whole, true), Step::Fail(Failure::Malformed));
    }
    // An error in the other form is still read.
    let mut judge = Judge::begin(ApiKind::Chat, true, &Head::of(200, "application/json")).unwrap();
    let step = judge.read(br#"{"error":{"message":"no room","code":429}}"#, true);
    assert!(matches!(step, Step::Fail(failure) if failure.status() == 429));
}

#[test]
fn a_response_above_the_hold_limit_passes_as_it_arrives() {
    let large = format!("{{\"data\":[{}0]}}", "0,".repeat(1_000_000));
    let pieces = large.as_bytes().chunks(16_384).chain([&b""[..]]);
    let outcome = judged(ApiKind::Embeddings, "application/json", pieces);
    assert_eq!(
        (outcome.body.len(), outcome.released_at),
        (large.len(), Some(HOLD_LIMIT / 16_384))
    );
}

#[test]
fn a_redirect_fails_on_every_api() {
    let kinds = [Some(ApiKind::Chat), Some(ApiKind::Messages), None];
    for kind in kinds {
        for status in [300, 301, 302, 303, 304, 307, 308, 399] {
            for streamed in [false, true] {
                let head = Head::of(status, "application/json");
                let mut judge = Judge::begin(kind, streamed, &head).unwrap();
                assert!(judge.is_redirect(), "{kind:?} {status}");
                let step = judge.read(b"", true);
                assert_eq!(step, Step::Fail(Failure::Redirect), "{kind:?} {status}");
            }
        }
    }
    for status in [200, 201, 206] {
        let head = Head::of(status, "audio/mpeg");
        assert!(Judge::begin(None, false, &head).is_none(), "{status}");
    }
}

#[test]
fn responses_that_are_not_validated() {
    for status in [400, 404, 429, 500, 503, 599] {
        let head = Head::of(status, "text/html");
        assert!(
            Judge::begin(ApiKind::Chat, true, &head).is_none(),
            "{status}"
        );
    }
    assert_eq!(ApiKind::of("/v1/audio/speech"), None);
    assert_eq!(
        ApiKind::of("/v1/messages?beta=true"),
        Some(ApiKind::Messages)
    );
}

#[test]
fn a_failure_has_the_reported_status() {
    let status = |status| error(status, "").unwrap().status();
    assert_eq!(
        (
            status(Some(503)),
            status(Some(400)),
            status(Some(200)),
            status(None)
        ),
        (503, 400, 502, 502)
    );
    assert!(error(Some(400), "").unwrap().is_request_error());
    assert!(!error(Some(429), "").unwrap().is_request_error());
    assert!(!Failure::Aborted.is_request_error());
}

fn any_events() -> impl Strategy<Value = String> {
    let event = prop::sample::select(vec![
        ROLE,
        EMPTY,
        WORD,
        LAST,
        USAGE,
        DONE,
        ERROR,
        ": c\n\n",
        "data: {\n\n",
        "data: {\"cho",
    ]);
    prop::collection::vec(event, 0..12).prop_map(|events| events.concat())
}

proptest! {
    #[test]
    fn a_broken_stream_never_looks_complete(stream in any_events(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let pieces = pieces(stream.as_bytes(), &cuts);
        let outcome = judged(ApiKind::Chat, "text/event-stream", pieces);
        let at_once = judged(ApiKind::Chat, "text/event-stream", [stream.as_bytes()]);
        let fine = at_once.failure.is_none() && at_once.broken.is_none();
        if fine {
            prop_assert!(outcome.body.starts_with(&stream), "it is the server's, byte by byte");
            prop_assert!(outcome.body.contains("\"stop\"") && outcome.body.contains("[DONE]"));
            prop_assert_eq!(outcome.usage, at_once.usage);
        } else if let Some(broken) = &outcome.broken {
            prop_assert!(outcome.body.ends_with(&broken.event(ApiKind::Chat)));
        } else {
            prop_assert!(outcome.failure.is_some() && outcome.body.is_empty());
        }
    }

    #[test]
    fn any_bytes_are_validated(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8), kind in 0..5usize, stream in any::<bool>(),
    ) {
        let kind = [ApiKind::Chat, ApiKind::Completions, ApiKind::Responses, ApiKind::Embeddings, ApiKind::Messages][kind];
        let content_type = if stream { "text/event-stream" } else { "application/json" };
        let mut judge = Judge::begin(kind, stream, &Head::of(200, content_type)).unwrap();
        let last = pieces.len() - 1;
        for (index, piece) in pieces.iter().enumerate() {
            if let Step::Fail(failure) = judge.read(piece, index == last) {
                prop_assert!(!failure.body(kind.shape()).is_empty());
                break;
            }
        }
    }
}
