//! A server breaks off in the middle of a stream. Its caller knows at once, and has all that came before.

use super::ensure;
use super::replay::{CHAT, ask};
use crate::fakes::{Behaviour, Fail, Replay};
use crate::world::{DEADLINE, World, client, wait_for};
use anyhow::{Context, Result};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

/// Tokens before the reset.
const TOKENS: usize = 20;

/// Well below the second for which Envoy waits by default.
const SOON: Duration = Duration::from_millis(500);

/// Bytes of a stream: more than Linux' sockets hold, by less than Envoy buffers.
const LARGE: usize = 3300 << 10;

pub async fn told(world: &mut World) -> Result<String> {
    let mut seen = Vec::new();
    let one = client().http1_only().build()?;
    let two = client().http2_prior_knowledge().build()?;
    for (name, client) in [("HTTP/1.1", &one), ("HTTP/2", &two)] {
        let took = until_the_end(world, client).await?;
        ensure(took < SOON, || format!("{name}: known after {took:?}"))?;
        seen.push(format!("{name}: after {took:.0?}"));
    }
    slow_reader(world).await?;
    no_reader(world).await?;
    Ok(format!(
        "a reset is known by {}; a slow caller gets every byte, and one who never reads is cut off",
        seen.join(", ")
    ))
}

/// From the last content to the end.
async fn until_the_end(world: &World, client: &reqwest::Client) -> Result<Duration> {
    world.pool("us-west-2").set(Behaviour {
        fail: Fail::Cut(TOKENS),
        tokens: 2 * TOKENS,
        ..Behaviour::default()
    });
    let mut answer = ask(world, CHAT, true).open_with(client).await?;
    let (mut text, mut last) = (String::new(), Instant::now());
    let end = loop {
        let chunk = timeout(DEADLINE, answer.chunk()).await.context("no end")?;
        match chunk {
            Ok(Some(chunk)) => {
                text += &String::from_utf8_lossy(&chunk);
                last = Instant::now();
            }
            end => break end,
        }
    };
    let took = last.elapsed();
    ensure(end.is_err() && text.contains("token19"), || {
        format!("{end:?} after {text}")
    })?;
    Ok(took)
}

/// A caller over HTTP/1.1 who pauses for longer than Envoy would wait by default.
async fn slow_reader(world: &World) -> Result<()> {
    let mut caller = large_and_cut(world).await?;
    sleep(3 * SOON).await;
    let mut bytes = Vec::new();
    timeout(DEADLINE, caller.read_to_end(&mut bytes))
        .await
        .context("no end")??;
    let text = String::from_utf8_lossy(&bytes);
    ensure(
        text.contains("the last one") && !text.ends_with("0\r\n\r\n"),
        || format!("{} bytes came", bytes.len()),
    )
}

/// A caller who reads nothing: the gateway does not hold the rest of its answer for ever.
async fn no_reader(world: &World) -> Result<()> {
    let open = || async {
        let gauge = world.gateway("us-west-2");
        gauge.counter("^http.public.downstream_cx_active$").await
    };
    let before = open().await?;
    let caller = large_and_cut(world).await?;
    let held = open().await?;
    ensure(held == before + 1, || {
        format!("{held} connections after {before}: it is not held")
    })?;
    wait_for("the gateway to cut it off", || async {
        Ok(open().await? == before)
    })
    .await?;
    drop(caller);
    Ok(())
}

/// A caller with a small buffer, who has read nothing, and whose answer has broken off.
async fn large_and_cut(world: &World) -> Result<TcpStream> {
    let event = |text: &str| {
        let event = format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
        );
        format!("{:x}\r\n{event}\r\n", event.len())
    };
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut stream = head.to_owned();
    while stream.len() < LARGE {
        stream += &event(&"word ".repeat(200));
    }
    stream += &event("the last one");
    world.pool("us-west-2").set(Behaviour {
        replay: Some(Replay {
            pieces: vec![stream.into_bytes()],
            stalls: false,
        }),
        ..Behaviour::default()
    });
    let broken = || -> Result<usize> {
        let log = std::fs::read_to_string(world.access_log("us-west-2"))?;
        Ok(log.matches("\"broken\":\"cut\"").count())
    };
    let before = broken()?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut caller = socket.connect(world.block().public("us-west-2")).await?;
    caller
        .write_all(ask(world, CHAT, true).as_http().as_bytes())
        .await?;
    wait_for("the cut", || async { Ok(broken()? > before) }).await?;
    Ok(caller)
}
