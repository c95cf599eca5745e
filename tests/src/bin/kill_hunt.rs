//! Kills of the control plane at random moments, for as long as one wants:
//!
//! ```text
//! cargo run -p meridian-tests --bin kill_hunt -- --seed 7 --kills 100
//! ```
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

use anyhow::Result;
use clap::Parser;
use meridian_tests::kill_hunt::{conclude, hunt, options};
use meridian_tests::world::World;

/// Kills the control plane at random moments under 200 requests a second, and judges every answer.
#[derive(Parser)]
struct Arguments {
    /// What the random numbers begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often it is killed.
    #[arg(long, default_value_t = 100)]
    kills: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { seed, kills } = Arguments::parse();
    let mut world = World::start(&options()).await?;
    let seen = hunt(&mut world, seed, kills, |line| println!("{line}")).await;
    match seen.and_then(|seen| conclude(&seen)) {
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
