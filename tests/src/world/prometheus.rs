//! A Prometheus of a world: the real program, which reads the pages of the fakes.

use super::certificates::{CONTROL_PLANE, PUSHER};
use super::{REGIONS, World, wait_for, workspace};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A running Prometheus; dropping it kills it.
pub struct Prometheus {
    process: Child,
}

impl Prometheus {
    /// Starts it with the pages of every pool, each with its region as a label, and waits until it answers. It speaks TLS with the
    /// control plane's certificate, and takes clients that have one of the same authority.
    pub async fn start(world: &World, listen: SocketAddr) -> Result<Self> {
        let (config, web) = configure(world)?;
        let dir = world.dir();
        let log = dir.join("prometheus.log");
        // Even if this process is killed, it ends with it.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary()?)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.join("prometheus").display()
            ))
            .arg(format!("--web.listen-address={listen}"))
            .arg(format!("--web.config.file={}", web.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .context("starting Prometheus")?;
        let client = client(world)?;
        let ready = format!("https://{listen}/-/ready");
        let waited = wait_for("Prometheus to start", || {
            let exited = process.try_wait();
            let asked = client.get(&ready).send();
            async move {
                if let Some(status) = exited? {
                    bail!("Prometheus ended with {status}");
                }
                Ok(asked.await.is_ok_and(|answer| answer.status() == 200))
            }
        });
        if let Err(error) = waited.await {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("{error:#}; it said:\n{log}");
        }
        Ok(Self { process })
    }

    /// Ends it, and waits until it has.
    pub async fn end(mut self) -> Result<()> {
        let id = self.process.id().context("Prometheus has ended")?;
        super::signal::signal(id, "TERM").await?;
        tokio::time::timeout(super::DEADLINE, self.process.wait()).await??;
        Ok(())
    }
}

/// Writes its configuration, and that of its listener.
fn configure(world: &World) -> Result<(PathBuf, PathBuf)> {
    let mut text =
        "global: { scrape_interval: 500ms, scrape_timeout: 400ms }\nscrape_configs:\n".to_owned();
    for region in REGIONS {
        let target = world.block().pool(region);
        writeln!(
            text,
            "  - {{ job_name: {region}, static_configs: [{{ targets: [\"{target}\"], labels: {{ region: {region} }} }}] }}"
        )?;
    }
    let config = world.dir().join("prometheus.yaml");
    std::fs::write(&config, text)?;
    let certificates = world.certificates();
    let tls = format!(
        "tls_server_config: {{ cert_file: {}, key_file: {}, client_ca_file: {}, client_auth_type: RequireAndVerifyClientCert }}\n",
        certificates.certificate(CONTROL_PLANE).display(),
        certificates.key(CONTROL_PLANE).display(),
        certificates.ca().display(),
    );
    let web = world.dir().join("prometheus-web.yaml");
    std::fs::write(&web, tls)?;
    Ok((config, web))
}

/// A client that it takes.
fn client(world: &World) -> Result<reqwest::Client> {
    let certificates = world.certificates();
    let pem = |path: PathBuf| std::fs::read(path);
    let identity = [
        pem(certificates.certificate(PUSHER))?,
        pem(certificates.key(PUSHER))?,
    ];
    let ca = reqwest::Certificate::from_pem(&pem(certificates.ca())?)?;
    Ok(super::client()
        .tls_certs_only([ca])
        .identity(reqwest::Identity::from_pem(&identity.join(&b'\n'))?)
        .build()?)
}

/// The Prometheus that `scripts/setup` chose.
fn binary() -> Result<PathBuf> {
    let binary = workspace().join(".tools/prometheus");
    if !binary.exists() {
        bail!(
            "{} is missing; run scripts/setup test first",
            binary.display()
        );
    }
    Ok(binary)
}
