//! One of the two fleets: its clocks, its gate, its servers.

use super::caller::{Heard, ask};
use super::gate::Gate;
use super::plan::{MEMBERS, Plan};
use super::server::{Received, Server};
use crate::world::{REGIONS, SteppedClock, World};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Where the parts of a world are.
#[derive(Clone)]
pub struct Place {
    /// The kind of the filter.
    pub kind: &'static str,
    /// The directory of the world.
    pub dir: PathBuf,
    /// What its addresses begin with.
    pub prefix: String,
    publics: Vec<SocketAddr>,
    admins: Vec<SocketAddr>,
    members: Vec<SocketAddr>,
    clocks: Vec<SteppedClock>,
}

impl Place {
    /// Of a world.
    ///
    /// # Errors
    /// It has no clocks to step.
    pub fn of(world: &World, kind: &'static str) -> Result<Self> {
        let block = world.block();
        let first = block.public(REGIONS[0]).ip().to_string();
        let prefix = first.rsplit_once('.').context("an address of IPv4")?.0;
        let clocks = REGIONS.map(|region| world.gateway(region).stepped_clock().cloned());
        let members = MEMBERS.map(|member| match REGIONS.contains(&member) {
            true => block.pool(member),
            false => block.provider(member),
        });
        Ok(Self {
            kind,
            dir: world.dir().to_owned(),
            prefix: format!("{prefix}."),
            publics: REGIONS.map(|region| block.public(region)).into(),
            admins: REGIONS.map(|region| block.admin(region)).into(),
            members: members.into(),
            clocks: clocks.into_iter().collect::<Result<_>>()?,
        })
    }

    /// Ends the fakes of a world, in whose places servers come, and takes chance out of the gateways' configurations: see
    /// [`without_chance`]. Gateways call each other by the same names in both worlds: what they say to callers is as long then, also in gzip.
    /// The policy gets a lease.
    ///
    /// # Errors
    /// A configuration cannot be read or written.
    pub async fn prepare(world: &World, lease: Option<Duration>) -> Result<()> {
        for fake in world.servers() {
            fake.kill().await?;
        }
        for region in REGIONS {
            let path = world.dir().join(format!("{region}.yaml"));
            let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
            without_chance(&mut config["static_resources"]);
            let mut text = config.to_string();
            for other in REGIONS {
                let url = format!("http://{}", world.block().public(other));
                text = text.replace(&url, &format!("http://{other}.example"));
            }
            if let Some(lease) = lease {
                let ms = lease.as_millis();
                let sources = r#"\"sources\":["#;
                let lease = format!(r#"\"lease\":{{\"given\":1,\"runs_ms\":{ms}}},"#);
                text = text.replace(sources, &(lease + sources));
            }
            std::fs::write(&path, text)?;
        }
        Ok(())
    }
}

/// Takes chance out of a configuration.
/// - No server is ejected, and none is checked: that is done at times that depend on the start of the process. So a gateway has no stream at
///   all between two exchanges.
/// - The ids that callers give their requests are kept. Those of Envoy are random, and by a request's id the filter picks a server, and
///   chooses the batch requests that it admits.
/// - A retry comes at once. Envoy's pauses are random.
fn without_chance(config: &mut Value) {
    match config {
        Value::Array(all) => all.iter_mut().for_each(without_chance),
        Value::Object(fields) => {
            fields.remove("outlier_detection");
            fields.remove("health_checks");
            fields.remove("rate_limited_retry_back_off");
            if fields.contains_key("always_set_request_id_in_response") {
                fields.insert("preserve_external_request_id".into(), true.into());
            }
            if let Some(pauses) = fields.get_mut("retry_back_off") {
                // Less than this: nothing.
                *pauses = json!({ "base_interval": "0.001s", "max_interval": "0.001s" });
            }
            fields.values_mut().for_each(without_chance);
        }
        _ => {}
    }
}

/// One of the two fleets, with its servers.
pub struct Side {
    pub place: Place,
    gate: Arc<Gate>,
    servers: Vec<Server>,
    client: reqwest::Client,
    since: Duration,
}

impl Side {
    /// Starts the servers of a world.
    ///
    /// # Errors
    /// An address is taken.
    pub fn start(place: Place) -> Result<Self> {
        let gate = Arc::<Gate>::default();
        let addresses = place.members.iter();
        let servers = addresses.map(|address| Server::start(*address, gate.clone()));
        Ok(Self {
            servers: servers.collect::<Result<_>>()?,
            client: crate::world::client().build()?,
            place,
            gate,
            since: Duration::ZERO,
        })
    }

    /// Stops the clocks at these times.
    pub fn stop_clocks(&mut self, monotonic: Duration, wall: Duration) -> Result<()> {
        self.since = monotonic;
        let mut clocks = self.place.clocks.iter();
        clocks.try_for_each(|clock| clock.set(monotonic, wall))
    }

    /// Steps the clocks to a time after their stop: those of all gateways, or of one.
    pub fn step_to(&self, passed: Duration, wall: Duration, only: Option<&str>) -> Result<()> {
        let now_ms = u64::try_from(passed.as_millis())?;
        self.gate.set_now_ms(now_ms);
        for (region, clock) in REGIONS.into_iter().zip(&self.place.clocks) {
            if only.is_none_or(|only| only == region) {
                clock.set(self.since + passed, wall + passed)?;
            }
        }
        Ok(())
    }

    /// Asks all threads of the gateways to say when they have nothing to do. How much has happened so far.
    ///
    /// # Errors
    /// The clocks cannot be read or written.
    pub fn begin_round(&self, round: u32) -> Result<u64> {
        let mut clocks = self.place.clocks.iter();
        clocks.try_for_each(|clock| clock.begin_round(round))?;
        self.activity()
    }

    /// Whether all threads have had nothing to do in this round.
    ///
    /// # Errors
    /// The clocks cannot be read.
    pub fn is_quiet(&self, round: u32) -> Result<bool> {
        for clock in &self.place.clocks {
            if clock.threads()?.quiet < round {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How much gateways, callers and servers have done so far.
    ///
    /// # Errors
    /// The clocks cannot be read.
    pub fn activity(&self) -> Result<u64> {
        let threads = self.place.clocks.iter().map(SteppedClock::threads);
        let busy: Vec<u64> = threads
            .map(|threads| Ok(threads?.busy))
            .collect::<Result<_>>()?;
        Ok(self.gate.activity() + busy.iter().sum::<u64>())
    }

    /// Lets callers and servers send their next pieces. `false`: none waits.
    pub fn open_gate(&self) -> bool {
        self.gate.open()
    }

    /// Begins an exchange.
    pub fn begin(&self, plan: &Plan) -> JoinHandle<Result<Heard>> {
        for (server, scripts) in self.servers.iter().zip(&plan.scripts) {
            server.plan(scripts);
        }
        let at = REGIONS.iter().position(|region| *region == plan.gateway);
        let gateway = self.place.publics[at.unwrap_or(0)];
        tokio::spawn(ask(gateway, plan.call.clone(), self.gate.clone()))
    }

    /// What each of [`MEMBERS`] got in the last exchange.
    pub fn received(&self) -> Vec<Vec<Received>> {
        self.servers.iter().map(Server::received).collect()
    }

    /// The filter's metrics of a gateway, as its page has them.
    ///
    /// # Errors
    /// The gateway gives no page.
    pub async fn metrics(&self, gateway: usize) -> Result<String> {
        let admin = self.place.admins[gateway];
        let url = format!("http://{admin}/stats/prometheus?filter=meridian_");
        let answer = self.client.get(url).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}
