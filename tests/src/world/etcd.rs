//! An etcd of a world: the real program, with its data in the world's directory.

use super::{wait_for, workspace};
use anyhow::{Context, Result, bail};
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A running etcd; dropping it kills it.
pub struct Etcd {
    process: Child,
    dir: PathBuf,
    listen: [SocketAddr; 2],
    client: reqwest::Client,
}

impl Etcd {
    /// Starts it, and waits until it answers. `listen`: for clients, and for other members.
    pub(super) async fn start(dir: &Path, listen: [SocketAddr; 2]) -> Result<Self> {
        let mut etcd = Self {
            process: spawn(dir, listen)?,
            dir: dir.to_owned(),
            listen,
            client: super::client().build()?,
        };
        etcd.until_up().await?;
        Ok(etcd)
    }

    /// Ends it at once, as a machine that dies.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("killing etcd")
    }

    /// Starts it again with its data, and waits until it answers.
    pub async fn restart(&mut self) -> Result<()> {
        self.process = spawn(&self.dir, self.listen)?;
        self.until_up().await
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.listen[0]
    }

    async fn until_up(&mut self) -> Result<()> {
        let url = format!("http://{}/health", self.listen[0]);
        wait_for("etcd to start", || {
            let exited = self.process.try_wait();
            let asked = self.client.get(&url).send();
            async move {
                if let Some(status) = exited? {
                    bail!("etcd ended with {status}");
                }
                Ok(asked.await.is_ok_and(|answer| answer.status() == 200))
            }
        })
        .await
    }
}

fn spawn(dir: &Path, listen: [SocketAddr; 2]) -> Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("etcd.log"))?;
    let [clients, members] = listen.map(|address| format!("http://{address}"));
    // Even if this process is killed, it ends with it.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(binary()?)
        .args(["--name", "one", "--data-dir"])
        .arg(dir.join("etcd"))
        .args(["--listen-client-urls", &clients])
        .args(["--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &members])
        .args(["--initial-advertise-peer-urls", &members])
        .args(["--initial-cluster", &format!("one={members}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true);
    command.spawn().context("starting etcd")
}

/// The etcd that `scripts/setup` chose.
fn binary() -> Result<PathBuf> {
    let binary = workspace().join(".tools/etcd");
    if !binary.exists() {
        bail!(
            "{} is missing; run scripts/setup test first",
            binary.display()
        );
    }
    Ok(binary)
}
