//! What a fleet costs a real Envoy that `meridian serve` configures: its start, memory, and processor time while nothing happens.

use super::Arguments;
use super::control_plane::{ControlPlane, taken};
use super::fleet::{Fleet, region};
use crate::report::Report;
use anyhow::{Context, Result, bail, ensure};
use meridian_tests::world::certificates::{CONTROL_PLANE, Certificates};
use meridian_tests::world::{Block, client, workspace};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// Regions and models, and whether chains and overflow go to all regions.
const FLEETS: [(usize, usize, bool); 5] = [
    (3, 2, false),
    (30, 10, false),
    (100, 20, false),
    (30, 10, true),
    (100, 20, true),
];

/// The region of the Envoy that runs: the one that the certificate names.
const HOME: &str = "us-west-2";
const IDLE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(300);

/// What an Envoy has taken.
struct Measured {
    start: Duration,
    /// Resident memory in KiB as it is ready, and after a while.
    memory: (f64, f64),
    /// Of a core.
    idle: f64,
    clusters: u64,
    routes: usize,
    /// Bytes that the control plane has sent.
    bytes: u64,
    /// Bytes that it gets each second, most of them statistics.
    reported: f64,
    /// What it takes of a core for this Envoy.
    control_plane: f64,
}

/// Measures an Envoy of each fleet.
///
/// # Errors
/// A control plane does not start, or an Envoy ends.
pub async fn envoy(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let columns = [
        "fleet",
        "start until it serves",
        "memory then",
        "after 20 s",
        "CPU while idle",
        "clusters",
        "routes",
        "received",
        "sent, most of it statistics",
        "CPU of the control plane",
    ];
    report.table(
        "A real Envoy whose peers and servers are all dead",
        &columns,
    );
    for (regions, models, whole) in FLEETS {
        let arguments = Arguments {
            regions,
            models,
            no_signals: true,
            ..arguments.clone()
        };
        let reach = if whole { ", all regions in chains" } else { "" };
        let name = format!("{regions} x {models}{reach}");
        match measure(&arguments, whole).await.context(name.clone())? {
            Some(measured) => report.line(&row(&name, &measured)),
            None => report.line(&format!(
                "| {name} | not within {} s | | | | | | | | |",
                PATIENCE.as_secs()
            )),
        }
    }
    Ok(())
}

fn row(name: &str, measured: &Measured) -> String {
    format!(
        "| {name} | {:.2} s | {:.0} MiB | {:.0} MiB | {:.1} ms/s | {} | {} | {} KiB | {:.0} KiB/s | {:.1} ms/s |",
        measured.start.as_secs_f64(),
        measured.memory.0 / 1024.0,
        measured.memory.1 / 1024.0,
        measured.idle * 1e3,
        measured.clusters,
        measured.routes,
        measured.bytes >> 10,
        measured.reported / 1024.0,
        measured.control_plane * 1e3,
    )
}

/// `None`: it does not serve in time.
async fn measure(arguments: &Arguments, whole: bool) -> Result<Option<Measured>> {
    let dir = tempfile::Builder::new().prefix("meridian-").tempdir()?;
    let block = Block::claim(None)?;
    let certificates = Certificates::make(dir.path(), &block)?;
    let fleet = Fleet::claim(arguments)?;
    let text = text(&fleet, &certificates, whole)?;
    let mut control_plane = ControlPlane::start(arguments, dir.path(), &text, fleet.status())?;
    control_plane.until_up(Duration::from_secs(600)).await?;
    let config = bootstrap(arguments, dir.path()).await?;
    let begun = Instant::now();
    let mut envoy = spawn(&config)?;
    let measured = match serves(&mut envoy, &fleet, begun).await {
        Ok(Some(start)) => Some(look(&envoy, &control_plane, &fleet, start).await?),
        Ok(None) => None,
        Err(error) => {
            let log = std::fs::read_to_string(config.with_extension("log"))?;
            return Err(error.context(log));
        }
    };
    envoy.kill().await?;
    control_plane.stop().await?;
    Ok(measured)
}

