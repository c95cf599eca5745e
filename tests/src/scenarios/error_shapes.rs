//! Errors that somebody else makes, in the shape of the API that the caller speaks.

use super::ensure;
use crate::fakes::{Fail, Replay};
use crate::world::{Answer, Ask, MODEL, REGIONS, World};
use anyhow::Result;
use serde_json::{Value, json};

/// A websocket is refused at once, and an error without a body has one for its caller, whoever made it.
pub async fn shapes(world: &mut World) -> Result<String> {
    no_websockets(world).await?;
    let mut seen = 0;
    for region in REGIONS {
        let pool = world.pool(region);
        pool.update(|behaviour| behaviour.replay = Some(empty(404, CONTENT_LENGTH)));
    }
    for ask in asks(world) {
        has_shape(&ask, &ask.send().await?, 404)?;
        seen += 1;
    }
    for region in REGIONS {
        world.pool(region).update(|behaviour| {
            behaviour.replay = None;
            behaviour.fail = Fail::Status(503);
        });
    }
    no_api(world).await?;
    let claude = world.provider("claude");
    for (status, framing, expect) in [
        (429, CONTENT_LENGTH, 429),
        (503, CHUNKED, 503),
        (500, CHUNKED, 500),
        (401, CONTENT_LENGTH, 502),
    ] {
        claude.update(|behaviour| behaviour.replay = Some(empty(status, framing)));
        for ask in asks(world) {
            let answer = ask.send().await?;
            has_shape(&ask, &answer, expect)?;
            let retry_after = answer.header("retry-after");
            ensure(expect == 502 || retry_after == "7", || {
                format!("{status}: retry-after is `{retry_after}`")
            })?;
            seen += 1;
        }
    }
    Ok(format!(
        "{seen} errors without a body, of Claude and of pools, in the shapes of three APIs; a websocket: 426"
    ))
}

/// How an answer says that it has no body.
const CONTENT_LENGTH: &str = "content-length: 0\r\n\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n\r\n0\r\n\r\n";

/// An error without a body.
fn empty(status: u16, framing: &str) -> Replay {
    let head = format!("HTTP/1.1 {status} No\r\nconnection: close\r\nretry-after: 7\r\n{framing}");
    Replay {
        pieces: vec![head.into_bytes()],
        stalls: false,
    }
}

/// Envoy itself refuses the upgrade, before any filter.
async fn no_websockets(world: &World) -> Result<()> {
    let ask = world.ask("us-west-2").country("US").get("/v1/responses");
    let ask = ask
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = ask.send().await?;
    let says = (answer.header("upgrade"), answer.header("connection"));
    ensure(
        answer.status == 426 && says == ("HTTP/1.1", "upgrade"),
        || format!("{} {says:?} {}", answer.status, answer.text()),
    )?;
    let error = &answer.json()["error"];
    ensure(error["type"] == "invalid_request_error", || answer.text())
}

/// An API that Claude does not have.
async fn no_api(world: &World) -> Result<()> {
    let ask = world.ask("us-west-2").country("US").path("/v1/embeddings");
    let ask = ask.json(&json!({ "model": MODEL, "input": "hi" }));
    let answer = ask.send().await?;
    let error = &answer.json()["error"];
    let fine = answer.status == 503
        && error["code"] == "unavailable"
        && error["type"] == "server_error"
        && error["message"]
            .to_string()
            .contains("no fallback for its API");
    ensure(fine, || format!("{}: {}", answer.status, answer.text()))
}

/// A request in each API.
fn asks(world: &World) -> [Ask; 3] {
    let ask = || world.ask("us-west-2").country("US");
    let responses = json!({ "model": MODEL, "input": "hi" });
    [
        ask().streamed(),
        ask().messages(false),
        ask().path("/v1/responses").json(&responses),
    ]
}

/// The answer is an error in the shape of the API that was asked.
fn has_shape(ask: &Ask, answer: &Answer, status: u16) -> Result<()> {
    let body = answer.json();
    let error = &body["error"];
    let kind = match (ask.is_messages(), status) {
        (_, 429) => "rate_limit_error",
        (true, 404) => "not_found_error",
        (true, 503) => "overloaded_error",
        (true, _) => "api_error",
        (false, 404) => "invalid_request_error",
        (false, _) => "server_error",
    };
    let has_outside = (body["type"] == "error") == ask.is_messages();
    let has_code = ask.is_messages() || (error.get("code").is_some() && error["code"] != "");
    let fine = answer.status == status
        && has_outside
        && has_code
        && error["type"] == kind
        && error["message"]
            .as_str()
            .is_some_and(|text| text.len() > 20)
        && answer.headers.get_all("x-meridian-region").iter().count() == 1
        && answer
            .header("content-type")
            .starts_with("application/json");
    ensure(fine, || {
        let headers = &answer.headers;
        format!("{status}: {} {} {headers:?}", answer.status, answer.text())
    })?;
    let has_decision = error.is_object() && !answer.header("x-meridian-decision").is_empty();
    ensure(has_decision && *error != Value::Null, || {
        format!("no decision: {:?}", answer.headers)
    })
}
