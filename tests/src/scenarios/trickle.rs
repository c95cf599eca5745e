//! A server that sends a little now and then: no limit of silence ends its answers.

use super::attempt_log::{attempts_of, logged};
use super::ensure;
use super::replay::{CHAT, ask};
use crate::fakes::{Behaviour, Replay};
use crate::world::{DEADLINE, REGIONS, World};
use anyhow::{Context, Result};
use tokio::time::{Instant, timeout};

/// A rate that streams of these tests exceed, unless they trickle.
pub const LIMITS: &str = "{ first_token: 10s, unstreamed: 10s, connect: 1s, stream_idle_timeout: 2s, least_rate: 1000, answer: 20s }";

/// Milliseconds between two pieces: less than the limit of silence.
const PAUSE_MS: u64 = 500;

pub async fn trickle(world: &mut World) -> Result<String> {
    let streamed = streamed(world).await?;
    let whole = whole(world).await?;
    let everywhere = everywhere(world).await?;
    Ok(format!("{streamed}; {whole}; {everywhere}"))
}

/// A stream of a token every half second is ended.
async fn streamed(world: &World) -> Result<String> {
    world.pool("us-west-2").set(Behaviour {
        token_ms: PAUSE_MS,
        tokens: 100,
        ..Behaviour::default()
    });
    let (begun, request) = (Instant::now(), ask(world, CHAT, true));
    let mut answer = request.open().await?;
    let mut chunks = 0;
    let end = loop {
        match timeout(DEADLINE, answer.chunk()).await.context("no end")? {
            Ok(Some(_)) => chunks += 1,
            end => break end,
        }
    };
    let took = begun.elapsed();
    ensure(end.is_err() && chunks >= 3 && took.as_secs() < 10, || {
        format!("{end:?} after {chunks} chunks and {took:?}")
    })?;
    let counted = world.gateway("us-west-2");
    let counted = counted
        .metric("meridian_failures", &[("what", "trickle")])
        .await?;
    ensure(counted == 1, || format!("{counted} are counted"))?;
    Ok(format!(
        "a stream of {chunks} pieces ended after {took:.1?}"
    ))
}

/// An answer in one piece that comes byte by byte is left for the next region: its caller has nothing of it.
async fn whole(world: &World) -> Result<String> {
    trickles(world, "us-west-2");
    let (begun, request) = (Instant::now(), ask(world, CHAT, false));
    let answer = timeout(DEADLINE, request.send())
        .await
        .context("no end")??;
    let took = begun.elapsed();
    ensure(
        answer.status == 200 && answer.region() == "us-east-1" && took.as_secs() < 9,
        || format!("{} by {} after {took:?}", answer.status, answer.region()),
    )?;
    let line = logged(world, &answer).await?;
    let attempts = attempts_of(&line);
    ensure(attempts.len() == 2 && attempts[0][2] == "trickle", || {
        format!("{line}")
    })?;
    Ok(format!(
        "a whole answer left for us-east-1 after {took:.1?}"
    ))
}

/// Where every region trickles, the caller gets an error of its API's shape.
async fn everywhere(world: &World) -> Result<String> {
    for region in REGIONS {
        trickles(world, region);
    }
    let (begun, request) = (Instant::now(), ask(world, CHAT, false));
    let answer = timeout(DEADLINE, request.send())
        .await
        .context("no end")??;
    let took = begun.elapsed();
    let kind = answer.json()["error"]["type"].clone();
    ensure(answer.status == 502 && kind == "server_error", || {
        format!("{}: {}", answer.status, answer.text())
    })?;
    Ok(format!("everywhere: 502 after {took:.1?}"))
}

/// An answer in one piece, byte by byte.
fn trickles(world: &World, region: &str) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    let mut pieces = vec![head.as_bytes().to_vec()];
    pieces.extend(std::iter::repeat_n(b"{".to_vec(), 100));
    world.pool(region).set(Behaviour {
        token_ms: PAUSE_MS,
        replay: Some(Replay {
            pieces,
            stalls: true,
        }),
        ..Behaviour::default()
    });
}
