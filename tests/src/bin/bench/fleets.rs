//! Fleets of any size, of which the gateway at home is real, and its pool.

use anyhow::{Context, Result};
use meridian_planner::definition::definitions;
use meridian_planner::plan::Plan;
use meridian_policy::filter_policy::Lease;
use meridian_policy::{RegionName, ZoneName};
use meridian_tests::world::certificates::Certificates;
use meridian_tests::world::workspace;
use meridian_xds_server::translate::translate;
use meridian_xds_server::{bootstrap, fleet};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;

/// The model of all requests: in a larger fleet it is in the middle.
pub const MODEL: &str = "model-5";

/// A fleet.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Regions.
    pub regions: usize,
    /// Models that every region has.
    pub models: usize,
}

/// The gateway at home of a fleet: its configuration without a control plane, and the definition of its callers' zone.
pub struct Home {
    /// Envoy's bootstrap.
    pub config: Value,
    /// The zone's definition.
    pub definition: String,
    /// The access log to the control plane.
    pub report: Value,
}

/// Where its parts are.
pub struct Place<'p> {
    /// The fleet's addresses begin with these two bytes behind 127.
    pub block: [u8; 2],
    /// The port of the public listener; the ports of the others follow.
    pub port: u16,
    /// Whether the filter is a dynamic module.
    pub native: bool,
    /// Every pool's server.
    pub upstream: SocketAddr,
    /// What gateways show each other.
    pub certificates: &'p Certificates,
    /// Where files are written.
    pub dir: &'p Path,
}

impl Place<'_> {
    /// The gateway at home of a fleet of this size.
    pub fn home(&self, size: Size) -> Result<Home> {
        let fleet = fleet::parse(&self.text(size))?;
        let home: RegionName = name(0).parse()?;
        let snapshot = translate(&fleet, &Plan::default(), &home, None);
        let definitions = definitions(&fleet);
        let zone: ZoneName = "global".parse()?;
        let definition = definitions.zones.get(&zone).context("no zone")?.clone();
        let bootstrap = bootstrap::fixed(&fleet, &home, snapshot).context("no home")?;
        let lease = Lease {
            given: 1,
            runs_ms: 60_000,
        };
        let led = translate(&fleet, &Plan::default(), &home, Some(lease));
        let public = led.listeners.iter().find(|it| it.name == "public");
        let mut public = meridian_proto::to_json(public.context("no public listener")?)?;
        let manager = &mut public["filter_chains"][0]["filters"][0]["typed_config"];
        Ok(Home {
            report: manager["access_log"][1].take(),
            config: meridian_proto::to_json(&bootstrap)?,
            definition: definition.to_string(),
        })
    }

    fn text(&self, Size { regions, models }: Size) -> String {
        let all: Vec<String> = (0..regions).map(name).collect();
        let tls = format!(
            "{{ ca: {}, certificate: {}, key: {} }}",
            self.certificates.ca().display(),
            self.certificates.certificate("us-west-2").display(),
            self.certificates.key("us-west-2").display(),
        );
        let models = match models {
            1 => vec![MODEL.to_owned()],
            all => (0..all).map(|at| format!("model-{at}")).collect(),
        };
        let upstream = self.upstream;
        let pools: String = models
            .iter()
            .map(|model| format!("      {model}: {{ endpoints: [\"{upstream}\"] }}\n"))
            .collect();
        let regions: String = (0..regions)
            .map(|at| self.region(at, &all, &tls) + &pools)
            .collect();
        let [x, y] = self.block;
        format!(
            "\
zones:
  eea: {{ countries: [preset:eea], pinned: true, regions: [{last}], fallbacks: [] }}
  global: {{ countries: [preset:rest], regions: [{all}], fallbacks: [other] }}
unknown_zone: eea
classify:
  - {{ header: cf-ipcountry, gives: country, trust: {{ cidr: [127.0.0.1/32] }} }}
control_plane: {{ address: 127.{x}.{y}.250, tls: {tls} }}
gateways: {{ trust_domain: meridian, filter: {kind}, wasm: {wasm}, native: {module}, access_log: /dev/null }}
fallbacks:
  other: {{ provider: openai-compatible, url: \"http://127.{x}.{y}.251:9/v1\", jurisdiction: [global], api_key: {{ file: {key} }} }}
regions:
{regions}",
            last = all[all.len() - 1],
            all = all.join(", "),
            kind = if self.native { "native" } else { "wasm" },
            wasm = workspace().join("target/filter/meridian_filter.wasm").display(),
            module = workspace().join("target/filter/libmeridian_filter_native.so").display(),
            key = self.dir.join("key").display(),
        )
    }

    fn region(&self, at: usize, all: &[String], tls: &str) -> String {
        let [x, y] = self.block;
        let ip = format!("127.{x}.{y}.{}", at + 1);
        let [public, peer, admin] = [0, 1, 2].map(|offset| self.port + offset);
        let nearest: Vec<&str> = (1..all.len())
            .map(|offset| all[(at + offset) % all.len()].as_str())
            .collect();
        format!(
            "  {name}:
    public: {{ listen: \"{ip}:{public}\", url: \"http://{ip}:{public}\" }}
    gateway: {{ address: {ip}, port: {peer}, listen: \"{ip}:{peer}\", tls: {tls} }}
    admin: \"{ip}:{admin}\"
    nearest: [{nearest}]
    pools:
",
            name = all[at],
            nearest = nearest.join(", "),
        )
    }
}

/// The name of a region by its number.
pub fn name(at: usize) -> String {
    format!("region-{at}")
}
