//! `meridian`: the command line.

mod diff_command;
mod endpoint;
mod explain_command;
mod help;
mod operate;
mod plan_command;
mod preview;
mod replay_command;
mod show;
mod simulate;
mod state;
mod token;
mod top;

use anyhow::{Context, Result, anyhow, bail};
use bytesize::ByteSize;
use clap::{CommandFactory, Parser, Subcommand};
use endpoint::NotDone;
use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use help::{Install, install};
use meridian_planner::plan::Plan;
use meridian_planner::topology::Topology;
use meridian_policy::{Fleet, RegionName};
use meridian_xds_server::bootstrap::{self, Protocol};
use meridian_xds_server::fleet;
use meridian_xds_server::fleet::Checked;
use meridian_xds_server::serve::{self, Configurations};
use meridian_xds_server::snapshot::Snapshot;
use meridian_xds_server::translate::translate;
use meridian_xds_server::verify::verify;
use mimalloc::MiMalloc;
use operate::{Operate, operate};
use preview::{Preview, preview};
use show::{Show, show};
use state::{EtcdFiles, copy_state};
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use token::{Token, token};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A publication makes and drops hundreds of small values per resource.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Routes LLM inference across regions, inside Envoy.
#[derive(Parser)]
#[command(name = "meridian", version, after_help = help::EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks a fleet file, and verifies that no gateway's configuration lets a pinned request leave its zone.
    #[command(after_help = "Examples:
  meridian validate fleet.yaml
  meridian validate /etc/meridian/fleet.yaml")]
    Validate {
        /// The fleet file.
        file: PathBuf,
    },
    /// Prints the JSON Schema of the fleet file.
    #[command(after_help = "Examples:
  meridian schema
  meridian schema > fleet.schema.json")]
    Schema,
    /// Runs the control plane: reads signals of every region, and configures every Envoy by xDS.
    #[command(after_help = "Examples:
  meridian serve --fleet fleet.yaml --state /var/lib/meridian
  meridian serve --fleet fleet.yaml --state etcd://10.0.0.5:2379,10.0.0.6:2379 --json")]
    Serve {
        /// The fleet file. Edits take effect while the control plane runs.
        #[arg(long)]
        fleet: PathBuf,
        /// The store: what operators have said, the record of it, and the plan. A directory, or for several control planes
        /// etcd://HOST:PORT[,HOST:PORT...][/PREFIX]. Without it they end with the process, and the control plane starts with all
        /// traffic at home.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        etcd: EtcdFiles,
        /// Where this one listens for the gateways, in the place of `control_plane.listen`.
        #[arg(long, value_name = "IP:PORT")]
        listen: Option<SocketAddr>,
        /// Where this one listens for operators, in the place of `control_plane.status`.
        #[arg(long, value_name = "IP:PORT")]
        status: Option<SocketAddr>,
        /// Logs as JSON, one object a line.
        #[arg(long)]
        json: bool,
    },
    #[command(flatten)]
    Show(Show),
    #[command(flatten)]
    Preview(Preview),
    #[command(flatten)]
    Operate(Operate),
    /// Copies the store of a control plane that has ended from its directory to etcd.
    #[command(after_help = "Examples:
  meridian copy-state --from /var/lib/meridian --to etcd://10.0.0.5:2379
  meridian copy-state --from /var/lib/meridian --to etcd://a.example.com:2379,b.example.com:2379/meridian --etcd-cafile ca.crt")]
    CopyState {
        /// The directory.
        #[arg(long, value_name = "DIRECTORY")]
        from: PathBuf,
        /// etcd://HOST:PORT[,HOST:PORT...][/PREFIX]. There may be no store yet.
        #[arg(long, value_name = "ETCD")]
        to: String,
        #[command(flatten)]
        etcd: EtcdFiles,
    },
    /// Makes tokens for the admin API.
    #[command(subcommand)]
    Token(Token),
    /// Prints the short Envoy configuration of one region's gateway. It fetches the rest from the control plane.
    #[command(after_help = "Examples:
  meridian bootstrap --node us-west-2 --sds /etc/meridian fleet.yaml > envoy.yaml
  meridian bootstrap --node us-west-2 --sotw fleet.yaml")]
    Bootstrap {
        /// The region.
        #[arg(long)]
        node: String,
        /// Use state-of-the-world instead of incremental xDS.
        #[arg(long)]
        sotw: bool,
        /// A directory, absolute and the same on the gateway, for two files by which Envoy finds the certificates of its connection to
        /// the control plane. They are written there. With them it reads the certificates again when they are replaced, without
        /// them only when it starts.
        #[arg(long, value_name = "DIRECTORY")]
        sds: Option<PathBuf>,
        /// The fleet file.
        file: PathBuf,
    },
    /// Prints the static Envoy configuration of one region's gateway, for an Envoy without a control plane.
    #[command(after_help = "Examples:
  meridian export --node us-west-2 fleet.yaml > envoy.yaml
  meridian export --node eu-west-1 /etc/meridian/fleet.yaml")]
    Export {
        /// The region.
        #[arg(long)]
        node: String,
        /// The fleet file.
        file: PathBuf,
    },
    /// Runs the simulator: traces through Meridian's decisions and through other routing strategies, side by side.
    #[command(
        disable_help_flag = true,
        after_help = "Examples:
  meridian simulate --list
  meridian simulate --seeds 1 --html decision-quality.html"
    )]
    Simulate {
        /// Arguments of `meridian-simulate`; `--help` lists them.
        #[arg(
            value_name = "ARGUMENTS",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        arguments: Vec<OsString>,
    },
    #[command(flatten)]
    Install(Install),
}

