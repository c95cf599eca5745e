//! `meridian replay`: recorded decisions under another fleet file.

use crate::help::DIFFERENT;
use crate::operate::Shown;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use meridian_planner::topology::Topology;
use meridian_xds_server::fleet;
use meridian_xds_server::replay;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The arguments.
#[derive(Args)]
pub struct Replay {
    /// The other fleet file.
    #[arg(long, value_name = "FILE")]
    against: PathBuf,
    /// Lines of gateways' access logs.
    recorded: PathBuf,
    /// How the answer is shown.
    #[arg(long, value_enum, default_value_t = Shown::Table)]
    output: Shown,
}

/// Replays recorded decisions, and returns the exit code.
///
/// # Errors
/// A file cannot be read, or is not what it should be.
pub fn replay(command: &Replay, out: &mut impl Write) -> Result<ExitCode> {
    let file = &command.against;
    let fleet = fleet::load(file).map_err(|error| anyhow!(fleet::load_error(file, &error)))?;
    let file = &command.recorded;
    let recorded = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let replayed = replay::replay(&Topology::new(fleet), recorded.lines())
        .with_context(|| file.display().to_string())?;
    command
        .output
        .write(&replayed, || replay::text(&replayed), out)?;
    Ok(if replayed.moved.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFERENT)
    })
}
