//! One Envoy process.

use super::{SteppedClock, WallClock, wait_for, workspace};
use anyhow::{Context, Result, bail};
use meridian_xds_server::collect::page::{Page, Sample};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// What an access log's name ends with.
pub(super) const ACCESS_LOG: &str = "access.log";

/// A running Envoy; dropping it kills it.
pub struct Envoy {
    name: String,
    process: Child,
    admin: String,
    client: reqwest::Client,
    clock: Option<EnvoyClock>,
    /// A command that ends by running the one behind it, which is Envoy's.
    wrapper: Vec<OsString>,
    drain_s: u32,
}

/// The clock of an Envoy that has not the machine's.
pub enum EnvoyClock {
    /// Its wall clock is set.
    Wall(WallClock),
    /// All its clocks stand still until they are stepped.
    Stepped(SteppedClock),
}

impl EnvoyClock {
    fn give_to(&self, command: &mut Command) -> Result<()> {
        match self {
            Self::Wall(clock) => clock.give_to(command),
            Self::Stepped(clock) => clock.give_to(command)?,
        }
        Ok(())
    }
}

impl Envoy {
    /// Starts Envoy with a configuration and waits until it takes traffic. Beside the configuration are its log and its access
    /// log: no two of them write into one file, for they do not write whole lines.
    pub async fn start(
        name: &str,
        config: &Path,
        admin: SocketAddr,
        clock: Option<EnvoyClock>,
        drain_s: u32,
    ) -> Result<Self> {
        let log_path = config.with_extension("log");
        let access_log = open_access_log(config)?;
        let mut process = spawn(config, access_log, clock.as_ref(), &[], drain_s)?;
        let admin = format!("http://{admin}");
        let client = super::client().build()?;
        let what = format!("Envoy {name} to start");
        let waited = wait_for(&what, || {
            let exited = process.try_wait();
            let (client, ready) = (&client, format!("{admin}/ready"));
            async move {
                if let Some(status) = exited? {
                    bail!("Envoy ended with {status}");
                }
                Ok(client
                    .get(ready)
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status().is_success()))
            }
        });
        if let Err(error) = waited.await {
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(12).collect();
            bail!(
                "{error:#}; its last words:\n{}",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        Ok(Self {
            name: name.to_owned(),
            process,
            admin,
            client,
            clock,
            wrapper: Vec::new(),
            drain_s,
        })
    }

    /// Ends it, also if it is stopped, and starts it again with a configuration. Does not wait until it takes traffic.
    pub async fn respawn(&mut self, config: &Path) -> Result<()> {
        self.kill().await?;
        self.process = spawn(
            config,
            open_access_log(config)?,
            self.clock.as_ref(),
            &self.wrapper,
            self.drain_s,
        )?;
        Ok(())
    }

    /// From its next start by [`Envoy::respawn`] on, it finds another file in the place of one. Needs root: the file is mounted over
    /// the other one, for this process only.
    pub fn sees_instead(&mut self, file: &Path, other: &Path) {
        let script = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;
        let words = ["unshare", "--mount", "sh", "-c", script, "sh"];
        self.wrapper = words.map(OsString::from).into();
        self.wrapper.extend([other.into(), file.into()]);
    }

    /// How long it drains listeners that an edit replaced, in seconds.
    pub fn drain_s(&self) -> u32 {
        self.drain_s
    }

    /// The region that it serves.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends it at once, as a machine that dies.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("killing Envoy")
    }

