//! A queue is noticed by the requests that wait for a first token, before any of them has its answer.

use super::ensure;
use crate::world::{Ask, MODEL, REGIONS, World, wait_for};
use anyhow::{Context, Result};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Requests from which us-west-2's gateway learns how soon first tokens come.
const TEACH: usize = 60;
/// Requests that then wait at home.
const WAIT: usize = 24;
/// Requests that come after them.
const COME: usize = 40;

/// How long a first token takes, and at home when it has begun to queue, in milliseconds.
const CALM_MS: u64 = 50;
const QUEUED_MS: u64 = 5000;

fn streamed(world: &World, conversation: usize) -> Ask {
    let ask = world.ask("us-west-2").country("US");
    let content = format!("tell me about {}", ask.marker());
    ask.json(&json!({
        "model": MODEL,
        "stream": true,
        "prompt_cache_key": format!("conversation-{conversation}"),
        "messages": [{ "role": "user", "content": content }],
    }))
}

fn pressure(decision: &str) -> Option<f64> {
    let (_, rest) = decision.split_once("pressure=")?;
    rest.split(' ').next()?.parse().ok()
}

/// Home stops giving first tokens: new requests are sent elsewhere while those before still wait for theirs, and before any signal
/// shows it.
pub async fn pressure_at_home(world: &mut World) -> Result<String> {
    teach(world).await?;
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.first_token_ms = QUEUED_MS);
    let mut waiting = JoinSet::new();
    let begun = Instant::now();
    for conversation in 0..WAIT {
        let ask = streamed(world, TEACH + conversation);
        waiting.spawn(async move { ask.send().await });
    }
    wait_for("them to be at work at home", || async {
        Ok(world.pool("us-west-2").running() as usize >= WAIT / 4)
    })
    .await?;
    let Left { first, most, left } = come(world, begun).await?;
    let took = first.context("nobody left")?;
    ensure(took.as_millis() < u128::from(QUEUED_MS), || {
        format!("the first one left after {took:?}, when the queue was over")
    })?;
    ensure(left >= COME / 2, || format!("{left} of {COME} left"))?;
    for answer in waiting.join_all().await {
        let answer = answer?;
        ensure(answer.status == 200, || answer.text())?;
    }
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.first_token_ms = CALM_MS);
    wait_for("callers to be at home again", || async {
        let answer = streamed(world, 0).send().await?;
        Ok(answer.region() == "us-west-2"
            && pressure(answer.header("x-meridian-decision")).is_none())
    })
    .await?;
    Ok(format!(
        "{WAIT} wait at home for a first token: the first one who leaves has another region's {took:?} after they came; {left} of {COME} \
         left, pressure up to {most:.2}; no share had changed"
    ))
}

/// us-west-2's gateway learns how soon first tokens come while all is calm.
async fn teach(world: &World) -> Result<()> {
    for region in REGIONS {
        world
            .pool(region)
            .update(|behaviour| behaviour.first_token_ms = CALM_MS);
    }
    for conversation in 0..TEACH {
        let answer = streamed(world, conversation).send().await?;
        let decision = answer.header("x-meridian-decision");
        ensure(
            answer.region() == "us-west-2" && pressure(decision).is_none(),
            || format!("{} of a calm region: {decision}", answer.region()),
        )?;
    }
    Ok(())
}

/// Callers who left home.
#[derive(Default)]
struct Left {
    /// How long after the first waiting callers came the first of these had an answer.
    first: Option<Duration>,
    /// The greatest pressure by which one left.
    most: f64,
    /// How many there were.
    left: usize,
}

/// Requests come while others wait at home. Each that is answered soon has left by pressure alone.
async fn come(world: &World, begun: Instant) -> Result<Left> {
    let mut coming = JoinSet::new();
    for conversation in 0..COME {
        let ask = streamed(world, TEACH + WAIT + conversation);
        // The head of an answer comes with its first token: the answers of those who stay are not waited for.
        coming.spawn(async move {
            let answer = timeout(Duration::from_millis(QUEUED_MS / 2), ask.send()).await;
            answer.ok().map(|answer| (answer, begun.elapsed()))
        });
    }
    let mut seen = Left::default();
    while let Some(came) = coming.join_next().await {
        let Some((answer, after)) = came? else {
            continue;
        };
        let answer = answer?;
        let decision = answer.header("x-meridian-decision");
        let level = pressure(decision).with_context(|| format!("why: {decision}"))?;
        ensure(
            answer.region() != "us-west-2" && decision.contains("home_share=100"),
            || format!("{}: {decision}", answer.region()),
        )?;
        seen.first = Some(seen.first.map_or(after, |first| first.min(after)));
        seen.most = seen.most.max(level);
        seen.left += 1;
    }
    Ok(seen)
}