/// The exit code if the control plane refuses what an operator wants; the others are in [`help::EXIT_CODES`].
const REFUSED: u8 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            // A closed stderr leaves no way to report the error.
            let _ = writeln!(std::io::stderr(), "meridian: {error:#}");
            match error.downcast_ref::<NotDone>() {
                Some(_) => ExitCode::from(REFUSED),
                None => ExitCode::FAILURE,
            }
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    match command {
        Command::Validate { file } => validate(&file, &mut out)?,
        Command::Schema => writeln!(out, "{}", serde_json::to_string_pretty(&fleet::schema())?)?,
        Command::Serve {
            fleet,
            state,
            etcd,
            listen,
            status,
            json,
        } => {
            log(json);
            let options = serve::Options {
                fleet,
                state: state.map(|state| etcd.state(&state)).transpose()?,
                listen,
                status,
            };
            serve::serve(options, asked_to_end()).await?;
        }
        Command::Show(command) => show(command, asked_to_end(), &mut out).await?,
        Command::Preview(command) => return preview(command, &mut out).await,
        Command::Operate(command) => operate(command, &mut out).await?,
        Command::Token(command) => token(command, &mut out)?,
        Command::CopyState { from, to, etcd } => {
            copy_state(&from, &etcd.address(&to)?, &mut out).await?
        }
        Command::Bootstrap {
            node,
            sotw,
            sds,
            file,
        } => {
            let fleet = load(&file)?;
            let home = region(&fleet, &file, &node)?;
            let bootstrap = short(&fleet, &home, sotw, sds.as_deref())
                .with_context(|| file.display().to_string())?;
            print(&mut out, &bootstrap)?;
        }
        Command::Export { node, file } => {
            let fleet = load(&file)?;
            let home = region(&fleet, &file, &node)?;
            let snapshot = checked(&fleet, &home)?;
            let bootstrap = bootstrap::fixed(&fleet, &home, snapshot).context("no such region")?;
            print(&mut out, &bootstrap)?;
        }
        Command::Simulate { arguments } => simulate::simulate(&arguments)?,
        Command::Install(command) => install(command, Arguments::command(), &mut out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks a fleet file, and says what it accepts and what each Envoy gets.
fn validate(file: &Path, out: &mut impl Write) -> Result<()> {
    let Checked { fleet, accepted } = load_checked(file)?;
    for finding in accepted {
        writeln!(out, "{}: accepted: {finding}", file.display())?;
    }
    let fleet = Arc::new(Topology::new(fleet));
    let configurations =
        Configurations::of(Arc::clone(&fleet)).with_context(|| file.display().to_string())?;
    let (zones, regions, models) = (fleet.zones.len(), fleet.regions.len(), fleet.models().len());
    writeln!(
        out,
        "{}: fine: {zones} zones, {regions} regions, {models} models; residency verified on every gateway",
        file.display()
    )?;
    if let Some((region, cost)) = configurations
        .costs
        .iter()
        .max_by_key(|(_, cost)| cost.bytes)
    {
        let (clusters, routes) = (cost.clusters, cost.routes);
        let size = ByteSize(cost.bytes as u64);
        writeln!(
            out,
            "each Envoy gets {clusters} clusters, {routes} routes and {size} at most (at {region}); `policy.failover` and \
             `policy.overflow.regions` bound it"
        )?;
    }
    Ok(())
}

fn print(out: &mut impl Write, bootstrap: &Bootstrap) -> Result<()> {
    let json = meridian_proto::to_json(bootstrap)?;
    out.write_all(serde_saphyr::to_string(&json)?.as_bytes())?;
    Ok(())
}

/// The short configuration. Writes the secrets that it names into `sds`.
fn short(fleet: &Fleet, home: &RegionName, sotw: bool, sds: Option<&Path>) -> Result<Bootstrap> {
    let protocol = if sotw {
        Protocol::Sotw
    } else {
        Protocol::Delta
    };
    let bootstrap = bootstrap::dynamic(fleet, home, protocol, sds)?;
    if let Some(directory) = sds {
        write_secrets(directory, fleet, home)?;
    }
    Ok(bootstrap)
}

/// Writes the files by which Envoy finds the certificates of its connection to the control plane.
fn write_secrets(directory: &Path, fleet: &Fleet, home: &RegionName) -> Result<()> {
    if !directory.is_absolute() {
        bail!("--sds: write an absolute path: Envoy looks for it from where it runs");
    }
    for (name, response) in bootstrap::secret_files(fleet, home) {
        let path = directory.join(name);
        let text = serde_saphyr::to_string(&meridian_proto::to_json(&response)?)?;
        std::fs::write(&path, text).with_context(|| format!("--sds: {}", path.display()))?;
    }
    Ok(())
}

/// A region of the fleet, by the name that `--node` gives.
fn region(fleet: &Fleet, file: &Path, node: &str) -> Result<RegionName> {
    if let Some((home, _)) = fleet.regions.get_key_value(node) {
        return Ok(home.clone());
    }
    let known: Vec<&str> = fleet.regions.keys().map(RegionName::as_str).collect();
    let (file, known) = (file.display(), known.join(", "));
    bail!("--node: there is no region `{node}` in {file}; there are: {known}")
}

/// `RUST_LOG` chooses what is logged, e.g. `meridian_xds_server=debug`.
fn log(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        logs.json().init();
    } else {
        logs.init();
    }
}

/// SIGTERM or Ctrl-C.
async fn asked_to_end() {
    let interrupted = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupted.await;
        }
    }
}

fn load(file: &Path) -> Result<Fleet> {
    load_checked(file).map(|checked| checked.fleet)
}

/// A fleet file, with the findings that it accepts.
fn load_checked(file: &Path) -> Result<Checked> {
    fleet::load_checked(file).map_err(|error| anyhow!(fleet::load_error(file, &error)))
}

/// A gateway's configuration, verified.
fn checked(fleet: &Fleet, home: &RegionName) -> Result<Snapshot> {
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
