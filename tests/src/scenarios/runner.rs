//! Runs scenarios side by side.

use super::chains::{Chain, chains};
use super::{ALONE, Scenario};
use crate::world::World;
use anyhow::{Result, anyhow};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How many lines of each log a failure shows.
const LAST_LINES: usize = 12;

/// How many scenarios run at a time on this machine: more than it has cores, as they mostly wait.
pub fn lanes() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores + 1).min(8)
}

/// How a scenario ended, and how long it took: with the start of its world, or with healing it.
pub struct Outcome {
    /// The scenario's name.
    pub name: &'static str,
    /// What was seen, or what was not as promised and where the logs are.
    pub seen: Result<String>,
    /// How long it took.
    pub took: Duration,
}

/// Runs scenarios, at most `lanes` at a time, and reports each when it has ended. Those with equal options share worlds.
pub async fn run(scenarios: Vec<Scenario>, lanes: usize, mut tell: impl FnMut(Outcome)) {
    let (alone, others): (Vec<_>, Vec<_>) = scenarios
        .into_iter()
        .partition(|scenario| ALONE.contains(&scenario.plain_name()));
    for (scenarios, lanes) in [(others, lanes), (alone, 1)] {
        let (outcomes, mut ended) = unbounded_channel();
        let lane = Lane {
            chains: Arc::new(Mutex::new(chains(scenarios))),
            starts: Arc::new(Semaphore::new(1)),
            outcomes,
        };
        let mut running = JoinSet::new();
        for _ in 0..lanes {
            running.spawn(lane.clone().run());
        }
        drop(lane);
        while let Some(outcome) = ended.recv().await {
            tell(outcome);
        }
    }
}

/// A task that runs one chain of scenarios after the other.
#[derive(Clone)]
struct Lane {
    chains: Arc<Mutex<Vec<Chain>>>,
    /// The start of a world takes all cores for seconds, so worlds start one at a time.
    starts: Arc<Semaphore>,
    outcomes: UnboundedSender<Outcome>,
}

impl Lane {
    async fn run(self) {
        while let Some(chain) = self.next() {
            let mut world = None;
            let mut left = chain.len();
            for scenario in chain {
                left -= 1;
                let begun = Instant::now();
                let (seen, healed) = self.show(&scenario, world.take(), left > 0).await;
                world = healed;
                let _ = self.outcomes.send(Outcome {
                    name: scenario.name,
                    seen,
                    took: begun.elapsed(),
                });
            }
        }
    }

    fn next(&self) -> Option<Chain> {
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        (!chains.is_empty()).then(|| chains.remove(0))
    }

    /// Shows a scenario on a world that is healed, or a new one; gives the world back for the next one, healed. An error says where
    /// the logs are.
    async fn show(
        &self,
        scenario: &Scenario,
        healed: Option<World>,
        again: bool,
    ) -> (Result<String>, Option<World>) {
        let world = match healed {
            Some(world) => Ok(world),
            None => self.start(scenario).await,
        };
        let world = match world {
            Ok(world) => world,
            Err(error) => return (Err(error), None),
        };
        let (dir, show) = (world.dir().to_owned(), scenario.show);
        // In a task: a panic ends only that.
        let shown = tokio::spawn(async move {
            let mut world = world;
            let seen = show(&mut world).await;
            let seen = seen.and_then(|seen| world.has_no_filter_faults().map(|()| seen));
            (world, seen)
        });
        match shown.await {
            Ok((world, Ok(seen))) if again => heal(world, seen).await,
            Ok((world, Ok(seen))) => {
                world.end().await;
                (Ok(seen), None)
            }
            Ok((world, Err(error))) => (Err(failed(error, world).await), None),
            // The world has ended with it, and has kept its directory.
            Err(panic) => (
                Err(anyhow!("{panic}; the logs are in {}", dir.display())),
                None,
            ),
        }
    }

    async fn start(&self, scenario: &Scenario) -> Result<World> {
        let _start = self.starts.acquire().await?;
        World::start(&scenario.options).await
    }
}

/// Heals a world for the next scenario. A fleet that does not heal fails the scenario.
async fn heal(mut world: World, seen: String) -> (Result<String>, Option<World>) {
    match world.heal_all().await {
        Ok(()) => (Ok(seen), Some(world)),
        Err(error) => {
            let error = error.context("the fleet does not heal after it");
            (Err(failed(error, world).await), None)
        }
    }
}

async fn failed(error: anyhow::Error, world: World) -> anyhow::Error {
    let kept = world.keep().await;
    let last = last_lines(&kept);
    anyhow!("{error:#}; the logs are in {}\n{last}", kept.display())
}

/// The last lines of the processes' logs, but of access logs: the directory may be gone before somebody reads of the failure.
fn last_lines(dir: &Path) -> String {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut logs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    logs.retain(|log| {
        let name = log.to_string_lossy();
        name.ends_with(".log") && !name.ends_with(".access.log")
    });
    logs.sort();
    let last = logs.iter().map(|log| {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        format!("{}:\n{}\n", log.display(), last.join("\n"))
    });
    last.collect()
}
