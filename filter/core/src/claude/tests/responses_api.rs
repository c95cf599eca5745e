//! The Responses API: requests, whole answers and streams.

use super::streams::{block, delta, end, events, passed, start, stop, whole};
use super::*;
use crate::claude::responses::{Request, Responses, request};
use crate::claude::stream::Translator;
use crate::guard::{ApiKind, Head, Judge, Release, Step};
use std::rc::Rc;

pub(super) fn translate(body: &[u8]) -> Result<Request, InvalidRequest> {
    request(fields(body)?, &claude())
}

/// A request of one question, with further fields.
fn asked(more: Value) -> Result<Request, InvalidRequest> {
    let mut body = json!({ "model": "llama", "input": "hi" });
    let Value::Object(more) = more else {
        panic!("fields")
    };
    body.as_object_mut().unwrap().extend(more);
    translate(body.to_string().as_bytes())
}

/// Tools of every kind: a function, one that takes free text, and one in a namespace.
fn every_tool() -> Value {
    json!([
        { "type": "function", "name": "f", "description": "d", "parameters": { "type": "object" }, "strict": false },
        { "type": "custom", "name": "patch", "description": "Edit.", "format": { "type": "grammar", "syntax": "lark", "definition": "start: x" } },
        { "type": "namespace", "name": "agents", "description": "n", "tools": [{ "type": "function", "name": "close" }] },
        { "type": "web_search", "external_web_access": true },
    ])
}

pub(super) fn caller() -> CallerApi {
    CallerApi::Responses(asked(json!({ "tools": every_tool() })).unwrap().echo)
}

#[test]
fn a_conversation_is_translated() {
    let input = json!([
        { "type": "message", "role": "developer", "content": [{ "type": "input_text", "text": "be brief" }], "id": "msg_1" },
        { "role": "user", "content": [
            { "type": "input_text", "text": "look" },
            { "type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "auto" },
            { "type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BB" },
        ] },
        { "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "hm" }], "encrypted_content": null },
        { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "ok", "annotations": [] }] },
        { "type": "function_call", "call_id": "a", "name": "f", "arguments": "{\"x\":1}", "status": "completed" },
        { "type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "free text" },
        { "type": "function_call", "call_id": "c", "name": "close", "namespace": "agents", "arguments": "" },
        { "type": "function_call_output", "call_id": "a", "output": "one" },
        { "type": "custom_tool_call_output", "call_id": "b", "output": [{ "type": "input_text", "text": "two" }] },
        { "type": "function_call_output", "call_id": "c", "output": "" },
    ]);
    let fields = json!({
        "instructions": "you are", "input": input, "stream": true, "max_output_tokens": 9, "store": false,
        "tools": every_tool(), "tool_choice": "required", "parallel_tool_calls": false,
        "reasoning": { "effort": "high", "summary": "auto" }, "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k", "client_metadata": { "x": "y" }, "text": { "verbosity": "low" },
    });
    let Request { body, stream, echo } = asked(fields).unwrap();
    let text = |text: &str| json!({ "type": "text", "text": text });
    let png = json!({ "type": "base64", "media_type": "image/png", "data": "AA" });
    let pdf = json!({ "type": "base64", "media_type": "application/pdf", "data": "BB" });
    let input = json!({
        "type": "object", "properties": { "input": { "type": "string" } }, "required": ["input"], "additionalProperties": false,
    });
    let grammar = "Edit.\n\n`input` follows this grammar (lark):\nstart: x";
    let expect = json!({
        "max_tokens": 9,
        "stream": true,
        "system": [text("you are"), text("be brief")],
        "messages": [
            { "role": "user", "content": [text("look"), { "type": "image", "source": png }, { "type": "document", "source": pdf }] },
            { "role": "assistant", "content": [
                text("ok"),
                { "type": "tool_use", "id": "a", "name": "f", "input": { "x": 1 } },
                { "type": "tool_use", "id": "b", "name": "patch", "input": { "input": "free text" } },
                { "type": "tool_use", "id": "c", "name": "agents__close", "input": {} },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "a", "content": [text("one")] },
                { "type": "tool_result", "tool_use_id": "b", "content": [text("two")] },
                { "type": "tool_result", "tool_use_id": "c" },
            ] },
        ],
        "tools": [
            { "name": "f", "description": "d", "strict": false, "input_schema": { "type": "object" } },
            { "name": "patch", "description": grammar, "input_schema": input },
            { "name": "agents__close", "input_schema": { "type": "object", "properties": {} } },
        ],
        "tool_choice": { "type": "any", "disable_parallel_tool_use": true },
    });
    assert_eq!(Value::Object(body), expect);
    assert!(stream && !echo.parallel_tool_calls);
    assert_eq!(echo.tool_choice, "required");
}

