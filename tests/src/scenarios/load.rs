//! A steady load, while something happens to the fleet.

use crate::world::{Ask, MODEL, World, client};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Requests a second, over all callers.
pub const RATE: u32 = 50;

/// Requests at a steady rate, from the callers in turn, each of a conversation of its own.
pub struct Load {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Tally>>,
}

/// The answers to a load.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answers by gateway and by the region that gave them.
    pub by: BTreeMap<(String, String), u32>,
    /// All answers.
    pub all: u32,
}

impl Tally {
    /// Answers to callers of a gateway.
    pub fn at(&self, gateway: &str) -> BTreeMap<&str, u32> {
        let own = self.by.iter().filter(|((at, _), _)| at == gateway);
        own.map(|((_, by), count)| (by.as_str(), *count)).collect()
    }
}

impl Load {
    /// Starts it: callers are a gateway and a country each.
    pub fn start(world: &World, callers: &[(&str, &str)]) -> Result<Self> {
        Self::at_rate(world, callers, RATE)
    }

    /// The same with so many requests a second.
    pub fn at_rate(world: &World, callers: &[(&str, &str)], rate: u32) -> Result<Self> {
        let asks: Vec<(String, Ask)> = callers
            .iter()
            .map(|(gateway, country)| ((*gateway).to_owned(), world.ask(gateway).country(country)))
            .collect();
        let client = client().build()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(asks, client, rate, stopped));
        Ok(Self { stop, task })
    }

    /// Ends it, waits for the last answer, and fails if any request has.
    pub async fn stop(self) -> Result<Tally> {
        self.stop.send_replace(true);
        self.task.await.context("the load has died")?
    }
}

async fn run(
    asks: Vec<(String, Ask)>,
    client: reqwest::Client,
    rate: u32,
    stopped: watch::Receiver<bool>,
) -> Result<Tally> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut requests = JoinSet::new();
    for (number, (gateway, ask)) in asks.iter().cycle().enumerate() {
        ticks.tick().await;
        if *stopped.borrow() {
            break;
        }
        let ask = ask.clone().json(&json!({
            "model": MODEL,
            "prompt_cache_key": number.to_string(),
            "messages": [{ "role": "user", "content": "hi" }],
        }));
        let (client, gateway) = (client.clone(), gateway.clone());
        requests.spawn(async move { (gateway, number, ask.send_with(&client).await) });
    }
    let mut tally = Tally::default();
    for (gateway, number, answer) in requests.join_all().await {
        let answer = answer.with_context(|| format!("request {number} to {gateway}"))?;
        if answer.status != 200 {
            bail!(
                "request {number} to {gateway} got {}: {}",
                answer.status,
                answer.text()
            );
        }
        if answer.header("x-meridian-decision").is_empty() {
            bail!("request {number} to {gateway} has passed no filter");
        }
        *tally
            .by
            .entry((gateway, answer.region().to_owned()))
            .or_default() += 1;
        tally.all += 1;
    }
    Ok(tally)
}
