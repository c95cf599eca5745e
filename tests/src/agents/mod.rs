//! Real agents through an outage of all pools: each does a task of several turns by a gateway whose pools all answer 503, so that the
//! fallback serves; from the first turn on, or after a first turn by the pool at home.

mod client;
mod first_turn;

pub use client::Agent;

use crate::fakes::{Fail, Fake};
use crate::world::{REGIONS, World, wait_for};
use anyhow::{Context, Result, bail};
use client::{Place, STEPS};
use first_turn::first_turn;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, interval};

/// Whose callers: a country, and the gateway that serves it.
pub type Caller = (&'static str, &'static str);

/// When the outage begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Before the task.
    Before,
    /// In the middle: home has answered the first turn.
    Midway,
}

/// Lets an agent do its task. The line says what was seen.
///
/// # Errors
/// The agent did not do it, the gateway refused a request, or somebody else than the fallback answered during the outage.
pub async fn work(
    world: &mut World,
    agent: Agent,
    caller: Caller,
    outage: Outage,
) -> Result<String> {
    let (country, gateway) = caller;
    let url = format!("http://{}", world.block().public(gateway));
    let name = format!("{}-{country}-{outage:?}", agent.name());
    let dir = world.dir().join(&name);
    let place = Place {
        gateway: &url,
        country,
        home: dir.join("home"),
        work: dir.join("work"),
    };
    fs::create_dir_all(&place.home)?;
    fs::create_dir_all(&place.work)?;
    begin(world, agent, gateway, outage).await?;
    let before = requests(world, gateway).await?.len();
    let begun = Instant::now();
    let mut working = pin!(agent.work(&place));
    let said = tokio::select! {
        said = &mut working => said,
        () = middle(world.pool(gateway), agent, outage) => working.await,
    };
    let took = begun.elapsed();
    let provider = if country == "DE" {
        "claude-eu"
    } else {
        "claude"
    };
    keep_requests(world.provider(provider), &dir)?;
    let all = requests(world, gateway).await?;
    let seen = answered(&all[before..]);
    let said = said.with_context(|| format!("the gateway's answers: {seen:?}"))?;
    let written = fs::read_to_string(place.work.join("steps.txt")).unwrap_or_default();
    let expected: String = (0..STEPS).map(|step| format!("step {step}\n")).collect();
    if written != expected || !said.contains(agent.last_words()) {
        let said: String = said.chars().take(500).collect();
        let attempts = all[before..]
            .iter()
            .map(|request| request["attempt_log"].to_string());
        let attempts: Vec<String> = attempts.collect();
        bail!(
            "steps.txt has {written:?}; the gateway's answers: {seen:?}; its attempts: {attempts:?}; it said: {said}"
        );
    }
    let by = |server: &str| {
        let by_server = format!("200 by {server}");
        let answers = seen.iter().filter(|(line, _)| line.ends_with(&by_server));
        answers.map(|(_, count)| count).sum::<usize>()
    };
    let (all, by_home) = (seen.values().sum::<usize>(), by(gateway));
    let by_fallback = by(&format!("fallback/{provider}"));
    if by_home + by_fallback != all || (outage == Outage::Midway) != (by_home > 0) {
        bail!("somebody else answered, or it was refused: {seen:?}");
    }
    Ok(format!(
        "{name}: {all} requests, {STEPS} steps done, {:.1} s; answered by {gateway}: {by_home}, by fallback/{provider}: {by_fallback}",
        took.as_secs_f64()
    ))
}

/// Every pool answers 503; home's only once it has answered the first turn, if so wanted.
async fn begin(world: &mut World, agent: Agent, home: &str, outage: Outage) -> Result<()> {
    // A breaker that the last outage has opened lets one request at a time ask home.
    world.heal_all().await?;
    for region in REGIONS {
        world.pool(region).update(|behaviour| {
            behaviour.fail = Fail::Status(503);
            if region == home && outage == Outage::Midway {
                behaviour.replay = Some(first_turn(agent));
            }
        });
    }
    Ok(())
}

/// Begins home's outage with the first request with tools: it is recorded before the agent has any of its answer.
async fn middle(home: &Fake, agent: Agent, outage: Outage) {
    if outage == Outage::Before {
        return;
    }
    let mut looks = interval(Duration::from_millis(1));
    let is_first_turn =
        |body: &[u8]| agent == Agent::Aider || String::from_utf8_lossy(body).contains("\"tools\":");
    loop {
        looks.tick().await;
        if home
            .requests()
            .iter()
            .any(|request| is_first_turn(&request.body))
        {
            break;
        }
    }
    home.update(|behaviour| behaviour.replay = None);
}

/// Keeps what a provider was asked, for whoever wants to know.
fn keep_requests(provider: &Fake, dir: &Path) -> Result<()> {
    let requests = serde_json::to_vec_pretty(&provider.requests())?;
    Ok(fs::write(dir.join("translated.json"), requests)?)
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
