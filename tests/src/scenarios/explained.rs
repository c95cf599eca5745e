//! What `meridian explain` says is what happens. Requests and judge share no code with the product.

use super::ensure;
use super::operators::done;
use super::overflow::share;
use super::retrieval::lag;
use crate::world::{Answer, World, wait_for};
use anyhow::{Context, Result, bail};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use planned::Request;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::collections::BTreeMap;

mod planned;

const SEED: u64 = 5;

/// Requests in each state of the fleet.
const REQUESTS: usize = 250;

/// Requests at a time.
const AT_ONCE: usize = 8;

/// What a gateway alone knows, in the response header `x-meridian-decision`.
const OWN: [&str; 4] = ["cooling=", "full=", "pressure=", "breaker="];

/// How many requests were decided by what the gateway alone knows, and how many in each way.
#[derive(Debug, Default)]
struct Seen {
    own: usize,
    ways: BTreeMap<String, usize>,
}

/// A thousand random requests, explained first and then sent, while the fleet is well, hot, drained, and in part dead.
pub async fn explained(world: &mut World) -> Result<String> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut seen = Seen::default();
    each(world, &mut random, &mut seen).await?;
    let hot = world.pool("us-west-2");
    hot.update(|behaviour| behaviour.kv_cache_usage = 0.95);
    wait_for("us-west-2 to be left in part", || async {
        Ok(share(world, "us-west-2").await? < 80)
    })
    .await?;
    still(world).await?;
    each(world, &mut random, &mut seen).await?;
    moves(world).await?;
    done(world, &["drain", "us-east-1", "--force", "--why", "x"]).await?;
    wait_for("us-east-1 to be left", || async {
        Ok(share(world, "us-east-1").await? == 0)
    })
    .await?;
    still(world).await?;
    each(world, &mut random, &mut seen).await?;
    moves(world).await?;
    world.pool("eu-west-1").kill().await?;
    lag(world, "us-west-2", 31.0).await?;
    wait_for(
        "one region to be down and silent, another to be behind",
        || async {
            let report = world.report().await?;
            let (eu, west) = (&report.regions["eu-west-1"], &report.regions["us-west-2"]);
            let is_down = eu.pools.values().any(|pool| pool.health.down);
            Ok(is_down && eu.data.lag.is_none() && west.data.behind)
        },
    )
    .await?;
    still(world).await?;
    each(world, &mut random, &mut seen).await?;
    let ways: Vec<String> = seen
        .ways
        .iter()
        .map(|(way, count)| format!("{way} {count}"))
        .collect();
    Ok(format!(
        "{} requests went as explained, {} of them by what the gateway alone knew and the explanation had named: {}",
        4 * REQUESTS,
        seen.own,
        ways.join(", ")
    ))
}

/// No plan moves anything any more, and all gateways have the last one.
async fn still(world: &mut World) -> Result<()> {
    done(world, &["freeze", "--why", "x"]).await?;
    let world = &*world;
    wait_for("all gateways to have the plan", || world.is_up_to_date()).await
}

/// Plans move requests again.
async fn moves(world: &mut World) -> Result<()> {
    let intents: Value =
        serde_json::from_str(&done(world, &["intents", "--output", "json"]).await?)?;
    let intents = intents.as_object().context("no intents")?;
    let frozen = intents
        .iter()
        .find(|(_, intent)| intent["action"]["kind"] == "freeze");
    let (number, _) = frozen.context("nothing is frozen")?;
    done(world, &["undo", &number.clone(), "--why", "x"]).await?;
    Ok(())
}

async fn each(world: &mut World, random: &mut ChaCha8Rng, seen: &mut Seen) -> Result<()> {
    let url = format!("http://{}/v1/explain", world.control_plane()?.status());
    let requests: Vec<Request> = (0..REQUESTS).map(|_| Request::random(random)).collect();
    let world = &*world;
    let ways = stream::iter(requests)
        .map(|request| explained_and_sent(world, &url, request))
        .buffer_unordered(AT_ONCE);
    let ways: Vec<(String, bool)> = ways.try_collect().await?;
    for (way, own) in ways {
        *seen.ways.entry(way).or_default() += 1;
        seen.own += usize::from(own);
    }
    Ok(())
}

/// How a request was decided, and whether by what its gateway alone knew.
async fn explained_and_sent(world: &World, url: &str, request: Request) -> Result<(String, bool)> {
    let response = reqwest::Client::new()
        .post(url)
        .json(&request.to_explain())
        .send()
        .await?;
    let (status, explanation) = (response.status(), response.json::<Value>().await?);
    ensure(status.is_success(), || {
        format!("{request:?}: {explanation}")
    })?;
    let answer = request.to_send(world).send().await?;
    agrees(&explanation, &answer).with_context(|| {
        format!(
            "{request:?}\nwas explained as {explanation:#}\nand {} {} by `{}`: {}",
            answer.status,
            answer.header("x-meridian-decision"),
            answer.region(),
            answer.text()
        )
    })
}

fn agrees(explanation: &Value, answer: &Answer) -> Result<(String, bool)> {
    let decision = answer.header("x-meridian-decision");
    let is_own = |word: &&str| OWN.iter().any(|own| word.starts_with(own));
    let own = decision.split(' ').any(|word| is_own(&word));
    let plain: Vec<&str> = decision.split(' ').filter(|word| !is_own(word)).collect();
    let plain = plain.join(" ");
    let outcomes = explanation["outcomes"].as_array().context("no outcomes")?;
    let is_it = |outcome: &&Value| match outcome["result"].as_str() {
        Some("answered") => outcome["status"] == answer.status && outcome["decision"] == decision,
        Some("routed") => {
            let is_answered = match outcome["first"].as_str() {
                Some(first) => answer.status == 200 && first == answer.region(),
                None => answer.status == 503 && answer.region().is_empty(),
            };
            is_answered && outcome["decision"] == plain.as_str()
        }
        _ => false,
    };
    if let Some(outcome) = outcomes.iter().find(is_it) {
        let way = outcome["lane"].as_str().map(str::to_owned);
        return Ok((way.unwrap_or_else(|| answer.status.to_string()), false));
    }
    // By its lane alone: the explanation has other values of what the gateway measures.
    let lane = plain.split(' ').next().unwrap_or_default();
    let mut then = explanation["unless"].as_array().into_iter().flatten();
    let is_named = then.any(|unless| {
        let mut all = unless["then"].as_array().into_iter().flatten();
        all.any(|then| then.as_str().is_some_and(|then| then.contains(lane)))
    });
    if own && is_named && answer.status == 200 {
        return Ok((format!("{lane}, by the gateway"), true));
    }
    bail!("it was not explained");
}
