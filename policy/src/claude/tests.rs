use super::*;
use crate::guard::tests::pieces;
use crate::guard::{Judge, Kind, Release, Step};
use proptest::prelude::*;
use serde_json::{Value, json};

fn claude() -> Claude {
    Claude {
        host: Host::Anthropic,
        model: "claude-x".into(),
        max_tokens: 4096,
        inference_geo: None,
    }
}

/// A chat of one question, with these fields more.
fn chat(more: Value) -> Value {
    let mut body = json!({ "model": "llama", "messages": [{ "role": "user", "content": "hi" }] });
    let Value::Object(more) = more else {
        panic!("fields")
    };
    body.as_object_mut().unwrap().extend(more);
    body
}

fn asked(body: &Value) -> Result<Asked, Refused> {
    request(body.to_string().as_bytes(), &claude())
}

/// What these fields become, beside what every request has.
fn check(fields: Value, expect: Value) {
    let body = chat(fields);
    let asked = asked(&body).unwrap_or_else(|refused| panic!("{body}: {refused}"));
    let mut made = asked.body;
    for (field, usual) in [
        ("max_tokens", json!(4096)),
        (
            "messages",
            json!([{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }]),
        ),
    ] {
        if made.get(field) == Some(&usual) {
            made.remove(field);
        }
    }
    assert_eq!(Value::Object(made), expect, "{body}");
}

/// What these messages become.
fn said(messages: Value, expect: Value) {
    check(json!({ "messages": messages }), expect);
}

fn refused(fields: Value, param: &str, says: &str) {
    let body = chat(fields);
    let refused = asked(&body).expect_err(&body.to_string());
    assert_eq!(refused.param, param, "{body}");
    assert!(refused.message.contains(says), "{refused}");
}

#[test]
fn a_chat_becomes_a_message() {
    check(json!({}), json!({}));
    check(json!({ "max_tokens": 7 }), json!({ "max_tokens": 7 }));
    check(
        json!({ "max_tokens": 7, "max_completion_tokens": 8 }),
        json!({ "max_tokens": 8 }),
    );
    check(json!({ "stream": true }), json!({ "stream": true }));
    check(json!({ "stop": "x" }), json!({ "stop_sequences": ["x"] }));
    check(
        json!({ "stop": ["x", "y"] }),
        json!({ "stop_sequences": ["x", "y"] }),
    );
    check(json!({ "stop": null, "n": null, "tools": null }), json!({}));
    // Hints, and what asks for nothing.
    check(
        json!({ "temperature": 1.5, "top_p": 0.9, "top_k": 5, "seed": 1, "user": "u", "presence_penalty": 1, "n": 1,
                "logprobs": false, "logit_bias": {}, "modalities": ["text"], "prompt_cache_key": "k", "store": true }),
        json!({}),
    );
    check(json!({ "response_format": { "type": "text" } }), json!({}));
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "additionalProperties": false });
    check(
        json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "n", "strict": true, "schema": schema } } }),
        json!({ "output_config": { "format": { "type": "json_schema", "schema": schema } } }),
    );
}

/// Where a body goes, with which version in a header, and as what.
fn addressed(
    claude: &Claude,
    body: Value,
    path: &str,
    version: Option<&str>,
) -> (String, Option<String>, Value) {
    let body = object(body.to_string().as_bytes()).unwrap();
    let Addressed {
        path,
        version,
        body,
    } = claude.address(body, path, version);
    (path, version, serde_json::from_str(&body).unwrap())
}

#[test]
fn anthropic_is_told_the_model_in_the_body() {
    let body = json!({ "model": "llama", "inference_geo": "global", "x": 1 });
    assert_eq!(
        addressed(&claude(), body.clone(), MESSAGES, None),
        (
            MESSAGES.into(),
            Some("2026-10-21".into()),
            json!({ "model": "claude-x", "x": 1 })
        )
    );
    let in_the_us = Claude {
        inference_geo: Some("us".into()),
        ..claude()
    };
    assert_eq!(
        addressed(&in_the_us, body, COUNT_TOKENS, Some("2023-06-01")),
        (
            COUNT_TOKENS.into(),
            Some("2023-06-01".into()),
            json!({ "model": "claude-x", "inference_geo": "us", "x": 1 })
        )
    );
}

