//! One Envoy with one worker on a processor of its own.

use anyhow::{Context, Result};
use meridian_tests::world::{client, wait_for, workspace};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// The processor of the proxies; load and upstream have the other one.
const PROCESSOR: &str = "0";

/// A running Envoy; dropping it kills it.
pub struct Proxy(Child);

impl Proxy {
    /// Starts Envoy and waits until it takes traffic.
    pub async fn start(dir: &Path, name: &str, config: &Value) -> Result<Self> {
        let path = dir.join(format!("{name}.json"));
        std::fs::write(&path, config.to_string())?;
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "taskset", "-c", PROCESSOR])
            .arg(workspace().join(".tools/envoy"))
            .arg("--config-path")
            .arg(&path)
            .args(["--concurrency", "1", "--disable-hot-restart"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(path.with_extension("log"))?)
            .kill_on_drop(true)
            .spawn()
            .context("starting Envoy")?;
        let admin = &config["admin"]["address"]["socket_address"];
        let admin = format!(
            "http://{}:{}/ready",
            admin["address"].as_str().context("no admin")?,
            admin["port_value"]
        );
        let client = client().build()?;
        wait_for(&format!("Envoy {name} to start"), async || {
            let answer = client.get(&admin).send().await;
            Ok(answer.is_ok_and(|answer| answer.status().is_success()))
        })
        .await
        .with_context(|| std::fs::read_to_string(path.with_extension("log")).unwrap_or_default())?;
        Ok(Self(process))
    }

    /// The number of its process.
    pub fn id(&self) -> Result<u32> {
        self.0.id().context("Envoy has ended")
    }
}

/// Processor time of all threads of a process so far. Threads that end in between are not counted.
pub fn cpu(process: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let path = task?.path().join("schedstat");
        let Ok(text) = std::fs::read_to_string(path) else {
            continue;
        };
        let first = text.split_whitespace().next();
        nanoseconds += first.context("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Moves a process with all its threads to a processor.
pub async fn pin(process: u32, processor: &str) -> Result<()> {
    let status = Command::new("taskset")
        .args(["-a", "-c", "-p", processor, &process.to_string()])
        .stdout(Stdio::null())
        .status()
        .await?;
    anyhow::ensure!(status.success(), "taskset: {status}");
    Ok(())
}

/// An address as Envoy's configuration has it.
pub fn address(address: SocketAddr) -> Value {
    serde_json::json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}
