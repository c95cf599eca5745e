//! What pools and providers answer on their own carries no prompt elsewhere, and no secrets flow either way.

use super::client::run_from;
use super::ensure;
use crate::fakes::Replay;
use crate::world::{Ask, MODEL, World, client};
use anyhow::Result;
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

/// The pool and the fallback of the EU redirect every request to a server of the US: nothing comes to it, though the client follows
/// redirects.
pub async fn redirects(world: &mut World) -> Result<String> {
    let target = world.pool("us-west-2").addr();
    let before = world.pool("us-west-2").requests().len();
    let follows = client()
        .redirect(reqwest::redirect::Policy::limited(3))
        .build()?;
    let mut seen = 0;
    for (status, framing) in [
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
    ] {
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
    ask.json(&json!({
        "model": MODEL, "stream": streamed, "max_tokens": 16, "messages": turns, "prompt": text, "input": text,
        "query": text, "documents": [text], "text_1": text, "text_2": text,
    }))
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

fn only_passed(answer: &crate::world::Answer, removed: &[&str]) -> Result<()> {
    for name in removed {
        ensure(answer.header(name).is_empty(), || {
            format!("the caller got `{name}`")
        })?;
    }
    Ok(())
}
