//! One proxy with one worker on a processor of its own.

use anyhow::{Context, Result};
use meridian_tests::world::{client, wait_for, workspace};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The processor of the proxies' workers.
const PROCESSOR: &str = "0";
/// The processor of everything else: load, upstream, and the proxies' main threads, which check health.
const REST: &str = "1";

/// A running process; dropping it kills it.
pub struct Proxy {
    process: Child,
    /// It is Envoy, whose main thread serves no requests.
    is_envoy: bool,
}

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
        let mut envoy = on(processor, &workspace().join(".tools/envoy"));
        envoy
            .arg("--config-path")
            .arg(&path)
            .args(["--concurrency", "1", "--disable-hot-restart"])
            .stderr(std::fs::File::create(path.with_extension("log"))?);
        let process = envoy.spawn().context("starting Envoy")?;
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
        Ok(Self {
            process,
            is_envoy: true,
        })
    }

    /// Starts any other program under test, and waits until it listens.
    pub async fn start_other(
        program: &Path,
        arguments: &[&str],
        address: SocketAddr,
    ) -> Result<Self> {
        let mut command = on(PROCESSOR, program);
        command.args(arguments).stderr(Stdio::null());
        // Of as many threads as Envoy has.
        command.env("TOKIO_WORKER_THREADS", "1");
        let process = command
            .spawn()
            .with_context(|| program.display().to_string())?;
        wait_for(&format!("{} to start", program.display()), async || {
            Ok(TcpStream::connect(address).await.is_ok())
        })
        .await?;
        Ok(Self {
            process,
            is_envoy: false,
        })
    }

    /// Its processor time so far.
    pub fn taken(&self) -> Result<Taken> {
        let id = self.id()?;
        let taken = taken(id)?;
        if self.is_envoy {
            return Ok(taken);
        }
        Ok(Taken {
            main: Duration::ZERO,
            others: taken.main + taken.others,
        })
    }

    fn id(&self) -> Result<u32> {
        self.process.id().context("a proxy has ended")
    }
}

/// A program on a processor, which ends with this one.
fn on(processor: &str, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "taskset", "-c", processor])
        .arg(program)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Processor time of a process so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Of Envoy's main thread, which checks health and serves no requests.
    pub main: Duration,
    /// Of all other threads, and of other programs.
    pub others: Duration,
}

/// Processor time of a process so far. Threads that have ended are not counted.
fn taken(process: u32) -> Result<Taken> {
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
