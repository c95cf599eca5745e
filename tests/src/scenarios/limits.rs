//! Time limits: a hanging region is left, a slow one is waited for, and no answer lasts for ever.

use super::{answered_by, ensure};
use crate::fakes::{Behaviour, Fail};
use crate::world::{DEADLINE, MODEL, REGIONS, World, wait_for};
use anyhow::Result;
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Short enough to be met.
pub const LIMITS: &str = "{ first_token: 1s, unstreamed: 1s, connect: 1s, gap: 2s, answer: 6s }";

/// A hanging region is left, a fleet that is slow everywhere still answers, and no stream lasts for ever.
pub async fn limits(world: &mut World) -> Result<String> {
    let (waited, waits) = hanging(world).await?;
    world.heal().await?;
    slow_everywhere(world).await?;
    world.heal().await?;
    never_ending(world).await?;
    Ok(format!(
        "a hanging region is left after {waited:.1?}, then {waits} of 30 wait until it is out; a fleet slower than its limit still answers; \
         stalled and endless streams are cut"
    ))
}

/// The first region takes the request and says nothing: after the limit of 1 s the next one is asked. How long that took, and how
/// many of the next 30 callers waited for it.
async fn hanging(world: &World) -> Result<(Vec<Duration>, usize)> {
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.fail = Fail::Hang);
    let mut waited = Vec::new();
    for streamed in [false, true] {
        let ask = world.ask("us-west-2").country("US");
        let ask = if streamed { ask.streamed() } else { ask };
        let start = Instant::now();
        timeout(DEADLINE, answered_by(world, &ask, "us-east-1")).await??;
        waited.push(start.elapsed());
        ensure(start.elapsed().as_secs_f64() >= 1.0, || {
            format!("left after {:?}, before the limit", start.elapsed())
        })?;
    }
    let unanswered = [("to", "us-west-2"), ("outcome", "unanswered")];
    let gateway = world.gateway("us-west-2");
    let counted = gateway.metric("meridian_attempts", &unanswered).await?;
    ensure(counted > 0, || "no attempt counts as unanswered".into())?;
    // A few callers wait, most are sent elsewhere at once, and soon the region is ejected.
    let mut waits = 0;
    for _ in 0..30 {
        let start = Instant::now();
        timeout(DEADLINE, world.ask("us-west-2").country("US").send()).await??;
        waits += usize::from(start.elapsed().as_secs_f64() >= 1.0);
    }
    ensure(waits <= 5, || {
        format!("{waits} of 30 waited for a region that hangs")
    })?;
    let ask = world.ask("us-west-2").country("US");
    answered_by(world, &ask, "us-east-1").await?;
    ensure(world.reached(ask.marker()) == ["us-east-1"], || {
        format!("still asked: {:?}", world.reached(ask.marker()))
    })?;
    Ok((waited, waits))
}

/// A fleet that is slower than the limit everywhere still answers, though nothing is heard for longer than `gap`.
async fn slow_everywhere(world: &World) -> Result<()> {
    for region in REGIONS {
        world
            .pool(region)
            .update(|behaviour| behaviour.first_token_ms = 2500);
    }
    for streamed in [false, true] {
        let ask = world.ask("us-west-2").country("US");
        let ask = if streamed { ask.streamed() } else { ask };
        let answer = timeout(DEADLINE, ask.send()).await??;
        ensure(answer.status == 200, || {
            format!("a slow fleet answered {}: {}", answer.status, answer.text())
        })?;
    }
    Ok(())
}

/// A stream that stalls, and one that never ends: cut, and never passed off as whole.
async fn never_ending(world: &World) -> Result<()> {
    let ask = || world.ask("us-west-2").country("US").streamed();
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.gated = true);
    let stalled = timeout(DEADLINE, ask().send()).await?;
    ensure(stalled.is_err(), || {
        format!("a stalled stream ended well: {stalled:?}")
    })?;
    world.pool("us-west-2").set(Behaviour {
        token_ms: 500,
        tokens: 1000,
        ..Behaviour::default()
    });
    let start = Instant::now();
    let endless = timeout(DEADLINE, ask().send()).await?;
    ensure(endless.is_err(), || {
        format!("an endless stream ended well: {endless:?}")
    })?;
    ensure(start.elapsed().as_secs() >= 5, || {
        format!("cut after {:?}, before the limit", start.elapsed())
    })
}

/// Envoy's header that carries the limit.
const PER_TRY_TIMEOUT: &str = "x-envoy-upstream-rq-per-try-timeout-ms";

