//! The plugin `egress`, hook by hook.

use super::envoy::{Envoy, Reply, Stream};
use crate::host::{Action, Fact, Host, Side};
use crate::plugins::Configured;
use crate::worker::Worker;
use serde_json::{Value, json};
use std::rc::Rc;

/// Definitions of zones.
const GLOBAL: &str = "global@000000000000000a";
const EEA: &str = "eea@000000000000000b";
const UK: &str = "uk@000000000000000c";

pub(super) const CHAT: &[(&str, &str)] = &[
    (":method", "POST"),
    (":path", "/v1/chat/completions"),
    ("content-type", "application/json"),
    ("authorization", "Bearer the-callers"),
    ("x-request-id", "request-1"),
    ("x-meridian-definition", GLOBAL),
];
pub(super) const BODY: &str =
    r#"{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"Hi"}]}"#;
pub(super) const ANSWER: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":5}}"#;
pub(super) const JSON: &[(&str, &str)] =
    &[(":status", "200"), ("content-type", "application/json")];

/// Claude by Anthropic, at a millionth of a dollar a token.
pub(super) fn claude(envoy: &Rc<Envoy>, budget: &Value) -> Configured {
    let price = json!({ "input": 1000, "cache_read": 1000, "cache_write": 1000, "output": 1000 });
    let claude = json!({ "host": "anthropic", "model": "claude-sonnet-5", "max_tokens": 1024 });
    let policy = json!({
        "fallback": "claude",
        "provider": { "claude": claude },
        "jurisdiction": ["us"],
        "budget": budget,
        "price": price,
        "unpinned": { GLOBAL: [] },
    });
    envoy.plugin("egress", &policy.to_string())
}

fn reply(stream: &Stream) -> Reply {
    stream.reply.borrow().clone().unwrap()
}

#[test]
fn a_chat_is_translated_there_and_back_and_paid_for() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let stream = Stream::new(&envoy, 1);
    let mut plugin = claude(&envoy, &json!({})).stream(1);
    let (plugin, worker) = (plugin.as_mut(), &mut worker);
    assert_eq!(stream.request(plugin, worker, CHAT, false), Action::Pause);
    assert_eq!(stream.value(Side::Request, "authorization"), None);
    assert_eq!(stream.value(Side::Request, "x-request-id"), None);
    let sent = stream
        .piece(plugin, worker, Side::Request, BODY, true)
        .unwrap();
    let sent: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(sent["model"], "claude-sonnet-5");
    assert_eq!(
        stream.value(Side::Request, ":path").as_deref(),
        Some("/v1/messages")
    );
    assert_eq!(stream.response(plugin, worker, JSON, false), Action::Pause);
    let got = stream
        .piece(plugin, worker, Side::Response, ANSWER, true)
        .unwrap();
    let got: Value = serde_json::from_str(&got).unwrap();
    assert_eq!(got["choices"][0]["message"]["content"], "Hello");
    plugin.on_done(&stream, worker);
    assert_eq!(
        envoy.metric("meridian_spent_microusd;to=fallback/claude"),
        15
    );
}

#[test]
fn a_fallback_is_asked_once_for_a_request() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let configured = claude(&envoy, &json!({}));
    let (one, two, late) = (
        Stream::new(&envoy, 1),
        Stream::new(&envoy, 2),
        Stream::new(&envoy, 3),
    );
    let mut first = configured.stream(1);
    one.request(first.as_mut(), &mut worker, CHAT, false);
    two.request(configured.stream(2).as_mut(), &mut worker, CHAT, false);
    assert!(two.is_reset.get(), "it is being asked");
    first.on_done(&one, &mut worker);
    late.request(configured.stream(3).as_mut(), &mut worker, CHAT, false);
    assert!(late.is_reset.get(), "it was asked");
    assert!(!one.is_reset.get());
}