    /// Processor time that it has used, in steps of 10 ms.
    pub fn cpu(&self) -> Result<Duration> {
        let id = self.process.id().context("Envoy has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // Behind the name in parentheses, which may hold anything; user and system time in clock ticks of 1/100 s.
        let fields = stat.rsplit_once(')').context("no name in /proc")?.1;
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().unwrap_or_default())
            .sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Its wall clock, in a world that sets clocks.
    pub fn wall_clock(&self) -> Result<&WallClock> {
        match &self.clock {
            Some(EnvoyClock::Wall(clock)) => Ok(clock),
            _ => bail!("this world has no clocks to set"),
        }
    }

    /// Its clocks, in a world that steps them.
    pub fn stepped_clock(&self) -> Result<&SteppedClock> {
        match &self.clock {
            Some(EnvoyClock::Stepped(clock)) => Ok(clock),
            _ => bail!("this world has no clocks to step"),
        }
    }

    /// Ends it for another start: its clock goes on.
    pub(super) async fn end(&mut self) -> Result<Option<EnvoyClock>> {
        self.kill().await?;
        Ok(self.clock.take())
    }

    /// Memory that it holds (its resident set), in bytes.
    pub fn memory(&self) -> Result<u64> {
        let id = self.process.id().context("Envoy has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = kib.context("no VmRSS in /proc")?.parse()?;
        Ok(kib << 10)
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
        let id = self.process.id().context("Envoy has ended")?;
        super::signal::signal(id, signal).await
    }

    /// Whether its process has ended by itself.
    ///
    /// # Errors
    /// Its state cannot be read.
    pub fn has_ended(&self) -> Result<bool> {
        let id = self.process.id().context("Envoy has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // A dead process keeps its number until somebody waits for it.
        Ok(stat
            .rsplit_once(')')
            .is_none_or(|(_, state)| state.trim_start().starts_with('Z')))
    }

    /// A page of the admin interface.
    pub async fn admin(&self, path: &str) -> Result<String> {
        let answer = self
            .client
            .get(format!("{}{path}", self.admin))
            .send()
            .await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// The sum of the filter's metrics of a family with these labels.
    ///
    /// # Errors
    /// The admin interface gives no page of metrics.
    pub async fn metric(&self, family: &str, labels: &[(&str, &str)]) -> Result<u64> {
        let text = self.admin("/stats/prometheus?filter=meridian_").await?;
        let page = Page::parse(text.as_bytes())?;
        // A dynamic module has no namespace that Envoy's page leaves out.
        let names = [family.to_owned(), format!("envoy_wasmcustom_{family}")];
        let samples = names.iter().flat_map(|name| page.samples(name));
        let has = |sample: &&Sample<'_>| {
            let mut labels = labels.iter();
            labels.all(|(name, value)| sample.label(name) == Some(value))
        };
        Ok(samples.filter(has).map(|sample| sample.value as u64).sum())
    }

    /// The sum of the counters whose names match a regular expression.
    pub async fn counter(&self, filter: &str) -> Result<u64> {
        let url = reqwest::Url::parse_with_params(
            &format!("{}/stats", self.admin),
            [("format", "json"), ("filter", filter)],
        )?;
        let stats: serde_json::Value = self.client.get(url).send().await?.json().await?;
        let values = stats["stats"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        Ok(values
            .iter()
            .filter_map(|stat| stat["value"].as_u64())
            .sum())
    }

    /// Endpoints that it would not choose, as `cluster address`.
    pub async fn unhealthy(&self) -> Result<Vec<String>> {
        let clusters: serde_json::Value =
            serde_json::from_str(&self.admin("/clusters?format=json").await?)?;
        let mut unhealthy = Vec::new();
        for cluster in clusters["cluster_statuses"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
        {
            for host in cluster["host_statuses"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default()
            {
                let status = &host["health_status"];
                // Its own checks and ejections say `true`, the control plane `UNHEALTHY`.
                let failed = status.as_object().is_some_and(|flags| {
                    let mut values = flags.values();
                    values.any(|value| *value == true || *value == "UNHEALTHY")
                });
                if failed {
                    let address = &host["address"]["socket_address"]["address"];
                    unhealthy.push(format!("{} {address}", cluster["name"]));
                }
            }
        }
        Ok(unhealthy)
    }
}

fn open_access_log(config: &Path) -> Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    let options = options.create(true).append(true);
    Ok(options.open(config.with_extension(ACCESS_LOG))?)
}

fn spawn(
    config: &Path,
    access_log: std::fs::File,
    clock: Option<&EnvoyClock>,
    wrapper: &[OsString],
    drain_s: u32,
) -> Result<Child> {
    // Of several workers the kernel would choose the one that takes a connection.
    let workers = match clock {
        Some(EnvoyClock::Stepped(_)) => "1",
        _ => "2",
    };
    // Even if this process is killed, its Envoys end with it.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .args(wrapper)
        .arg(binary()?)
        .arg("--config-path")
        .arg(config)
        .args([
            "--concurrency",
            workers,
            "--disable-hot-restart",
            "--file-flush-interval-msec",
            "100",
            "--drain-time-s",
            &drain_s.to_string(),
        ])
        .stdin(Stdio::null())
        .stdout(access_log)
        .stderr(std::fs::File::create(config.with_extension("log"))?)
        .kill_on_drop(true);
    if let Some(clock) = clock {
        clock.give_to(&mut command)?;
    }
    command.spawn().context("starting Envoy")
}

/// The Envoy that `scripts/setup` chose.
fn binary() -> Result<PathBuf> {
    let binary = workspace().join(".tools/envoy");
    if !binary.exists() {
        bail!("{} is missing; run scripts/setup first", binary.display());
    }
    Ok(binary)
}
