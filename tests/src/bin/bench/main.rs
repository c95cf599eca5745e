//! `scripts/bench`: what a request costs on its way through a gateway, against a bare Envoy in the same run.
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

mod ext_proc;
mod fleets;
mod load;
mod neighbours;
mod one_by_one;
mod proxy;
mod report;
mod throughput;
mod translation;
mod upstream;
mod variants;

use anyhow::{Context, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    // The loads to measure, by a part of their names; all of them, and the translation, without it.
    let only = arguments.next();
    if only.as_deref() == Some(ext_proc::SERVER) {
        let address = arguments.next().context("no address")?;
        return ext_proc::serve(&address).await;
    }
    let mut report = report::Report::begin()?;
    throughput::throughput(only.as_deref(), &mut report).await?;
    if only.is_none() {
        translation::translation(&mut report).await?;
        report.write()?;
    }
    Ok(())
}