#[test]
fn a_spent_budget_refuses_and_an_unreachable_provider_costs_nothing() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let configured = claude(&envoy, &json!({ "requests": 1 }));
    let ask = |worker: &mut Worker, id: u32| {
        let stream = Stream::new(&envoy, id);
        let mut plugin = configured.stream(id);
        let request_id = id.to_string();
        let mut headers = CHAT.to_vec();
        headers.retain(|(name, _)| *name != "x-request-id");
        headers.push(("x-request-id", &request_id));
        stream.request(plugin.as_mut(), worker, &headers, false);
        stream.piece(plugin.as_mut(), worker, Side::Request, BODY, true);
        (stream, plugin)
    };
    let (away, mut plugin) = ask(&mut worker, 1);
    away.flags_are(1 << 1);
    away.response(plugin.as_mut(), &mut worker, &[(":status", "503")], true);
    plugin.on_done(&away, &mut worker);
    let (stream, _) = ask(&mut worker, 2);
    assert_eq!(*stream.reply.borrow(), None, "the first one cost nothing");
    let (stream, _) = ask(&mut worker, 3);
    assert_eq!(reply(&stream).status, 503);
    assert!(
        reply(&stream).body.contains("budget"),
        "{:?}",
        reply(&stream)
    );
    let over = "meridian_over_budget;to=fallback/claude;what=requests";
    assert_eq!(envoy.metric(over), 1);
}

#[test]
fn an_error_about_our_credential_stays_here() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let policy =
        json!({ "fallback": "other", "provider": "openai_compatible", "unpinned": { GLOBAL: [] } });
    let stream = Stream::new(&envoy, 1);
    let mut plugin = envoy.plugin("egress", &policy.to_string()).stream(1);
    let action = stream.request(plugin.as_mut(), &mut worker, CHAT, false);
    assert_eq!(action, Action::Continue);
    stream.response(plugin.as_mut(), &mut worker, &[(":status", "401")], false);
    assert_eq!(reply(&stream).status, 502);
    let mut plugin = envoy.plugin("egress", "").stream(2);
    stream.request(plugin.as_mut(), &mut worker, CHAT, false);
    assert_eq!(
        reply(&stream).status,
        503,
        "without a policy nothing leaves"
    );
}

/// A request that Claude is not asked for.
fn refused(headers: &[(&str, &str)], pieces: &[&str]) -> Reply {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let stream = Stream::new(&envoy, 1);
    let mut plugin = claude(&envoy, &json!({})).stream(1);
    stream.request(plugin.as_mut(), &mut worker, headers, false);
    for (index, piece) in pieces.iter().enumerate() {
        if stream.reply.borrow().is_some() {
            break;
        }
        let ends = index + 1 == pieces.len();
        stream.piece(plugin.as_mut(), &mut worker, Side::Request, piece, ends);
    }
    assert_eq!(
        stream.value(Side::Request, "x-meridian-refused").as_deref(),
        Some("1")
    );
    reply(&stream)
}

#[test]
fn a_request_that_is_too_large_is_refused_as_soon_as_that_is_known() {
    let mut announced = CHAT.to_vec();
    announced.push(("content-length", "33554433"));
    let half = " ".repeat(17 << 20);
    let zeros = format!(r#"{{"messages":[0{}]}}"#, ",0".repeat(4 << 20));
    for (headers, pieces, limit) in [
        (announced.as_slice(), &[][..], "33554432 bytes"),
        (CHAT, &[&half, &half, "never"][..], "33554432 bytes"),
        (CHAT, &[zeros.as_str()][..], "67108864 bytes in memory"),
    ] {
        let reply = refused(headers, pieces);
        let error: Value = serde_json::from_str(&reply.body).unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert_eq!(reply.status, 413, "{message}");
        assert!(message.contains(limit), "{message}");
        assert!(message.contains("`fallbacks.claude.body`"), "{message}");
        assert_eq!(error["error"]["code"], "request_too_large");
    }
}

#[test]
fn errors_about_a_request_are_short() {
    let long = "A".repeat(1 << 20);
    for body in [
        format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}],"{long}":1}}"#),
        format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}],"stop":{long}}}"#),
        format!(r#"{{"{long}":[}}"#),
    ] {
        let reply = refused(CHAT, &[&body]);
        assert_eq!(reply.status, 400);
        assert!(reply.body.len() < 3000, "{} bytes", reply.body.len());
    }
}

