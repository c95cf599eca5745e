//! One row for each field and tool type that the references of OpenAI and Anthropic name.

use super::*;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";

/// The first field that a fallback of a pinned zone is not given.
fn refused(path: &str, body: &Value, tools: &[&str]) -> Option<Violation> {
    let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
    let allowance = Allowance {
        listed_only: true,
        tools: &tools,
        remote_content: false,
    };
    check(path, body.to_string().as_bytes(), allowance).err()
}

fn user(part: Value) -> Value {
    json!([{ "role": "user", "content": [part] }])
}

/// Requests that a fallback may be given.
fn allowed() -> Vec<(&'static str, Value)> {
    let data = "data:image/png;base64,AAAA";
    vec![
        (
            CHAT,
            json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }),
        ),
        (
            CHAT,
            json!({ "messages": [{ "role": "developer", "content": "hi", "name": "a" }] }),
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "text", "text": "https://example.com" })) }),
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "image_url", "image_url": { "url": data, "detail": "low" } })) }),
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } })) }),
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "file", "file": { "file_data": "data:application/pdf;base64,AA", "filename": "a" } })) }),
        ),
        (
            CHAT,
            json!({ "messages": [
            { "role": "assistant", "content": null, "refusal": null, "audio": null, "tool_calls": [
                { "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } },
                { "id": "2", "type": "custom", "custom": { "name": "f", "input": "x" } },
            ] },
            { "role": "tool", "tool_call_id": "1", "content": "done" },
        ] }),
        ),
        (
            CHAT,
            json!({ "tools": [
            { "type": "function", "function": { "name": "f", "parameters": { "type": "object", "url": "https://x" } } },
            { "type": "custom", "custom": { "name": "g" } },
        ], "tool_choice": { "type": "function", "function": { "name": "f" } } }),
        ),
        (
            CHAT,
            json!({ "functions": [{ "name": "f" }], "function_call": "auto" }),
        ),
        (
            CHAT,
            json!({ "tool_choice": "required", "parallel_tool_calls": true, "response_format": { "type": "json_schema", "json_schema": {} } }),
        ),
        (
            CHAT,
            json!({ "store": false, "temperature": 1, "top_p": 1, "n": 1, "stop": ["a"], "seed": 1, "logprobs": true, "top_logprobs": 2 }),
        ),
        (
            CHAT,
            json!({ "max_tokens": 1, "max_completion_tokens": 1, "stream": true, "stream_options": { "include_usage": true } }),
        ),
        (
            CHAT,
            json!({ "web_search_options": null, "metadata": null, "user": "u", "reasoning_effort": "low", "verbosity": "low" }),
        ),
        (
            RESPONSES,
            json!({ "model": "m", "input": "hi", "instructions": "be brief", "store": false, "background": false }),
        ),
        (
            RESPONSES,
            json!({ "input": [
            { "role": "user", "content": "hi" },
            { "type": "message", "role": "user", "content": [
                { "type": "input_text", "text": "hi" },
                { "type": "input_image", "image_url": data, "detail": "auto" },
                { "type": "input_file", "file_data": "data:application/pdf;base64,AA", "filename": "a" },
            ] },
            { "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AA" },
            { "type": "function_call", "call_id": "1", "name": "f", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "1", "output": [{ "type": "input_image", "image_url": data }] },
            { "type": "custom_tool_call", "call_id": "2", "name": "g", "input": "x" },
            { "type": "custom_tool_call_output", "call_id": "2", "output": "y" },
        ] }),
        ),
        (
            RESPONSES,
            json!({ "tools": [
            { "type": "function", "name": "f", "parameters": {}, "strict": true },
            { "type": "custom", "name": "g", "format": { "type": "grammar" } },
            { "type": "namespace", "name": "n", "tools": [{ "type": "function", "name": "h", "parameters": {} }] },
        ], "tool_choice": { "type": "function", "name": "f" }, "include": ["reasoning.encrypted_content"] }),
        ),
        (
            RESPONSES,
            json!({ "reasoning": { "effort": "low" }, "text": { "format": {} }, "truncation": "auto", "max_output_tokens": 9 }),
        ),
        (
            "/v1/completions",
            json!({ "model": "m", "prompt": ["a", [1, 2]], "suffix": "x", "best_of": 1, "echo": false }),
        ),
        (
            "/v1/embeddings",
            json!({ "model": "m", "input": ["a"], "dimensions": 3, "encoding_format": "base64", "user": "u" }),
        ),
        (
            "/v1/audio/speech",
            json!({ "model": "m", "input": "a", "voice": "alloy", "instructions": "x", "speed": 1.5, "response_format": "mp3" }),
        ),
        (
            MESSAGES,
            json!({ "model": "m", "max_tokens": 1, "system": [{ "type": "text", "text": "s", "cache_control": { "type": "ephemeral" } }] }),
        ),
        (
            MESSAGES,
            json!({ "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "hi", "citations": null },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
                { "type": "document", "title": "t", "source": { "type": "text", "media_type": "text/plain", "data": "see https://x" } },
                { "type": "document", "source": { "type": "content", "content": [{ "type": "text", "text": "a" }] }, "citations": { "enabled": true } },
                { "type": "tool_result", "tool_use_id": "1", "is_error": false, "content": [
                    { "type": "text", "text": "a" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
                ] },
                { "type": "search_result", "source": "https://example.com", "title": "t", "content": [{ "type": "text", "text": "a" }] },
            ] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "t", "signature": "s" },
                { "type": "redacted_thinking", "data": "AA" },
                { "type": "tool_use", "id": "1", "name": "f", "input": { "url": "https://x" }, "caller": { "type": "direct" } },
            ] },
        ] }),
        ),
        (
            MESSAGES,
            json!({ "tools": [
            { "name": "f", "description": "d", "input_schema": {}, "cache_control": {}, "strict": true },
            { "type": "custom", "name": "g", "input_schema": {} },
        ], "tool_choice": { "type": "tool", "name": "f", "disable_parallel_tool_use": true }, "mcp_servers": null }),
        ),
        (
            MESSAGES,
            json!({ "metadata": { "user_id": "u" }, "stop_sequences": ["a"], "stream": true, "temperature": 1, "top_k": 1, "top_p": 1 }),
        ),
        (
            MESSAGES,
            json!({ "thinking": { "type": "adaptive" }, "output_config": { "effort": "low" }, "context_management": { "edits": [] } }),
        ),
        (
            "/v1/messages/count_tokens",
            json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }),
        ),
    ]
}

