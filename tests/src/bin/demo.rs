//! `scripts/demo`: a fleet of three regions on loopback, live until Ctrl-C; with `--once`, every scenario.
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

use anyhow::Result;
use clap::Parser;
use meridian_tests::demo;
use meridian_tests::scenarios::scenarios;
use meridian_tests::world::{Options, World};
use std::process::ExitCode;
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
        return Ok(once(arguments.only.as_deref().unwrap_or_default()).await);
    }
    println!("starting the control plane, three Envoys, three pools and two providers ...");
    let mut world = World::start(&Options {
        limits: demo::LIMITS,
        block: Some([77, 0]),
        ..Options::default()
    })
    .await?;
    demo::explain(&world);
    demo::live(&mut world).await?;
    Ok(ExitCode::SUCCESS)
}

async fn once(only: &str) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    let chosen = scenarios()
        .into_iter()
        .filter(|scenario| scenario.name.contains(only));
    for scenario in chosen {
        match scenario.run().await {
            Ok(seen) => {
                passed += 1;
                println!("PASS {:17} {seen}", scenario.name);
            }
            Err(error) => {
                failed += 1;
                println!("FAIL {:17} {error:#}", scenario.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