#[test]
fn vertex_is_told_the_model_in_the_path() {
    let vertex = Claude {
        host: Host::Vertex,
        ..claude()
    };
    let version = "2026-10-21";
    for (body, path, goes_to, as_what) in [
        (
            json!({ "model": "llama" }),
            MESSAGES,
            "/v1/models/claude-x:rawPredict",
            json!({ "anthropic_version": version }),
        ),
        (
            json!({ "stream": true }),
            MESSAGES,
            "/v1/models/claude-x:streamRawPredict",
            json!({ "stream": true, "anthropic_version": version }),
        ),
        (
            json!({ "inference_geo": "us" }),
            COUNT_TOKENS,
            "/v1/models/count-tokens:rawPredict",
            json!({ "model": "claude-x", "anthropic_version": version }),
        ),
    ] {
        assert_eq!(
            addressed(&vertex, body, path, None),
            (goes_to.into(), None, as_what)
        );
    }
}

#[test]
fn what_a_chat_says_of_where_it_runs_is_refused() {
    refused(
        json!({ "inference_geo": "eu" }),
        "inference_geo",
        "leave it out",
    );
}

#[test]
fn usage_of_a_stream_is_for_those_who_ask() {
    let wants = |options: Value| {
        let asked = asked(&chat(json!({ "stream": true, "stream_options": options }))).unwrap();
        (asked.stream, asked.include_usage)
    };
    assert_eq!(wants(json!({ "include_usage": true })), (true, true));
    assert_eq!(wants(json!({ "include_usage": false })), (true, false));
    assert_eq!(wants(Value::Null), (true, false));
}

#[test]
fn conversations() {
    let text = |text: &str| json!({ "type": "text", "text": text });
    said(
        json!([
            { "role": "system", "content": "be kind" },
            { "role": "developer", "content": [{ "type": "text", "text": "be brief" }] },
            { "role": "user", "content": "one" },
            { "role": "user", "content": [{ "type": "text", "text": "two" }, { "type": "text", "text": " " }] },
            { "role": "assistant", "content": "three  " },
        ]),
        json!({
            "system": [text("be kind"), text("be brief")],
            "messages": [
                { "role": "user", "content": [text("one"), text("two")] },
                { "role": "assistant", "content": [text("three")] },
            ],
        }),
    );
    said(
        json!([{ "role": "user", "content": [
            { "type": "image_url", "image_url": { "url": "https://x/y.png", "detail": "low" } },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
            { "type": "file", "file": { "file_data": "data:application/pdf;base64,BBBB" } },
        ]}]),
        json!({ "messages": [{ "role": "user", "content": [
            { "type": "image", "source": { "type": "url", "url": "https://x/y.png" } },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
            { "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "BBBB" } },
        ]}] }),
    );
}

#[test]
fn calls_and_their_results() {
    said(
        json!([
            { "role": "user", "content": "weather?" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"city\":\"Bonn\"}" } },
                { "id": "b", "type": "function", "function": { "name": "g", "arguments": "" } },
            ]},
            { "role": "tool", "tool_call_id": "a", "content": "12" },
            { "role": "tool", "tool_call_id": "b", "content": "" },
            { "role": "user", "content": "and?" },
        ]),
        json!({ "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "weather?" }] },
            { "role": "assistant", "content": [
                { "type": "tool_use", "id": "a", "name": "f", "input": { "city": "Bonn" } },
                { "type": "tool_use", "id": "b", "name": "g", "input": {} },
            ]},
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "a", "content": [{ "type": "text", "text": "12" }] },
                { "type": "tool_result", "tool_use_id": "b" },
                { "type": "text", "text": "and?" },
            ]},
        ]}),
    );
    let tools = json!([{ "type": "function", "function": { "name": "f", "description": "d", "parameters": { "type": "object" }, "strict": true } },
                       { "type": "function", "function": { "name": "g" } }]);
    let made = json!([{ "name": "f", "description": "d", "input_schema": { "type": "object" }, "strict": true },
                      { "name": "g", "input_schema": { "type": "object", "properties": {} } }]);
    check(json!({ "tools": tools }), json!({ "tools": made }));
    for (fields, choice) in [
        (json!({ "tool_choice": "auto" }), json!({ "type": "auto" })),
        (
            json!({ "tool_choice": "none", "parallel_tool_calls": false }),
            json!({ "type": "none" }),
        ),
        (
            json!({ "tool_choice": "required" }),
            json!({ "type": "any" }),
        ),
        (
            json!({ "tool_choice": { "type": "function", "function": { "name": "f" } }, "parallel_tool_calls": false }),
            json!({ "type": "tool", "name": "f", "disable_parallel_tool_use": true }),
        ),
        (
            json!({ "parallel_tool_calls": false }),
            json!({ "type": "auto", "disable_parallel_tool_use": true }),
        ),
    ] {
        let mut fields = fields;
        fields["tools"] = tools.clone();
        check(fields, json!({ "tools": made, "tool_choice": choice }));
    }
}

