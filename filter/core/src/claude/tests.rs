mod requests;
mod responses;
mod responses_api;
mod streams;

use super::host::{Call, host_request};
use super::read::read;
use super::request::{MessagesRequest, native, request};
use super::*;
use meridian_policy::egress_policy::{Claude, ClaudeHost};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn claude() -> Claude {
    Claude {
        host: ClaudeHost::Anthropic,
        model: "claude-x".into(),
        max_tokens: 4096,
        inference_geo: None,
        max_body: None,
    }
}

/// The fields of a request to that Claude.
fn fields(body: &[u8]) -> Result<Map<String, Value>, InvalidRequest> {
    read(body, &claude(), &"claude".parse().unwrap())
}

fn translate(body: &[u8]) -> Result<MessagesRequest, InvalidRequest> {
    request(fields(body)?, &claude())
}

fn whole_answers(body: &[u8]) {
    for host in [ClaudeHost::Anthropic, ClaudeHost::Bedrock] {
        for caller in [
            CallerApi::Messages,
            CallerApi::Chat {
                include_usage: true,
            },
            responses_api::caller(),
        ] {
            let context = ResponseContext {
                host,
                caller,
                stream: false,
            };
            let _ = context.whole(200, "", body, 0);
            let _ = context.whole(500, "", body, 0);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = translate(&body);
        let _ = responses_api::translate(&body);
        whole_answers(&body);
        let _ = streams::translated([body.as_slice()], true);
    }

    #[test]
    fn any_json_is_read(body in any_json()) {
        let body = body.to_string();
        let _ = translate(body.as_bytes());
        let _ = responses_api::translate(body.as_bytes());
        whole_answers(body.as_bytes());
        let _ = streams::translated([format!("data: {body}\n\n").as_bytes()], true);
    }
}

/// Random JSON of the words that the two APIs use.
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
