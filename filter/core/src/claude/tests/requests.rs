//! Translated and refused requests.

use super::*;
use meridian_policy::egress_policy::{Claude, ClaudeHost};

/// A chat request of one question, with further fields.
fn chat(more: Value) -> Value {
    let mut body = json!({ "model": "llama", "messages": [{ "role": "user", "content": "hi" }] });
    let Value::Object(more) = more else {
        panic!("fields")
    };
    body.as_object_mut().unwrap().extend(more);
    body
}

fn translated(body: &Value) -> Result<MessagesRequest, InvalidRequest> {
    translate(body.to_string().as_bytes())
}

/// Checks the translation of these fields, without the fields that every request has.
fn check(fields: Value, expect: Value) {
    let body = chat(fields);
    let request = translated(&body).unwrap_or_else(|refused| panic!("{body}: {refused}"));
    let mut fields_left = request.body;
    for (field, usual) in [
        ("max_tokens", json!(4096)),
        (
            "messages",
            json!([{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }]),
        ),
    ] {
        if fields_left.get(field) == Some(&usual) {
            fields_left.remove(field);
        }
    }
    assert_eq!(Value::Object(fields_left), expect, "{body}");
}

/// Checks the translation of these messages.
fn check_messages(messages: Value, expect: Value) {
    check(json!({ "messages": messages }), expect);
}

fn refused(fields: Value, param: &str, expect: &str) {
    let body = chat(fields);
    let refused = translated(&body).expect_err(&body.to_string());
    assert_eq!(refused.param, param, "{body}");
    assert!(refused.message.contains(expect), "{refused}");
}

#[test]
fn a_chat_request_is_translated() {
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
    // Hints and default values.
    check(
        json!({ "temperature": 1.5, "top_p": 0.9, "top_k": 5, "seed": 1, "user": "u", "presence_penalty": 1, "n": 1,
                "logprobs": false, "logit_bias": {}, "modalities": ["text"], "prompt_cache_key": "k", "prompt_cache_options": { "mode": "explicit" }, "store": true }),
        json!({}),
    );
    check(json!({ "response_format": { "type": "text" } }), json!({}));
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "additionalProperties": false });
    check(
        json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "n", "strict": true, "schema": schema } } }),
        json!({ "output_config": { "format": { "type": "json_schema", "schema": schema } } }),
    );
}

#[test]
fn any_json_object_is_asked_for_in_words() {
    let body = chat(json!({ "response_format": { "type": "json_object" } }));
    let sent = translated(&body).unwrap().body;
    let system = sent["system"][0]["text"].as_str().unwrap();
    assert!(system.contains("a single JSON object"), "{system}");
    assert!(!sent.contains_key("output_config"));
}

