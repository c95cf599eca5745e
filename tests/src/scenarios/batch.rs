//! Requests that can wait take what the others leave.

use super::ensure;
use super::overflow::share;
use crate::world::{Answer, Ask, MODEL, REGIONS, World, wait_for};
use anyhow::Result;
use meridian_filter_core::tier::digest;
use serde_json::json;
use tokio::sync::Mutex;

/// An API key whose requests are batch.
const KEY: &str = "sk-nightly";

fn ask(world: &World, region: &str, country: &str, number: usize) -> Ask {
    let ask = world.ask(region).country(country);
    let content = format!("tell me about {}", ask.marker());
    ask.json(&json!({
        "model": MODEL,
        "prompt_cache_key": format!("conversation-{number}"),
        "messages": [{ "role": "user", "content": content }],
    }))
}

fn by_header(ask: Ask) -> Ask {
    ask.header("x-meridian-tier", "batch")
}

fn is_batch(answer: &Answer) -> bool {
    let decision = answer.header("x-meridian-decision");
    answer.status == 200 && decision.contains("tier=batch") && decision.contains("lane=batch")
}

/// Sets the use of every region's KV-cache, as a fraction.
fn loaded(world: &World, usage: [f64; 3]) {
    for (region, usage) in REGIONS.into_iter().zip(usage) {
        world
            .pool(region)
            .update(|behaviour| behaviour.kv_cache_usage = usage);
    }
}

/// A caller of every region.
const CALLERS: [(&str, &str); 3] = [
    ("us-west-2", "US"),
    ("us-east-1", "US"),
    ("eu-west-1", "DE"),
];

/// Batch goes to the cheapest region that has room, gives way before interactive callers have to, is told to come later where
/// no region has room, and stays in its zone.
pub async fn batch(world: &mut World) -> Result<String> {
    world.edit(&priced(&world.fleet_file()?))?;
    where_it_is_cheapest(world).await?;
    gives_way(world).await?;
    comes_later(world).await?;
    loaded(world, [0.3; 3]);
    wait_for("batch to be served again", || async {
        let answer = by_header(ask(world, "eu-west-1", "DE", 0)).send().await?;
        Ok(is_batch(&answer) && answer.region() == "eu-west-1")
    })
    .await?;
    Ok("at 0.6 of the price of home, then, that one at 76 %, at 0.8; with all regions at 95 % it gets 429 and everybody else an answer; \
        EU batch was in the EU all the while"
        .into())
}

/// The fleet file with prices of regions, and a key whose requests are batch.
fn priced(original: &str) -> String {
    let prices = [("us-west-2", 1.0), ("us-east-1", 0.6), ("eu-west-1", 0.8)];
    let edited = prices
        .iter()
        .fold(original.to_owned(), |text, (region, price)| {
            let place = format!("  {region}:\n");
            text.replacen(&place, &format!("{place}    price: {price}\n"), 1)
        });
    let key = digest(KEY);
    let batch = format!("policy:\n  batch: {{ keys: [{key}] }}\n");
    edited.replacen("policy:\n", &batch, 1)
}

/// Batch, by its header and by its key, goes to us-east-1; interactive callers stay, and so does the EU's batch.
async fn where_it_is_cheapest(world: &World) -> Result<()> {
    loaded(world, [0.3; 3]);
    wait_for("batch to be where it is cheapest", || async {
        let header = by_header(ask(world, "us-west-2", "US", 0)).send().await?;
        let bearer = format!("Bearer {KEY}");
        let key = ask(world, "us-west-2", "US", 0).header("authorization", bearer);
        let key = key.send().await?;
        let cheapest = |answer: &Answer| is_batch(answer) && answer.region() == "us-east-1";
        Ok(cheapest(&header) && cheapest(&key))
    })
    .await?;
    let interactive = ask(world, "us-west-2", "US", 0).send().await?;
    ensure(interactive.region() == "us-west-2", || {
        "an interactive caller left home".into()
    })?;
    let german = by_header(ask(world, "eu-west-1", "DE", 0)).send().await?;
    ensure(is_batch(&german) && german.region() == "eu-west-1", || {
        format!(
            "EU batch went to {}: {} {} {}",
            german.region(),
            german.status,
            german.header("x-meridian-decision"),
            german.text()
        )
    })
}

