//! Operators who say something all the time, to any replica, and repeat what was not answered.

use crate::world::Replicas;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Time between two that one says.
const PAUSE: Duration = Duration::from_millis(150);

/// The longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(12);

/// What came of it all.
#[derive(Debug, Default)]
pub struct Tally {
    /// What was said, by its text, and the number that was answered.
    answered: BTreeMap<String, u64>,
    /// How often it had to be repeated.
    repeated: u32,
    said: usize,
}

/// An operator who says something all the time.
pub struct Operators {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Tally>>,
}

impl Operators {
    /// Begins with this number. `zone`: a zone that may be served in us-west-2 and in eu-west-1.
    pub fn start(replicas: &Replicas, first: usize, zone: &'static str) -> Result<Self> {
        let addresses = replicas.all.iter().map(|replica| replica.status());
        let client = crate::world::client().timeout(PATIENCE).build()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(say(client, addresses.collect(), (first, zone), stopped));
        Ok(Self { stop, task })
    }

    /// Waits until the last one is answered.
    pub async fn stop(self) -> Result<Tally> {
        self.stop.send_replace(true);
        self.task.await?
    }
}

async fn say(
    client: reqwest::Client,
    addresses: Vec<SocketAddr>,
    (first, zone): (usize, &'static str),
    stopped: watch::Receiver<bool>,
) -> Result<Tally> {
    let mut tally = Tally::default();
    for number in first.. {
        if *stopped.borrow() {
            break;
        }
        let why = format!("said-{number}");
        let share = 90 + number % 10;
        let body = json!({
            "action": {
                "kind": "override", "gateway": "us-west-2", "zone": zone, "model": crate::world::MODEL,
                "home_share": share, "overflow": { "eu-west-1": 100 },
            },
            "by": "hunt", "why": why, "for": "1h",
        });
        let mut to = number;
        let record = loop {
            let url = format!("http://{}/v1/intents", addresses[to % addresses.len()]);
            let request = client.post(url).header("idempotency-key", &why).json(&body);
            let answer = request.send().await;
            match answer {
                Ok(answer) if answer.status() == 201 => break answer.json::<Value>().await,
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    ensure!(status == 503, "{why}: {status}: {text}");
                }
                Err(_) => {}
            }
            tally.repeated += 1;
            to += 1;
            sleep(PAUSE).await;
        };
        let record = record.context("a record")?;
        let number = record["number"].as_u64().context("no number")?;
        tally.answered.insert(why, number);
        tally.said += 1;
        sleep(PAUSE).await;
    }
    Ok(tally)
}

impl Tally {
    /// The number of the next one.
    pub fn next(&self) -> usize {
        self.said
    }

    /// These as well.
    pub fn add(&mut self, others: Self) {
        self.answered.extend(others.answered);
        self.repeated += others.repeated;
        self.said += others.said;
    }

    /// What is not in the audit log as it was answered: lost, doubled, or another number. The log's numbers have no gap.
    pub async fn judge(&self, replicas: &Replicas) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut in_force = BTreeSet::new();
        let mut last = 0;
        loop {
            let audit = get(replicas, &format!("audit?after={last}")).await?;
            if !audit["broken_at"].is_null() {
                wrong.push(format!("the audit log is broken at {}", audit["broken_at"]));
            }
            let records = audit["records"].as_array().context("no records")?;
            for record in records {
                let number = record["number"].as_u64().context("no number")?;
                if number != last + 1 {
                    wrong.push(format!("record {number} follows {last}"));
                }
                last = number;
                if let Some(ended) = record["before"][0].as_u64()
                    && !in_force.remove(&ended)
                {
                    wrong.push(format!(
                        "record {number} ends {ended}, which was not in force"
                    ));
                }
                if !record["after"].is_null() {
                    in_force.insert(number);
                }
                let why = record["why"].as_str().context("no reason")?;
                found.entry(why.to_owned()).or_default().push(number);
            }
            if records.is_empty() {
                break;
            }
        }
        for (why, number) in &self.answered {
            let numbers = found.remove(why).unwrap_or_default();
            if numbers != [*number] {
                wrong.push(format!("{why}: answered {number}, recorded {numbers:?}"));
            }
        }
        wrong.extend(
            found
                .into_keys()
                .map(|why| format!("{why} was not answered")),
        );
        let intents = get(replicas, "intents").await?;
        let intents = intents.as_object().context("no intents")?;
        let numbers: BTreeSet<u64> = intents.keys().filter_map(|key| key.parse().ok()).collect();
        if numbers != in_force {
            wrong.push(format!(
                "in force {numbers:?}, by the audit log {in_force:?}"
            ));
        }
        Ok(wrong)
    }
}

async fn get(replicas: &Replicas, path: &str) -> Result<Value> {
    let address = replicas.all.first().context("no replica")?.status();
    let client = crate::world::client().build()?;
    let answer = client
        .get(format!("http://{address}/v1/{path}"))
        .send()
        .await?;
    Ok(answer.error_for_status()?.json().await?)
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repeated, said, .. } = self;
        write!(
            to,
            "{said} intents said to any replica, {repeated} times repeated, each recorded once"
        )
    }
}
