//! Faults of replicas and of their etcd at random moments, for as long as one wants:
//!
//! ```text
//! cargo run -p meridian-tests --bin replica_hunt -- --seed 7 --leaders 50 --etcd 20
//! ```
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

use anyhow::Result;
use clap::Parser;
use meridian_tests::replica_hunt::{Faults, conclude, hunt, options};
use meridian_tests::world::World;

/// Kills and stops leaders and kills etcd at random moments under 200 requests a second, and judges what was said, sent and answered.
#[derive(Parser)]
struct Arguments {
    /// What the random numbers begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many leaders are killed or stopped.
    #[arg(long, default_value_t = 50)]
    leaders: usize,
    /// How often etcd is killed.
    #[arg(long, default_value_t = 20)]
    etcd: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments {
        seed,
        leaders,
        etcd,
    } = Arguments::parse();
    let mut world = World::start(&options()).await?;
    let faults = Faults { leaders, etcd };
    let seen = hunt(&mut world, seed, faults, |line| println!("{line}")).await;
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
