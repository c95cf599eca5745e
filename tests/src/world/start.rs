//! The start of a world.

use super::certificates::Certificates;
use super::control_plane::Run;
use super::directory::Directory;
use super::fleet_file::{self, CLAUDE, Configured, Options, PROFILE, api_key};
use super::layout::SIBLING_OF;
use super::{
    Block, ControlPlane, Envoy, EnvoyClock, PROVIDERS, REGIONS, Replicas, SteppedClock, WallClock,
    World, wait_for,
};
use crate::fakes::{Database, Fake, Kind};
use anyhow::{Context, Result, bail};
use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use meridian_planner::plan::Plan;
use meridian_policy::egress_policy::ClaudeHost;
use meridian_policy::{Fleet, RegionName};
use meridian_xds_server::bootstrap::{self, Protocol};
use meridian_xds_server::fleet;
use meridian_xds_server::serve::report::RegionReport;
use meridian_xds_server::translate::translate;
use meridian_xds_server::verify::verify;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

impl World {
    /// Starts a fleet and waits until every gateway sees every pool healthy, and the control plane knows it.
    ///
    /// # Errors
    /// A part does not start in time; the logs are kept, and the error says where.
    pub async fn start(options: &Options) -> Result<Self> {
        let mut dir = Directory::create()?;
        let block = Block::claim(options.block)?;
        let certificates = Certificates::make(dir.path(), &block)?;
        let text = fleet_file::text(&block, &certificates, dir.path(), options);
        std::fs::write(dir.path().join("fleet.yaml"), &text)?;
        fleet_file::write_keys(dir.path())?;
        let pools = pools(&block).await?;
        let providers = providers(&block, options.claude).await?;
        let sibling = sibling(&block, options.sibling).await?;
        let databases = databases(&block, options.databases).await?;
        let processes = processes(dir.path(), &block, options, &text).await;
        let (control_plane, replicas, gateways) = match processes {
            Ok(processes) => processes,
            Err(error) => {
                bail!("{error:#}; the logs are in {}", dir.keep().display());
            }
        };
        let world = Self {
            pools,
            providers,
            sibling,
            databases,
            control_plane,
            replicas,
            gateways,
            certificates,
            markers: AtomicU64::new(0),
            block,
            fleet: text,
            dir,
        };
        match world.until_known_healthy().await {
            Ok(()) => Ok(world),
            Err(error) => {
                let kept = world.keep().await;
                bail!("{error:#}; the logs are in {}", kept.display())
            }
        }
    }

    /// Waits until every gateway sees every pool healthy, and the control plane knows it.
    pub(super) async fn until_known_healthy(&self) -> Result<()> {
        self.until_healthy().await?;
        if self.control_plane.is_none() {
            return Ok(());
        }
        wait_for("the control plane to know all pools as healthy", || async {
            Ok(self.report().await?.regions.values().all(is_known_healthy))
        })
        .await
    }
}

fn is_known_healthy(region: &RegionReport) -> bool {
    let mut pools = region.pools.values();
    pools.all(|pool| matches!(pool.signals.endpoints, Some((healthy, total)) if healthy == total && !pool.health.down))
}

fn pool_of(region: &str) -> Kind {
    let models = fleet_file::models(region).iter().copied();
    Kind::Pool {
        models: models.map(String::from).collect(),
    }
}

async fn pools(block: &Block) -> Result<Vec<Fake>> {
    let mut pools = Vec::new();
    for region in REGIONS {
        let (data, control) = (block.pool(region), block.pool_control(region));
        pools.push(Fake::start(region, pool_of(region), data, control).await?);
    }
    Ok(pools)
}

async fn providers(block: &Block, claude: Option<ClaudeHost>) -> Result<Vec<Fake>> {
    let mut providers = Vec::new();
    for name in PROVIDERS {
        let (data, control) = (block.provider(name), block.provider_control(name));
        providers.push(Fake::start(name, provider(name, claude), data, control).await?);
    }
    Ok(providers)
}