#[test]
fn an_error_of_claude_without_a_body_has_the_status_that_callers_see() {
    for (status, made) in [("401", "502"), ("429", "429"), ("529", "503")] {
        let (envoy, mut worker) = (Envoy::start(), Worker::default());
        let stream = Stream::new(&envoy, 1);
        let mut plugin = claude(&envoy, &json!({})).stream(1);
        let plugin = plugin.as_mut();
        stream.request(plugin, &mut worker, CHAT, false);
        stream.piece(plugin, &mut worker, Side::Request, BODY, true);
        let head = [(":status", status), ("retry-after", "7")];
        stream.response(plugin, &mut worker, &head, true);
        let value = |name| stream.value(Side::Response, name);
        assert_eq!(value(":status").as_deref(), Some(made));
        assert_eq!(value("retry-after").as_deref(), Some("7"));
    }
}

#[test]
fn betas_go_on_with_the_fields_that_they_bring() {
    let context = r#""context_management":{"edits":[]}"#;
    let body = format!(r#"{{"max_tokens":9,"messages":[],{context}}}"#);
    for (sent, goes_on) in [
        (
            "context-management-2025-06-27,files-api-2025-04-14",
            Some("context-management-2025-06-27"),
        ),
        ("files-api-2025-04-14", None),
    ] {
        let (envoy, mut worker) = (Envoy::start(), Worker::default());
        let stream = Stream::new(&envoy, 1);
        let mut plugin = claude(&envoy, &json!({})).stream(1);
        let plugin = plugin.as_mut();
        let headers = [
            (":method", "POST"),
            (":path", "/v1/messages?beta=true"),
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", sent),
            ("x-meridian-definition", GLOBAL),
        ];
        stream.request(plugin, &mut worker, &headers, false);
        let body = stream.piece(plugin, &mut worker, Side::Request, &body, true);
        let has_field = body.unwrap().contains(context);
        let header = stream.value(Side::Request, "anthropic-beta");
        assert_eq!((header.as_deref(), has_field), (goes_on, goes_on.is_some()));
    }
}

#[test]
fn a_provider_may_have_another_name_of_the_model() {
    let policy = json!({
        "fallback": "other",
        "provider": "openai_compatible",
        "renames": { "models": { "m": "org/M-1" } },
        "unpinned": { GLOBAL: [] },
    });
    for (body, expect) in [
        (r#"{"model":"m","x":"y"}"#, r#"{"model":"org/M-1","x":"y"}"#),
        (r#"{"model":"n","x":"y"}"#, r#"{"model":"n","x":"y"}"#),
    ] {
        let (envoy, mut worker) = (Envoy::start(), Worker::default());
        let stream = Stream::new(&envoy, 1);
        let mut plugin = envoy.plugin("egress", &policy.to_string()).stream(1);
        let plugin = plugin.as_mut();
        let mut headers = CHAT.to_vec();
        let length = body.len().to_string();
        headers.push(("content-length", &length));
        assert_eq!(
            stream.request(plugin, &mut worker, &headers, false),
            Action::Pause
        );
        let (one, two) = body.split_at(4);
        let held = stream.piece(plugin, &mut worker, Side::Request, one, false);
        assert_eq!(held, None);
        let sent = stream.piece(plugin, &mut worker, Side::Request, two, true);
        assert_eq!(sent.as_deref(), Some(expect));
        let length = stream.value(Side::Request, "content-length");
        assert_eq!(length, Some(expect.len().to_string()));
    }
}

#[test]
fn an_answer_names_the_fallback_if_the_provider_gave_it() {
    let envoy = Envoy::start();
    let configured = claude(&envoy, &json!({}));
    for (id, details, region) in [
        (1, "via_upstream", Some("fallback/claude")),
        (2, "upstream_reset_before_response_started", None),
    ] {
        let (stream, mut worker) = (Stream::new(&envoy, id), Worker::default());
        stream.fact_is(Fact::ResponseDetails, details);
        let mut plugin = configured.stream(id);
        stream.request(plugin.as_mut(), &mut worker, CHAT, false);
        let forged = [(":status", "503"), ("x-meridian-region", "us-west-2")];
        stream.response(plugin.as_mut(), &mut worker, &forged, true);
        let named = stream.value(Side::Response, "x-meridian-region");
        assert_eq!(named.as_deref(), region, "{details}");
    }
}

/// The headers of an answer that describe the operator's account, or send a caller elsewhere.
const ACCOUNT: &[(&str, &str)] = &[
    (":status", "200"),
    ("content-type", "application/json"),
    ("retry-after", "3"),
    ("set-cookie", "__cf_bm=secret"),
    ("server", "cloudflare"),
    ("via", "1.1 proxy"),
    ("cf-ray", "1"),
    ("openai-organization", "org-secret"),
    ("anthropic-ratelimit-tokens-remaining", "1"),
    ("x-ratelimit-remaining-requests", "1"),
    ("x-meridian-retry", "1"),
    ("location", "https://elsewhere/"),
];

/// An OpenAI-compatible provider.
fn compatible(envoy: &Rc<Envoy>) -> Configured {
    let policy =
        json!({ "fallback": "other", "provider": "openai_compatible", "unpinned": { GLOBAL: [] } });
    envoy.plugin("egress", &policy.to_string())
}

#[test]
fn neither_queries_nor_headers_nor_trailers_carry_secrets_either_way() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    for (id, configured) in [(1, compatible(&envoy)), (2, claude(&envoy, &json!({})))] {
        let stream = Stream::new(&envoy, id);
        let mut plugin = configured.stream(id);
        let (plugin, worker) = (plugin.as_mut(), &mut worker);
        let mut asked = CHAT.to_vec();
        asked[1].1 = "/v1/chat/completions?key=SECRET&x=1";
        asked[4].1 = if id == 1 { "one" } else { "two" };
        stream.request(plugin, worker, &asked, false);
        stream.piece(plugin, worker, Side::Request, BODY, false);
        stream.trailers_come(Side::Request, &[("x-secret", "SECRET")]);
        plugin.on_request_trailers(&stream, worker);
        assert!(!stream.has_trailers(Side::Request));
        let path = stream.value(Side::Request, ":path").unwrap();
        assert!(!path.contains('?'), "{path}");
        stream.response(plugin, worker, ACCOUNT, false);
        let headers = stream.headers(Side::Response);
        let names: Vec<&str> = headers.iter().map(|(name, _)| name).collect();
        let mut expected = vec![
            ":status",
            "content-type",
            "retry-after",
            "x-meridian-region",
        ];
        expected.sort_unstable();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "{names:?}");
        stream.trailers_come(Side::Response, &[("x-organization", "org-secret")]);
        plugin.on_response_trailers(&stream, worker);
        assert!(!stream.has_trailers(Side::Response));
    }
}

#[test]
fn a_redirect_of_a_provider_stays_here() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let mut id = 0;
    for configured in [compatible(&envoy), claude(&envoy, &json!({}))] {
        for status in ["300", "302", "304", "307", "308"] {
            id += 1;
            let request_id = id.to_string();
            let stream = Stream::new(&envoy, id);
            let mut plugin = configured.stream(id);
            let (plugin, worker) = (plugin.as_mut(), &mut worker);
            let mut asked = CHAT.to_vec();
            asked[4].1 = &request_id;
            stream.request(plugin, worker, &asked, false);
            stream.piece(plugin, worker, Side::Request, BODY, true);
            let head = [(":status", status), ("location", "https://elsewhere/")];
            stream.response(plugin, worker, &head, false);
            let reply = reply(&stream);
            assert_eq!(reply.status, 502, "{status}");
            assert!(reply.body.contains("redirects"), "{}", reply.body);
            assert!(!reply.body.contains("elsewhere"), "{}", reply.body);
            plugin.on_done(&stream, worker);
        }
    }
    let spent = envoy.metric("meridian_spent_microusd;to=fallback/claude");
    assert_eq!(spent, 0, "a redirect costs nothing");
}

