//! Large and hostile requests to Claude: what they cost a gateway and its other callers.

use super::ensure;
use crate::fakes::Fail;
use crate::world::{MODEL, REGIONS, World};
use anyhow::{Context, Result};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Streams that other callers have open meanwhile: enough for both workers of the gateway.
const NEIGHBOURS: usize = 8;
/// The largest refusal, in bytes.
const MAX_REFUSAL: usize = 2000;
/// How much a gateway's memory may grow for good, in bytes. Two workers, each with a buffer for one body and its copy.
const MAX_GROWTH: u64 = 640 << 20;

/// Bodies that are valid JSON, in the order in which they are sent, and the status of the answer.
fn bodies() -> Vec<(&'static str, &'static str, String, u16)> {
    let chat = |messages: &str| format!(r#"{{"model":"{MODEL}","messages":{messages}}}"#);
    let said = |text: &str| chat(&format!(r#"[{{"role":"user","content":"{text}"}}]"#));
    let native = |text: &str| {
        let messages = format!(r#"[{{"role":"user","content":"{text}"}}]"#);
        format!(r#"{{"model":"{MODEL}","max_tokens":9,"messages":{messages}}}"#)
    };
    let long = "A".repeat(60 << 20);
    let (chats, messages) = ("/v1/chat/completions", "/v1/messages");
    vec![
        ("16 MiB of text", chats, said(&long[..16 << 20]), 200),
        ("32 MiB of text", chats, said(&long[..32 << 20]), 413),
        ("60 MiB of text, native", messages, native(&long), 413),
        (
            "24 MiB of zeros",
            chats,
            chat(&format!("[0{}]", ",0".repeat(12 << 20))),
            413,
        ),
        (
            "63 MiB of zeros",
            chats,
            chat(&format!("[0{}]", ",0".repeat((63 << 20) / 2))),
            413,
        ),
        (
            "24 MiB of objects",
            chats,
            chat(&format!("[{{}}{}]", r#",{"":0}"#.repeat((24 << 20) / 7))),
            413,
        ),
        (
            "a model of 60 MiB",
            chats,
            format!(r#"{{"model":"{long}"}}"#),
            404,
        ),
        (
            "a flag of 60 MiB",
            chats,
            format!(r#"{{"model":"{MODEL}","stream":"{long}"}}"#),
            400,
        ),
    ]
}

pub async fn large(world: &mut World) -> Result<String> {
    for region in REGIONS {
        let pool = world.pool(region);
        pool.update(|behaviour| behaviour.fail = Fail::Status(503));
    }
    let claude = world.provider("claude");
    claude.update(|behaviour| {
        behaviour.tokens = 50;
        behaviour.token_ms = 20;
    });
    let gateway = world.gateway("us-west-2");
    let before = gateway.memory()?;
    let mut seen = Vec::new();
    for (what, path, body, expect) in bodies() {
        let neighbours = neighbours(world).await?;
        let ask = world.ask("us-west-2").country("US").path(path).body(body);
        let begun = Instant::now();
        let answer = ask.send().await.with_context(|| what.to_owned())?;
        let took = begun.elapsed();
        let (stalled, broken) = stalled(neighbours).await?;
        let mib = gateway.memory()? >> 20;
        let size = answer.body.len();
        seen.push(format!(
            "{what}: {} of {size} bytes after {:.1} s, {broken} neighbours broken, the longest stall {stalled} ms, RSS {mib} MiB",
            answer.status,
            took.as_secs_f64(),
        ));
        let status = answer.status;
        ensure(status == expect && broken == 0, || seen.join("\n"))?;
        ensure(status == 200 || size < MAX_REFUSAL, || seen.join("\n"))?;
        let names_limit = status != 413 || answer.text().contains("fallbacks.claude.body");
        ensure(names_limit, || answer.text())?;
    }
    let growth = gateway.memory()?.saturating_sub(before);
    seen.push(format!("RSS has grown by {} MiB", growth >> 20));
    ensure(growth < MAX_GROWTH, || seen.join("\n"))?;
    Ok(seen.join("; "))
}

/// Opens the streams of other callers.
async fn neighbours(world: &World) -> Result<JoinSet<Result<Option<Duration>>>> {
    let mut streams = JoinSet::new();
    for _ in 0..NEIGHBOURS {
        let mut stream = world
            .ask("us-west-2")
            .country("US")
            .streamed()
            .open()
            .await?;
        streams.spawn(async move {
            let (mut longest, mut whole) = (Duration::ZERO, Vec::new());
            let mut last = Instant::now();
            while let Ok(Some(piece)) = stream.chunk().await {
                longest = longest.max(last.elapsed());
                last = Instant::now();
                whole.extend_from_slice(&piece);
            }
            let is_whole = String::from_utf8_lossy(&whole).contains("[DONE]");
            Ok(is_whole.then_some(longest))
        });
    }
    Ok(streams)
}

/// The longest silence in one of these streams, in milliseconds, and how many did not come to their end.
async fn stalled(streams: JoinSet<Result<Option<Duration>>>) -> Result<(u128, usize)> {
    let (mut longest, mut broken) = (Duration::ZERO, 0);
    for stream in streams.join_all().await {
        match stream? {
            Some(stall) => longest = longest.max(stall),
            None => broken += 1,
        }
    }
    Ok((longest.as_millis(), broken))
}
