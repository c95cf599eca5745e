//! The control plane as a process, and what it takes of the machine.

use super::Arguments;
use anyhow::{Context, Result, bail};
use meridian_tests::world::client;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// Ticks of `/proc/<pid>/stat` in a second: the same on all Linux machines.
const TICKS: f64 = 100.0;

/// A running `meridian serve`; dropping it kills it.
pub struct ControlPlane {
    process: Child,
    id: u32,
    status: SocketAddr,
    log: PathBuf,
}

/// What the process has taken so far.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Processor time, in seconds.
    pub cpu: f64,
    /// Resident memory, in KiB.
    pub memory: f64,
}

impl ControlPlane {
    /// Starts it with the text of a fleet file.
    pub fn start(
        arguments: &Arguments,
        dir: &Path,
        text: &str,
        status: SocketAddr,
    ) -> Result<Self> {
        let file = dir.join("fleet.yaml");
        std::fs::write(&file, text)?;
        let binary = arguments.program()?;
        let log = dir.join("control-plane.log");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&binary)
            .args(["serve", "--fleet"])
            .arg(&file)
            .arg("--state")
            .arg(dir.join("state"))
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| binary.display().to_string())?;
        Ok(Self {
            id: process.id().context("it has ended")?,
            process,
            status,
            log,
        })
    }

    /// Waits until it answers.
    pub async fn until_up(&self, patience: Duration) -> Result<()> {
        let client = client().build()?;
        let url = format!("http://{}/healthz", self.status);
        let begun = Instant::now();
        loop {
            let answer = client.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if begun.elapsed() > patience || self.taken().is_err() {
                bail!("it does not start: {}", std::fs::read_to_string(&self.log)?);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it has taken so far.
    pub fn taken(&self) -> Result<Taken> {
        taken(self.id)
    }

    /// Asks it to end, and waits for it.
    pub async fn stop(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        let id = self.id.to_string();
        Command::new("kill").args(["-TERM", &id]).status().await?;
        self.process.wait().await?;
        Ok(begun.elapsed())
    }
}

/// What a process has taken so far.
pub fn taken(process: u32) -> Result<Taken> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("an odd stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let cpu = ticks(11).zip(ticks(12)).context("an odd stat")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = memory.and_then(|memory| memory.split_whitespace().next());
    Ok(Taken {
        cpu: (cpu.0 + cpu.1) / TICKS,
        memory: memory.context("it has ended")?.parse()?,
    })
}