/// What becomes of a body at a fallback under a definition: refused at a field, or let go.
fn refused_at(
    configured: &Configured,
    envoy: &Rc<Envoy>,
    ask: (&str, &str, &Value),
) -> Option<Reply> {
    let (definition, path, body) = ask;
    let stream = Stream::new(envoy, 1);
    let mut plugin = configured.stream(1);
    let mut worker = Worker::default();
    let headers = [
        (":method", "POST"),
        (":path", path),
        ("x-meridian-definition", definition),
    ];
    let headers = if definition.is_empty() {
        &headers[..2]
    } else {
        &headers[..]
    };
    stream.request(plugin.as_mut(), &mut worker, headers, false);
    if let Some(reply) = stream.reply.borrow().clone() {
        return Some(reply);
    }
    let text = body.to_string();
    let (first, rest) = text.split_at(text.len() / 2);
    stream.piece(plugin.as_mut(), &mut worker, Side::Request, first, false);
    let sent = stream.piece(plugin.as_mut(), &mut worker, Side::Request, rest, true);
    let reply = stream.reply.borrow().clone();
    assert_eq!(reply.is_none(), sent.is_some(), "{path}: {body}");
    assert_eq!(stream.value(Side::Request, "x-meridian-definition"), None);
    reply
}

#[test]
fn a_request_of_a_pinned_zone_is_held_to_the_listed_fields() {
    let envoy = Envoy::start();
    let pinned = json!({ EEA: [], UK: ["web_search"] });
    let compatible = |renames: Value| {
        let policy = json!({ "fallback": "other", "provider": "openai_compatible", "unpinned": { GLOBAL: [] }, "pinned": pinned, "renames": renames });
        envoy.plugin("egress", &policy.to_string())
    };
    let search = json!({ "model": "m", "tools": [{ "type": "function", "name": "f" }, { "type": "web_search" }], "tool_choice": { "type": "web_search" } });
    let plain = json!({ "model": "m", "input": "hi", "store": false });
    let long_name = json!({ "model": "m", ("x".repeat(1 << 20)): 1 });
    for configured in [compatible(json!({})), compatible(json!({ "others": "x" }))] {
        let ask = |zone, body| refused_at(&configured, &envoy, (zone, "/v1/responses?x=1", body));
        let reply = ask(EEA, &search).unwrap();
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(
            (
                reply.status,
                &body["error"]["param"],
                &body["error"]["code"]
            ),
            (400, &json!("tool_choice.type"), &json!("field_not_allowed"))
        );
        let long = ask(EEA, &long_name).unwrap();
        assert!(long.body.len() < 2000, "{}", long.body.len());
        assert_eq!(ask(EEA, &plain), None);
        for definition in [UK, GLOBAL] {
            assert_eq!(ask(definition, &search), None, "{definition}");
        }
        let stored = json!({ "model": "m", "store": true });
        assert!(ask(UK, &stored).is_some() && ask(GLOBAL, &stored).is_none());
        // Another definition of the same zone, and none.
        for definition in [
            "global@000000000000000d",
            "eea@000000000000000d",
            "global",
            "",
        ] {
            let reply = ask(definition, &plain).unwrap();
            assert_eq!(reply.status, 503, "{definition}: {}", reply.body);
            assert!(reply.body.contains("rules of this zone"), "{}", reply.body);
            assert_eq!(envoy.metric("meridian_mismatched;what=fallback"), 1);
        }
    }
    // Without a pinned zone nothing is read.
    assert_eq!(
        refused_at(
            &self::compatible(&envoy),
            &envoy,
            (GLOBAL, "/v1/responses", &search)
        ),
        None
    );
}