#[test]
fn results_of_tools_come_right_behind_the_calls() {
    let call = |id: &str| json!({ "id": id, "function": { "name": "f", "arguments": "{}" } });
    let result = |id: &str| json!({ "role": "tool", "tool_call_id": id, "content": "r" });
    let body = chat(json!({ "messages": [
        { "role": "user", "content": "hi" },
        { "role": "assistant", "tool_calls": [call("a"), call("b")] },
        { "role": "user", "content": "and?" },
        result("a"),
        result("b"),
    ] }));
    let sent = translated(&body).unwrap().body;
    let kinds = sent["messages"][2]["content"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds
        .map(|block| (&block["type"], &block["tool_use_id"]))
        .collect();
    assert_eq!(
        json!(kinds),
        json!([["tool_result", "a"], ["tool_result", "b"], ["text", null]])
    );
}

#[test]
fn the_arguments_of_calls_have_a_limit_together() {
    let zeros = format!("{{\"a\":[0{}]}}", ",0".repeat(1 << 20));
    let call = json!({ "id": "a", "function": { "name": "f", "arguments": zeros } });
    let messages =
        |calls: Vec<Value>| json!({ "messages": [{ "role": "assistant", "tool_calls": calls }] });
    assert!(translated(&chat(messages(vec![call.clone()]))).is_ok());
    let refused = translated(&chat(messages(vec![call.clone(), call]))).unwrap_err();
    assert_eq!(
        refused.param,
        "messages[0].tool_calls[1].function.arguments"
    );
}

/// The path, the version header and the body of a request for a host.
fn for_host(
    claude: &Claude,
    body: Value,
    path: &str,
    version: Option<&str>,
) -> (String, Option<String>, Value) {
    let body = native(fields(body.to_string().as_bytes()).unwrap()).unwrap();
    let is_streamed = body.get("stream") == Some(&json!(true));
    let HostRequest {
        path,
        version,
        body,
        stream,
        ..
    } = host_request(
        claude,
        body,
        Call {
            path,
            version,
            betas: &[],
            size: 0,
        },
    );
    assert_eq!(stream, is_streamed);
    (path, version, serde_json::from_str(&body).unwrap())
}

#[test]
fn anthropic_reads_the_model_from_the_body() {
    let body = json!({ "model": "llama", "inference_geo": "global", "x": 1 });
    assert_eq!(
        for_host(&claude(), body.clone(), MESSAGES, None),
        (
            MESSAGES.into(),
            Some("2026-10-21".into()),
            json!({ "model": "claude-x", "x": 1 })
        )
    );
    let in_the_us = Claude {
        inference_geo: Some("us".into()),
        max_body: None,
        ..claude()
    };
    assert_eq!(
        for_host(&in_the_us, body, COUNT_TOKENS, Some("2023-06-01")),
        (
            COUNT_TOKENS.into(),
            Some("2023-06-01".into()),
            json!({ "model": "claude-x", "inference_geo": "us", "x": 1 })
        )
    );
}

#[test]
fn vertex_reads_the_model_from_the_path() {
    let vertex = Claude {
        host: ClaudeHost::Vertex,
        ..claude()
    };
    let version = "2026-10-21";
    for (body, path, host_path, host_body) in [
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
            for_host(&vertex, body, path, None),
            (host_path.into(), None, host_body)
        );
    }
}

#[test]
fn bedrock_reads_model_and_streaming_from_the_path() {
    let bedrock = Claude {
        host: ClaudeHost::Bedrock,
        model: "eu.anthropic.claude-x-v1:0".into(),
        ..claude()
    };
    for (body, host_path) in [
        (json!({ "model": "llama", "stream": false }), "invoke"),
        (
            json!({ "stream": true, "inference_geo": "us" }),
            "invoke-with-response-stream",
        ),
    ] {
        assert_eq!(
            for_host(&bedrock, body, MESSAGES, None),
            (
                format!("/v1/model/eu.anthropic.claude-x-v1:0/{host_path}"),
                None,
                json!({ "anthropic_version": "2026-10-21" })
            )
        );
    }
}

#[test]
fn operator_fields_are_removed() {
    let body = json!({
        "anthropic_beta": ["context-1m"], "speed": "fast", "service_tier": "auto", "user_profile_id": "u", "workspace_id": "w",
        "inference_geo": "us", "x": 1,
    });
    for host in [
        ClaudeHost::Anthropic,
        ClaudeHost::Vertex,
        ClaudeHost::Bedrock,
    ] {
        let claude = Claude { host, ..claude() };
        let (_, _, mut sent) = for_host(&claude, body.clone(), MESSAGES, None);
        for added in ["model", "anthropic_version"] {
            sent.as_object_mut().unwrap().remove(added);
        }
        assert_eq!(sent, json!({ "x": 1 }), "{host:?}");
    }
}

#[test]
fn the_previous_version_is_translated_for_every_host() {
    for (host, name) in [
        (ClaudeHost::Vertex, "vertex-2023-10-16"),
        (ClaudeHost::Bedrock, "bedrock-2023-05-31"),
    ] {
        let claude = Claude { host, ..claude() };
        for (spoken, name) in [
            (Some("2023-06-01"), name),
            (Some("2026-10-21"), "2026-10-21"),
            (Some("none"), "2026-10-21"),
            (None, "2026-10-21"),
        ] {
            let (_, header, body) = for_host(&claude, json!({}), MESSAGES, spoken);
            assert_eq!((header, &body["anthropic_version"]), (None, &json!(name)));
        }
    }
}

