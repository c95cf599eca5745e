//! One row for each field and tool type that the references of OpenAI and Anthropic name.

mod allowed;
mod forbidden;

use super::violation::Reason;
use super::*;
use allowed::allowed;
use forbidden::forbidden;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";

/// The first field that a fallback of a pinned zone is not given.
fn refused(path: &str, body: &Value, tools: &[&str]) -> Option<Violation> {
    let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
    let allowance = Allowance {
        forbids_store: true,
        listed_only: true,
        tools: &tools,
        remote_content: false,
    };
    check(path, body.to_string().as_bytes(), allowance).err()
}

fn user(part: Value) -> Value {
    json!([{ "role": "user", "content": [part] }])
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

/// A violation of one of these requests as a text.
fn text(path: &str, body: &Value) -> String {
    refused(path, body, &[]).map_or_else(String::new, |found| found.to_string())
}

#[test]
fn an_error_says_what_is_wrong_and_repeats_little_of_the_request() {
    let url = "https://example.com/a";
    let search = json!({ "tool_choice": { "type": "web_search_preview" } });
    assert_eq!(
        text(RESPONSES, &search),
        "`tool_choice.type` is `web_search_preview`: the provider would run the tool, or the gateway does not know it; leave the tool \
         or item out, or list the tool in `zones.<zone>.fallback_tools` of the fleet file"
    );
    let call = text(
        RESPONSES,
        &json!({ "input": [{ "type": "web_search_call", "id": "ws_1" }] }),
    );
    assert!(
        call.contains("`input[0].type` is `web_search_call`: the provider"),
        "{call}"
    );
    let kept = text(
        RESPONSES,
        &json!({ "input": [{ "type": "item_reference", "id": "x" }] }),
    );
    assert!(
        kept.contains("is `item_reference`, which") && !kept.contains("fallback_tools"),
        "{kept}"
    );
    let image = json!({ "messages": user(json!({ "type": "image", "source": { "type": "url", "url": url } })) });
    assert!(text(MESSAGES, &image).ends_with("with `type: base64`"));
    let image =
        json!({ "messages": user(json!({ "type": "image_url", "image_url": { "url": url } })) });
    assert!(text(CHAT, &image).ends_with("as a `data:` URL"));
    let long = "x".repeat(100_000);
    for body in [
        json!({ &long: 1 }),
        json!({ "tools": [{ "type": &long }] }),
        json!({ "service_tier": { &long: 1 } }),
        json!({ "prompt_cache_retention": &long }),
    ] {
        let violation = refused(CHAT, &body, &[]).unwrap();
        assert!(
            violation.field.len() < 400 && violation.to_string().len() < 900,
            "{violation}"
        );
    }
}

/// An id without a content would have the provider read what it keeps under the operator's key.
#[test]
fn an_item_that_only_names_what_the_provider_keeps_is_refused() {
    let rows = [
        (json!({ "id": "msg_abc" }), Some("input[0]")),
        (json!({ "id": "msg_abc", "type": null }), Some("input[0]")),
        (
            json!({ "type": "item_reference", "id": "msg_abc" }),
            Some("input[0].type"),
        ),
        (
            json!({ "type": "reasoning", "id": "rs_1", "summary": [] }),
            Some("input[0].id"),
        ),
        (
            json!({ "type": "reasoning", "id": "rs_1", "summary": [], "content": [], "encrypted_content": "" }),
            Some("input[0].id"),
        ),
        (
            json!({ "type": "reasoning", "id": "rs_1", "encrypted_content": null }),
            Some("input[0].id"),
        ),
        (
            json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AA" }),
            None,
        ),
        (
            json!({ "type": "reasoning", "id": "rs_1", "content": [{ "type": "reasoning_text", "text": "t" }] }),
            None,
        ),
        (json!({ "type": "reasoning", "summary": [] }), None),
        (json!({ "role": "user", "content": "hi" }), None),
    ];
    for (item, field) in rows {
        let found = refused(RESPONSES, &json!({ "input": [item] }), &[]);
        assert_eq!(found.map(|found| found.field).as_deref(), field, "{item}");
    }
}

/// A body as a fallback of a pinned zone gets it.
fn sent(path: &str, body: &str, tools: &[&str]) -> String {
    let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
    let allowance = Allowance {
        forbids_store: true,
        listed_only: true,
        tools: &tools,
        remote_content: false,
    };
    let edits = check(path, body.as_bytes(), allowance).unwrap();
    match crate::edit::edit(body.as_bytes(), edits) {
        Some(edited) => String::from_utf8(edited.bytes).unwrap() + &body[edited.replaces..],
        None => body.to_owned(),
    }
}

#[test]
fn nothing_is_stored_by_default() {
    for path in [CHAT, RESPONSES] {
        for (body, expect) in [
            (r#" { "model":"m"}"#, r#" {"store":false, "model":"m"}"#),
            (
                r#"{"model":"m","store": null }"#,
                r#"{"model":"m","store": false }"#,
            ),
            (
                r#"{"store":false,"store":null}"#,
                r#"{"store":false,"store":false}"#,
            ),
            (
                r#"{"model":"m","store":false}"#,
                r#"{"model":"m","store":false}"#,
            ),
        ] {
            assert_eq!(sent(path, body, &[]), expect, "{path}");
        }
        for store in [json!(true), json!("no"), json!(0)] {
            let found = refused(path, &json!({ "store": store }), &[]).unwrap();
            assert_eq!(found.field, "store");
        }
    }
    for path in ["/v1/completions", "/v1/embeddings", MESSAGES] {
        assert_eq!(sent(path, r#"{"model":"m"}"#, &[]), r#"{"model":"m"}"#);
    }
}

#[test]
fn a_search_of_the_web_is_left_out_unless_it_is_demanded() {
    let function = r#"{"type":"function"}"#;
    let search = r#"{"type":"web_search","external_web_access":true,"filters":{}}"#;
    let body = |tools: &str, rest: &str| {
        format!(
            r#"{{"store":false,"tool_choice":"auto","tools":[{tools}],"parallel_tool_calls":true{rest}}}"#
        )
    };
    for path in [CHAT, RESPONSES] {
        for tools in [
            format!("{search}, {function}"),
            format!("{function} , {search}"),
            format!("{search},{function},{search},{search}"),
        ] {
            assert_eq!(sent(path, &body(&tools, ""), &[]), body(function, ""));
            assert_eq!(
                sent(path, &body(&tools, ""), &["web_search"]),
                body(&tools, "")
            );
        }
        let alone = body(search, r#","model":"m""#);
        assert_eq!(sent(path, &alone, &[]), r#"{"store":false,"model":"m"}"#);
        assert_eq!(sent(path, &body(search, ""), &[]), r#"{"store":false}"#);
        let twice =
            format!(r#"{{"store":false,"tools":[{search}],"tools":[{function},{search}]}}"#);
        assert!(!sent(path, &twice, &[]).contains("web_search"));
    }
    let lists =
        r#"{"type":"namespace","tools":[{"type":"function","allowed_callers":["direct"]}]}"#;
    let tools = format!("{lists},{search}");
    assert_eq!(sent(RESPONSES, &body(&tools, ""), &[]), body(lists, ""));
    let preview = json!({ "tools": [{ "type": "web_search_preview_2025_03_11" }] });
    assert_eq!(refused(RESPONSES, &preview, &[]), None);
    for choice in [
        json!({ "type": "web_search" }),
        json!({ "type": "allowed_tools", "mode": "auto", "tools": [{ "type": "web_search" }] }),
    ] {
        let found = refused(RESPONSES, &json!({ "tool_choice": choice }), &[]);
        assert!(
            found.is_some_and(|found| found.field.ends_with(".type")),
            "{choice}"
        );
        assert_eq!(
            refused(
                RESPONSES,
                &json!({ "tool_choice": choice }),
                &["web_search"]
            ),
            None
        );
    }
}

/// A conversation that a listed tool has served goes on.
#[test]
fn items_of_a_listed_tool_are_allowed_in_later_turns() {
    let search = json!({ "type": "search", "query": "q", "sources": [{ "type": "url", "url": "https://x" }] });
    let result = json!({ "type": "web_search_result", "url": "https://x", "title": "t", "encrypted_content": "AA" });
    let rows = [
        (
            "web_search",
            RESPONSES,
            json!({ "input": [{ "type": "web_search_call", "id": "ws_1", "action": search, "status": "completed" }] }),
        ),
        (
            "mcp",
            RESPONSES,
            json!({ "input": [{ "type": "mcp_list_tools", "server_label": "x", "tools": [{ "name": "f" }] }] }),
        ),
        (
            "mcp",
            RESPONSES,
            json!({ "tool_choice": { "type": "mcp", "server_label": "x", "name": "f" } }),
        ),
        (
            "web_search_20250305",
            MESSAGES,
            json!({ "messages": user(json!({ "type": "server_tool_use", "id": "s", "name": "web_search", "input": {} })) }),
        ),
        (
            "web_search_20250305",
            MESSAGES,
            json!({ "messages": user(json!({ "type": "web_search_tool_result", "tool_use_id": "s", "content": [result] })) }),
        ),
        (
            "code_execution_20250825",
            MESSAGES,
            json!({ "messages": user(json!({ "type": "bash_code_execution_tool_result", "tool_use_id": "s", "content": {} })) }),
        ),
        (
            "code_execution_20250825",
            MESSAGES,
            json!({ "messages": user(json!({ "type": "tool_use", "caller": { "type": "code_execution_20250825", "tool_id": "s" } })) }),
        ),
    ];
    for (tool, path, body) in rows {
        assert_eq!(refused(path, &body, &[tool]), None, "{body}");
        for others in [&[][..], &["file_search", "web_fetch_20250910"][..]] {
            let found = refused(path, &body, others).unwrap();
            assert!(found.field.ends_with(".type"), "{}: {body}", found.field);
        }
    }
    let screenshot = json!({ "type": "computer_screenshot", "image_url": "https://x/a.png" });
    let screenshot = json!({ "input": [{ "type": "computer_call_output", "output": screenshot }] });
    let found = refused(RESPONSES, &screenshot, &["computer"]).unwrap();
    assert_eq!(
        (found.field.as_str(), found.reason),
        ("input[0].output.image_url", Reason::Remote)
    );
}

/// `fallback_tools` names types of tools, to the letter, with all of their fields.
#[test]
fn a_zone_may_allow_tools_of_the_provider() {
    let body = json!({ "tools": [{ "type": "mcp", "server_url": "https://x" }, { "type": "file_search" }] });
    let field = |tools: &[&str]| refused(RESPONSES, &body, tools).map(|found| found.field);
    assert_eq!(field(&["mcp"]).as_deref(), Some("tools[1].type"));
    assert_eq!(field(&["mcp", "file"]).as_deref(), Some("tools[1].type"));
    assert_eq!(field(&["mcp", "file_search"]), None);
}

#[test]
fn a_repeated_field_is_checked_each_time() {
    let none = BTreeSet::new();
    let allowance = Allowance {
        forbids_store: true,
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
        forbids_store: false,
        listed_only: false,
        tools: &none,
        remote_content: false,
    };
    let url = "https://example.com/a";
    let field = |path: &str, body: &Value| {
        let checked = check(path, body.to_string().as_bytes(), allowance);
        checked
            .err()
            .map(|found| (found.field, found.reason == Reason::Remote))
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
    let by_key = [
        (
            "/v1/embeddings",
            json!({ "input": [{ "text": "a", "image": url }] }),
            "input[0].image",
        ),
        (
            "/v1/embeddings",
            json!({ "input": [[{ "type": "image_url", "image_url": { "url": url } }]] }),
            "input[0][0].image_url.url",
        ),
        (
            "/v1/embeddings",
            json!({ "messages": user(json!({ "video_url": { "url": url } })) }),
            "messages[0].content[0].video_url.url",
        ),
        (
            "/v1/embeddings",
            json!({ "messages": user(json!({ "audio_url": { "url": url } })) }),
            "messages[0].content[0].audio_url.url",
        ),
        (
            CHAT,
            json!({ "input": user(json!({ "image_url": { "url": url } })) }),
            "input[0].content[0].image_url.url",
        ),
        (
            CHAT,
            json!({ "messages": [user(json!({ "image_url": { "url": url } }))] }),
            "messages[0][0].content[0].image_url.url",
        ),
        (
            "/v1/score",
            json!({ "data_1": { "content": [{ "video_url": { "url": url } }] } }),
            "data_1.content[0].video_url.url",
        ),
        (
            "/v1/score",
            json!({ "items": [{ "image": [url] }] }),
            "items[0].image[0]",
        ),
        (
            "/v1/rerank",
            json!({ "documents": [[{ "image_url": { "url": url } }]] }),
            "documents[0][0].image_url.url",
        ),
        (
            "/v1/rerank",
            json!({ "query": [{ "image_url": { "url": url } }] }),
            "query[0].image_url.url",
        ),
        (
            "/v1/rerank",
            json!({ "documents": [{ "file_url": url }, { "audio": url }] }),
            "documents[0].file_url",
        ),
    ];
    for (path, body, place) in remote.into_iter().chain(by_key) {
        assert_eq!(
            field(path, &body),
            Some((place.to_owned(), true)),
            "{path}: {body}"
        );
    }
    let named = json!({ "tools": [{ "type": "function", "function": { "parameters": { "examples": [{ "image": url }] } } }], "query": url });
    assert_eq!(field(CHAT, &named), None);
    let others = json!({ "tools": [{ "type": "mcp" }], "store": true, "unknown": { "a": [1] }, "messages": [{ "content": 7 }] });
    assert_eq!(field(CHAT, &others), None);
    assert_eq!(field("/v1/other", &others), None);
}

#[test]
fn every_api_of_a_provider_has_a_table() {
    for path in meridian_policy::api::inference_paths() {
        let is_of_pools_alone = ["/v1/rerank", "/v1/score"].contains(&path);
        assert!(table(path).is_some() != is_of_pools_alone, "{path}");
    }
}
