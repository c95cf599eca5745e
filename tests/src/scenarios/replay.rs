//! Answers that servers once gave, given again byte by byte.

use super::serves_again;
use crate::fakes::{Behaviour, Replay};
use crate::world::{Answer, Ask, DEADLINE, MODEL, World, workspace};
use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64;

/// A failing answer and who is asked for it.
#[derive(Clone)]
pub(super) struct Failing {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) stream: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) stalls: bool,
}

pub(super) fn recorded(name: &'static str, stream: bool) -> Result<Failing> {
    let file = workspace()
        .join("tests/fixtures/answers")
        .join(format!("{name}.raw"));
    Ok(Failing {
        name,
        path: CHAT,
        stream,
        bytes: std::fs::read(&file).with_context(|| file.display().to_string())?,
        stalls: false,
    })
}

pub(super) const CHAT: &str = "/v1/chat/completions";
pub(super) const MESSAGES: &str = "/v1/messages";

/// An answer that ends with its connection, as no recording shows it.
pub(super) fn written(name: &'static str, path: &'static str, stream: bool, body: &str) -> Failing {
    let kind = if stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    Failing {
        name,
        path,
        stream,
        bytes: format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}"
        )
        .into_bytes(),
        stalls: false,
    }
}

/// A stream that begins like this, and goes on with nothing.
pub(super) fn silent(name: &'static str, path: &'static str, body: &str) -> Failing {
    Failing {
        stalls: true,
        ..written(name, path, true, body)
    }
}

/// Pieces of any size: where they are cut depends on the seed alone.
pub(super) fn cut(bytes: &[u8], pieces: u64, seed: &str) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = (1..pieces)
        .map(|piece| xxh3_64(format!("{seed}/{piece}").as_bytes()) as usize % bytes.len().max(1))
        .collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2)
        .map(|pair| bytes[pair[0]..pair[1]].to_vec())
        .collect()
}

pub(super) fn ask(world: &World, path: &str, stream: bool) -> Ask {
    let ask = world.ask("us-west-2").country("US").path(path);
    let content = format!("tell me about {}", ask.marker());
    let mut body = json!({ "model": MODEL, "stream": stream, "user": "guard" });
    match path {
        "/v1/completions" => body["prompt"] = json!(content),
        "/v1/embeddings" | "/v1/responses" => body["input"] = json!(content),
        _ => {
            body["max_tokens"] = json!(100);
            body["messages"] = json!([{ "role": "user", "content": content }]);
        }
    }
    ask.json(&body)
}

/// us-west-2 answers one request with this; then it is well again, and every worker of the gateway knows.
pub(super) async fn answered(
    world: &World,
    failing: &Failing,
    pieces: Vec<Vec<u8>>,
) -> Result<(Result<Answer>, Vec<String>)> {
    let pool = world.pool("us-west-2");
    let stalls = failing.stalls;
    pool.update(|behaviour| behaviour.replay = Some(Replay { pieces, stalls }));
    let ask = ask(world, failing.path, failing.stream);
    let answer = timeout(DEADLINE, ask.send()).await.context("no end")?;
    pool.set(Behaviour::default());
    serves_again("us-west-2", || self::ask(world, CHAT, false)).await?;
    Ok((answer, world.reached(ask.marker())))
}

/// The body of a recorded answer, without its framing.
pub(super) fn body(bytes: &[u8]) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(bytes)?;
    let (head, mut rest) = text.split_once("\r\n\r\n").context("no head")?;
    if !head.contains("transfer-encoding: chunked") {
        return Ok(rest.into());
    }
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16)?;
        body += after.get(..size).context("a chunk is short")?;
        rest = after.get(size + 2..).unwrap_or_default();
    }
    Ok(body.into_bytes())
}