/// Requests by the field at which they are refused.
fn forbidden() -> Vec<(&'static str, Value, &'static str)> {
    let url = "https://example.com/a";
    let tool = |kind: &str| json!({ "tools": [{ "type": "function", "function": { "name": "f" } }, { "type": kind }] });
    let responses = |kind: &str| json!({ "tools": [{ "type": "function", "name": "f" }, { "type": kind, "server_url": "https://x" }] });
    let messages = |kind: &str| json!({ "tools": [{ "name": "f", "input_schema": {} }, { "type": kind, "name": "x" }] });
    let mut rows = vec![
        (
            CHAT,
            json!({ "web_search_options": {} }),
            "web_search_options",
        ),
        (CHAT, json!({ "store": true }), "store"),
        (CHAT, json!({ "metadata": { "a": "b" } }), "metadata"),
        (
            CHAT,
            json!({ "prompt_cache_retention": "24h" }),
            "prompt_cache_retention",
        ),
        (CHAT, json!({ "background": true }), "background"),
        (CHAT, json!({ "webhook": url }), "webhook"),
        (CHAT, json!({ "callback_url": url }), "callback_url"),
        (CHAT, json!({ "plugins": [] }), "plugins"),
        (CHAT, json!({ "provider": { "order": ["x"] } }), "provider"),
        (CHAT, json!({ "models": ["other"] }), "models"),
        (
            CHAT,
            json!({ "tools": [{ "function": { "name": "f" } }] }),
            "tools[0].type",
        ),
        (CHAT, json!({ "tools": ["web_search"] }), "tools[0]"),
        (
            CHAT,
            json!({ "tools": [{ "type": "function", "server_url": url }] }),
            "tools[0].server_url",
        ),
        (
            CHAT,
            json!({ "tool_choice": { "type": "mcp" } }),
            "tool_choice.type",
        ),
        (
            CHAT,
            json!({ "tool_choice": { "type": "allowed_tools", "allowed_tools": { "tools": [{ "type": "mcp" }] } } }),
            "tool_choice.allowed_tools.tools[0].type",
        ),
        (
            CHAT,
            json!({ "audio": { "voice": { "id": "v" } } }),
            "audio.voice.id",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "image_url", "image_url": { "url": url } })) }),
            "messages[0].content[0].image_url.url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "image_url", "image_url": url })) }),
            "messages[0].content[0].image_url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "image_url": { "url": "file:///etc/passwd" } })) }),
            "messages[0].content[0].image_url.url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "video_url", "video_url": { "url": url } })) }),
            "messages[0].content[0].video_url.url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "audio_url", "audio_url": { "url": url } })) }),
            "messages[0].content[0].audio_url.url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "file_url", "file_url": { "url": url } })) }),
            "messages[0].content[0].file_url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "file_url": { "url": url } })) }),
            "messages[0].content[0].file_url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "file", "file": { "file_id": "f" } })) }),
            "messages[0].content[0].file.file_id",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "file", "file": { "file_data": url } })) }),
            "messages[0].content[0].file.file_data",
        ),
        (
            CHAT,
            json!({ "messages": [{ "role": "assistant", "audio": { "id": "a" } }] }),
            "messages[0].audio",
        ),
        (
            CHAT,
            json!({ "messages": [{ "role": "assistant", "tool_calls": [{ "type": "mcp" }] }] }),
            "messages[0].tool_calls[0].type",
        ),
        (CHAT, json!({ "messages": "hi" }), "messages"),
        (CHAT, json!([]), ""),
        (CHAT, json!("hi"), ""),
        (CHAT, json!(null), ""),
        (RESPONSES, json!({ "store": true }), "store"),
        (RESPONSES, json!({ "background": true }), "background"),
        (RESPONSES, json!({ "metadata": {} }), "metadata"),
        (RESPONSES, json!({ "conversation": "c" }), "conversation"),
        (
            RESPONSES,
            json!({ "previous_response_id": "r" }),
            "previous_response_id",
        ),
        (RESPONSES, json!({ "prompt": { "id": "p" } }), "prompt"),
        (
            RESPONSES,
            json!({ "context_management": [] }),
            "context_management",
        ),
        (
            RESPONSES,
            json!({ "instructions": [{}] }),
            "instructions[0]",
        ),
        (
            RESPONSES,
            json!({ "tool_choice": { "type": "web_search_preview" } }),
            "tool_choice.type",
        ),
        (
            RESPONSES,
            json!({ "tool_choice": { "type": "mcp", "server_label": "x" } }),
            "tool_choice.server_label",
        ),
        (
            RESPONSES,
            json!({ "tools": [{ "type": "namespace", "name": "n", "tools": [{ "type": "mcp" }] }] }),
            "tools[0].tools[0].type",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_image", "image_url": url }] }] }),
            "input[0].content[0].image_url",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_image", "file_id": "f" }] }] }),
            "input[0].content[0].file_id",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_file", "file_url": url }] }] }),
            "input[0].content[0].file_url",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "type": "function_call_output", "output": [{ "type": "input_file", "file_url": url }] }] }),
            "input[0].output[0].file_url",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "type": "computer_call_output", "output": { "type": "computer_screenshot", "image_url": url } }] }),
            "input[0].output.image_url",
        ),
        (
            "/v1/completions",
            json!({ "prompt": [{ "image_url": url }] }),
            "prompt[0].image_url",
        ),
        (
            "/v1/embeddings",
            json!({ "input": [{ "image": url }] }),
            "input[0].image",
        ),
        (
            "/v1/audio/speech",
            json!({ "voice": { "id": "v" } }),
            "voice.id",
        ),
        ("/v1/other", json!({}), ""),
        (
            MESSAGES,
            json!({ "mcp_servers": [{ "type": "url", "url": url }] }),
            "mcp_servers",
        ),
        (MESSAGES, json!({ "container": "c" }), "container"),
        (
            MESSAGES,
            json!({ "fallbacks": [{ "model": "m" }] }),
            "fallbacks",
        ),
        (
            MESSAGES,
            json!({ "tools": [{ "name": "f" }, { "type": "custom", "name": "g", "url": url }] }),
            "tools[1].url",
        ),
        (
            MESSAGES,
            json!({ "metadata": { "other": "u" } }),
            "metadata.other",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "image", "source": { "type": "url", "url": url } })) }),
            "messages[0].content[0].source.url",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "image", "source": { "url": url } })) }),
            "messages[0].content[0].source.url",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "image", "source": { "type": "file", "file_id": "f" } })) }),
            "messages[0].content[0].source.file_id",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "tool_result", "content": [{ "type": "image", "source": { "url": url, "type": "url" } }] })) }),
            "messages[0].content[0].content[0].source.url",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "container_upload", "file_id": "f" })) }),
            "messages[0].content[0].file_id",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "server_tool_use" })) }),
            "messages[0].content[0].type",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "tool_use", "caller": { "type": "code_execution_20250825" } })) }),
            "messages[0].content[0].caller.type",
        ),
    ];
    let kinds = [
        "mcp",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "file_search",
        "code_interpreter",
        "computer_use",
        "image_generation",
    ];
    rows.extend(kinds.map(|kind| (CHAT, tool(kind), "tools[1].type")));
    let kinds = [
        "mcp",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
        "file_search",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "image_generation",
        "local_shell",
        "shell",
        "apply_patch",
        "tool_search",
    ];
    rows.extend(kinds.map(|kind| (RESPONSES, responses(kind), "tools[1].type")));
    let kinds = [
        "web_search_20250305",
        "web_search_20260209",
        "web_fetch_20250910",
        "code_execution_20250825",
        "mcp_toolset",
        "tool_search_tool_regex_20251119",
        "memory_20250818",
        "bash_20250124",
        "text_editor_20250728",
        "computer_20251124",
    ];
    rows.extend(kinds.map(|kind| (MESSAGES, messages(kind), "tools[1].type")));
    rows
}

