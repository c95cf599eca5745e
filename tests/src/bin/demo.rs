//! `scripts/demo`: a fleet of three regions on loopback, live until Ctrl-C; with `--once`, every scenario.
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

use anyhow::Result;
use clap::Parser;
use meridian_tests::demo;
use meridian_tests::scenarios::{self, Outcome, lanes, scenarios};
use meridian_tests::world::{Options, World};
use std::process::ExitCode;
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};

/// Shows Meridian on real Envoys.
#[derive(Parser)]
struct Arguments {
    /// Run every scenario, print PASS or FAIL for each, and end.
    #[arg(long)]
    once: bool,
    /// With --once: only the scenarios whose names contain this.
    #[arg(long, requires = "once")]
    only: Option<String>,
    /// With --once: how many scenarios run at a time.
    #[arg(long, requires = "once")]
    jobs: Option<usize>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        code = run(arguments) => code,
        // The fleet's processes end with the fleet, which is dropped here.
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
        _ = terminated.recv() => Ok(ExitCode::SUCCESS),
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    if arguments.once {
        let only = arguments.only.as_deref().unwrap_or_default();
        return Ok(once(only, arguments.jobs.unwrap_or_else(lanes)).await);
    }
    println!("starting the control plane, three Envoys, three pools and two providers ...");
    let mut world = World::start(&Options {
        limits: demo::LIMITS,
        block: Some([77, 0]),
        locations: true,
        ..Options::default()
    })
    .await?;
    demo::explain(&world);
    demo::live(&mut world).await?;
    Ok(ExitCode::SUCCESS)
}

async fn once(only: &str, jobs: usize) -> ExitCode {
    let chosen: Vec<_> = scenarios()
        .into_iter()
        .filter(|scenario| scenario.is_usual() && scenario.name.contains(only))
        .collect();
    let begun = Instant::now();
    println!("{} scenarios, {jobs} at a time", chosen.len());
    let (mut passed, mut failed) = (0, 0);
    scenarios::run(chosen, jobs.max(1), |outcome| {
        let Outcome { name, seen, took } = outcome;
        let took = took.as_secs_f64();
        match seen {
            Ok(seen) => {
                passed += 1;
                println!("PASS {name:17} {took:5.1} s  {seen}");
            }
            Err(error) => {
                failed += 1;
                println!("FAIL {name:17} {took:5.1} s  {error:#}");
            }
        }
    })
    .await;
    let took = begun.elapsed().as_secs();
    println!("{passed} passed, {failed} failed, in {took} s");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
