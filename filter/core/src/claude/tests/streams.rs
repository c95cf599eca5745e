//! Streams, cut into pieces at any place.

use super::*;
use crate::claude::chat::Chat;
use crate::claude::stream::Translator;
use crate::guard::pieces::pieces;
use crate::guard::{ApiKind, Head, Judge, Release, Step};
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meridian_policy::egress_policy::ClaudeHost;

pub(super) fn events(all: &[Value]) -> String {
    let event = |data: &Value| {
        format!(
            "event: {}\ndata: {data}\n\n",
            data["type"].as_str().unwrap()
        )
    };
    all.iter().map(event).collect()
}

pub(super) fn start() -> Value {
    json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
            "content": [], "stop_reason": null, "usage": { "input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1 } } })
}

pub(super) fn block(index: u32, block: Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

pub(super) fn delta(index: u32, delta: Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

pub(super) fn stop(index: u32) -> Value {
    json!({ "type": "content_block_stop", "index": index })
}

pub(super) fn end(reason: &str) -> [Value; 2] {
    [
        json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": { "output_tokens": 9 } }),
        json!({ "type": "message_stop" }),
    ]
}

/// A response with thinking, a text and two tool calls.
pub(super) fn whole() -> String {
    let mut all = vec![
        start(),
        block(
            0,
            json!({ "type": "thinking", "thinking": "", "signature": "" }),
        ),
        delta(0, json!({ "type": "thinking_delta", "thinking": "hm" })),
        delta(0, json!({ "type": "signature_delta", "signature": "x" })),
        stop(0),
        json!({ "type": "ping" }),
        block(1, json!({ "type": "text", "text": "" })),
        delta(1, json!({ "type": "text_delta", "text": "hello" })),
        delta(1, json!({ "type": "text_delta", "text": " w\u{f6}rld" })),
        stop(1),
        block(
            2,
            json!({ "type": "tool_use", "id": "a", "name": "f", "input": {} }),
        ),
        delta(2, json!({ "type": "input_json_delta", "partial_json": "" })),
        delta(
            2,
            json!({ "type": "input_json_delta", "partial_json": "{\"a\":" }),
        ),
        delta(
            2,
            json!({ "type": "input_json_delta", "partial_json": "1}" }),
        ),
        stop(2),
        block(
            3,
            json!({ "type": "tool_use", "id": "b", "name": "g", "input": {} }),
        ),
        stop(3),
        json!({ "type": "newer_than_this", "x": 1 }),
    ];
    all.extend(end("tool_use"));
    events(&all)
}

pub(super) fn translated<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    include_usage: bool,
) -> String {
    passed(
        ClaudeHost::Anthropic,
        Some(Translator::Chat(Chat::new(5, include_usage))),
        pieces,
    )
    .0
}

/// The text for the caller, and the usage.
pub(super) fn passed<'p>(
    host: ClaudeHost,
    translator: Option<Translator>,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (String, Usage) {
    let mut stream = Stream::new(host, translator);
    let mut all = Vec::new();
    for piece in pieces {
        all.extend_from_slice(&stream.read(piece));
    }
    (String::from_utf8_lossy(&all).into_owned(), stream.usage())
}

/// The data of each event, with `[DONE]` as a string.
fn chunks(text: &str) -> Vec<Value> {
    let events = text.split_terminator("\n\n");
    let data = events.map(|event| event.strip_prefix("data: ").unwrap());
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
        .collect()
}

#[test]
fn a_stream_is_translated() {
    let chunks = chunks(&translated([whole().as_bytes()], true));
    let (last, chunks) = chunks.split_last().unwrap();
    assert_eq!(last, "[DONE]");
    let (usage, chunks) = chunks.split_last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(
        usage["usage"],
        json!({ "prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16, "prompt_tokens_details": { "cached_tokens": 4 } })
    );
    for chunk in chunks {
        assert_eq!(
            (
                &chunk["id"],
                &chunk["model"],
                &chunk["created"],
                &chunk["usage"]
            ),
            (&json!("msg_1"), &json!("claude-x"), &json!(5), &Value::Null)
        );
    }
    let call = |index: u32, call: Value| {
        let mut call = call;
        call["index"] = json!(index);
        json!({ "tool_calls": [call] })
    };
    let begins = |id: &str, name: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": "" } });
    let goes_on = |arguments: &str| json!({ "function": { "arguments": arguments } });
    let deltas: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"])
        .collect();
    assert_eq!(
        deltas,
        [
            &json!({ "role": "assistant", "content": "" }),
            &json!({ "reasoning_content": "hm" }),
            &json!({ "content": "hello" }),
            &json!({ "content": " w\u{f6}rld" }),
            &call(0, begins("a", "f")),
            &call(0, goes_on("{\"a\":")),
            &call(0, goes_on("1}")),
            &call(1, begins("b", "g")),
            &call(1, goes_on("{}")),
            &json!({}),
        ]
    );
    let finished: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["finish_reason"])
        .collect();
    assert_eq!(finished.last(), Some(&&json!("tool_calls")));
    assert!(
        finished[..finished.len() - 1]
            .iter()
            .all(|reason| reason.is_null())
    );
    // Without `include_usage` no chunk has usage.
    assert!(!translated([whole().as_bytes()], false).contains("usage"));
}

#[test]
fn a_failed_stream_has_no_regular_end() {
    let started = [
        start(),
        delta(0, json!({ "type": "text_delta", "text": "one" })),
    ];
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let failing = [&started[..], &[error], &end("end_turn")].concat();
    let unreadable = events(&started) + "data: {\"type\":\n\n" + &events(&end("end_turn"));
    for (text, code) in [(events(&failing), 503), (unreadable, 500)] {
        let chunks = chunks(&translated([text.as_bytes()], true));
        assert_eq!(chunks.len(), 3, "{chunks:?}");
        assert_eq!(chunks[2]["error"]["code"], code);
    }
    let cut = translated([events(&started).as_bytes()], true);
    assert!(!cut.contains("DONE") && !cut.contains("finish_reason\":\""));
}

/// Whether the guard of the chain finds a translated stream valid, and whether the stream has its end.
fn judged(text: &str) -> (bool, bool) {
    let mut judge = Judge::begin(ApiKind::Chat, true, &Head::of(200, "text/event-stream")).unwrap();
    match judge.read(text.as_bytes(), true) {
        Step::Release(Release { broken, add, .. }) => (broken.is_none(), add.is_empty()),
        Step::Hold | Step::Fail(_) => (false, true),
    }
}

#[test]
fn the_guard_accepts_complete_translated_streams_only() {
    let text = whole();
    assert_eq!(judged(&translated([text.as_bytes()], true)), (true, true));
    let cut = text.find("message_delta").unwrap();
    assert_eq!(
        judged(&translated([&text.as_bytes()[..cut]], true)),
        (false, true)
    );
}

#[test]
fn any_two_pieces_give_the_same_stream() {
    let text = whole();
    let expect = translated([text.as_bytes()], true);
    for at in 0..=text.len() {
        let (one, other) = text.as_bytes().split_at(at);
        assert_eq!(translated([one, other], true), expect, "cut at {at}");
    }
}

proptest! {
    #[test]
    fn any_pieces_give_the_same_stream(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let text = whole();
        prop_assert_eq!(translated(pieces(text.as_bytes(), &cuts), true), translated([text.as_bytes()], true));
    }
}

#[test]
fn usage_is_read_from_untranslated_streams() {
    let text = whole();
    let (passed, usage) = passed(ClaudeHost::Vertex, None, [text.as_bytes()]);
    assert_eq!(passed, text);
    let expect = Usage {
        input_tokens: Some(3),
        cache_read_input_tokens: Some(4),
        output_tokens: Some(9),
        ..Usage::default()
    };
    assert_eq!(usage, expect);
}

#[test]
fn usage_of_an_interrupted_stream_is_estimated() {
    let long = "x".repeat(3000);
    let started = events(&[
        start(),
        delta(0, json!({ "type": "text_delta", "text": long })),
    ]);
    for chat in [None, Some(Translator::Chat(Chat::new(5, false)))] {
        let (_, usage) = passed(ClaudeHost::Anthropic, chat, [started.as_bytes()]);
        assert_eq!(usage.input_tokens, Some(3));
        let output = usage.output_tokens.unwrap();
        assert!((1000..1100).contains(&output), "{output}");
    }
}

#[test]
fn a_second_message_start_keeps_the_usage() {
    let mut again = start();
    again["message"].as_object_mut().unwrap().remove("usage");
    let text = events(&[start(), again]);
    for chat in [None, Some(Translator::Chat(Chat::new(5, false)))] {
        let (_, usage) = passed(ClaudeHost::Anthropic, chat, [text.as_bytes()]);
        assert_eq!(usage.cache_read_input_tokens, Some(4));
    }
}

/// A frame of AWS's event stream.
fn frame(headers: &[(&'static str, &str)], payload: &str) -> Vec<u8> {
    let mut message = Message::new(payload.as_bytes().to_vec());
    for (name, value) in headers {
        let value = HeaderValue::String((*value).to_owned().into());
        message = message.add_header(Header::new(*name, value));
    }
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}

/// A frame that holds an event of the Messages API.
fn chunk(data: &str) -> Vec<u8> {
    let payload = json!({ "bytes": STANDARD.encode(data), "p": "abcd" }).to_string();
    frame(
        &[
            (":event-type", "chunk"),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ],
        &payload,
    )
}

/// A stream of server-sent events in frames.
fn framed(text: &str) -> Vec<u8> {
    let events = text.split_terminator("\n\n");
    let data = events.map(|event| event.split_once("\ndata: ").unwrap().1);
    data.flat_map(chunk).collect()
}

#[test]
fn frames_are_translated_into_events() {
    let (text, frames) = (whole(), framed(&whole()));
    let (seen, usage) = passed(ClaudeHost::Bedrock, None, [frames.as_slice()]);
    assert_eq!(seen, text);
    assert_eq!(usage.output_tokens, Some(9));
    let chat = || Some(Translator::Chat(Chat::new(5, true)));
    let (chunks, _) = passed(ClaudeHost::Bedrock, chat(), [frames.as_slice()]);
    assert_eq!(chunks, translated([text.as_bytes()], true));
    for at in 0..=frames.len() {
        let (one, other) = frames.split_at(at);
        let (cut, _) = passed(ClaudeHost::Bedrock, chat(), [one, other]);
        assert_eq!(cut, chunks, "cut at {at}");
    }
    // An unknown type of event is ignored, and an event may have line breaks.
    let newer = frame(
        &[(":message-type", "event"), (":event-type", "newer")],
        "{}",
    );
    let lines = chunk("{\n\"type\":\"ping\"\r\n}");
    let untyped = chunk("{\"x\":1}");
    let (seen, _) = passed(
        ClaudeHost::Bedrock,
        None,
        [&[newer, untyped, lines].concat()[..]],
    );
    assert_eq!(seen, "event: ping\ndata: { \"type\":\"ping\"  }\n\n");
}

/// Frames that end a stream, with the codes of their errors.
fn invalid_frames() -> Vec<(Vec<u8>, u16)> {
    let exception = |name| {
        frame(
            &[(":message-type", "exception"), (":exception-type", name)],
            r#"{"message":"account 1234"}"#,
        )
    };
    let error = frame(
        &[
            (":message-type", "error"),
            (":error-code", "internalServerException"),
            (":error-message", "oh"),
        ],
        "",
    );
    // A wrong bit in the payload, the prelude or the checksum, and invalid lengths.
    let wrong = |at: usize| {
        let mut frame = chunk(r#"{"type":"ping"}"#);
        frame[at] ^= 1;
        frame
    };
    let last = chunk(r#"{"type":"ping"}"#).len() - 1;
    vec![
        (exception("throttlingException"), 429),
        (exception("modelStreamErrorException"), 500),
        (exception("serviceUnavailableException"), 503),
        (exception("modelTimeoutException"), 504),
        (exception("newerException"), 500),
        (error, 500),
        (wrong(60), 500),
        (wrong(9), 500),
        (wrong(last), 500),
        (vec![0xff; 16], 500),
        (vec![0; 16], 500),
        (chunk("no JSON"), 500),
        (chunk(r#"{"type":"a\nb"}"#), 500),
        (frame(&[], "{}"), 500),
        (
            frame(
                &[(":message-type", "event"), (":event-type", "chunk")],
                "{\"bytes\":\"%\"}",
            ),
            500,
        ),
    ]
}

#[test]
fn an_invalid_frame_ends_the_stream_with_an_error() {
    let started = framed(&events(&[
        start(),
        delta(0, json!({ "type": "text_delta", "text": "one" })),
    ]));
    let after = framed(&events(&end("end_turn")));
    for (bad, code) in invalid_frames() {
        let stream = [started.clone(), bad.clone(), after.clone()].concat();
        let (seen, _) = passed(
            ClaudeHost::Bedrock,
            Some(Translator::Chat(Chat::new(5, true))),
            [&stream[..]],
        );
        let chunks = chunks(&seen);
        assert_eq!(chunks.len(), 3, "{bad:?} {chunks:?}");
        assert_eq!(chunks[2]["error"]["code"], code, "{bad:?}");
        assert!(!seen.contains("1234"));
        let (native, _) = passed(ClaudeHost::Bedrock, None, [&stream[..]]);
        assert_eq!(native.matches("event: ").count(), 3, "{native}");
        assert!(
            native.contains("event: error\ndata: {\"error\":{\"message\":"),
            "{native}"
        );
    }
}

proptest! {
    #[test]
    fn any_pieces_of_frames_give_the_same_stream(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let frames = framed(&whole());
        let (seen, usage) = passed(ClaudeHost::Bedrock, None, pieces(&frames, &cuts));
        prop_assert_eq!(seen, whole());
        prop_assert_eq!(usage.output_tokens, Some(9));
    }

    #[test]
    fn any_bytes_in_frames_are_read(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8), data in ".{0,40}") {
        let frames = [chunk(&data), pieces.concat()].concat();
        let _ = passed(ClaudeHost::Bedrock, Some(Translator::Chat(Chat::new(5, true))), [&frames[..]]);
    }
}