#[test]
fn what_claude_cannot_do_is_refused_by_name() {
    for (fields, param, says) in [
        (json!({ "n": 2 }), "n", "one answer a request"),
        (json!({ "logprobs": true }), "logprobs", "leave it out"),
        (
            json!({ "guided_regex": "a+" }),
            "guided_regex",
            "leave it out",
        ),
        (json!({ "functions": [] }), "functions", "leave it out"),
        (
            json!({ "modalities": ["audio"] }),
            "modalities",
            "leave it out",
        ),
        (json!({ "max_tokens": 0 }), "max_tokens", "1 or more"),
        (json!({ "stream": "yes" }), "stream", "true or false"),
        (json!({ "stop": "\n" }), "stop", "white space"),
        (json!({ "stop": [1] }), "stop", "a string"),
        (
            json!({ "response_format": { "type": "json_object" } }),
            "response_format.type",
            "json_schema",
        ),
        (
            json!({ "response_format": { "type": "json_schema" } }),
            "response_format.json_schema.schema",
            "schema",
        ),
        (
            json!({ "tools": [{ "type": "custom" }] }),
            "tools[0]",
            "function",
        ),
        (
            json!({ "tool_choice": { "type": "allowed_tools" } }),
            "tool_choice",
            "by its name",
        ),
        (
            json!({ "messages": [] }),
            "messages",
            "a message of the user",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": "" }] }),
            "messages[0].content",
            "empty",
        ),
        (
            json!({ "messages": [{ "role": "function", "content": "x" }] }),
            "messages[0].role",
            "`tool`",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "input_audio" }] }] }),
            "messages[0].content[0].type",
            "reads nothing else",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "http://x" } }] }] }),
            "messages[0].content[0].image_url.url",
            "https",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "data:image/bmp;base64,AA" } }] }] }),
            "messages[0].content[0].image_url.url",
            "image/png",
        ),
        (
            json!({ "messages": [{ "role": "assistant", "tool_calls": [{ "id": "a", "function": { "name": "f", "arguments": "[" } }] }] }),
            "messages[0].tool_calls[0].function.arguments",
            "JSON object",
        ),
    ] {
        refused(fields, param, says);
    }
    let error = request(b"[", &claude()).unwrap_err();
    assert!(error.message.contains("no JSON object"), "{error}");
}

