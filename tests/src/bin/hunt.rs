//! Random faults of all members of a chain, for as long as one wants:
//!
//! ```text
//! cargo run -p meridian-tests --bin hunt -- --seed 7 --requests 20000
//! ```
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

use anyhow::Result;
use clap::Parser;
use meridian_tests::hunt::{Ground, conclude, options};
use meridian_tests::world::World;

/// Sends random requests through a gateway whose upstreams fail in random ways, and judges every byte of the answers.
#[derive(Parser)]
struct Arguments {
    /// What the random numbers begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests.
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { seed, requests } = Arguments::parse();
    let mut world = World::start(&options()).await?;
    let hunted = async {
        let ground = Ground::new(&mut world).await?;
        conclude(seed, &ground.hunt(&world, seed, requests).await?)
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
