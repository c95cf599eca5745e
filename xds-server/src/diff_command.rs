//! `meridian diff`: what an edit of the fleet file would change.

use crate::help::DIFFERENT;
use crate::operate::{To, ask};
use anyhow::{Context, Result, anyhow};
use clap::Args;
use meridian_planner::topology::Topology;
use meridian_policy::Fleet;
use meridian_xds_server::diff::{difference, text};
use meridian_xds_server::fleet;
use meridian_xds_server::serve::explain::FleetInForce;
use reqwest::Method;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The arguments.
#[derive(Args)]
pub struct Diff {
    /// The edited fleet file.
    file: PathBuf,
    /// The fleet file before the edit. Default: the one that is in force at the control plane.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    #[command(flatten)]
    to: To,
}

/// Shows the difference, and returns the exit code.
///
/// # Errors
/// A file is not a fleet file or breaks residency, or no control plane answers.
pub async fn diff(diff: Diff, out: &mut impl Write) -> Result<ExitCode> {
    let after = load(&diff.file)?;
    let before = match &diff.against {
        Some(file) => load(file)?,
        None => in_force(&diff.to).await?,
    };
    let [before, after] = [before, after].map(|fleet| Arc::new(Topology::new(fleet)));
    let difference = difference(&before, &after)?;
    diff.to.show(&difference, || text(&difference), out)?;
    Ok(if difference.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFERENT)
    })
}

fn load(file: &Path) -> Result<Fleet> {
    fleet::load(file).map_err(|error| anyhow!(fleet::load_error(file, &error)))
}

/// The fleet that is in force at the control plane.
async fn in_force(to: &To) -> Result<Fleet> {
    let FleetInForce { file, text } = ask(to, Method::GET, "fleet", None::<&()>).await?;
    let fleet = fleet::parse(&text);
    fleet.with_context(|| format!("{file}, which is in force, was written for another version"))
}