/// The body and its content type are what was checked: not stored, without a search of the web, with the provider's name of the model.
#[test]
fn a_request_of_a_pinned_zone_is_changed_on_its_way() {
    let envoy = Envoy::start();
    let policy = json!({ "fallback": "other", "provider": "openai_compatible", "unpinned": { GLOBAL: [] }, "pinned": { EEA: [] }, "renames": { "others": "org/M-1" } });
    let configured = envoy.plugin("egress", &policy.to_string());
    let body = r#"{"tools":[{"type":"web_search"},{"type":"function","name":"f"}],"model":"m","input":"hi"}"#;
    let ask = |definition: &str| {
        let stream = Stream::new(&envoy, 1);
        let mut plugin = configured.stream(1);
        let mut worker = Worker::default();
        let headers = [
            (":method", "POST"),
            (":path", "/v1/responses"),
            ("content-type", "application/json; charset=utf-7"),
            ("x-meridian-definition", definition),
        ];
        stream.request(plugin.as_mut(), &mut worker, &headers, false);
        let sent = stream.piece(plugin.as_mut(), &mut worker, Side::Request, body, true);
        (
            sent,
            stream.value(Side::Request, "content-type"),
            stream.value(Side::Request, "content-length"),
        )
    };
    let expect = r#"{"store":false,"tools":[{"type":"function","name":"f"}],"model":"org/M-1","input":"hi"}"#;
    assert_eq!(
        ask(EEA),
        (
            Some(expect.into()),
            Some("application/json".into()),
            Some(expect.len().to_string())
        )
    );
    let (sent, content_type, _) = ask(GLOBAL);
    assert_eq!(sent.unwrap(), body.replace("\"m\"", "\"org/M-1\""));
    assert_eq!(
        content_type.as_deref(),
        Some("application/json; charset=utf-7")
    );
}