#[test]
fn a_message_becomes_a_completion() {
    let body = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "tool_use", "stop_sequence": null,
        "content": [
            { "type": "thinking", "thinking": "hm", "signature": "s" },
            { "type": "text", "text": "I will " }, { "type": "text", "text": "look." },
            { "type": "tool_use", "id": "a", "name": "f", "input": { "city": "Bonn" } },
            { "type": "server_tool_use", "id": "b" },
        ],
        "usage": { "input_tokens": 3, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 20, "output_tokens": 7 },
    });
    let expect = json!({
        "id": "msg_1", "object": "chat.completion", "created": 5, "model": "claude-x",
        "choices": [{ "index": 0, "logprobs": null, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "I will look.", "refusal": null, "reasoning_content": "hm",
            "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"city\":\"Bonn\"}" } }],
        } }],
        "usage": { "prompt_tokens": 33, "completion_tokens": 7, "total_tokens": 40, "prompt_tokens_details": { "cached_tokens": 20 } },
    });
    assert_eq!(answer(body.to_string().as_bytes(), 5), Some(expect));
    for none in ["", "{}", r#"{"type":"error"}"#] {
        assert_eq!(answer(none.as_bytes(), 5), None, "{none}");
    }
}

#[test]
fn why_an_answer_ends() {
    for (stop_reason, finish_reason) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ] {
        assert_eq!(answer::finish_reason(stop_reason), finish_reason);
    }
}

#[test]
fn errors_are_openai_s() {
    let said = |status, kind: &str, message: &str| {
        let body = json!({ "type": "error", "error": { "type": kind, "message": message } });
        let (status, made) = error(status, body.to_string().as_bytes());
        (
            status,
            made["error"]["type"].as_str().unwrap().to_owned(),
            made["error"]["message"].as_str().unwrap().to_owned(),
            made["error"]["code"].clone(),
        )
    };
    let (status, kind, message, code) = said(400, "invalid_request_error", "max_tokens: too large");
    assert_eq!((status, kind.as_str()), (400, "invalid_request_error"));
    assert_eq!(
        (message.as_str(), code),
        ("max_tokens: too large", json!(400))
    );
    let (_, _, _, code) = said(
        400,
        "invalid_request_error",
        "prompt is too long: 200001 tokens > 200000 maximum",
    );
    assert_eq!(code, "context_length_exceeded");
    for (status, kind, message, made) in [
        (429, "rate_limit_error", "organization 1234's limit", 429),
        (529, "overloaded_error", "Overloaded", 503),
        (500, "api_error", "Internal server error", 500),
        (404, "not_found_error", "model: claude-x", 502),
        (402, "billing_error", "pay", 502),
        (401, "authentication_error", "invalid x-api-key", 502),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low",
            502,
        ),
    ] {
        let (status, _, told, code) = said(status, kind, message);
        assert_eq!((status, code), (made, json!(made)), "{message}");
        assert!(!told.contains(message), "{told}");
    }
    assert_eq!(error(502, b"<html>").0, 502);
}

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

fn translated<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, include_usage: bool) -> String {
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

    #[test]
    fn any_bytes_are_read(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = request(&body, &claude());
        let _ = answer(&body, 0);
        let _ = error(500, &body);
        let _ = translated([body.as_slice()], true);
    }

    #[test]
    fn any_json_is_read(body in any_json()) {
        let body = body.to_string();
        let _ = request(body.as_bytes(), &claude());
        let _ = answer(body.as_bytes(), 0);
        let _ = translated([format!("data: {body}\n\n").as_bytes()], true);
    }
}

/// JSON of the words that the two APIs use.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "type",
        "text",
        "messages",
        "role",
        "user",
        "assistant",
        "tool",
        "content",
        "tools",
        "function",
        "name",
        "arguments",
        "tool_calls",
        "stop",
        "stream",
        "image_url",
        "url",
        "response_format",
        "json_schema",
        "schema",
        "message_start",
        "message",
        "content_block_start",
        "content_block",
        "tool_use",
        "delta",
        "text_delta",
        "message_delta",
        "usage",
        "message_stop",
    ]);
    let leaf = prop_oneof![
        word.clone().prop_map(|word| json!(word)),
        any::<i64>().prop_map(|number| json!(number)),
        Just(Value::Null),
        Just(json!(true)),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}
