//! A fleet on loopback: three regions, each a real Envoy with the real filter and a fake pool, and two fake providers.
//!
//! Each world has addresses of its own (`127.x.y.<region>`), so that worlds run side by side on fixed ports.

mod address;
pub mod certificates;
mod control_plane;
mod envoy;
mod fleet_file;
mod prometheus;
mod request;
mod retrieval;

pub use address::Block;
pub use control_plane::ControlPlane;
pub use envoy::Envoy;
pub use fleet_file::{
    CLAUDE, Configured, MODEL, Options, PARTIAL_MODEL, PRIMARY, PROFILE, api_key, write_sds,
};
pub use prometheus::Prometheus;
pub use request::{Answer, Ask, client};
pub use retrieval::Retrieval;

use crate::fakes::{Behaviour, Database, Fake, Kind};
use anyhow::{Context, Result, bail};
use certificates::Certificates;
use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use meridian_planner::plan::Plan;
use meridian_policy::egress_policy::ClaudeHost;
use meridian_policy::{Fleet, RegionName};
use meridian_xds_server::bootstrap::{self, Protocol};
use meridian_xds_server::fleet;
use meridian_xds_server::serve::report::{RegionReport, Report};
use meridian_xds_server::translate::translate;
use meridian_xds_server::verify::verify;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The regions, by their place in the world's addresses.
pub const REGIONS: [&str; 3] = ["us-west-2", "us-east-1", "eu-west-1"];
/// The providers.
pub const PROVIDERS: [&str; 2] = ["claude", "claude-eu"];
/// The deadline of everything that a test waits for.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A running fleet. Dropping it ends its processes.
pub struct World {
    /// Kept for the logs until the end.
    dir: Option<tempfile::TempDir>,
    block: Block,
    pools: Vec<Fake>,
    providers: Vec<Fake>,
    sibling: Option<Fake>,
    databases: Vec<Database>,
    control_plane: Option<ControlPlane>,
    gateways: Vec<Envoy>,
    certificates: Certificates,
    markers: AtomicU64,
}

