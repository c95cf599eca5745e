//! Whether gateways give back their memory, after random faults and edits of the fleet file:
//!
//! ```text
//! cargo run -p meridian-tests --bin memory_hunt -- --requests 1000000 --edits 1000
//! ```
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

use anyhow::Result;
use clap::Parser;
use meridian_tests::hunt::memory::{Size, hunt, options};
use meridian_tests::scenarios::nothing_is_held;
use meridian_tests::world::{REGIONS, World};

/// Sends requests whose upstreams fail at random, edits the fleet file meanwhile, and prints what memory the gateways hold.
#[derive(Parser)]
struct Arguments {
    /// What the random numbers begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests.
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// Edits of the fleet file.
    #[arg(long, default_value_t = 100)]
    edits: u64,
    /// The filter as a Wasm plugin, to compare with.
    #[arg(long)]
    wasm: bool,
    /// The module that panics on request, which tells at the end what its workers keep for requests.
    #[arg(long)]
    count: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let module = if arguments.count {
        "libpanics.so"
    } else {
        "libmeridian_filter_native.so"
    };
    let mut world = World::start(&options(module, !arguments.wasm)).await?;
    let size = Size {
        seed: arguments.seed,
        requests: arguments.requests,
        edits: arguments.edits,
    };
    let hunted = async {
        let seen = hunt(&mut world, size, |line| println!("{line}")).await?;
        if arguments.count {
            for region in REGIONS {
                nothing_is_held(&world, region).await?;
            }
            println!("the workers keep nothing for requests");
        }
        anyhow::Ok(seen)
    };
    match hunted.await {
        Ok(seen) => {
            println!("{seen}");
            world.end().await;
            Ok(())
        }
        Err(error) => {
            Err(error.context(format!("the logs are in {}", world.keep().await.display())))
        }
    }
}
