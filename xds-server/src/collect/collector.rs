//! Looks at every source, again and again.

use super::access::{self, Access};
use super::outcome::Scrape;
use super::scrape::scrape;
use super::watched::WatchedSource;
use crate::clock::Clock;
use meridian_policy::source::Tells;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use xxhash_rust::xxh3::xxh3_64;

/// The first look at each source falls within this, or within one round if that is shorter.
const SPREAD: Duration = Duration::from_secs(2);

/// One task per source. Dropping it stops them all.
#[derive(Debug)]
pub struct Collector {
    client: reqwest::Client,
    sender: Sender<Scrape>,
    clock: Clock,
    tasks: Vec<(WatchedSource, Task)>,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Collector {
    /// Starts to look at these sources; what comes of it goes to `sender`. Must be called within a Tokio runtime.
    ///
    /// A receiver that is slow makes looks rarer, not late: each waits until the one before it was taken.
    ///
    /// # Errors
    ///
    /// If there is no way to speak TLS on this machine.
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
            tasks: Vec::new(),
        };
        collector.replace(sources);
        Ok(collector)
    }

    /// Looks at these sources from now on. Those that are the same go on undisturbed.
    ///
    /// A look at one that is gone may be in the channel already.
    pub fn replace(&mut self, sources: Vec<WatchedSource>) {
        self.tasks.retain(|(watched, _)| sources.contains(watched));
        // Whoever pushes is not looked at.
        let is_read = |watched: &WatchedSource| !matches!(watched.signal.tells, Tells::Pushed(_));
        for watched in sources.into_iter().filter(is_read) {
            if self.tasks.iter().all(|(other, _)| *other != watched) {
                let (client, sender) = (self.client.clone(), self.sender.clone());
                let task = tokio::spawn(watch(client, watched.clone(), sender, self.clock));
                self.tasks.push((watched, Task(task)));
            }
        }
    }

    /// Stops all of them, and returns when nothing more will be sent.
    pub async fn stop(mut self) {
        for (_, task) in &mut self.tasks {
            task.0.abort();
            // It ends as one that was stopped.
            let _ = (&mut task.0).await;
        }
    }
}

async fn watch(
    client: reqwest::Client,
    watched: WatchedSource,
    sender: Sender<Scrape>,
    clock: Clock,
) {
    let every = watched.signal.every;
    let mut ticks = interval_at(Instant::now() + offset(&watched), every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut access = Access::new(client);
    loop {
        ticks.tick().await;
        let scrape = scrape(&mut access, &watched, clock).await;
        if sender.send(scrape).await.is_err() {
            return;
        }
    }
}

/// When in its round a source is looked at: always at the same point, and hardly two sources at the same.
pub(super) fn offset(watched: &WatchedSource) -> Duration {
    let name = format!("{} {}", watched.region, watched.signal.key());
    let part = xxh3_64(name.as_bytes()) as f64 / u64::MAX as f64;
    watched.signal.every.min(SPREAD).mul_f64(part.min(1.0))
}
