//! The hunting ground: a world whose pools and providers note what they see, and whose gateways reach the control plane by links that
//! can fail.

use super::definition::{Definition, JURISDICTIONS};
use super::fleet_text::FleetText;
use super::generations::Generations;
use super::judge::Place;
use super::link::{Link, State};
use super::place::{FailureMode, Server};
use super::sightings::{Sightings, lock, now};
use super::step::{Act, Run};
use super::transits::Transits;
use crate::world::{Block, REGIONS, World, wait_for, workspace};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// What was published, by generation.
#[derive(Default)]
pub struct Ledger {
    /// The definitions.
    pub definitions: BTreeMap<u32, Definition>,
    /// When each was written, in milliseconds since the hunt began.
    times: BTreeMap<u32, u64>,
}

impl Ledger {
    /// Adds a definition that is written at a time; its generation.
    pub fn add(&mut self, definition: &Definition, time: u64) -> u32 {
        let generation = self.newest() + 1;
        self.definitions.insert(generation, definition.clone());
        self.times.insert(generation, time);
        generation
    }

    /// The newest generation, zero if there is none.
    pub fn newest(&self) -> u32 {
        self.times.keys().next_back().copied().unwrap_or_default()
    }

    /// The generation that the fleet file had at a time.
    pub fn written_by(&self, time: u64) -> u32 {
        let mut times = self.times.iter().rev();
        let last = times.find(|(_, at)| **at <= time);
        last.map_or(0, |(generation, _)| *generation)
    }
}

/// The region whose gateway may have an older filter.
const OLDER: &str = "us-east-1";

/// After the last step of a run, until the next one.
const AFTER: Duration = Duration::from_millis(1_500);

/// The hunting ground.
pub struct Ground<'w> {
    world: &'w mut World,
    pools: BTreeMap<&'static str, Server>,
    providers: Vec<Server>,
    links: BTreeMap<&'static str, Link>,
    text: FleetText,
    /// What places have seen.
    pub sightings: Arc<Sightings>,
    /// What the gateways have had.
    pub generations: Arc<Generations>,
    /// What was published.
    pub ledger: Arc<Mutex<Ledger>>,
    /// The gateways that can have every definition: one with an older filter refuses them.
    current: Vec<&'static str>,
    _transits: Transits,
}

impl<'w> Ground<'w> {
    /// Prepares a world. `older_filter`: the file of the filter that one of the gateways is to run. All others have the first definition in the end.
    ///
    /// # Errors
    /// They do not get it in time.
    pub async fn new(world: &'w mut World, older_filter: Option<&Path>) -> Result<Self> {
        if let Some(older) = older_filter {
            let filter = workspace().join("target/filter/meridian_filter.wasm");
            let gateway = world.gateway_mut(OLDER);
            gateway.sees_instead(&filter, &older.canonicalize()?);
        }
        let sightings = Arc::new(Sightings::default());
        for server in world.servers() {
            server.kill().await?;
        }
        let mut pools = BTreeMap::new();
        for region in REGIONS {
            let address = world.block().pool(region);
            let server = Server::start(Place::Pool(region), address, sightings.clone())?;
            pools.insert(region, server);
        }
        let addresses: Vec<SocketAddr> = (0..JURISDICTIONS.len())
            .map(|provider| provider_address(world.block(), provider))
            .collect();
        let mut providers = Vec::new();
        for (provider, address) in addresses.iter().enumerate() {
            let place = Place::Provider(provider);
            providers.push(Server::start(place, *address, sightings.clone())?);
        }
        let text = FleetText::new(world, addresses)?;
        let links = links(world).await?;
        let mut ground = Self {
            generations: Arc::new(Generations::start(world)?),
            _transits: Transits::start(world, &sightings),
            current: REGIONS
                .into_iter()
                .filter(|region| older_filter.is_none() || *region != OLDER)
                .collect(),
            ledger: Arc::default(),
            world,
            pools,
            providers,
            links,
            text,
            sightings,
        };
        ground.reset(&Definition::first()).await?;
        Ok(ground)
    }

