//! An EU caller at a US gateway.

use super::{answered_by, ensure, refused};
use crate::world::{MODEL, World};
use anyhow::Result;
use serde_json::json;

/// 421 before the body is read, naming the right gateway.
pub async fn refuse(world: &mut World) -> Result<String> {
    let right = format!("http://{}", world.block().public("eu-west-1"));
    for region in ["us-west-2", "us-east-1"] {
        refused(world, &world.ask(region).country("DE"), 421, &right).await?;
        let anthropic = refused(
            world,
            &world.ask(region).country("DE").path("/v1/messages"),
            421,
            &right,
        )
        .await?;
        ensure(anthropic.json()["type"] == "error", || anthropic.text())?;
    }
    // Decided on the head: the gateway answers while the caller still holds the body back.
    let status = head_only(world).await?;
    ensure(status.starts_with("HTTP/1.1 421"), || status)?;
    Ok(format!(
        "421 naming {right}, before a byte of the body was sent"
    ))
}

/// Sends a head that promises a body, and no body.
async fn head_only(world: &World) -> Result<String> {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let mut stream = tokio::net::TcpStream::connect(world.block().public("us-west-2")).await?;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gw\r\ncf-ipcountry: DE\r\ncontent-length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut status = String::new();
    let mut reader = BufReader::new(stream);
    tokio::time::timeout(crate::world::DEADLINE, reader.read_line(&mut status)).await??;
    Ok(status)
}

/// 307 to the right gateway, where the same request is served.
pub async fn redirect(world: &mut World) -> Result<String> {
    let ask = world
        .ask("us-west-2")
        .country("DE")
        .path("/v1/chat/completions?x=1");
    let answer = refused(world, &ask, 307, "eea").await?;
    let location = answer.header("location").to_owned();
    let right = format!(
        "http://{}/v1/chat/completions?x=1",
        world.block().public("eu-west-1")
    );
    ensure(location == right, || format!("location: {location}"))?;
    answered_by(
        world,
        &ask.clone()
            .gateway_at(&format!("http://{}", world.block().public("eu-west-1"))),
        "eu-west-1",
    )
    .await?;
    Ok(format!("307 to {location}, served there"))
}

/// Through this gateway to a peer in the zone; then the zone's fallback; never this region's own pool.
pub async fn forward(world: &mut World) -> Result<String> {
    answered_by(world, &world.ask("us-west-2").country("DE"), "eu-west-1").await?;
    let embedding = world.ask("us-east-1").country("DE").path("/v1/embeddings");
    let body = json!({ "model": MODEL, "input": embedding.marker() });
    answered_by(world, &embedding.json(&body), "eu-west-1").await?;
    world.pool("eu-west-1").kill().await?;
    for _ in 0..5 {
        let ask = world.ask("us-west-2").country("DE");
        answered_by(world, &ask, "fallback/claude-eu").await?;
        ensure(world.reached(ask.marker()) == ["claude-eu"], || {
            format!("{:?}", world.reached(ask.marker()))
        })?;
    }
    world.provider("claude-eu").kill().await?;
    for _ in 0..5 {
        let ask = world.ask("us-west-2").country("DE");
        let answer = ask.send().await?;
        ensure(answer.status == 503, || {
            format!("{}: {}", answer.status, answer.text())
        })?;
        ensure(world.reached(ask.marker()).is_empty(), || {
            format!("{:?}", world.reached(ask.marker()))
        })?;
    }
    Ok(
        "US gateway -> eu-west-1 -> claude-eu -> 503; US pools and the global fallback never"
            .into(),
    )
}