#[test]
fn formats_of_text() {
    let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    let format = json!({ "type": "json_schema", "name": "n", "schema": schema, "strict": true });
    let Request { body, .. } = asked(json!({ "text": { "format": format } })).unwrap();
    let expect = json!({ "format": { "type": "json_schema", "schema": schema } });
    assert_eq!(body["output_config"], expect);
    let format = json!({ "type": "json_object" });
    let Request { body, .. } = asked(json!({ "text": { "format": format } })).unwrap();
    let system = body["system"][0]["text"].as_str().unwrap();
    assert!(system.contains("a single JSON object"), "{system}");
}

#[test]
fn what_only_another_server_has_is_refused_by_name() {
    let input = |item: Value| json!({ "input": [{ "role": "user", "content": "hi" }, item] });
    for (fields, param, says) in [
        (
            json!({ "previous_response_id": "resp_1" }),
            "previous_response_id",
            "the whole conversation",
        ),
        (json!({ "conversation": "c" }), "conversation", "as `input`"),
        (
            json!({ "prompt": { "id": "p" } }),
            "prompt",
            "as `instructions`",
        ),
        (json!({ "background": true }), "background", "leave it out"),
        (
            json!({ "include": ["message.output_text.logprobs"] }),
            "include",
            "leave it out",
        ),
        (
            json!({ "newer_than_this": 1 }),
            "newer_than_this",
            "leave it out",
        ),
        (json!({ "input": 7 }), "input", "a list of items"),
        (json!({ "input": "" }), "input", "a message of the user"),
        (json!({ "instructions": ["x"] }), "instructions", "a text"),
        (
            json!({ "tools": [{ "type": "mcp" }] }),
            "tools[0].type",
            "the caller runs",
        ),
        (
            json!({ "tool_choice": "required" }),
            "tool_choice",
            "without a tool",
        ),
        (
            json!({ "text": { "format": { "type": "json_schema" } } }),
            "text.format.schema",
            "JSON schema",
        ),
        (
            input(
                json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x" }),
            ),
            "input[1].encrypted_content",
            "by no other",
        ),
        (
            input(json!({ "type": "item_reference", "id": "x" })),
            "input[1].id",
            "the item itself",
        ),
        (
            input(json!({ "type": "web_search_call", "id": "x" })),
            "input[1].type",
            "no other items",
        ),
        (
            input(json!({ "type": "function_call", "name": "f" })),
            "input[1].call_id",
            "a text",
        ),
        (
            input(
                json!({ "role": "user", "content": [{ "type": "input_image", "file_id": "x" }] }),
            ),
            "input[1].content[0].file_id",
            "the file itself",
        ),
    ] {
        let refused = asked(fields.clone()).expect_err(&fields.to_string());
        assert_eq!((refused.status, refused.param.as_str()), (400, param));
        assert!(refused.message.contains(says), "{}", refused.message);
    }
}

fn context(stream: bool) -> ResponseContext {
    ResponseContext {
        host: ClaudeHost::Anthropic,
        caller: caller(),
        stream,
    }
}

