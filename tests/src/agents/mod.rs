//! Real agents through an outage of all pools: each does a task of several turns by a gateway whose pools all answer 503, so that the
//! fallback serves.

mod client;

pub use client::Agent;

use crate::fakes::Fail;
use crate::world::{REGIONS, World, wait_for};
use anyhow::{Context, Result, bail};
use client::{Place, STEPS};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use tokio::time::Instant;

/// Whose callers: a country, and the gateway that serves it.
pub type Caller = (&'static str, &'static str);

/// Every pool answers 503.
pub fn outage(world: &World) {
    for region in REGIONS {
        let pool = world.pool(region);
        pool.update(|behaviour| behaviour.fail = Fail::Status(503));
    }
}

/// Lets an agent do its task. The line says what was seen.
///
/// # Errors
/// The agent did not do it, the gateway refused a request, or somebody else than the fallback answered.
pub async fn work(world: &World, agent: Agent, (country, gateway): Caller) -> Result<String> {
    let url = format!("http://{}", world.block().public(gateway));
    let dir = world.dir().join(format!("{}-{country}", agent.name()));
    let place = Place {
        gateway: &url,
        country,
        home: dir.join("home"),
        work: dir.join("work"),
    };
    fs::create_dir_all(&place.home)?;
    fs::create_dir_all(&place.work)?;
    let before = requests(world, gateway).await?.len();
    let begun = Instant::now();
    let said = agent.work(&place).await;
    let took = begun.elapsed();
    let fallback = world.provider(if country == "DE" {
        "claude-eu"
    } else {
        "claude"
    });
    // For whoever wants to know what the agent asked.
    let translated = serde_json::to_vec_pretty(&fallback.requests())?;
    fs::write(dir.join("translated.json"), translated)?;
    fallback.clear();
    let seen = answered(&requests(world, gateway).await?[before..]);
    let said = said.with_context(|| format!("the gateway's answers: {seen:?}"))?;
    let written = fs::read_to_string(place.work.join("steps.txt")).unwrap_or_default();
    let expected: String = (0..STEPS).map(|step| format!("step {step}\n")).collect();
    if written != expected || !said.contains(agent.last_words()) {
        bail!("steps.txt has {written:?}; the gateway's answers: {seen:?}; it said: {said}");
    }
    let by_fallback = format!("200 by fallback/{}", fallback.name());
    let others: Vec<&String> = seen
        .keys()
        .filter(|answer| !answer.ends_with(&by_fallback))
        .collect();
    if !others.is_empty() {
        bail!("somebody else answered, or it was refused: {seen:?}");
    }
    let turns: usize = seen.values().sum();
    Ok(format!(
        "{} {country}: {turns} requests, {STEPS} steps done, {:.1} s: {seen:?}",
        agent.name(),
        took.as_secs_f64()
    ))
}

/// What a gateway's callers asked so far, by its access log.
async fn requests(world: &World, gateway: &str) -> Result<Vec<Value>> {
    // Envoy writes the log now and then, in order: whatever stands before this request is there once this request is.
    let last = world.ask(gateway).get("/v1/models").send().await?;
    let id = last.header("x-request-id").to_owned();
    let log = world.access_log(gateway);
    wait_for("the access log", || async {
        Ok(fs::read_to_string(&log)?.contains(&id))
    })
    .await?;
    let log = fs::read_to_string(&log)?;
    let lines = log.lines().map(serde_json::from_str::<Value>);
    let all: Vec<Value> = lines.collect::<Result<_, _>>()?;
    Ok(all
        .into_iter()
        .filter(|line| line["listener"] == "public" && line["method"] == "POST")
        .collect())
}

/// How they were answered: `path status by region`.
fn answered(requests: &[Value]) -> BTreeMap<String, usize> {
    let mut answered = BTreeMap::new();
    for request in requests {
        let text = |field: &str| match &request[field] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let line = format!("{} {} by {}", text("path"), text("status"), text("region"));
        *answered.entry(line).or_default() += 1;
    }
    answered
}
