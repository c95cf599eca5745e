//! Requests at a steady rate, and the judge of their answers.

use crate::fakes::Behaviour;
use crate::world::{Answer, Ask, MODEL, World, client, wait_for};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;

/// Requests a second, over all callers.
pub const RATE: u32 = 200;

/// Of so many requests one is streamed.
const STREAMED: usize = 4;

/// Callers: a gateway, a country, and the servers that may answer.
const CALLERS: [(&str, &str, &[&str]); 6] = [
    ("us-west-2", "US", &ANYWHERE),
    ("us-east-1", "CA", &ANYWHERE),
    ("eu-west-1", "JP", &ANYWHERE),
    ("eu-west-1", "DE", &IN_EU),
    ("us-west-2", "DE", &IN_EU),
    ("us-east-1", "FR", &IN_EU),
];

const ANYWHERE: [&str; 4] = ["us-west-2", "us-east-1", "eu-west-1", "claude"];
const IN_EU: [&str; 2] = ["eu-west-1", "claude-eu"];

/// Requests while the control plane is killed once.
pub struct Traffic {
    stop: watch::Sender<bool>,
    answered: Arc<AtomicU32>,
    task: JoinHandle<Tally>,
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests that were sent.
    pub requests: u32,
    /// Requests that reached a server.
    pub attempts: usize,
    /// Requests that a fallback has answered.
    pub by_fallbacks: u32,
    /// The longest time until a whole answer.
    pub longest: Duration,
    /// What may not be.
    pub wrong: Vec<String>,
}

impl Traffic {
    /// Starts it.
    pub fn start(world: &World) -> Result<Self> {
        let asks = CALLERS.map(|(gateway, country, _)| world.ask(gateway).country(country));
        let client = client().build()?;
        let (stop, stopped) = watch::channel(false);
        let answered = Arc::default();
        let task = tokio::spawn(run(asks, client, Arc::clone(&answered), stopped));
        Ok(Self {
            stop,
            answered,
            task,
        })
    }

    /// Waits for the first answers.
    pub async fn until_answered(&self, count: u32) -> Result<()> {
        wait_for("the first answers", || async {
            Ok(self.answered.load(Ordering::Relaxed) >= count)
        })
        .await
    }

    /// Ends it, waits for the last answer, and looks where the requests were.
    pub async fn stop(self, world: &World) -> Result<Tally> {
        self.stop.send_replace(true);
        let mut tally = self.task.await.context("the traffic has died")?;
        for server in world.servers() {
            for request in server.requests() {
                tally.attempts += 1;
                let body = String::from_utf8_lossy(&request.body);
                let caller = CALLERS
                    .iter()
                    .enumerate()
                    .find(|(number, _)| body.contains(&marker(*number)));
                match caller {
                    Some((_, (.., allowed))) if allowed.contains(&server.name()) => {}
                    _ => tally.wrong.push(format!("at {}: {body}", server.name())),
                }
            }
            server.clear();
        }
        Ok(tally)
    }
}

/// What stands in the requests of a caller only.
fn marker(caller: usize) -> String {
    format!("caller-{caller}-asks")
}

async fn run(
    asks: [Ask; CALLERS.len()],
    client: reqwest::Client,
    answered: Arc<AtomicU32>,
    stopped: watch::Receiver<bool>,
) -> Tally {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut running = JoinSet::new();
    let mut tally = Tally::default();
    for (number, caller) in (0..CALLERS.len()).cycle().enumerate() {
        ticks.tick().await;
        if *stopped.borrow() {
            break;
        }
        let streamed = number.is_multiple_of(STREAMED);
        let ask = asks[caller].clone().json(&json!({
            "model": MODEL,
            "stream": streamed,
            "prompt_cache_key": number.to_string(),
            "messages": [{ "role": "user", "content": marker(caller) }],
        }));
        let (client, answered) = (client.clone(), Arc::clone(&answered));
        running.spawn(async move {
            let begun = Instant::now();
            let answer = ask.send_with(&client).await;
            answered.fetch_add(1, Ordering::Relaxed);
            let verdict = answer.and_then(|answer| judge(caller, streamed, &answer));
            let verdict = verdict.with_context(|| {
                let (gateway, country, _) = CALLERS[caller];
                format!("{}: request {number} from {country} to {gateway}", unix())
            });
            (verdict, begun.elapsed())
        });
        while let Some(ended) = running.try_join_next() {
            tally.note(ended);
        }
    }
    while let Some(ended) = running.join_next().await {
        tally.note(ended);
    }
    tally
}

impl Tally {
    fn note(&mut self, ended: Result<(Result<String>, Duration), JoinError>) {
        self.requests += 1;
        match ended {
            Ok((verdict, took)) => {
                self.longest = self.longest.max(took);
                match verdict {
                    Ok(by) if by.starts_with("claude") => self.by_fallbacks += 1,
                    Ok(_) => {}
                    Err(error) => self.wrong.push(format!("{error:#}")),
                }
            }
            Err(error) => self.wrong.push(error.to_string()),
        }
    }
}

/// Unix seconds, to find a moment in the logs.
fn unix() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// The server that has answered: the answer is whole, and it is one of the caller's.
fn judge(caller: usize, streamed: bool, answer: &Answer) -> Result<String> {
    let text = answer.text();
    ensure!(answer.status == 200, "{}: {text}", answer.status);
    let said = if streamed {
        said_in_stream(&text)
    } else {
        let message = &answer.json()["choices"][0]["message"]["content"];
        message.as_str().map(ToOwned::to_owned)
    };
    let by = answer.region().trim_start_matches("fallback/");
    let (_, _, allowed) = CALLERS[caller];
    let is_right = allowed.contains(&by) && said == Some(whole(by));
    ensure!(is_right, "by {}: {text}", answer.region());
    Ok(by.to_owned())
}

/// What a server says.
fn whole(server: &str) -> String {
    let tokens = (0..Behaviour::default().tokens).map(|index| format!(" token{index}"));
    std::iter::once(server.to_owned()).chain(tokens).collect()
}

/// The text of a stream that has ended well.
fn said_in_stream(text: &str) -> Option<String> {
    let mut said = String::new();
    let events = text.trim_end().strip_suffix("data: [DONE]")?;
    for event in events
        .split("\n\n")
        .filter(|event| !event.trim().is_empty())
    {
        let event: Value = serde_json::from_str(event.trim().strip_prefix("data: ")?).ok()?;
        said += event["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or_default();
    }
    Some(said)
}
