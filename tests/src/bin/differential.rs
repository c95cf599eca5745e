//! The same random requests through both kinds of the filter, for as long as one wants:
//!
//! ```text
//! cargo run -p meridian-tests --bin differential -- --seed 7 --requests 10000
//! ```
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

use anyhow::Result;
use clap::{Parser, ValueEnum};
use meridian_policy::egress_policy::ClaudeHost;
use meridian_tests::differential::{MOST_IN_LEASE, Task, compare, conclude, options};
use meridian_tests::world::World;
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
    /// What the fallbacks are. By default each of these, for a third of the requests.
    #[arg(long, value_enum)]
    fallbacks: Option<Fallbacks>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Fallbacks {
    /// Anthropic, and Vertex AI in the EU.
    Vertex,
    /// Anthropic, and Bedrock in the EU.
    Bedrock,
    /// Servers compatible with OpenAI's. The lease of the policy runs out soon.
    Compatible,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments {
        seed,
        from,
        requests,
        most,
        fallbacks,
    } = Arguments::parse();
    let all = fallbacks.map_or(Fallbacks::value_variants().to_vec(), |one| vec![one]);
    let each = requests.div_ceil(all.len() as u64);
    for (part, fallbacks) in all.into_iter().enumerate() {
        let (claude, in_lease) = match fallbacks {
            Fallbacks::Vertex => (Some(ClaudeHost::Vertex), None),
            Fallbacks::Bedrock => (Some(ClaudeHost::Bedrock), None),
            Fallbacks::Compatible => (None, Some(MOST_IN_LEASE)),
        };
        let task = Task {
            seed,
            from: from + part as u64 * each,
            requests: each,
            in_lease,
            most,
        };
        let begun = Instant::now();
        let seen = run(claude, task).await?;
        println!("{fallbacks:?}: {seen}; it took {:.0?}", begun.elapsed());
    }
    Ok(())
}

async fn run(claude: Option<ClaudeHost>, task: Task) -> Result<String> {
    let mut world = World::start(&options(claude)).await?;
    let compared = compare(&mut world, claude, task).await;
    match compared.and_then(|tally| conclude(task, &tally)) {
        Ok(seen) => {
            world.end().await;
            Ok(seen)
        }
        Err(error) => {
            Err(error.context(format!("the logs are in {}", world.keep().await.display())))
        }
    }
}
