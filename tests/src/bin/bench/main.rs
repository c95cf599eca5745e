//! `scripts/bench`: what a request costs on its way through a gateway, against a bare Envoy in the same run.
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

mod fleets;
mod load;
mod neighbours;
mod one_by_one;
mod proxy;
mod throughput;
mod translation;
mod upstream;
mod variants;

use anyhow::Result;

#[tokio::main]
async fn main() -> Result<()> {
    // The loads to measure, by a part of their names; all of them, and the translation, without it.
    let only = std::env::args().nth(1);
    throughput::throughput(only.as_deref()).await?;
    if only.is_none() {
        translation::translation().await?;
    }
    Ok(())
}
