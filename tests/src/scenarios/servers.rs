//! The server of a pool that gets a request is the one with the least prompt to read, not the one with the fewest requests.

use super::ensure;
use crate::world::{Answer, Ask, DEADLINE, MODEL, World, wait_for};
use anyhow::Result;
use serde_json::json;
use tokio::task::JoinSet;

/// Requests by which a gateway learns which servers there are.
const TEACH: usize = 150;
/// Requests that are sent while one server reads the long prompt.
const COME: usize = 24;
/// How many of them that server may get: the gateway tries it now and then.
const BEHIND: usize = 4;

/// Bytes of a long prompt.
const LONG: usize = 40_000;
/// How long it is read, in milliseconds.
const READ_MS: u64 = 8000;

fn streamed(ask: Ask, bytes: usize) -> Ask {
    let content = format!("{} {}", ask.marker(), "a".repeat(bytes));
    ask.json(&json!({
        "model": MODEL,
        "stream": true,
        "messages": [{ "role": "user", "content": content }],
    }))
}

/// One of eu-west-1's two servers reads a long prompt, the other generates many answers: new requests go to the other one, through
/// the callers' own gateway and through a peer.
pub async fn by_load(world: &mut World) -> Result<String> {
    let at_home = shown(world, "eu-west-1", "DE").await?;
    world.heal().await?;
    only_eu_west_1(world).await?;
    let by_peer = shown(world, "us-west-2", "US").await?;
    Ok(format!("{at_home} at home, {by_peer} by another gateway"))
}

/// Kills the pools of the other regions, and waits until no request is sent there.
async fn only_eu_west_1(world: &World) -> Result<()> {
    for region in ["us-west-2", "us-east-1"] {
        world.pool(region).kill().await?;
    }
    wait_for("the other regions to be out", || async {
        let answer = world.ask("us-west-2").country("US").send().await?;
        Ok(answer.region() == "eu-west-1")
    })
    .await
}

async fn shown(world: &World, gateway: &str, country: &str) -> Result<String> {
    let ask = |bytes| streamed(world.ask(gateway).country(country), bytes);
    let (reading, other) = (world.pool("eu-west-1"), world.sibling()?);
    // A worker may learn of a healthy endpoint later than Envoy's admin page shows it. A worker that has met one server alone finds
    // the other one by the few requests that explore.
    wait_for("requests to be spread over both servers", || async {
        reading.clear();
        other.clear();
        for _ in 0..TEACH {
            let answer = ask(10).send().await?;
            ensure(answer.region() == "eu-west-1", || answer.text())?;
        }
        Ok([reading, other]
            .iter()
            .all(|server| server.requests().len() > TEACH / 3))
    })
    .await?;
    reading.update(|behaviour| behaviour.first_token_ms = READ_MS);
    other.update(|behaviour| behaviour.gated = true);
    // Each of them that the other server gets goes on there, so that it has more requests than this one ever has.
    let mut under_way: JoinSet<Result<Answer>> = JoinSet::new();
    let at_work = |count: usize| {
        wait_for("all of them to be at work", move || async move {
            Ok((reading.running() + other.running()) as usize >= count)
        })
    };
    while reading.running() == 0 {
        let ask = ask(LONG);
        under_way.spawn(async move { ask.send().await });
        at_work(under_way.len()).await?;
    }
    for _ in 0..COME {
        let ask = ask(10);
        under_way.spawn(async move { ask.send().await });
    }
    at_work(under_way.len()).await?;
    let behind = reading.running() as usize - 1;
    ensure(behind <= BEHIND, || {
        format!("{behind} of {COME} were put behind a long prompt")
    })?;
    let ahead = other.running();
    other.update(|behaviour| behaviour.gated = false);
    other.release(1_000_000);
    for answer in under_way.join_all().await {
        let answer = answer?;
        ensure(answer.status == 200, || answer.text())?;
    }
    Ok(format!(
        "{behind} of {COME} behind a prompt that is being read, while the other server had {ahead} requests"
    ))
}