fn provider(name: &str, claude: Option<ClaudeHost>) -> Kind {
    let api_key = api_key(name);
    match (name, claude) {
        (_, None) => Kind::Provider { api_key },
        ("claude", Some(_)) => Kind::Anthropic {
            api_key,
            model: CLAUDE.into(),
        },
        (_, Some(ClaudeHost::Bedrock)) => Kind::Bedrock {
            api_key,
            model: PROFILE.into(),
        },
        (_, Some(_)) => Kind::Vertex {
            token: api_key,
            path: format!("{}/models/{CLAUDE}", fleet_file::VERTEX),
            model: CLAUDE.into(),
        },
    }
}

async fn sibling(block: &Block, wanted: bool) -> Result<Option<Fake>> {
    if !wanted {
        return Ok(None);
    }
    let any_port = SocketAddr::new(block.sibling().ip(), 0);
    let kind = pool_of(SIBLING_OF);
    let sibling = Fake::start("sibling", kind, block.sibling(), any_port).await?;
    Ok(Some(sibling))
}

async fn databases(block: &Block, wanted: bool) -> Result<Vec<Database>> {
    let mut databases = Vec::new();
    for region in REGIONS.into_iter().filter(|_| wanted) {
        databases.push(Database::start(region, block.database(region)).await?);
    }
    Ok(databases)
}

/// The control plane, and then all gateways at once.
async fn processes(
    dir: &Path,
    block: &Block,
    options: &Options,
    text: &str,
) -> Result<(Option<ControlPlane>, Option<Replicas>, Vec<Envoy>)> {
    let clock = async |process: &str| {
        anyhow::Ok(match options.clocks {
            true => Some(WallClock::create(dir, process).await?),
            false => None,
        })
    };
    let replicas = match options.replicas {
        0 => None,
        count => Some(Replicas::start(dir, block, count).await?),
    };
    let control_plane = match options.configured {
        Configured::ByDelta | Configured::BySotw if replicas.is_none() => {
            let clock = clock("control-plane").await?;
            Some(ControlPlane::start(Run::alone(dir), block.status(), clock).await?)
        }
        _ => None,
    };
    let gateway = async |region| {
        let config = configuration(dir, text, region, options.configured)?;
        let admin = block.admin(region);
        let clock = match options.stepped {
            true => Some(EnvoyClock::Stepped(
                SteppedClock::create(dir, region).await?,
            )),
            false => clock(region).await?.map(EnvoyClock::Wall),
        };
        Envoy::start(region, &config, admin, clock, options.drain_s).await
    };
    let [west, east, eu] = REGIONS;
    let (west, east, eu) = tokio::try_join!(gateway(west), gateway(east), gateway(eu))?;
    Ok((control_plane, replicas, vec![west, east, eu]))
}

/// Writes a region's Envoy configuration, as `meridian bootstrap` or `meridian export` does.
fn configuration(dir: &Path, text: &str, region: &str, configured: Configured) -> Result<PathBuf> {
    let fleet = fleet::parse(text)?;
    let home: RegionName = region.parse()?;
    let secrets = dir.join(format!("{region}.secrets"));
    std::fs::create_dir_all(&secrets)?;
    for (name, response) in bootstrap::secret_files(&fleet, &home) {
        let json = meridian_proto::to_json(&response)?;
        std::fs::write(secrets.join(name), serde_json::to_vec_pretty(&json)?)?;
    }
    let bootstrap = match configured {
        Configured::ByDelta => bootstrap::dynamic(&fleet, &home, Protocol::Delta, Some(&secrets))?,
        Configured::BySotw => bootstrap::dynamic(&fleet, &home, Protocol::Sotw, Some(&secrets))?,
        Configured::ByFile => exported(&fleet, &home)?,
    };
    let path = dir.join(format!("{region}.yaml"));
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
