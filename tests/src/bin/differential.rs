//! The same random requests through both kinds of the filter, for as long as one wants:
//!
//! ```text
//! cargo run -p meridian-tests --bin differential -- --seed 7 --requests 10000
//! ```
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

use anyhow::Result;
use clap::{Parser, ValueEnum};
use meridian_policy::egress_policy::ClaudeHost;
use meridian_tests::differential::{Task, compare, conclude, options};
use meridian_tests::world::{Options, World};
use std::time::Instant;

/// Sends random requests through gateways with the Wasm plugin and with the dynamic module, and compares all that can be seen.
#[derive(Parser)]
struct Arguments {
    /// What the random numbers begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first request.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Requests.
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
    /// Differences after which it ends.
    #[arg(long, default_value_t = 1)]
    most: usize,
    /// Requests after which the lease of the policy runs out, at most 200. By default it has none.
    #[arg(long)]
    in_lease: Option<u64>,
    /// What the fallbacks are.
    #[arg(long, value_enum, default_value_t = Fallbacks::Vertex)]
    fallbacks: Fallbacks,
}

#[derive(Clone, Copy, ValueEnum)]
enum Fallbacks {
    /// Anthropic, and Vertex AI in the EU.
    Vertex,
    /// Anthropic, and Bedrock in the EU.
    Bedrock,
    /// Servers compatible with OpenAI's.
    Compatible,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments {
        seed,
        from,
        requests,
        most,
        in_lease,
        fallbacks,
    } = Arguments::parse();
    let task = Task {
        seed,
        from,
        requests,
        in_lease,
        most,
    };
    let options = Options {
        claude: match fallbacks {
            Fallbacks::Vertex => Some(ClaudeHost::Vertex),
            Fallbacks::Bedrock => Some(ClaudeHost::Bedrock),
            Fallbacks::Compatible => None,
        },
        ..options()
    };
    let begun = Instant::now();
    let mut world = World::start(&options).await?;
    let compared = compare(&mut world, &options, task).await;
    match compared.and_then(|tally| conclude(task, &tally)) {
        Ok(seen) => {
            println!("{seen}; it took {:.0?}", begun.elapsed());
            world.end().await;
            Ok(())
        }
        Err(error) => {
            Err(error.context(format!("the logs are in {}", world.keep().await.display())))
        }
    }
}