/// Requests while a server is away, and after it has come back.
const AWAY: usize = 60;
const BACK: usize = 200;

/// One of a pool's two servers goes and comes back: soon both get their share again.
pub async fn comes_back(world: &mut World) -> Result<String> {
    let (stays, goes) = (world.pool("eu-west-1"), world.sibling()?);
    let ask = async |count: usize| -> Result<[usize; 2]> {
        for server in [stays, goes] {
            server.clear();
        }
        for _ in 0..count {
            let answer = streamed(world.ask("eu-west-1").country("DE"), 10)
                .send()
                .await?;
            ensure(answer.status == 200, || answer.text())?;
        }
        Ok([stays, goes].map(|server| server.requests().len()))
    };
    let before = ask(TEACH).await?;
    goes.kill().await?;
    wait_for("Envoy to see that it is away", || async {
        Ok(!world.gateway("eu-west-1").unhealthy().await?.is_empty())
    })
    .await?;
    let away = ask(AWAY).await?;
    ensure(away == [AWAY, 0], || format!("{away:?} while one is away"))?;
    goes.revive().await?;
    world.until_healthy().await?;
    let begun = tokio::time::Instant::now();
    let mut seen = Vec::new();
    while seen
        .last()
        .is_none_or(|counts: &[usize; 2]| counts.iter().any(|count| *count < BACK / 3))
    {
        ensure(begun.elapsed() < DEADLINE, || format!("{seen:?}"))?;
        seen.push(ask(BACK).await?);
    }
    Ok(format!(
        "{before:?} before, {away:?} while one was away, then {seen:?} within {:.1?}",
        begun.elapsed()
    ))
}

/// Conversations that come back, and how often.
const CONVERSATIONS: usize = 20;
const TURNS: usize = 3;

/// With `balance: affinity` a conversation has one server, through the callers' own gateway as through another one.
pub async fn by_conversation(world: &mut World) -> Result<String> {
    let original = world.fleet_file()?;
    world.edit(&format!(
        "{original}models: {{ \"{MODEL}\": {{ balance: affinity }} }}\n"
    ))?;
    // Until then a gateway sends each request where there is least to do.
    wait_for("conversations to have servers of their own", || async {
        Ok(turns(world, "eu-west-1", "DE").await?.is_some())
    })
    .await?;
    let at_home = turns(world, "eu-west-1", "DE").await?;
    only_eu_west_1(world).await?;
    let by_peer = turns(world, "us-west-2", "US").await?;
    ensure(at_home.is_some() && by_peer == at_home, || {
        format!("one server each at home: {at_home:?}; by another gateway: {by_peer:?}")
    })?;
    Ok(format!(
        "{CONVERSATIONS} conversations of {TURNS} turns over two servers: each has its own, the same through another gateway"
    ))
}

/// Which conversations the first server has, if each of them has one server.
async fn turns(world: &World, gateway: &str, country: &str) -> Result<Option<Vec<usize>>> {
    let sibling = world.sibling()?;
    let mut first = Vec::new();
    for conversation in 0..CONVERSATIONS {
        let mut at = [0; 2];
        for _ in 0..TURNS {
            let ask = world.ask(gateway).country(country);
            let content = format!("tell me about {}", ask.marker());
            let ask = ask.json(&json!({
                "model": MODEL,
                "prompt_cache_key": format!("conversation-{conversation}"),
                "messages": [{ "role": "user", "content": content }],
            }));
            let answer = ask.send().await?;
            ensure(answer.region() == "eu-west-1", || answer.text())?;
            let reached = world.reached(ask.marker());
            let by_sibling = reached.iter().any(|name| name == sibling.name());
            at[usize::from(by_sibling)] += 1;
        }
        match at {
            [TURNS, 0] => first.push(conversation),
            [0, TURNS] => {}
            _ => return Ok(None),
        }
    }
    // One that has all of them is no choice.
    Ok((first.len() > 1 && first.len() < CONVERSATIONS - 1).then_some(first))
}
