//! The control plane of a world: the real program.

use super::{WallClock, wait_for, workspace};
use anyhow::{Context, Result, bail};
use meridian_xds_server::serve::report::Report;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// What it logs: every push as well.
const LOGGED: &str = "info,meridian_xds_server::xds=debug";

/// A running `meridian serve`; dropping it kills it.
pub struct ControlPlane {
    process: Child,
    run: Run,
    status: SocketAddr,
    client: reqwest::Client,
    starts: u32,
    wall_clock: Option<WallClock>,
}

/// How it is run.
pub(super) struct Run {
    dir: PathBuf,
    /// What its logs are called.
    name: String,
    /// Besides the fleet file.
    arguments: Vec<String>,
}

impl Run {
    /// On its own.
    pub fn alone(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            name: "control-plane".into(),
            arguments: vec!["--state".into(), state(dir).display().to_string()],
        }
    }

    /// As one of several.
    pub fn replica(dir: &Path, number: usize, arguments: [String; 6]) -> Self {
        Self {
            dir: dir.to_owned(),
            name: format!("control-plane-{number}"),
            arguments: arguments.into(),
        }
    }

    fn log(&self, start: u32) -> PathBuf {
        self.dir.join(format!("{}.{start}.log", self.name))
    }
}

impl ControlPlane {
    /// Starts it, and waits until it answers.
    pub(super) async fn start(
        run: Run,
        status: SocketAddr,
        wall_clock: Option<WallClock>,
    ) -> Result<Self> {
        let mut control_plane = Self {
            process: spawn(&run, 0, wall_clock.as_ref())?,
            run,
            status,
            client: super::client().build()?,
            starts: 1,
            wall_clock,
        };
        control_plane.until_up().await?;
        Ok(control_plane)
    }

    /// Ends it, and starts it again with the fleet file and without a memory.
    pub async fn renew(&mut self) -> Result<()> {
        self.kill().await?;
        match std::fs::remove_dir_all(state(&self.run.dir)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => self.restart().await,
        }
    }

    /// Starts it again after it has ended.
    pub async fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        self.until_up().await
    }

    /// The same, without waiting until it answers.
    pub fn spawn(&mut self) -> Result<()> {
        self.process = spawn(&self.run, self.starts, self.wall_clock.as_ref())?;
        self.starts += 1;
        Ok(())
    }

    async fn until_up(&mut self) -> Result<()> {
        let log = self.run.log(self.starts - 1);
        let url = format!("http://{}/healthz", self.status);
        let waited = wait_for("the control plane to start", || {
            let exited = self.process.try_wait();
            let (client, url) = (&self.client, &url);
            async move {
                if let Some(status) = exited? {
                    bail!("the control plane ended with {status}");
                }
                Ok(client
                    .get(url)
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status() == 200))
            }
        });
        if let Err(error) = waited.await {
            bail!(
                "{error:#}; it said:\n{}",
                std::fs::read_to_string(log).unwrap_or_default()
            );
        }
        Ok(())
    }

    /// Its wall clock, in a world that sets clocks.
    pub fn wall_clock(&self) -> Result<&WallClock> {
        self.wall_clock
            .as_ref()
            .context("this world has no clocks to set")
    }

    /// Its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_some())
    }

    /// Ends it at once, as a machine that dies.
    pub async fn kill(&mut self) -> Result<()> {
        self.process
            .kill()
            .await
            .context("killing the control plane")
    }

    /// Asks it to end and waits until it has, in good order.
    pub async fn end(&mut self) -> Result<()> {
        self.signal("TERM").await?;
        let status = tokio::time::timeout(super::DEADLINE, self.process.wait()).await??;
        if !status.success() {
            bail!("the control plane ended with {status}");
        }
        Ok(())
    }

    /// Stops it without ending it: connections stay open, and nothing answers.
    pub async fn freeze(&self) -> Result<()> {
        self.signal("STOP").await
    }

    /// Lets it go on.
    pub async fn thaw(&self) -> Result<()> {
        self.signal("CONT").await
    }

    async fn signal(&self, signal: &str) -> Result<()> {
        let id = self.process.id().context("the control plane has ended")?;
        super::signal::signal(id, signal).await
    }

    /// What it shows.
    pub async fn report(&self) -> Result<Report> {
        let answer = self
            .client
            .get(format!("http://{}/status", self.status))
            .send()
            .await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Its page of metrics.
    pub async fn metrics(&self) -> Result<String> {
        let answer = self
            .client
            .get(format!("http://{}/metrics", self.status))
            .send()
            .await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Its status port.
    pub fn status(&self) -> SocketAddr {
        self.status
    }

    /// Everything that it has logged since its last start.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.run.log(self.starts - 1))?)
    }
}

/// Its store.
fn state(dir: &Path) -> PathBuf {
    dir.join("state")
}

fn spawn(run: &Run, start: u32, wall_clock: Option<&WallClock>) -> Result<Child> {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(binary()?)
        .arg("serve")
        .arg("--fleet")
        .arg(run.dir.join("fleet.yaml"))
        .args(&run.arguments)
        .env("RUST_LOG", LOGGED)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(run.log(start))?)
        .kill_on_drop(true);
    if let Some(clock) = wall_clock {
        clock.give_to(&mut command);
    }
    command.spawn().context("starting the control plane")
}

/// `meridian` of the same build: it lies beside the demo, and above the tests.
pub fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let near = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("meridian"));
    let built = near.into_iter().find(|path| path.is_file());
    built.with_context(|| {
        let root = workspace();
        format!(
            "`meridian` was not built with {}; in {}: cargo build -p meridian-xds-server",
            own.display(),
            root.display()
        )
    })
}