/// A region that is fuller than where batch gives way, and not so full that anybody else must leave.
async fn gives_way(world: &World) -> Result<()> {
    loaded(world, [0.3, 0.76, 0.3]);
    wait_for("batch to leave us-east-1", || async {
        let mut elsewhere = true;
        for number in 0..8 {
            let answer = by_header(ask(world, "us-west-2", "US", number))
                .send()
                .await?;
            elsewhere &= is_batch(&answer) && answer.region() == "eu-west-1";
        }
        Ok(elsewhere)
    })
    .await?;
    let kept = share(world, "us-east-1").await?;
    ensure(kept == 100, || {
        format!("us-east-1's own callers have left with it: {kept} %")
    })
}

/// With every region full batch gets 429, and interactive callers an answer.
async fn comes_later(world: &World) -> Result<()> {
    loaded(world, [0.95; 3]);
    wait_for("batch to be told to come later", || async {
        let mut later = true;
        for (region, country) in CALLERS {
            let answer = by_header(ask(world, region, country, 0)).send().await?;
            ensure(matches!(answer.status, 200 | 429), || answer.text())?;
            later &= answer.status == 429
                && answer.header("retry-after") == "30"
                && answer.text().contains("batch_later");
        }
        Ok(later)
    })
    .await?;
    for (region, country) in CALLERS {
        let answer = ask(world, region, country, 0).send().await?;
        ensure(answer.status == 200, || {
            format!(
                "an interactive caller got {}: {}",
                answer.status,
                answer.text()
            )
        })?;
    }
    Ok(())
}

/// A zone whose regions have an order: one serves, whichever gateway is reached; the next when it dies.
pub async fn order(world: &mut World) -> Result<String> {
    let original = world.fleet_file()?;
    let zone = "regions: [us-west-2, us-east-1, eu-west-1]";
    ensure(original.contains(zone), || {
        format!("`{zone}` is not in the fleet file")
    })?;
    let set = |field: &str| original.replacen(zone, &format!("{zone}, {field}"), 1);
    world.edit(&set("order: [us-east-1, us-west-2]"))?;
    let all_by = |region: &'static str| {
        let world = &*world;
        wait_for(region, move || async move {
            let mut all = true;
            for (number, gateway) in REGIONS.into_iter().enumerate() {
                let answer = ask(world, gateway, "US", number).send().await?;
                ensure(answer.status == 200, || answer.text())?;
                all &= answer.region() == region;
            }
            Ok(all)
        })
    };
    all_by("us-east-1").await?;
    world.pool("us-east-1").kill().await?;
    all_by("us-west-2").await?;
    world.pool("us-east-1").revive().await?;
    all_by("us-east-1").await?;
    world.edit(&set("weights: { us-west-2: 50, us-east-1: 50 }"))?;
    let counts = Mutex::new((0, 0));
    wait_for("both to have a half", || async {
        let (mut west, mut east) = (0, 0);
        for number in 0..60 {
            match ask(world, "eu-west-1", "US", number).send().await?.region() {
                "us-west-2" => west += 1,
                "us-east-1" => east += 1,
                _ => return Ok(false),
            }
        }
        *counts.lock().await = (west, east);
        Ok(west >= 15 && east >= 15)
    })
    .await?;
    let (west, east) = counts.into_inner();
    Ok(format!(
        "us-east-1 serves the callers of all gateways, us-west-2 while it is dead; with equal weights {west} and {east} of 60 callers of \
         eu-west-1's gateway"
    ))
}
