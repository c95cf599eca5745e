//! What pools and providers answer on their own carries no prompt elsewhere, and no secrets flow either way.

use super::client::run_from;
use super::ensure;
use crate::fakes::Replay;
use crate::world::{Ask, MODEL, World, client};
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Every path of inference, with the JSON pointer of an error's type in the shape of its API.
const PATHS: [(&str, &str); 9] = [
    ("/v1/chat/completions", "/error/type"),
    ("/v1/completions", "/error/type"),
    ("/v1/responses", "/error/type"),
    ("/v1/embeddings", "/error/type"),
    ("/v1/rerank", "/error/type"),
    ("/v1/score", "/error/type"),
    ("/v1/audio/speech", "/error/type"),
    ("/v1/messages", "/error/type"),
    ("/v1/messages/count_tokens", "/error/type"),
];

/// Response headers that the gateway itself sets, or that a provider's may pass.
const PASSED: [&str; 12] = [
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "server",
    "transfer-encoding",
    // Of the compression that callers may ask the gateway for.
    "vary",
    "x-meridian-decision",
    "x-meridian-region",
    "x-request-id",
];

/// Statuses, and what follows the header `location`.
const REDIRECTS: [(u16, &str); 7] = [
    (300, "content-length: 5\r\n\r\nmoved"),
    (301, "content-length: 0\r\n\r\n"),
    (
        302,
        "transfer-encoding: chunked\r\n\r\n5\r\nmoved\r\n0\r\nx-moved: yes\r\n\r\n",
    ),
    (
        303,
        "transfer-encoding: chunked\r\n\r\n0\r\nx-moved: yes\r\n\r\n",
    ),
    (304, "\r\n"),
    (307, "content-length: 5\r\n\r\nmoved"),
    (
        308,
        "content-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    ),
];

/// The pool and the fallback of the EU redirect every request to a server of the US: nothing comes to it, though the client follows
/// redirects.
pub async fn redirects(world: &mut World) -> Result<String> {
    let target = world.pool("us-west-2").addr();
    let before = world.pool("us-west-2").requests().len();
    let follows = client()
        .redirect(reqwest::redirect::Policy::limited(3))
        .build()?;
    let mut seen = 0;
    for (status, framing) in REDIRECTS {
        for server in [world.pool("eu-west-1"), world.provider("claude-eu")] {
            server.update(|behaviour| behaviour.replay = Some(redirect(status, target, framing)));
        }
        for (path, error_type) in PATHS {
            for streamed in [false, true] {
                let ask = ask(world, path, streamed);
                let answer = ask.send_with(&follows).await?;
                let fine = matches!(answer.status, 502 | 503)
                    && answer
                        .json()
                        .pointer(error_type)
                        .is_some_and(Value::is_string)
                    && answer.header("location").is_empty();
                ensure(fine, || {
                    format!(
                        "{status} at {path}: {} {:?} {}",
                        answer.status,
                        answer.headers,
                        answer.text()
                    )
                })?;
                let reached = world.reached(ask.marker());
                ensure(!reached.contains(&"us-west-2".into()), || {
                    format!("{status} at {path} was followed: {reached:?}")
                })?;
                seen += 1;
            }
        }
        let gateway = world.block().public("eu-west-1").to_string();
        run_from("FR", "redirected", &gateway).await?;
    }
    let followed = world.pool("us-west-2").requests().len() - before;
    ensure(followed == 0, || {
        format!("{followed} redirects were followed")
    })?;
    Ok(format!(
        "{seen} requests that the EU's pool and fallback redirect, and openai's client: an error of the API, none at the target"
    ))
}

/// Any answer of the class 3xx.
fn redirect(status: u16, target: std::net::SocketAddr, framing: &str) -> Replay {
    let head = format!(
        "HTTP/1.1 {status} Moved\r\nconnection: close\r\nlocation: http://{target}/v1/chat/completions\r\n{framing}"
    );
    Replay {
        pieces: vec![head.into_bytes()],
        stalls: false,
    }
}

/// A request of a caller in France.
fn ask(world: &World, path: &str, streamed: bool) -> Ask {
    let ask = world.ask("eu-west-1").country("FR").path(path);
    let text = format!("tell me about {}", ask.marker());
    let turns = json!([{ "role": "user", "content": text }]);
    let api = path.split('?').next().unwrap_or_default();
    let mut body = match api {
        "/v1/completions" => json!({ "prompt": text }),
        "/v1/responses" | "/v1/embeddings" | "/v1/audio/speech" => json!({ "input": text }),
        "/v1/rerank" => json!({ "query": text, "documents": [text] }),
        "/v1/score" => json!({ "text_1": text, "text_2": text }),
        _ => json!({ "messages": turns }),
    };
    body["model"] = json!(MODEL);
    if !matches!(api, "/v1/embeddings" | "/v1/audio/speech") {
        body["stream"] = json!(streamed);
    }
    ask.json(&body)
}

/// A provider gets nothing of a caller's query, and a caller nothing of the headers about the operator's account.
pub async fn secrets(world: &mut World) -> Result<String> {
    let answered = ask(world, "/v1/chat/completions?key=SECRET&x=1", false);
    let answer = answered.send().await?;
    ensure(answer.region() == "eu-west-1", || answer.text())?;
    only_passed(&answer, &["set-cookie", "location"])?;
    world.pool("eu-west-1").kill().await?;
    let mut seen = 0;
    for path in [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/embeddings",
    ] {
        for streamed in [false, true] {
            let asked = ask(world, &format!("{path}?key=SECRET&x=1"), streamed);
            let answer = asked.send().await?;
            ensure(
                answer.status == 200 && answer.region() == "fallback/claude-eu",
                || format!("{path}: {} {}", answer.status, answer.text()),
            )?;
            let mut names = answer.headers.keys().map(|name| name.as_str());
            let other = names.find(|name| !PASSED.contains(name) && !name.starts_with("x-envoy-"));
            ensure(other.is_none(), || {
                format!("{path}: the caller got {other:?}")
            })?;
            ensure(answer.header("server") == "envoy", || {
                answer.header("server").to_owned()
            })?;
            only_passed(&answer, &["set-cookie", "location", "openai-organization"])?;
            seen += 1;
        }
    }
    for request in world.provider("claude-eu").requests() {
        ensure(!request.path.contains('?'), || {
            format!("the provider got {}", request.path)
        })?;
    }
    Ok(format!(
        "{seen} answers of a fallback: no query at the provider, none of its headers about the account at the caller"
    ))
}

/// For a pinned zone a fallback is given nothing with which it could send the prompt elsewhere. Pools get the same requests.
pub async fn tools(world: &mut World) -> Result<String> {
    let rows = rows();
    let ask = |gateway: &str, country: &str, row: (&str, &str, &Value)| {
        let ask = world.ask(gateway).country(country);
        with_field(ask, row)
    };
    for (path, name, value, field) in &rows {
        let by_pool = ask("eu-west-1", "FR", (path, name, value));
        let answer = by_pool.send().await?;
        ensure(answer.region() == "eu-west-1", || {
            format!("{field}: {}", answer.text())
        })?;
    }
    for region in crate::world::REGIONS {
        world.pool(region).kill().await?;
    }
    for (path, name, value, field) in &rows {
        let pinned = ask("eu-west-1", "FR", (path, name, value));
        let answer = pinned.send().await?;
        let fine = answer.status == 400 && answer.json()["error"]["param"] == *field;
        ensure(fine, || {
            format!("{field}: {} {}", answer.status, answer.text())
        })?;
        ensure(world.reached(pinned.marker()).is_empty(), || {
            format!("{field}: {:?}", world.reached(pinned.marker()))
        })?;
        let open = ask("us-west-2", "US", (path, name, value));
        let answer = open.send().await?;
        ensure(
            answer.region() == "fallback/claude" && answer.status == 200,
            || format!("{field}: {} {}", answer.status, answer.text()),
        )?;
    }
    changed(world).await?;
    Ok(format!(
        "{} requests that a provider could send on: served by pools, and by the fallback of an open zone; 400 by that of a pinned one",
        rows.len()
    ))
}

/// A fallback of a pinned zone keeps nothing, is given no search of the web, and reads the encoding that was checked.
async fn changed(world: &World) -> Result<()> {
    let search = json!({ "type": "web_search", "external_web_access": true });
    for (path, function) in [
        (
            CHAT,
            json!({ "type": "function", "function": { "name": "f" } }),
        ),
        (RESPONSES, json!({ "type": "function", "name": "f" })),
    ] {
        let tools = json!([search, function]);
        let ask = world.ask("eu-west-1").country("FR");
        let ask = with_field(ask, (path, "tools", &tools));
        let answer = ask.header("content-type", "application/json; charset=utf-7");
        let answer = answer.send().await?;
        ensure(
            answer.region() == "fallback/claude-eu" && answer.status == 200,
            || answer.text(),
        )?;
        let requests = world.provider("claude-eu").requests();
        let last = requests.last().context("the provider was asked")?;
        let body: Value = serde_json::from_slice(&last.body)?;
        // Not OpenAI's own host: its chats are not kept by this field.
        let store = if path == RESPONSES {
            json!(false)
        } else {
            Value::Null
        };
        let fine = body["store"] == store
            && body["tools"] == json!([function])
            && last.header("content-type") == Some("application/json");
        ensure(fine, || format!("{path}: {body} {:?}", last.headers))?;
    }
    Ok(())
}

/// Requests by path, one more field and its value, and the place at which they are refused.
fn rows() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let url = "https://example.com/a.png";
    let image = json!({ "type": "image_url", "image_url": { "url": url } });
    let file = json!({ "type": "input_file", "file_url": url });
    vec![
        (
            CHAT,
            "tools",
            json!([{ "type": "mcp", "server_url": url }]),
            "tools[0].type",
        ),
        (CHAT, "web_search_options", json!({}), "web_search_options"),
        (CHAT, "store", json!(true), "store"),
        (
            CHAT,
            "messages",
            user(&image),
            "messages[0].content[1].image_url.url",
        ),
        (
            RESPONSES,
            "tool_choice",
            json!({ "type": "web_search" }),
            "tool_choice.type",
        ),
        (
            RESPONSES,
            "tools",
            json!([{ "type": "file_search" }]),
            "tools[0].type",
        ),
        (
            RESPONSES,
            "tools",
            json!([{ "type": "code_interpreter" }]),
            "tools[0].type",
        ),
        (RESPONSES, "background", json!(true), "background"),
        (RESPONSES, "metadata", json!({ "a": "b" }), "metadata"),
        (
            RESPONSES,
            "input",
            user(&file),
            "input[0].content[1].file_url",
        ),
    ]
}

/// A request with one more field.
fn with_field(ask: Ask, (path, name, value): (&str, &str, &Value)) -> Ask {
    let mut value = value.clone();
    if let Some(text) = value.pointer_mut("/0/content/0/text") {
        *text = json!(ask.marker());
    }
    let mut body = json!({ "model": MODEL, "max_tokens": 16, "user": ask.marker() });
    let prompt = if path == CHAT { "messages" } else { "input" };
    body[prompt] = json!([{ "role": "user", "content": ask.marker() }]);
    body[name] = value;
    ask.path(path).json(&body)
}

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";

/// A message of a text and this part.
fn user(part: &Value) -> Value {
    let kind = if part["type"] == "image_url" {
        "text"
    } else {
        "input_text"
    };
    json!([{ "role": "user", "content": [{ "type": kind, "text": "" }, part] }])
}

fn only_passed(answer: &crate::world::Answer, removed: &[&str]) -> Result<()> {
    for name in removed {
        ensure(answer.header(name).is_empty(), || {
            format!("the caller got `{name}`")
        })?;
    }
    Ok(())
}
