//! Real agents (Codex, Claude Code, opencode, aider) through an outage of all pools:
//!
//! ```text
//! scripts/setup agents && cargo run -p meridian-tests --bin agents
//! ```
//!
//! Not a test: the agents are 2 GB. What was seen is in docs/failures.md.
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

use anyhow::{Result, bail};
use clap::Parser;
use meridian_policy::egress_policy::ClaudeHost;
use meridian_tests::agents::{Agent, Caller, Outage, work};
use meridian_tests::world::{Configured, Options, World};

/// Lets agents do a task of five steps by gateways that have nothing but the fallback.
#[derive(Parser)]
struct Arguments {
    /// Only this agent.
    #[arg(long)]
    only: Option<String>,
    /// Keep the directories of the worlds, with the agents' homes and the logs.
    #[arg(long)]
    keep: bool,
}

const US: Caller = ("US", "us-west-2");
const EU: Caller = ("DE", "eu-west-1");

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut failed = 0;
    let worlds: [(ClaudeHost, &[Caller]); 2] = [
        (ClaudeHost::Vertex, &[US, EU]),
        (ClaudeHost::Bedrock, &[EU]),
    ];
    for (host, callers) in worlds {
        let options = Options {
            claude: Some(host),
            // No plan takes the pools for down between two tasks.
            configured: Configured::ByFile,
            ..Options::default()
        };
        let mut world = World::start(&options).await?;
        failed += tasks(&mut world, host, callers, arguments.only.as_deref()).await;
        if arguments.keep {
            println!("{host:?}: kept in {}", world.keep().await.display());
        } else {
            world.end().await;
        }
    }
    if failed > 0 {
        bail!("{failed} failed");
    }
    Ok(())
}

/// Lets the agents work for these callers, and says how many failed.
async fn tasks(
    world: &mut World,
    host: ClaudeHost,
    callers: &[Caller],
    only: Option<&str>,
) -> usize {
    let mut failed = 0;
    for caller in callers {
        for agent in Agent::ALL {
            if only.is_some_and(|only| only != agent.name()) {
                continue;
            }
            for outage in [Outage::Before, Outage::Midway] {
                match work(world, agent, *caller, outage).await {
                    Ok(line) => println!("{host:?}: {line}"),
                    Err(error) => {
                        failed += 1;
                        let (name, country) = (agent.name(), caller.0);
                        println!("{host:?}: {name} {country} {outage:?}: FAILED: {error:#}");
                    }
                }
            }
        }
    }
    failed
}
