//! Which generations of the fleet file the filter of each gateway can have had, and when: by polls of Envoy's admin interface.

use super::fleet_text::generations;
use super::sightings::{lock, now};
use crate::world::{REGIONS, World, client};
use anyhow::Result;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Between two polls of a gateway.
const EVERY: Duration = Duration::from_millis(60);

/// By when a poll is given up. A gateway that was stopped answers once it goes on.
const GIVEN_UP: Duration = Duration::from_secs(10);

/// Milliseconds by which a worker of a busy Envoy may apply a policy later than the admin interface shows it.
pub const WORKER_DELAY: u64 = 750;

/// Polls that are kept of a gateway: more than two minutes of them.
const KEPT: usize = 2_500;

/// One poll of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// When it was sent, in milliseconds since the hunt began.
    pub from: u64,
    /// When it was answered.
    pub until: u64,
    /// The least and the greatest generation that the configuration carries.
    pub generations: (u32, u32),
}

/// The least and the greatest generation that can have been in force at some time between these two.
///
/// `newest`: the newest generation that there is.
pub fn possible<'p>(
    polls: impl DoubleEndedIterator<Item = &'p Poll> + Clone,
    (from, until): (u64, u64),
    newest: u32,
) -> (u32, u32) {
    let is_before = |poll: &&Poll| poll.until + WORKER_DELAY <= from;
    let before = polls.clone().rev().find(is_before);
    let after = polls.clone().find(|poll| poll.from >= until);
    let between = polls.filter(|poll| {
        let is_after = after.is_some_and(|after| poll.from > after.from);
        !is_before(poll) && !is_after
    });
    let least = before.map_or(0, |poll| poll.generations.0);
    let greatest = if after.is_some() { 0 } else { newest };
    before
        .into_iter()
        .chain(between)
        .fold((least, greatest), |(least, greatest), poll| {
            (
                least.min(poll.generations.0),
                greatest.max(poll.generations.1),
            )
        })
}

/// The polls of all gateways; they end when it is dropped.
pub struct Generations {
    polls: BTreeMap<&'static str, Arc<Mutex<VecDeque<Poll>>>>,
    polling: Vec<JoinHandle<()>>,
}

impl Generations {
    /// Begins to poll.
    pub fn start(world: &World) -> Result<Self> {
        let (mut polls, mut polling) = (BTreeMap::new(), Vec::new());
        for region in REGIONS {
            let admin = world.block().admin(region);
            // Of the filters by ECDS only.
            let url = format!("http://{admin}/config_dump?resource=ecds_filters");
            let client = client().timeout(GIVEN_UP).build()?;
            let own = Arc::new(Mutex::new(VecDeque::new()));
            polling.push(tokio::spawn(poll(client, url, own.clone())));
            polls.insert(region, own);
        }
        Ok(Self { polls, polling })
    }

    /// The generations that a gateway's filter can have had at some time between these two.
    pub fn possible(&self, region: &str, times: (u64, u64), newest: u32) -> (u32, u32) {
        let Some(polls) = self.polls.get(region) else {
            return (0, newest);
        };
        possible(lock(polls).iter(), times, newest)
    }

    /// The generation that a gateway showed last.
    pub fn last(&self, region: &str) -> Option<u32> {
        let polls = self.polls.get(region)?;
        lock(polls).back().map(|poll| poll.generations.0)
    }
}

#[cfg(test)]
impl Generations {
    /// Polls of one gateway, by hand.
    pub fn of(region: &'static str, polls: Vec<Poll>) -> Self {
        let polls = Arc::new(Mutex::new(polls.into()));
        Self {
            polls: BTreeMap::from([(region, polls)]),
            polling: Vec::new(),
        }
    }
}

impl Drop for Generations {
    fn drop(&mut self) {
        for task in &self.polling {
            task.abort();
        }
    }
}

async fn poll(client: reqwest::Client, url: String, polls: Arc<Mutex<VecDeque<Poll>>>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let from = now();
        let Ok(answer) = client.get(&url).send().await else {
            continue;
        };
        let text = answer.text().await.unwrap_or_default();
        // A gateway that has just begun has no policy: its filter refuses everything.
        let Ok(Some(generations)) = generations(&text) else {
            continue;
        };
        let mut polls = lock(&polls);
        if polls.len() >= KEPT {
            polls.pop_front();
        }
        polls.push_back(Poll {
            from,
            until: now(),
            generations,
        });
    }
}

#[cfg(test)]
mod tests;