#[test]
fn what_the_caller_runs_and_sends_itself_is_allowed() {
    for (path, body) in allowed() {
        assert_eq!(refused(path, &body, &[]), None, "{path}: {body}");
    }
}

#[test]
fn what_leads_to_third_places_is_refused_by_its_place() {
    let mut wrong = Vec::new();
    for (path, body, field) in forbidden() {
        let found = refused(path, &body, &[]).map(|found| found.field);
        if found.as_deref() != Some(field) {
            wrong.push(format!("{path}: {found:?}, not `{field}`: {body}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// `fallback_tools` names types of tools, to the letter, with all of their fields.
#[test]
fn a_zone_may_allow_tools_of_the_provider() {
    let body = json!({ "tools": [{ "type": "mcp", "server_url": "https://x" }, { "type": "web_search" }] });
    let field = |tools: &[&str]| refused(RESPONSES, &body, tools).map(|found| found.field);
    assert_eq!(field(&["mcp"]).as_deref(), Some("tools[1].type"));
    assert_eq!(field(&["mcp", "web"]).as_deref(), Some("tools[1].type"));
    assert_eq!(field(&["mcp", "web_search"]), None);
}

#[test]
fn a_repeated_field_is_checked_each_time() {
    let none = BTreeSet::new();
    let allowance = Allowance {
        listed_only: true,
        tools: &none,
        remote_content: false,
    };
    for (body, field) in [
        (r#"{"store":false,"store":true}"#, "store"),
        (
            r#"{"tools":[{"type":"function","type":"mcp"}]}"#,
            "tools[0]",
        ),
        (
            r#"{"tools":[{"type":"mcp","type":"function"}]}"#,
            "tools[0]",
        ),
        (r#"{"tools":[{"t\u0079pe":"mcp"}]}"#, "tools[0].type"),
        (
            r#"{"messages":[{"content":[{"image_url":{"url":"https://x","url":"data:,"}}]}]}"#,
            "messages[0].content[0].image_url.url",
        ),
        (r#"{"model":"m"} {"store":true}"#, ""),
        (r#"{"model":"m","#, ""),
    ] {
        let violation = check(CHAT, body.as_bytes(), allowance).unwrap_err();
        assert_eq!(violation.field, field, "{body}");
    }
}

/// Pools of a zone that refuses remote content get everything else.
#[test]
fn remote_content_alone_is_refused_of_pools() {
    let none = BTreeSet::new();
    let allowance = Allowance {
        listed_only: false,
        tools: &none,
        remote_content: false,
    };
    let url = "https://example.com/a";
    let field = |path: &str, body: &Value| {
        let checked = check(path, body.to_string().as_bytes(), allowance);
        checked.err().map(|found| (found.field, found.is_remote))
    };
    for (path, body) in allowed() {
        assert_eq!(field(path, &body), None, "{path}: {body}");
    }
    let remote = [
        (
            CHAT,
            json!({ "messages": user(json!({ "image_url": { "url": url } })) }),
            "messages[0].content[0].image_url.url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "video_url", "video_url": { "url": url } })) }),
            "messages[0].content[0].video_url.url",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "content": [{ "type": "input_image", "image_url": url }] }] }),
            "input[0].content[0].image_url",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "content": [{ "type": "input_file", "file_url": url }] }] }),
            "input[0].content[0].file_url",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "image", "source": { "type": "url", "url": url } })) }),
            "messages[0].content[0].source.url",
        ),
        (
            "/v1/embeddings",
            json!({ "messages": user(json!({ "image_url": { "url": url } })) }),
            "messages[0].content[0].image_url.url",
        ),
        (
            "/v1/score",
            json!({ "data_2": { "content": [{ "image_url": { "url": url } }] } }),
            "data_2.content[0].image_url.url",
        ),
    ];
    for (path, body, place) in remote {
        assert_eq!(
            field(path, &body),
            Some((place.to_owned(), true)),
            "{path}: {body}"
        );
    }
    let others = json!({ "tools": [{ "type": "mcp" }], "store": true, "unknown": { "a": [1] }, "messages": [{ "content": 7 }] });
    assert_eq!(field(CHAT, &others), None);
    assert_eq!(field("/v1/other", &others), None);
}

#[test]
fn every_api_has_a_table() {
    for path in meridian_policy::api::inference_paths() {
        assert!(table(path).is_some(), "{path}");
    }
}