/// The fleet file, with certificates for all connections.
fn text(fleet: &Fleet, certificates: &Certificates, whole: bool) -> Result<String> {
    let tls = |name: &str| {
        format!(
            "tls: {{ ca: {}, certificate: {}, key: {} }}",
            certificates.ca().display(),
            certificates.certificate(name).display(),
            certificates.key(name).display(),
        )
    };
    let filters = workspace().join("target/filter");
    let mut text = fleet.text().replace(&region(0), HOME);
    let replacements = [
        ("plaintext: true", tls(CONTROL_PLANE)),
        (":8443\" }", format!(":8443\", {} }}", tls(HOME))),
    ];
    for (old, new) in replacements {
        ensure!(text.contains(old), "`{old}` is not in the fleet file");
        text = text.replace(old, &new);
    }
    text += &format!(
        "gateways: {{ trust_domain: meridian, wasm: {}, native: {}, access_log: /dev/null }}\n",
        filters.join("meridian_filter.wasm").display(),
        filters.join("libmeridian_filter_native.so").display(),
    );
    if whole {
        let all = fleet.regions();
        text += &format!(
            "policy: {{ failover: {{ regions: {all} }}, overflow: {{ regions: {all} }} }}\n"
        );
    }
    Ok(text)
}

/// Writes what `meridian bootstrap` prints.
async fn bootstrap(arguments: &Arguments, dir: &Path) -> Result<PathBuf> {
    let output = Command::new(arguments.program()?)
        .args(["bootstrap", "--node", HOME])
        .arg(dir.join("fleet.yaml"))
        .output()
        .await?;
    if !output.status.success() {
        bail!("bootstrap: {}", String::from_utf8_lossy(&output.stderr));
    }
    let path = dir.join("envoy.yaml");
    std::fs::write(&path, output.stdout)?;
    Ok(path)
}

fn spawn(config: &Path) -> Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(workspace().join(".tools/envoy"))
        .args(["--concurrency", "2", "--disable-hot-restart"])
        .arg("--config-path")
        .arg(config)
        .env("KEY", "key")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(config.with_extension("log"))?)
        .kill_on_drop(true)
        .spawn()
        .context("starting Envoy")
}

/// How long after a moment it is ready and its listener answers; `None` if not in time.
async fn serves(envoy: &mut Child, fleet: &Fleet, begun: Instant) -> Result<Option<Duration>> {
    let client = client().timeout(Duration::from_secs(5)).build()?;
    let (ready, public) = (
        format!("http://{}/ready", fleet.admin()),
        format!("http://{}/v1/models", fleet.public()),
    );
    while begun.elapsed() < PATIENCE {
        if let Some(status) = envoy.try_wait()? {
            bail!("Envoy ended with {status}");
        }
        let is_ready = client.get(&ready).send().await;
        if is_ready.is_ok_and(|answer| answer.status().is_success())
            && client.get(&public).send().await.is_ok()
        {
            return Ok(Some(begun.elapsed()));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(None)
}

async fn look(
    envoy: &Child,
    control_plane: &ControlPlane,
    fleet: &Fleet,
    start: Duration,
) -> Result<Measured> {
    let id = envoy.id().context("Envoy has ended")?;
    let page = |path: &str| {
        let url = format!("http://{}{path}", fleet.admin());
        async move { anyhow::Ok(client().build()?.get(url).send().await?.text().await?) }
    };
    let counter = async |name: &str| {
        let text = page(&format!("/stats?filter=^{name}$")).await?;
        let (_, value) = text.trim().split_once(": ").context(name.to_owned())?;
        anyhow::Ok(value.parse::<u64>()?)
    };
    let sent = "cluster.control-plane.upstream_cx_tx_bytes_total";
    let (before, served, reported) = (taken(id)?, control_plane.taken()?, counter(sent).await?);
    sleep(IDLE).await;
    let (after, serves, reports) = (taken(id)?, control_plane.taken()?, counter(sent).await?);
    let routes = page("/config_dump?resource=dynamic_route_configs").await?;
    let each_second = |value: f64| value / IDLE.as_secs_f64();
    Ok(Measured {
        start,
        memory: (before.memory, after.memory),
        idle: each_second(after.cpu - before.cpu),
        clusters: counter("cluster_manager.active_clusters").await?,
        routes: routes_in(&serde_json::from_str(&routes)?),
        bytes: counter("cluster.control-plane.upstream_cx_rx_bytes_total").await?,
        reported: each_second((reports - reported) as f64),
        control_plane: each_second(serves.cpu - served.cpu),
    })
}

/// How many routes there are at any depth.
fn routes_in(value: &Value) -> usize {
    match value {
        Value::Object(fields) => {
            let own = fields.contains_key("match");
            usize::from(own) + fields.values().map(routes_in).sum::<usize>()
        }
        Value::Array(values) => values.iter().map(routes_in).sum(),
        _ => 0,
    }
}