    /// A definition as a fleet file.
    pub fn text(&self) -> &FleetText {
        &self.text
    }

    /// Where a gateway listens for callers.
    pub fn gateways(&self) -> BTreeMap<&'static str, SocketAddr> {
        let block = self.world.block();
        REGIONS
            .into_iter()
            .map(|region| (region, block.public(region)))
            .collect()
    }

    /// Ends all faults, and publishes a definition until all gateways that can have it do.
    async fn reset(&mut self, base: &Definition) -> Result<()> {
        for server in self.pools.values().chain(&self.providers) {
            server.set(FailureMode::FINE);
        }
        for region in REGIONS {
            self.apply(Act::Link(region, State::Open)).await?;
            self.apply(Act::Continue(region)).await?;
            if self.world.gateway(region).has_ended()? {
                bail!("the gateway {region} has died");
            }
        }
        self.apply(Act::StartControlPlane).await?;
        let generation = self.publish(base)?;
        let (generations, current) = (&self.generations, &self.current);
        let all_have_it = wait_for(
            "all gateways to have the first definition of a run",
            || async {
                let mut regions = current.iter();
                Ok(regions.all(|region| generations.last(region) == Some(generation)))
            },
        );
        all_have_it.await.with_context(|| {
            let shown = REGIONS.map(|region| self.generations.last(region));
            format!("generation {generation}, gateways have {shown:?}: {base}")
        })
    }

    fn publish(&mut self, definition: &Definition) -> Result<u32> {
        let generation = lock(&self.ledger).add(definition, now());
        self.world.edit(&self.text.render(definition, generation))?;
        Ok(generation)
    }

    /// Plays a run; when it began and ended, in milliseconds since the hunt began.
    ///
    /// # Errors
    /// A gateway dies by itself, or does not get the definition that the run begins with.
    pub async fn play(&mut self, run: &Run) -> Result<(u64, u64)> {
        self.reset(&run.base).await?;
        let began = now();
        for (at, act) in run.acts() {
            let wait = (began + at).saturating_sub(now());
            sleep(Duration::from_millis(wait)).await;
            self.apply(act).await?;
        }
        sleep(AFTER).await;
        Ok((began, now()))
    }

    async fn apply(&mut self, act: Act) -> Result<()> {
        match act {
            Act::Edit(definition) => {
                self.publish(&definition)?;
            }
            Act::Stop(region) => self.world.gateway(region).freeze().await?,
            Act::Continue(region) => self.world.gateway(region).thaw().await?,
            Act::Restart(region) => self.world.respawn_gateway(region).await?,
            Act::KillControlPlane => {
                let control_plane = self.world.control_plane()?;
                if !control_plane.has_ended()? {
                    control_plane.kill().await?;
                }
            }
            Act::StartControlPlane => {
                let control_plane = self.world.control_plane()?;
                if control_plane.has_ended()? {
                    control_plane.spawn()?;
                }
            }
            Act::Link(region, state) => self.links[region].set(state),
            Act::Pool(region, mode) => self.pools[region].set(mode),
            Act::Provider(provider, mode) => self.providers[provider].set(mode),
        }
        Ok(())
    }
}

fn provider_address(block: &Block, provider: usize) -> SocketAddr {
    let of_world = crate::world::PROVIDERS.get(provider);
    of_world.map_or_else(|| block.spare(provider), |name| block.provider(name))
}

/// Puts a link between each gateway and the control plane.
async fn links(world: &mut World) -> Result<BTreeMap<&'static str, Link>> {
    let mut links = BTreeMap::new();
    for region in REGIONS {
        let listen = world.block().link(region);
        links.insert(region, Link::start(listen, world.block().control_plane())?);
        let path = world.dir().join(format!("{region}.yaml"));
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let address = config
            .pointer_mut(
                "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address",
            )
            .context("no address of the control plane")?;
        address["address"] = json!(listen.ip().to_string());
        address["port_value"] = json!(listen.port());
        std::fs::write(&path, config.to_string())?;
        world.respawn_gateway(region).await?;
    }
    Ok(links)
}
