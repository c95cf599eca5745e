//! Streams, in whatever pieces they come.

use super::*;
use crate::guard::tests::pieces;
use crate::guard::{Judge, Kind, Release, Step};

fn events(all: &[Value]) -> String {
    let event = |data: &Value| {
        format!(
            "event: {}\ndata: {data}\n\n",
            data["type"].as_str().unwrap()
        )
    };
    all.iter().map(event).collect()
}

fn start() -> Value {
    json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
            "content": [], "stop_reason": null, "usage": { "input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1 } } })
}

fn block(index: u32, block: Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn delta(index: u32, delta: Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

fn stop(index: u32) -> Value {
    json!({ "type": "content_block_stop", "index": index })
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": { "output_tokens": 9 } }),
        json!({ "type": "message_stop" }),
    ]
}

/// An answer with thoughts, a text and two calls.
fn whole() -> String {
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
    let mut stream = Stream::new(5, include_usage);
    pieces.into_iter().map(|piece| stream.read(piece)).collect()
}

/// The data of events, `[DONE]` as a string.
fn chunks(text: &str) -> Vec<Value> {
    let events = text.split_terminator("\n\n");
    let data = events.map(|event| event.strip_prefix("data: ").unwrap());
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
        .collect()
}

#[test]
fn a_stream_of_claude_s_becomes_one_of_openai_s() {
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
    // Without usage no chunk has any.
    assert!(!translated([whole().as_bytes()], false).contains("usage"));
}

#[test]
fn a_stream_that_fails_does_not_end_like_a_whole_one() {
    let begun = [
        start(),
        delta(0, json!({ "type": "text_delta", "text": "one" })),
    ];
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let failing = [&begun[..], &[error], &end("end_turn")].concat();
    let unreadable = events(&begun) + "data: {\"type\":\n\n" + &events(&end("end_turn"));
    for (text, code) in [(events(&failing), 503), (unreadable, 500)] {
        let chunks = chunks(&translated([text.as_bytes()], true));
        assert_eq!(chunks.len(), 3, "{chunks:?}");
        assert_eq!(chunks[2]["error"]["code"], code);
    }
    let cut = translated([events(&begun).as_bytes()], true);
    assert!(!cut.contains("DONE") && !cut.contains("finish_reason\":\""));
}

/// What the guard of the chain, which sees what the translation makes, says of it.
fn judged(text: &str) -> (bool, bool) {
    let mut judge = Judge::begin(Kind::Chat, 200, "text/event-stream").unwrap();
    match judge.read(text.as_bytes(), true) {
        Step::Release(Release { broken, add, .. }) => (broken.is_none(), add.is_empty()),
        Step::Hold | Step::Fail(_) => (false, true),
    }
}

#[test]
fn the_guard_takes_whole_answers_for_whole_and_no_others() {
    let text = whole();
    assert_eq!(judged(&translated([text.as_bytes()], true)), (true, true));
    let cut = text.find("message_delta").unwrap();
    assert_eq!(
        judged(&translated([&text.as_bytes()[..cut]], true)),
        (false, true)
    );
}

#[test]
fn every_cut_into_two_gives_the_same() {
    let text = whole();
    let expect = translated([text.as_bytes()], true);
    for at in 0..=text.len() {
        let (one, other) = text.as_bytes().split_at(at);
        assert_eq!(translated([one, other], true), expect, "cut at {at}");
    }
}

proptest! {
    #[test]
    fn cuts_make_no_difference(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let text = whole();
        prop_assert_eq!(translated(pieces(text.as_bytes(), &cuts), true), translated([text.as_bytes()], true));
    }
}