#[test]
fn tokens_are_counted_without_the_bytes_of_images() {
    let tokens = |body: Value, path| {
        let body = native(fields(body.to_string().as_bytes()).unwrap()).unwrap();
        host_request(
            &claude(),
            body,
            Call {
                path,
                version: None,
                betas: &[],
                size: 0,
            },
        )
        .tokens
    };
    let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "A".repeat(400_000) } });
    let text = json!({ "type": "text", "text": "a".repeat(4000) });
    let result = json!({ "type": "tool_result", "tool_use_id": "x", "content": [image] });
    let turns = json!([{ "role": "user", "content": [text, image, result] }]);
    let body = json!({ "max_tokens": 7, "messages": turns });
    let Tokens { prompt, answer } = tokens(body.clone(), MESSAGES);
    assert!((11_000..11_200).contains(&prompt), "{prompt}");
    assert_eq!(answer, 7);
    assert_eq!(tokens(body, COUNT_TOKENS), Tokens::default());
    for wrong in [json!(7.0), json!("7"), json!(-1)] {
        let refused =
            native(fields(json!({ "max_tokens": wrong }).to_string().as_bytes()).unwrap());
        assert_eq!(refused.unwrap_err().param, "max_tokens");
    }
}

#[test]
fn a_chat_must_not_set_the_inference_geo() {
    refused(
        json!({ "inference_geo": "eu" }),
        "inference_geo",
        "leave it out",
    );
}

#[test]
fn a_usage_chunk_is_sent_on_request() {
    let wants = |options: Value| {
        let request =
            translated(&chat(json!({ "stream": true, "stream_options": options }))).unwrap();
        (request.stream, request.include_usage)
    };
    assert_eq!(wants(json!({ "include_usage": true })), (true, true));
    assert_eq!(wants(json!({ "include_usage": false })), (true, false));
    assert_eq!(wants(Value::Null), (true, false));
}

#[test]
fn conversations_are_translated() {
    let text = |text: &str| json!({ "type": "text", "text": text });
    check_messages(
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
    check_messages(
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
fn tool_calls_and_results_are_translated() {
    check_messages(
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
    let translated_tools = json!([{ "name": "f", "description": "d", "input_schema": { "type": "object" }, "strict": true },
                      { "name": "g", "input_schema": { "type": "object", "properties": {} } }]);
    check(
        json!({ "tools": tools }),
        json!({ "tools": translated_tools }),
    );
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
        check(
            fields,
            json!({ "tools": translated_tools, "tool_choice": choice }),
        );
    }
}

#[test]
fn unsupported_fields_are_refused_by_name() {
    for (fields, param, expect) in [
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
            json!({ "response_format": { "type": "grammar" } }),
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
    ] {
        refused(fields, param, expect);
    }
}

#[test]
fn unsupported_messages_are_refused_by_name() {
    for (fields, param, expect) in [
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
        refused(fields, param, expect);
    }
    let error = translate(b"[").unwrap_err();
    assert!(error.message.contains("no JSON object"), "{error}");
}

#[test]
fn hosts_read_betas_from_a_header_or_the_body() {
    for (host, header, in_body) in [
        (ClaudeHost::Anthropic, Some("b,c"), Value::Null),
        (ClaudeHost::Vertex, Some("b,c"), Value::Null),
        (ClaudeHost::Bedrock, None, json!(["b", "c"])),
    ] {
        let claude = Claude { host, ..claude() };
        let call = Call {
            path: MESSAGES,
            version: None,
            betas: &["b", "c"],
            size: 0,
        };
        let request = host_request(&claude, Map::new(), call);
        assert_eq!(request.betas.as_deref(), header);
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body["anthropic_beta"], in_body);
    }
}
