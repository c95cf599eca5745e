//! One Envoy with one worker on a processor of its own.

use anyhow::{Context, Result};
use meridian_tests::world::{client, wait_for, workspace};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// The processor of the proxies' workers.
const PROCESSOR: &str = "0";
/// The processor of everything else: load, upstream, and the proxies' main threads, which check health.
const REST: &str = "1";

/// A running Envoy; dropping it kills it.
pub struct Proxy(Child);

impl Proxy {
    /// Starts an Envoy under test and waits until it takes traffic.
    pub async fn start(dir: &Path, name: &str, config: &Value) -> Result<Self> {
        let proxy = Self::start_on(PROCESSOR, dir, name, config).await?;
        move_thread(proxy.id()?, REST).await?;
        Ok(proxy)
    }

    /// Starts an Envoy beside the load and waits until it takes traffic.
    pub async fn start_aside(dir: &Path, name: &str, config: &Value) -> Result<Self> {
        Self::start_on(REST, dir, name, config).await
    }

    async fn start_on(processor: &str, dir: &Path, name: &str, config: &Value) -> Result<Self> {
        let path = dir.join(format!("{name}.json"));
        std::fs::write(&path, config.to_string())?;
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "taskset", "-c", processor])
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

/// Processor time of a process so far.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Of its main thread. Envoy's checks health, and serves no requests.
    pub main: Duration,
    /// Of all other threads.
    pub others: Duration,
}

/// Processor time of a process so far. Threads that have ended are not counted.
pub fn taken(process: u32) -> Result<Taken> {
    let mut taken = Taken {
        main: Duration::ZERO,
        others: Duration::ZERO,
    };
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else {
            continue;
        };
        let first = text.split_whitespace().next();
        let nanoseconds = first.context("an empty schedstat")?.parse()?;
        let is_main = task.file_name().to_str() == Some(&process.to_string());
        let place = if is_main {
            &mut taken.main
        } else {
            &mut taken.others
        };
        *place += Duration::from_nanos(nanoseconds);
    }
    Ok(taken)
}

/// Moves this process to the processor of load and upstream.
pub async fn leave_processor() -> Result<()> {
    let own = std::process::id().to_string();
    taskset(&["-a", "-c", "-p", REST, &own]).await
}

/// Moves one thread to a processor.
async fn move_thread(thread: u32, processor: &str) -> Result<()> {
    taskset(&["-c", "-p", processor, &thread.to_string()]).await
}

async fn taskset(arguments: &[&str]) -> Result<()> {
    let status = Command::new("taskset")
        .args(arguments)
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
