//! Random edits of zones and random faults, for as long as one wants, and a judge of where every request went:
//!
//! ```text
//! cargo run -p meridian-tests --bin residency_hunt -- --seed 7 --minutes 10
//! ```
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

use anyhow::Result;
use clap::Parser;
use meridian_tests::residency_hunt::{Hunt, Kind, conclude, hunt, options};
use meridian_tests::world::World;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Edits zones and fallbacks in random ways, under faults, and looks for a byte of a pinned caller's request where it was never allowed.
#[derive(Parser)]
struct Arguments {
    /// What the random numbers begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long to send requests, in minutes.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// The most requests to send.
    #[arg(long, default_value_t = u64::MAX)]
    requests: u64,
    /// Only these kinds of steps.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
    /// None of these kinds of steps.
    #[arg(long, value_delimiter = ',')]
    without: Vec<Kind>,
    /// Go on after a leak instead of looking for a shorter run.
    #[arg(long)]
    go_on: bool,
    /// How long to look for a shorter run after a leak, in minutes.
    #[arg(long, default_value_t = 5.0)]
    shrink_minutes: f64,
    /// A definition counts for a request from the time when the fleet file has it, though the filter that decides has not.
    #[arg(long)]
    file_counts: bool,
    /// A filter, as a file, that the gateway of us-east-1 runs instead of the one that was built. Needs root.
    #[arg(long)]
    older_filter: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let minutes = |minutes: f64| Duration::from_secs_f64(minutes * 60.0);
    let is_chosen = |kind: &Kind| {
        let only = &arguments.only;
        (only.is_empty() || only.contains(kind)) && !arguments.without.contains(kind)
    };
    let all: BTreeSet<Kind> = Kind::all();
    let plan = Hunt {
        seed: arguments.seed,
        time: minutes(arguments.minutes),
        requests: arguments.requests,
        kinds: all.into_iter().filter(is_chosen).collect(),
        goes_on: arguments.go_on,
        shrinks: minutes(arguments.shrink_minutes),
        file_counts: arguments.file_counts,
        older_filter: arguments.older_filter.clone(),
    };
    let mut world = World::start(&options()).await?;
    let seen = hunt(&mut world, &plan, |line| println!("{line}")).await;
    match seen.and_then(|seen| conclude(&seen)) {
        Ok(seen) => {
            println!("{seen}");
            world.end().await;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            println!("{error:#}");
            println!("the logs are in {}", world.keep().await.display());
            Ok(ExitCode::FAILURE)
        }
    }
}