#[test]
fn a_whole_answer_is_translated() {
    let message = json!({
        "id": "msg_7", "model": "claude-x", "stop_reason": "tool_use",
        "content": [
            { "type": "thinking", "thinking": "hm", "signature": "s" },
            { "type": "text", "text": "hello" },
            { "type": "tool_use", "id": "a", "name": "f", "input": { "x": 1 } },
            { "type": "tool_use", "id": "b", "name": "patch", "input": { "input": "free" } },
            { "type": "tool_use", "id": "c", "name": "agents__close", "input": {} },
        ],
        "usage": { "input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 5 },
    });
    let answer = context(false).whole(200, "", message.to_string().as_bytes(), 11);
    let response = answer.body.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(
        response["output"],
        json!([
            { "id": "rs_7_0", "type": "reasoning", "summary": [{ "type": "summary_text", "text": "hm" }] },
            { "id": "msg_7_1", "type": "message", "role": "assistant", "status": "completed",
              "content": [{ "type": "output_text", "text": "hello", "annotations": [], "logprobs": [] }] },
            { "id": "fc_7_2", "type": "function_call", "status": "completed", "call_id": "a", "name": "f", "arguments": "{\"x\":1}" },
            { "id": "ctc_7_3", "type": "custom_tool_call", "status": "completed", "call_id": "b", "name": "patch", "input": "free" },
            { "id": "fc_7_4", "type": "function_call", "status": "completed", "call_id": "c", "name": "close", "namespace": "agents", "arguments": "{}" },
        ])
    );
    assert_eq!(
        response["usage"],
        json!({
            "input_tokens": 9, "input_tokens_details": { "cached_tokens": 4, "cache_write_tokens": 2 },
            "output_tokens": 5, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 14,
        })
    );
    for (field, value) in [
        ("id", json!("resp_7")),
        ("status", json!("completed")),
        ("model", json!("claude-x")),
        ("created_at", json!(11)),
        ("tool_choice", json!("auto")),
        ("parallel_tool_calls", json!(true)),
    ] {
        assert_eq!(response[field], value, "{field}");
    }
}

#[test]
fn answers_that_end_early_say_why() {
    for (stop_reason, reason) in [
        ("max_tokens", "max_output_tokens"),
        ("refusal", "content_filter"),
    ] {
        let message = json!({ "id": "m", "model": "c", "content": [], "stop_reason": stop_reason, "usage": {} });
        let answer = context(false).whole(200, "", message.to_string().as_bytes(), 0);
        let response = answer.body.unwrap();
        assert_eq!(response["status"], "incomplete");
        assert_eq!(response["incomplete_details"]["reason"], reason);
        let stream = events(&[vec![start()], end(stop_reason).to_vec()].concat());
        let (_, last) = seen(&stream).pop().unwrap();
        assert_eq!(last["type"], "response.incomplete");
        assert_eq!(last["response"]["incomplete_details"]["reason"], reason);
    }
}

fn translated<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> String {
    let CallerApi::Responses(echo) = caller() else {
        panic!("it is")
    };
    let translator = Translator::Responses(Responses::new(11, Rc::clone(&echo)));
    passed(ClaudeHost::Anthropic, Some(translator), pieces).0
}

/// The events that a caller gets of a stream of Claude: names and data.
fn seen(stream: &str) -> Vec<(String, Value)> {
    let text = translated([stream.as_bytes()]);
    let events = text.split_terminator("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').unwrap();
        let data = data.strip_prefix("data: ").unwrap();
        (
            name.strip_prefix("event: ").unwrap().to_owned(),
            serde_json::from_str(data).unwrap(),
        )
    });
    events.collect()
}

