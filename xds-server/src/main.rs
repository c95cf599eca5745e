//! `meridian`: the command line.

use anyhow::{Error, Result, anyhow, bail};
use clap::{Parser, Subcommand};
use meridian_policy::plan::Plan;
use meridian_policy::{Fleet, RegionName};
use meridian_xds_server::fleet::FleetError;
use meridian_xds_server::translate::translate;
use meridian_xds_server::verify::verify;
use meridian_xds_server::{export, fleet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Routes LLM inference across regions, inside Envoy.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks a fleet file, and that no gateway's configuration lets a pinned request out of its zone.
    Validate {
        /// The fleet file.
        file: PathBuf,
    },
    /// Prints the JSON Schema of the fleet file.
    Schema,
    /// Prints the static Envoy configuration of one region's gateway.
    Export {
        /// The region.
        #[arg(long)]
        node: String,
        /// The fleet file.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    let result = run(Arguments::parse().command, &mut out);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if stderr is closed.
            let _ = writeln!(std::io::stderr(), "meridian: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, out: &mut impl Write) -> Result<()> {
    match command {
        Command::Validate { file } => {
            let fleet = load(&file)?;
            for region in fleet.regions.keys() {
                checked(&fleet, region)?;
            }
            let (zones, regions, models) =
                (fleet.zones.len(), fleet.regions.len(), fleet.models().len());
            writeln!(
                out,
                "{}: fine: {zones} zones, {regions} regions, {models} models; residency verified on every gateway",
                file.display()
            )?;
        }
        Command::Schema => writeln!(out, "{}", serde_json::to_string_pretty(&fleet::schema())?)?,
        Command::Export { node, file } => {
            let fleet = load(&file)?;
            let home = RegionName::from(node);
            let no_region = || {
                let known: Vec<&str> = fleet.regions.keys().map(RegionName::as_str).collect();
                let (file, known) = (file.display(), known.join(", "));
                anyhow!("--node: there is no region `{home}` in {file}; there are: {known}")
            };
            fleet.regions.get(&home).ok_or_else(no_region)?;
            let snapshot = checked(&fleet, &home)?;
            let bootstrap = export::bootstrap(&fleet, &home, snapshot).ok_or_else(no_region)?;
            let json = meridian_proto::to_json(&bootstrap)?;
            out.write_all(serde_saphyr::to_string(&json)?.as_bytes())?;
        }
    }
    Ok(())
}

fn load(file: &Path) -> Result<Fleet> {
    fleet::load(file).map_err(|error| match error {
        FleetError::Problems(problems) => {
            let lines: Vec<String> = problems
                .iter()
                .map(|problem| format!("\n  {problem}"))
                .collect();
            anyhow!(
                "{}: not a fleet that can run:{}",
                file.display(),
                lines.concat()
            )
        }
        other => Error::new(other).context(file.display().to_string()),
    })
}

/// A gateway's configuration, verified.
fn checked(fleet: &Fleet, home: &RegionName) -> Result<meridian_xds_server::translate::Snapshot> {
    let snapshot = translate(fleet, &Plan::default(), home, None);
    let leaks = verify(fleet, home, &snapshot);
    if leaks.is_empty() {
        return Ok(snapshot);
    }
    let lines: Vec<String> = leaks.iter().map(ToString::to_string).collect();
    bail!(
        "the configuration of {home} would break residency and is not given out:\n{}",
        lines.join("\n")
    )
}
