//! Requests go to a pool of their model; where there is none, the error says which models there are.

use super::{answered_by, ensure, refused};
use crate::fakes::embedding;
use crate::world::{Ask, MODEL, PARTIAL_MODEL, World};
use anyhow::Result;
use serde_json::{Value, json};

pub async fn models(world: &mut World) -> Result<String> {
    // A model that home does not have: the nearest region that does.
    answered_by(
        world,
        &world.ask("us-west-2").country("US").model(PARTIAL_MODEL),
        "us-east-1",
    )
    .await?;
    answered_by(
        world,
        &world.ask("eu-west-1").country("DE").model(PARTIAL_MODEL),
        "eu-west-1",
    )
    .await?;
    world.pool("us-east-1").kill().await?;
    answered_by(
        world,
        &world.ask("us-west-2").country("US").model(PARTIAL_MODEL),
        "eu-west-1",
    )
    .await?;
    let unknown = refused(
        world,
        &world.ask("us-west-2").country("US").model("gpt-9"),
        404,
        MODEL,
    )
    .await?;
    let error = &unknown.json()["error"];
    ensure(
        error["code"] == "model_not_found" && error["type"] == "invalid_request_error",
        || unknown.text(),
    )?;
    ensure(unknown.text().contains(PARTIAL_MODEL), || unknown.text())?;
    let list = world
        .ask("us-west-2")
        .country("US")
        .get("/v1/models")
        .send()
        .await?
        .json();
    let ids: Vec<&str> = list["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|model| model["id"].as_str())
        .collect();
    ensure(ids == [MODEL, PARTIAL_MODEL], || format!("{list}"))?;
    for path in [PARTIAL_MODEL.to_owned(), PARTIAL_MODEL.replace('/', "%2F")] {
        let ask = world.ask("us-west-2").country("US");
        let card = ask.get(&format!("/v1/models/{path}")).send().await?;
        ensure(card.json()["id"] == PARTIAL_MODEL, || card.text())?;
    }
    Ok(format!(
        "{PARTIAL_MODEL} is served by the nearest region that has it; gpt-9 is a 404 that lists both models"
    ))
}

/// A chat whose prompt has `size` bytes.
fn prompt(ask: Ask, size: usize) -> Ask {
    let content = format!("{} {}", ask.marker(), "x".repeat(size));
    ask.json(&json!({ "messages": [{ "role": "user", "content": content }], "model": MODEL }))
}

pub async fn large_bodies(world: &mut World) -> Result<String> {
    let ask = || world.ask("us-west-2").country("US");
    // Through the home pool, and through a peer.
    answered_by(world, &prompt(ask(), 8 << 20), "us-west-2").await?;
    world.pool("us-west-2").kill().await?;
    answered_by(world, &prompt(ask(), 8 << 20), "us-east-1").await?;
    let bytes = world
        .pool("us-east-1")
        .requests()
        .last()
        .map_or(0, |request| request.body.len());
    ensure(bytes > 8 << 20, || format!("only {bytes} bytes arrived"))?;
    let size = large_answer(world).await?;
    let answer = prompt(world.ask("us-east-1").country("US"), 65 << 20)
        .send()
        .await?;
    ensure(answer.status == 413, || format!("65 MB: {}", answer.status))?;
    ensure(answer.json()["error"]["message"].is_string(), || {
        answer.text()
    })?;
    Ok(format!(
        "8 MB prompt through home and a peer; {size} bytes of embeddings, whole; 65 MiB is a 413"
    ))
}

/// Embeddings of more than 20 MB arrive through a peer as they were made.
async fn large_answer(world: &World) -> Result<usize> {
    let ask = world.ask("us-west-2").country("US").path("/v1/embeddings");
    let inputs: Vec<String> = (0..1250)
        .map(|number| format!("{} {number}", ask.marker()))
        .collect();
    let ask = ask.json(&json!({ "model": MODEL, "input": inputs, "dimensions": 1536 }));
    let answer = answered_by(world, &ask, "us-east-1").await?;
    let size = answer.body.len();
    ensure(size > 20_000_000, || format!("the answer has {size} bytes"))?;
    let json = answer.json();
    let vectors = json["data"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    ensure(vectors.len() == inputs.len(), || {
        format!("{} vectors", vectors.len())
    })?;
    let last = inputs
        .last()
        .map(|input| embedding(input, 1536))
        .unwrap_or_default();
    let got: Vec<f32> = serde_json::from_value(
        vectors
            .last()
            .map_or(Value::Null, |vector| vector["embedding"].clone()),
    )?;
    ensure(got == last, || {
        "the last vector is not what the pool made".into()
    })?;
    Ok(size)
}

pub async fn bad_requests(world: &mut World) -> Result<String> {
    let ask = || world.ask("us-west-2").country("US");
    for (body, says) in [
        ("{\"model\": \"llama", "not a JSON object"),
        ("", "no body"),
        ("[1]", "not a JSON object"),
        ("{\"messages\": []}", "names no `model`"),
        ("{\"model\": 7}", "`model` must be a string"),
        (
            "{\"model\": \"a\", \"model\": \"llama-3.1-70b\"}",
            "duplicate field",
        ),
    ] {
        let answer = refused(world, &ask().body(body), 400, says).await?;
        ensure(
            answer.json()["error"]["type"] == "invalid_request_error",
            || answer.text(),
        )?;
    }
    let anthropic = refused(
        world,
        &ask().path("/v1/messages").body("{"),
        400,
        "not a JSON object",
    )
    .await?;
    ensure(
        anthropic.json()["error"]["type"] == "invalid_request_error",
        || anthropic.text(),
    )?;
    ensure(anthropic.json()["type"] == "error", || anthropic.text())?;
    refused(world, &ask().path("/v1/files"), 404, "No inference API").await?;
    refused(world, &ask().path("/metrics"), 404, "No inference API").await?;
    let method = refused(world, &ask().get("/v1/chat/completions"), 405, "POST").await?;
    ensure(method.header("allow") == "POST", || {
        format!("{:?}", method.headers)
    })?;
    refused(
        world,
        &ask().header("content-encoding", "gzip"),
        415,
        "gzip",
    )
    .await?;
    // The pool's own verdict on a request comes through as it is.
    let nonsense = ask();
    let body = json!({ "model": MODEL, "note": nonsense.marker() });
    let answer = nonsense.json(&body).send().await?;
    ensure(
        answer.status == 400 && answer.region() == "us-west-2",
        || answer.text(),
    )?;
    ensure(answer.header("x-envoy-attempt-count") == "1", || {
        "a caller's error was retried".into()
    })?;
    Ok("broken, empty or ambiguous bodies: 400 with the reason; unknown paths 404; wrong methods 405".into())
}
