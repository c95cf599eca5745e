//! `scripts/bench xds`: the control plane under thousands of streams. One process is all gateways: it speaks xDS over real gRPC to a real
//! `meridian serve`, and serves the pages of all sources.

mod client;
mod codec;
mod control_plane;
mod envoy;
mod fleet;
mod health;
mod publication;
mod reports;
mod source;
mod stages;
mod swarm;
mod waves;

use super::report::Report;
use anyhow::Result;
use clap::Parser;
use control_plane::ControlPlane;
use fleet::Fleet;
use health::Health;
use source::Source;
use stages::Stages;
use std::path::PathBuf;
use std::time::Duration;
use swarm::Swarm;

/// Measures the control plane under load by streams.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench xds")]
pub struct Arguments {
    /// Regions of the fleet.
    #[arg(long, default_value_t = 30)]
    regions: usize,
    /// Models that every region has.
    #[arg(long, default_value_t = 10)]
    models: usize,
    /// Streams under load. Every second one is incremental, the others are state of the world.
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    /// Streams while nothing happens.
    #[arg(long, default_value_t = 300)]
    idle_streams: usize,
    /// Seconds of idleness.
    #[arg(long, default_value_t = 30)]
    idle: u64,
    /// How often a pool turns hot.
    #[arg(long, default_value_t = 10)]
    hot: usize,
    /// Renewals of the lease that are looked at.
    #[arg(long, default_value_t = 3)]
    renewals: usize,
    /// The lease, in seconds.
    #[arg(long, default_value_t = 60)]
    lease: u64,
    /// One stream of this many never reads.
    #[arg(long, default_value_t = 10)]
    slow: usize,
    /// The fleet has no signals, so nothing is planned anew: what the streams alone cost. For `storm`, `renewals`, `reconnect` and
    /// `shutdown`.
    #[arg(long)]
    no_signals: bool,
    /// The program to measure. Default: `meridian` beside this program.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Stages to run, of `publication`, `envoy`, `storm`, `hot`, `renewals`, `reconnect`, `slow`, `reports`, `idle` and `shutdown`. Default:
    /// all, and the figures go to docs/benchmarks.md.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

impl Arguments {
    fn wants(&self, stage: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == stage)
    }

    /// Whether a stage is wanted that needs all streams.
    fn wants_streams(&self) -> bool {
        let others = |only: &String| !matches!(only.as_str(), "publication" | "envoy");
        self.only.is_empty() || self.only.iter().any(others)
    }

    /// The program to measure.
    fn program(&self) -> Result<PathBuf> {
        let beside = std::env::current_exe()?.with_file_name("meridian");
        Ok(self.binary.clone().unwrap_or(beside))
    }
}

/// Runs all stages on one control plane.
///
/// # Errors
/// The control plane does not start, or a stream ends.
pub async fn run(arguments: Arguments) -> Result<()> {
    let mut report = Report::of_this_machine()?;
    if arguments.wants("publication") {
        publication::publication(&arguments, &mut report)?;
    }
    if arguments.wants("envoy") {
        envoy::envoy(&arguments, &mut report).await?;
    }
    if !arguments.wants_streams() {
        return Ok(());
    }
    let dir = tempfile::Builder::new().prefix("meridian-").tempdir()?;
    let fleet = Fleet::claim(&arguments)?;
    let source = Source::serve(fleet.source(), arguments.regions, arguments.models).await?;
    let begun = std::time::Instant::now();
    let control_plane = ControlPlane::start(&arguments, dir.path(), &fleet.text(), fleet.status())?;
    control_plane.until_up(Duration::from_secs(600)).await?;
    let started = begun.elapsed();
    let health = Health::watch(fleet.status())?;
    let swarm = Swarm::scout(&fleet).await?;
    report.table("The fleet", &["", ""]);
    let size = format!(
        "{} regions x {} models",
        arguments.regions, arguments.models
    );
    report.line(&format!(
        "| {size}: start of the control plane | {:.1} s |",
        started.as_secs_f64()
    ));
    let (names, bytes) = swarm.size();
    report.line(&format!("| resources of a gateway | {names} |"));
    report.line(&format!("| bytes of them | {} KiB |", bytes >> 10));
    let written = arguments.only.is_empty();
    let stages = Stages {
        arguments,
        fleet,
        source,
        control_plane,
        health,
        swarm,
    };
    stages.run(&mut report).await?;
    if written {
        report.write_to("xds")?;
    }
    Ok(())
}