/// A server that reads a long prompt is given the time for it.
pub async fn prompt(world: &mut World) -> Result<String> {
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.fail = Fail::Hang);
    let mut waited = Vec::new();
    // By default 2000 tokens a second, of four bytes.
    for (bytes, limit) in [(0, 1.0), (24_000, 4.0)] {
        let ask = world.ask("us-west-2").country("US");
        let content = format!("{} {}", ask.marker(), "a".repeat(bytes));
        let ask = ask.header(PER_TRY_TIMEOUT, "60000").json(
            &json!({ "model": MODEL, "stream": true, "messages": [{ "role": "user", "content": content }] }),
        );
        let start = Instant::now();
        timeout(DEADLINE, answered_by(world, &ask, "us-east-1")).await??;
        let after = start.elapsed();
        ensure(after >= Duration::from_secs_f64(limit), || {
            format!("left {bytes} bytes after {after:?}, before {limit} s")
        })?;
        waited.push(after);
    }
    ensure(waited[0] < Duration::from_secs(4), || {
        format!("a short prompt waited as if it were long, or as its caller said: {waited:?}")
    })?;
    // No server of the chain gets the header.
    for region in REGIONS {
        world
            .pool(region)
            .update(|behaviour| behaviour.fail = Fail::Status(503));
    }
    let ask = world
        .ask("us-west-2")
        .country("US")
        .header(PER_TRY_TIMEOUT, "1")
        .header("x-envoy-max-retries", "0")
        .header("x-envoy-upstream-rq-timeout-ms", "1");
    answered_by(world, &ask, "fallback/claude").await?;
    let mut requests = world.servers().flat_map(|server| server.requests());
    ensure(
        requests.all(|request| request.header(PER_TRY_TIMEOUT).is_none()),
        || format!("{PER_TRY_TIMEOUT} went on"),
    )?;
    Ok(format!(
        "a hanging region is left after {waited:.1?}: a short prompt, and 24 kB; callers cannot change it, servers do \
         not see it"
    ))
}

/// A fleet that is slower than its limit, and a last fallback that has no answer: its error ends no request while a region is
/// still at work on it.
pub async fn fallback(world: &mut World) -> Result<String> {
    let mut asked = 0;
    for (status, down) in [(429, false), (400, false), (503, true)] {
        if down {
            // Of the attempts that there are one is left when all have been asked.
            world.pool("us-east-1").kill().await?;
            let gateway = world.gateway("us-west-2");
            wait_for("us-east-1 to be known as down", || async {
                Ok(!gateway.unhealthy().await?.is_empty())
            })
            .await?;
        }
        for region in REGIONS {
            world
                .pool(region)
                .update(|behaviour| behaviour.first_token_ms = 3500);
        }
        let claude = world.provider("claude");
        claude.update(|behaviour| behaviour.fail = Fail::Status(status));
        asked += answered_by_regions(world, &format!("{status}, down {down}")).await?;
        world.heal().await?;
    }
    ensure(asked > 0, || "the fallback was never asked".into())?;
    Ok(format!(
        "15 requests to a fleet slower than its limit, whose fallback says 429, 400 or 503, or speaks another API: all answered by a \
         region; the provider was asked {asked} times, never twice for one"
    ))
}

/// Requests of all kinds are answered by regions. How often the provider was asked: never twice for one request.
async fn answered_by_regions(world: &World, what: &str) -> Result<usize> {
    let ask = || world.ask("us-west-2").country("US");
    let words = json!([{ "role": "user", "content": "twice" }]);
    let untranslatable = json!({ "model": MODEL, "n": 2, "messages": words });
    let response = json!({ "model": MODEL, "input": "which Claude has no API for" });
    let asks = [
        ask(),
        ask().streamed(),
        ask().messages(true),
        ask().json(&untranslatable),
        ask().path("/v1/responses").json(&response),
    ];
    let mut under_way = JoinSet::new();
    for ask in asks.clone() {
        under_way.spawn(async move { timeout(DEADLINE, ask.send()).await? });
    }
    for answer in under_way.join_all().await {
        let answer = answer?;
        let by = answer.header("x-meridian-region").to_owned();
        let by_region = answer.status == 200 && REGIONS.contains(&by.as_str());
        ensure(by_region, || {
            format!("{what}: {} by {by}: {}", answer.status, answer.text())
        })?;
    }
    let mut asked = 0;
    for ask in &asks[..3] {
        let reached = world.reached(ask.marker());
        let times = reached.iter().filter(|server| *server == "claude").count();
        ensure(times <= 1, || format!("{what}: {reached:?}"))?;
        asked += times;
    }
    Ok(asked)
}
