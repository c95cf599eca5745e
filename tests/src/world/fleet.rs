//! A running fleet.

use super::certificates::Certificates;
use super::directory::Directory;
use super::layout::position;
use super::{
    Ask, Block, ControlPlane, Envoy, PROVIDERS, REGIONS, Replicas, control_plane, envoy, wait_for,
};
use crate::fakes::{Database, Fake};
use anyhow::{Context, Result, bail};
use meridian_planner::definition::definitions;
use meridian_xds_server::serve::report::Report;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A running fleet. Dropping it ends its processes and removes its directory.
pub struct World {
    pub(super) pools: Vec<Fake>,
    pub(super) providers: Vec<Fake>,
    pub(super) sibling: Option<Fake>,
    pub(super) databases: Vec<Database>,
    pub(super) control_plane: Option<ControlPlane>,
    pub(super) replicas: Option<Replicas>,
    pub(super) gateways: Vec<Envoy>,
    pub(super) certificates: Certificates,
    pub(super) markers: AtomicU64,
    pub(super) block: Block,
    /// The fleet file at the start.
    pub(super) fleet: String,
    /// Dropped last: the processes above write into it.
    pub(super) dir: Directory,
}

impl World {
    /// The control plane.
    pub fn control_plane(&mut self) -> Result<&mut ControlPlane> {
        self.control_plane
            .as_mut()
            .context("this world has no control plane")
    }

    /// The replicas of its control plane.
    pub fn replicas(&mut self) -> Result<&mut Replicas> {
        self.replicas.as_mut().context("this world has no replicas")
    }

    /// The fleet file.
    pub fn fleet_file(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir().join("fleet.yaml"))?)
    }

    /// The ID of a zone's definition; one that nobody knows for a zone that is not there.
    ///
    /// # Errors
    /// The fleet file cannot be read.
    pub fn definition(&self, zone: &str) -> Result<String> {
        let fleet = meridian_xds_server::fleet::parse(&self.fleet_file()?)?;
        let known = definitions(&fleet).zones;
        let id = known.get(zone).map(ToString::to_string);
        Ok(id.unwrap_or_else(|| format!("{zone}@0000000000000000")))
    }

    /// Writes another fleet file, replacing it as a whole.
    pub fn edit(&self, text: &str) -> Result<()> {
        let next = self.dir().join("fleet.yaml.next");
        std::fs::write(&next, text)?;
        Ok(std::fs::rename(next, self.dir().join("fleet.yaml"))?)
    }

    /// Ends a region's Envoy and starts it again with the same configuration file.
    pub async fn restart_gateway(&mut self, region: &str) -> Result<()> {
        let clock = self.gateway_mut(region).end().await?;
        let config = self.dir().join(format!("{region}.yaml"));
        let admin = self.block.admin(region);
        let drain_s = self.gateway(region).drain_s();
        *self.gateway_mut(region) = Envoy::start(region, &config, admin, clock, drain_s).await?;
        Ok(())
    }

    /// The same, without waiting until it takes traffic.
    pub async fn respawn_gateway(&mut self, region: &str) -> Result<()> {
        let config = self.dir().join(format!("{region}.yaml"));
        self.gateway_mut(region).respawn(&config).await
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
        self.dir.path()
    }

    /// The filter keeps one state per worker, which a hook holds while it runs. So Envoy must call no hook from within a host call,
    /// whatever a scenario does. Nor may the filter make a host call that the control plane does not allow it. An error names the
    /// gateway whose log says so.
    pub fn has_no_filter_faults(&self) -> Result<()> {
        for region in REGIONS {
            let log = std::fs::read_to_string(self.dir().join(region).with_extension("log"))?;
            for fault in [
                "a hook was called within a hook",
                "Attempted call to restricted",
            ] {
                if let Some(line) = log.lines().find(|line| line.contains(fault)) {
                    bail!("Envoy of {region}: {line}");
                }
            }
        }
        Ok(())
    }

    /// Ends its processes and waits until they have ended; the directory stays, for its logs.
    pub async fn keep(mut self) -> PathBuf {
        let dir = self.dir.keep();
        self.end().await;
        dir
    }

    /// Ends its processes, waits until they have ended, and removes the directory.
    pub async fn end(mut self) {
        // What has ended before cannot be ended again, and need not be.
        if let Some(control_plane) = &mut self.control_plane {
            let _ = control_plane.kill().await;
        }
        for gateway in &mut self.gateways {
            let _ = gateway.kill().await;
        }
    }

    /// Where everything listens.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Paths of the certificates.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The same, to roll their authority over.
    pub fn certificates_mut(&mut self) -> &mut Certificates {
        &mut self.certificates
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
