//! Scrapes every source periodically.

use super::access::{self, SourceClient};
use super::outcome::Scrape;
use super::scrape::scrape;
use super::watched::WatchedSource;
use crate::clock::Clock;
use meridian_policy::source::SignalFormat;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use xxhash_rust::xxh3::xxh3_64;

/// Upper bound of the delay before the first scrape of a source, if the scrape interval is not shorter.
const SPREAD: Duration = Duration::from_secs(2);

/// Scrapes sources, with one task for each. Dropping it stops all tasks.
#[derive(Debug)]
pub struct Collector {
    client: reqwest::Client,
    sender: Sender<Scrape>,
    clock: Clock,
    runtime: Handle,
    tasks: Vec<(WatchedSource, Task)>,
}

/// A task that is aborted when this is dropped.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Collector {
    /// Starts to scrape these sources, and sends the results to `sender`. Must be called within a Tokio runtime, in which all tasks run.
    ///
    /// Each task waits until its last result is received, so a slow receiver makes scrapes rarer, not late.
    ///
    /// # Errors
    ///
    /// If the TLS library cannot be set up.
    pub fn start(
        sources: Vec<WatchedSource>,
        sender: Sender<Scrape>,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        let client = access::builder().build()?;
        let mut collector = Self {
            client,
            sender,
            clock,
            runtime: Handle::current(),
            tasks: Vec::new(),
        };
        collector.replace(sources);
        Ok(collector)
    }

    /// Replaces the sources. The tasks of sources that stay the same keep running.
    ///
    /// Results of removed sources may still be in the channel.
    pub fn replace(&mut self, sources: Vec<WatchedSource>) {
        self.tasks.retain(|(watched, _)| sources.contains(watched));
        // Sources that push are not scraped.
        let is_read =
            |watched: &WatchedSource| !matches!(watched.signal.format, SignalFormat::Pushed(_));
        for watched in sources.into_iter().filter(is_read) {
            if self.tasks.iter().all(|(other, _)| *other != watched) {
                let (client, sender) = (self.client.clone(), self.sender.clone());
                let task = self.runtime.spawn(scrape_periodically(
                    client,
                    watched.clone(),
                    sender,
                    self.clock,
                ));
                self.tasks.push((watched, Task(task)));
            }
        }
    }

    /// Stops all tasks, and returns when nothing more will be sent.
    pub async fn stop(mut self) {
        for (_, task) in &mut self.tasks {
            task.0.abort();
            // The result is the expected cancellation.
            let _ = (&mut task.0).await;
        }
    }
}

async fn scrape_periodically(
    client: reqwest::Client,
    watched: WatchedSource,
    sender: Sender<Scrape>,
    clock: Clock,
) {
    let every = watched.signal.every;
    let mut ticks = interval_at(Instant::now() + offset(&watched), every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut client = SourceClient::new(client);
    loop {
        ticks.tick().await;
        let scrape = scrape(&mut client, &watched, clock).await;
        if sender.send(scrape).await.is_err() {
            return;
        }
    }
}

/// The delay of a source's first scrape. It depends on the name alone, and spreads the sources over time.
pub(super) fn offset(watched: &WatchedSource) -> Duration {
    let name = format!("{} {}", watched.region, watched.signal.key());
    let part = xxh3_64(name.as_bytes()) as f64 / u64::MAX as f64;
    watched.signal.every.min(SPREAD).mul_f64(part.min(1.0))
}