impl World {
    /// Starts a fleet and waits until every gateway sees every pool healthy, and the control plane has heard so.
    pub async fn start(options: &Options) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("meridian-")
            .disable_cleanup(true)
            .tempdir()?;
        let block = Block::claim(options.block)?;
        let certificates = Certificates::make(dir.path(), &block)?;
        let mut pools = Vec::new();
        for region in REGIONS {
            let models = fleet_file::models(region)
                .iter()
                .copied()
                .map(String::from)
                .collect();
            let data = block.pool(region);
            pools.push(
                Fake::start(
                    region,
                    Kind::Pool { models },
                    data,
                    block.pool_control(region),
                )
                .await?,
            );
        }
        let mut providers = Vec::new();
        for name in PROVIDERS {
            let api_key = api_key(name);
            let kind = match name {
                _ if options.claude.is_none() => Kind::Provider { api_key },
                "claude" => Kind::Anthropic {
                    api_key,
                    model: CLAUDE.into(),
                },
                _ if options.claude == Some(ClaudeHost::Bedrock) => Kind::Bedrock {
                    api_key,
                    model: PROFILE.into(),
                },
                _ => Kind::Vertex {
                    token: api_key,
                    path: format!("{}/models/{CLAUDE}", fleet_file::VERTEX),
                    model: CLAUDE.into(),
                },
            };
            providers.push(
                Fake::start(
                    name,
                    kind,
                    block.provider(name),
                    block.provider_control(name),
                )
                .await?,
            );
        }
        let sibling = if options.sibling {
            let models = fleet_file::models(fleet_file::SIBLING_OF);
            let kind = Kind::Pool {
                models: models.iter().copied().map(String::from).collect(),
            };
            let any_port = std::net::SocketAddr::new(block.sibling().ip(), 0);
            Some(Fake::start("sibling", kind, block.sibling(), any_port).await?)
        } else {
            None
        };
        let mut databases = Vec::new();
        for region in REGIONS.into_iter().filter(|_| options.databases) {
            databases.push(Database::start(region, block.database(region)).await?);
        }
        let text = fleet_file::text(&block, &certificates, dir.path(), options);
        std::fs::write(dir.path().join("fleet.yaml"), &text)?;
        fleet_file::write_keys(dir.path())?;
        let mut world = Self {
            dir: Some(dir),
            block,
            pools,
            providers,
            sibling,
            databases,
            control_plane: None,
            gateways: Vec::new(),
            certificates,
            markers: AtomicU64::new(0),
        };
        if options.configured != Configured::ByFile {
            world.control_plane =
                Some(ControlPlane::start(world.dir(), world.block.status()).await?);
        }
        for region in REGIONS {
            let config = world.configuration(&text, region, options.configured)?;
            let envoy = Envoy::start(region, &config, world.block.admin(region)).await?;
            world.gateways.push(envoy);
        }
        world.until_healthy().await?;
        if world.control_plane.is_some() {
            wait_for("the control plane to have heard of it", || async {
                Ok(world.report().await?.regions.values().all(is_known_healthy))
            })
            .await?;
        }
        Ok(world)
    }

    /// Writes a region's Envoy configuration, as `meridian bootstrap` or `meridian export` does.
    fn configuration(&self, text: &str, region: &str, configured: Configured) -> Result<PathBuf> {
        let fleet = fleet::parse(text)?;
        let home = RegionName::from(region);
        let bootstrap = match configured {
            Configured::ByDelta => bootstrap::dynamic(&fleet, &home, Protocol::Delta)?,
            Configured::BySotw => bootstrap::dynamic(&fleet, &home, Protocol::Sotw)?,
            Configured::ByFile => Self::exported(&fleet, &home)?,
        };
        let path = self.dir().join(format!("{region}.yaml"));
        let json = meridian_proto::to_json(&bootstrap)?;
        std::fs::write(&path, serde_json::to_vec_pretty(&json)?)?;
        Ok(path)
    }

    fn exported(fleet: &Fleet, home: &RegionName) -> Result<Bootstrap> {
        let snapshot = translate(fleet, &Plan::default(), home, None);
        let leaks = verify(fleet, home, &snapshot);
        if !leaks.is_empty() {
            let leaks: Vec<String> = leaks.iter().map(ToString::to_string).collect();
            bail!("{home}: {}", leaks.join("\n"));
        }
        bootstrap::fixed(fleet, home, snapshot).context("a region of the fleet")
    }

    /// The control plane.
    pub fn control_plane(&mut self) -> Result<&mut ControlPlane> {
        self.control_plane
            .as_mut()
            .context("this world has no control plane")
    }

    /// The fleet file.
    pub fn fleet_file(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir().join("fleet.yaml"))?)
    }

    /// Writes another fleet file, replacing it as a whole.
    pub fn edit(&self, text: &str) -> Result<()> {
        let next = self.dir().join("fleet.yaml.next");
        std::fs::write(&next, text)?;
        Ok(std::fs::rename(next, self.dir().join("fleet.yaml"))?)
    }

    /// Ends a region's Envoy and starts it again with the same configuration file.
    pub async fn restart_gateway(&mut self, region: &str) -> Result<()> {
        self.gateway_mut(region).kill().await?;
        let config = self.dir().join(format!("{region}.yaml"));
        *self.gateway_mut(region) = Envoy::start(region, &config, self.block.admin(region)).await?;
        Ok(())
    }

    /// What `meridian status` prints.
    pub async fn status(&self) -> Result<String> {
        let address = self.block.status().to_string();
        let output = tokio::process::Command::new(control_plane::binary()?)
            .args(["status", "--address", &address])
            .output()
            .await?;
        if !output.status.success() {
            bail!(
                "meridian status: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The control plane's page of metrics.
    pub async fn metrics(&self) -> Result<String> {
        let control_plane = self.control_plane.as_ref();
        control_plane
            .context("this world has no control plane")?
            .metrics()
            .await
    }

    /// The control plane's process.
    pub fn control_plane_id(&self) -> Option<u32> {
        self.control_plane.as_ref().and_then(ControlPlane::id)
    }

    /// What the control plane shows.
    pub async fn report(&self) -> Result<Report> {
        let control_plane = self.control_plane.as_ref();
        control_plane
            .context("this world has no control plane")?
            .report()
            .await
    }

    /// The access log of a region's gateway.
    pub fn access_log(&self, region: &str) -> PathBuf {
        self.dir().join(region).with_extension(envoy::ACCESS_LOG)
    }

    /// Where the fleet file, the configurations, certificates and logs are.
    pub fn dir(&self) -> &Path {
        self.dir
            .as_ref()
            .map_or(Path::new("."), tempfile::TempDir::path)
    }

    /// Where everything listens.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Paths of the certificates.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// A region's inference servers.
    pub fn pool(&self, region: &str) -> &Fake {
        // The index is of the same array, so it is always there.
        &self.pools[position(&REGIONS, region)]
    }

    /// A region's vector database, in a world that has them.
    pub fn database(&mut self, region: &str) -> &mut Database {
        &mut self.databases[position(&REGIONS, region)]
    }

    /// The vector databases that a line came to.
    pub fn retrieved_from(&self, marker: &str) -> Vec<&str> {
        let databases = self.databases.iter();
        databases
            .filter(|database| database.saw(marker))
            .map(Database::name)
            .collect()
    }

    /// A provider.
    pub fn provider(&self, name: &str) -> &Fake {
        &self.providers[position(&PROVIDERS, name)]
    }

    /// A region's gateway.
    pub fn gateway(&self, region: &str) -> &Envoy {
        &self.gateways[position(&REGIONS, region)]
    }

    /// The same, to end it.
    pub fn gateway_mut(&mut self, region: &str) -> &mut Envoy {
        &mut self.gateways[position(&REGIONS, region)]
    }

    /// The second server of eu-west-1's pools, if there is one.
    pub fn sibling(&self) -> Result<&Fake> {
        self.sibling
            .as_ref()
            .context("`Options::sibling` is not set")
    }

    /// Every pool and provider.
    pub fn servers(&self) -> impl Iterator<Item = &Fake> {
        self.pools
            .iter()
            .chain(&self.providers)
            .chain(&self.sibling)
    }

    /// A request to a region's gateway, with a marker of its own in the prompt.
    pub fn ask(&self, region: &str) -> Ask {
        let marker = format!(
            "marker-{}-end",
            self.markers.fetch_add(1, Ordering::Relaxed)
        );
        Ask::new(format!("http://{}", self.block.public(region)), marker)
    }

    /// The servers that a marker reached, in the order of [`World::servers`]; each as often as it was reached.
    pub fn reached(&self, marker: &str) -> Vec<String> {
        let mut reached = Vec::new();
        for server in self.servers() {
            for request in server.requests() {
                let body = String::from_utf8_lossy(&request.body);
                if body.contains(marker) || request.path.contains(marker) {
                    reached.push(server.name().to_owned());
                }
            }
        }
        reached
    }

    /// All servers as at the start: up, without failures or memories.
    pub async fn heal(&self) -> Result<()> {
        for server in self.servers() {
            server.set(Behaviour::default());
            server.revive().await?;
            server.clear();
        }
        self.until_healthy().await
    }

    /// Waits until every gateway has every endpoint healthy and none ejected.
    pub async fn until_healthy(&self) -> Result<()> {
        for gateway in &self.gateways {
            let healthy = wait_for("all endpoints to be healthy", || async {
                Ok(gateway.unhealthy().await?.is_empty())
            });
            if let Err(error) = healthy.await {
                bail!(
                    "{error} at {}: {:?}",
                    gateway.name(),
                    gateway.unhealthy().await?
                );
            }
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(dir) = self.dir.take()
        {
            let kept = dir.keep();
            #[allow(clippy::print_stderr)] // Of a test that fails, for the person who reads why.
            {
                eprintln!("the logs of this world are kept in {}", kept.display());
            }
        }
    }
}

fn is_known_healthy(region: &RegionReport) -> bool {
    let mut pools = region.pools.values();
    pools.all(|pool| matches!(pool.signals.endpoints, Some((healthy, total)) if healthy == total && !pool.health.down))
}

/// Polls until a condition holds.
///
/// # Errors
/// The condition's own, or that the deadline passed.
pub async fn wait_for<F: Future<Output = Result<bool>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await? {
        if Instant::now() > deadline {
            bail!("waited {DEADLINE:?} for {what}");
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Sends a signal to one of our processes.
async fn signal(process: u32, signal: &str) -> Result<()> {
    let status = tokio::process::Command::new("sh")
        .args(["-c", &format!("kill -{signal} {process}")])
        .status()
        .await?;
    if !status.success() {
        bail!("kill -{signal} {process}: {status}");
    }
    Ok(())
}

fn position(names: &[&str], name: &str) -> usize {
    names
        .iter()
        .position(|known| *known == name)
        .unwrap_or(usize::MAX)
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