#[test]
fn a_stream_has_all_of_its_events_in_order() {
    let custom = [
        block(
            4,
            json!({ "type": "tool_use", "id": "c", "name": "patch", "input": {} }),
        ),
        delta(
            4,
            json!({ "type": "input_json_delta", "partial_json": "{\"input\":\"a\\n" }),
        ),
        delta(
            4,
            json!({ "type": "input_json_delta", "partial_json": "b\"}" }),
        ),
        stop(4),
    ];
    let stream = whole();
    let before_end = stream.find("event: newer_than_this").unwrap();
    let stream = [
        &stream[..before_end],
        &events(&custom),
        &stream[before_end..],
    ]
    .concat();
    let seen = seen(&stream);
    for (index, (name, data)) in seen.iter().enumerate() {
        assert_eq!(data["type"], *name);
        assert_eq!(data["sequence_number"], index, "{name}");
    }
    let told: Vec<String> = seen
        .iter()
        .map(|(name, data)| {
            let kind = name.trim_start_matches("response.");
            let about = [
                &data["delta"],
                &data["text"],
                &data["arguments"],
                &data["input"],
            ];
            let about = about.into_iter().find_map(Value::as_str).unwrap_or("");
            let item = data["item_id"].as_str().or(data["item"]["id"].as_str());
            format!("{kind} {} {about}", item.unwrap_or("-"))
                .trim_end()
                .to_owned()
        })
        .collect();
    assert_eq!(
        told,
        [
            "created -",
            "in_progress -",
            "output_item.added rs_1_0",
            "reasoning_summary_part.added rs_1_0",
            "reasoning_summary_text.delta rs_1_0 hm",
            "reasoning_summary_text.done rs_1_0 hm",
            "reasoning_summary_part.done rs_1_0",
            "output_item.done rs_1_0",
            "output_item.added msg_1_1",
            "content_part.added msg_1_1",
            "output_text.delta msg_1_1 hello",
            "output_text.delta msg_1_1  w\u{f6}rld",
            "output_text.done msg_1_1 hello w\u{f6}rld",
            "content_part.done msg_1_1",
            "output_item.done msg_1_1",
            "output_item.added fc_1_2",
            "function_call_arguments.delta fc_1_2 {\"a\":",
            "function_call_arguments.delta fc_1_2 1}",
            "function_call_arguments.done fc_1_2 {\"a\":1}",
            "output_item.done fc_1_2",
            "output_item.added fc_1_3",
            "function_call_arguments.delta fc_1_3 {}",
            "function_call_arguments.done fc_1_3 {}",
            "output_item.done fc_1_3",
            "output_item.added ctc_1_4",
            "custom_tool_call_input.delta ctc_1_4 a\nb",
            "custom_tool_call_input.done ctc_1_4 a\nb",
            "output_item.done ctc_1_4",
            "completed -",
        ]
    );
    let (_, last) = seen.last().unwrap();
    assert_eq!(last["response"]["usage"]["total_tokens"], 16);
    let done = seen
        .iter()
        .filter(|(name, _)| name == "response.output_item.done");
    let done: Vec<&Value> = done.map(|(_, data)| &data["item"]).collect();
    assert_eq!(last["response"]["output"], json!(done));
    assert_eq!(done[2]["name"], "f");
}

#[test]
fn a_stream_may_be_cut_anywhere_and_passes_the_guard() {
    let text = whole();
    let expect = translated([text.as_bytes()]);
    for at in 0..=text.len() {
        let (one, other) = text.as_bytes().split_at(at);
        assert_eq!(translated([one, other]), expect, "cut at {at}");
    }
    for at in 0..=expect.len() {
        let mut judge = Judge::begin(
            ApiKind::Responses,
            true,
            &Head::of(200, "text/event-stream"),
        )
        .unwrap();
        let (one, other) = expect.as_bytes().split_at(at);
        for (piece, ends) in [(one, false), (other, true)] {
            let step = judge.read(piece, ends);
            let broken = matches!(
                step,
                Step::Fail(_)
                    | Step::Release(Release {
                        broken: Some(_),
                        ..
                    })
            );
            assert!(!broken, "{step:?}");
        }
        assert_eq!(judge.usage().unwrap().prompt(), 7);
    }
}

#[test]
fn a_stream_that_fails_says_so_and_the_guard_knows_the_status() {
    for (kind, code, status) in [
        ("overloaded_error", "server_is_overloaded", 503),
        ("rate_limit_error", "rate_limit_exceeded", 429),
        ("invalid_request_error", "invalid_prompt", 400),
        ("api_error", "server_error", 502),
    ] {
        let error = json!({ "type": "error", "error": { "type": kind, "message": "m" } });
        let stream = events(&[start(), error]);
        let (name, last) = seen(&stream).pop().unwrap();
        assert_eq!(name, "response.failed");
        assert_eq!(last["response"]["status"], "failed");
        assert_eq!(last["response"]["error"]["code"], code);
        let text = translated([stream.as_bytes()]);
        let mut judge = Judge::begin(
            ApiKind::Responses,
            true,
            &Head::of(200, "text/event-stream"),
        )
        .unwrap();
        let Step::Fail(failure) = judge.read(text.as_bytes(), true) else {
            panic!("{text}")
        };
        assert_eq!(failure.status(), status);
    }
}

#[test]
fn errors_have_the_shape_of_openai() {
    let error = br#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}"#;
    let answer = context(true).whole(400, "", error, 0);
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body.unwrap()["error"]["code"],
        "context_length_exceeded"
    );
    let answer = context(false).whole(200, "", b"<html>", 0);
    assert_eq!(answer.status, 502);
}