#[test]
fn claude_is_given_no_tools_of_the_provider_s_own_and_fetches_nothing_for_a_pinned_zone() {
    let envoy = Envoy::start();
    let claude = |tools: Value, pinned: Value| {
        let claude = json!({ "host": "anthropic", "model": "claude-sonnet-5", "max_tokens": 1024 });
        let policy = json!({ "fallback": "claude", "provider": { "claude": claude }, "unpinned": { GLOBAL: tools }, "pinned": pinned });
        envoy.plugin("egress", &policy.to_string())
    };
    let none = json!([]);
    let open = claude(none.clone(), json!({}));
    let eea = claude(none.clone(), json!({ EEA: [] }));
    let field = |configured: &Configured, zone, path, body: &Value| {
        let reply = refused_at(configured, &envoy, (zone, path, body))?;
        assert_eq!(reply.status, 400);
        Some(reply.body)
    };
    let url = "https://example.com/a.png";
    let messages = "/v1/messages";
    let search = json!({ "model": "m", "max_tokens": 1, "messages": [{ "role": "user", "content": "hi" }], "tools": [{ "type": "web_search_20250305", "name": "w" }] });
    for (configured, zone) in [(&open, GLOBAL), (&eea, GLOBAL), (&eea, EEA)] {
        let refused = field(configured, zone, messages, &search).unwrap();
        assert!(
            refused.contains("tools[0].type") && refused.contains("invalid_request_error"),
            "{refused}"
        );
    }
    let tools = json!(["web_search_20250305"]);
    let by_zone = [
        (EEA, claude(none.clone(), json!({ EEA: tools }))),
        (GLOBAL, claude(tools.clone(), json!({ EEA: [] }))),
    ];
    for (zone, allowing) in by_zone {
        assert_eq!(field(&allowing, zone, messages, &search), None);
        let other = if zone == EEA { GLOBAL } else { EEA };
        assert!(field(&allowing, other, messages, &search).is_some());
    }
    let image = json!({ "type": "image", "source": { "type": "url", "url": url } });
    let native = json!({ "model": "m", "max_tokens": 1, "messages": [{ "role": "user", "content": [image] }] });
    let part = json!({ "type": "image_url", "image_url": { "url": url } });
    let chat = json!({ "model": "m", "messages": [{ "role": "user", "content": [part] }] });
    let part = json!({ "type": "input_image", "image_url": url });
    let responses = json!({ "model": "m", "input": [{ "role": "user", "content": [part] }], "tools": [{ "type": "web_search" }] });
    for (path, body, place) in [
        (messages, &native, "messages[0].content[0].source.url"),
        (
            "/v1/chat/completions",
            &chat,
            "messages[0].content[0].image_url.url",
        ),
        ("/v1/responses", &responses, "input[0].content[0].image_url"),
    ] {
        assert_eq!(field(&open, GLOBAL, path, body), None, "{path}");
        assert_eq!(field(&eea, GLOBAL, path, body), None, "{path}");
        let refused = field(&eea, EEA, path, body).unwrap();
        assert!(
            refused.contains(place) && refused.contains("at another place"),
            "{refused}"
        );
    }
}
