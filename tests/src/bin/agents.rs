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
use meridian_tests::agents::{Agent, Caller, outage, work};
use meridian_tests::world::{Options, World};

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
            ..Options::default()
        };
        let world = World::start(&options).await?;
        outage(&world);
        for caller in callers {
            for agent in Agent::ALL {
                if arguments
                    .only
                    .as_deref()
                    .is_some_and(|only| only != agent.name())
                {
                    continue;
                }
                match work(&world, agent, *caller).await {
                    Ok(line) => println!("{host:?}: {line}"),
                    Err(error) => {
                        failed += 1;
                        println!("{host:?}: {} {}: FAILED: {error:#}", agent.name(), caller.0);
                    }
                }
            }
        }
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
