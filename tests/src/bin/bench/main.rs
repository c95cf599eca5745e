//! `scripts/bench`: what a request costs on its way through a gateway, against a bare Envoy in the same run. `scripts/bench xds`: the
//! control plane under load by streams.
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

mod ext_proc;
mod fleets;
mod litellm;
mod load;
mod neighbours;
mod one_by_one;
mod proxy;
mod report;
mod throughput;
mod translation;
mod upstream;
mod variants;
mod xds;

use anyhow::{Context, Result};
use clap::Parser;
use mimalloc::MiMalloc;

/// That of `meridian`: what is measured in this process is what is measured there.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measures what a request costs, on several proxies in one run.
#[derive(Parser)]
struct Arguments {
    /// Measures only the loads with this in their names. Without it all of them and the translation are measured, and written to
    /// docs/benchmarks.md.
    loads: Option<String>,
    /// Measures LiteLLM's proxy as well.
    #[arg(long)]
    litellm: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some(ext_proc::SERVER) {
        let address = arguments.next().context("no address")?;
        return ext_proc::serve(&address).await;
    }
    if first.as_deref() == Some("xds") {
        return xds::run(xds::Arguments::parse_from(std::env::args().skip(1))).await;
    }
    let Arguments { loads, litellm } = Arguments::parse();
    let mut report = report::Report::begin(litellm)?;
    throughput::throughput(loads.as_deref(), litellm, &mut report).await?;
    if loads.is_none() {
        translation::translation(&mut report).await?;
        report.write()?;
    }
    Ok(())
}
