//! A fleet of any size on three continents, on loopback.

use super::Arguments;
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Where regions are: the parts of a name, a latitude and a longitude.
const CONTINENTS: [(&str, f64, f64); 3] =
    [("us", 39.0, -100.0), ("eu", 49.0, 8.0), ("ap", 20.0, 110.0)];

/// How often a source is read.
const EVERY: &str = "2s";

/// A fleet and its addresses: 127.x.y.*.
#[derive(Debug)]
pub struct Fleet {
    block: [u8; 2],
    regions: usize,
    models: usize,
    lease_s: u64,
    has_signals: bool,
    /// Bound as long as the addresses are ours.
    _claim: TcpListener,
}

impl Fleet {
    /// A fleet on addresses that are free.
    pub fn claim(arguments: &Arguments) -> Result<Self> {
        let first = u16::try_from(std::process::id() % 60_000)?;
        for offset in 0..1000 {
            let [x, y] = (first + offset).to_be_bytes();
            let block = [x.max(1), y];
            if let Ok(claim) = TcpListener::bind((address(block, 254), 9)) {
                return Ok(Self {
                    block,
                    regions: arguments.regions,
                    models: arguments.models,
                    lease_s: arguments.lease,
                    has_signals: !arguments.no_signals,
                    _claim: claim,
                });
            }
        }
        None.context("no loopback addresses are free")
    }

    /// Where gateways find the control plane.
    pub fn xds(&self) -> SocketAddr {
        (address(self.block, 250), 18_000).into()
    }

    /// Its status port.
    pub fn status(&self) -> SocketAddr {
        (address(self.block, 250), 18_001).into()
    }

    /// The admin interface of the first region's gateway.
    pub fn admin(&self) -> SocketAddr {
        (address(self.block, 1), 9901).into()
    }

    /// Its public listener.
    pub fn public(&self) -> SocketAddr {
        (address(self.block, 1), 8080).into()
    }

    /// Where all sources are served.
    pub fn source(&self) -> SocketAddr {
        (address(self.block, 251), 8000).into()
    }

    /// The number of regions.
    pub fn regions(&self) -> usize {
        self.regions
    }

    /// The fleet file.
    pub fn text(&self) -> String {
        let all: Vec<String> = (0..self.regions).map(region).collect();
        let eu: Vec<&str> = all
            .iter()
            .filter(|name| name.starts_with("eu"))
            .map(String::as_str)
            .collect();
        let regions: String = (0..self.regions).map(|at| self.region_text(at)).collect();
        let Self { lease_s, .. } = self;
        format!(
            "\
zones:
  eea: {{ countries: [preset:eea], pinned: true, regions: [{eu}], fallbacks: [] }}
  global: {{ countries: [preset:rest], regions: [{all}], fallbacks: [other] }}
unknown_zone: eea
classify:
  - {{ header: cf-ipcountry, gives: country, trust: {{ cidr: [127.0.0.1/32] }} }}
control_plane: {{ address: {xds}, status: \"{status}\", plaintext: true, lease: {lease_s}s }}
fallbacks:
  other: {{ provider: openai-compatible, url: \"http://{source}/v1\", jurisdiction: [global], api_key: {{ env: KEY }} }}
regions:
{regions}",
            eu = eu.join(", "),
            all = all.join(", "),
            xds = self.xds().ip(),
            status = self.status(),
            source = self.source(),
        )
    }

    fn region_text(&self, at: usize) -> String {
        let (_, latitude, longitude) = CONTINENTS[at % CONTINENTS.len()];
        // Some hundred kilometres from one to the next.
        let offset = (at / CONTINENTS.len()) as f64;
        let [x, y] = self.block;
        let ip = format!("127.{x}.{y}.{}", at + 1);
        let pools: String = (0..self.models)
            .map(|model| {
                let model = model_name(model);
                format!("      {model}: {{ endpoints: [\"{ip}:8001\", \"{ip}:8002\"] }}\n")
            })
            .collect();
        let source = self.source();
        let signals = format!(
            "    signals:\n      - {{ prometheus: \"http://{source}/{at}\", preset: vllm, max_running: 256, every: {EVERY} }}\n"
        );
        let signals = if self.has_signals { &*signals } else { "" };
        format!(
            "  {name}:
    public: {{ listen: \"{ip}:8080\", url: \"http://{ip}:8080\" }}
    gateway: {{ address: \"{ip}\", port: 8443, listen: \"{ip}:8443\" }}
    admin: \"{ip}:9901\"
    location: {{ latitude: {latitude}, longitude: {longitude} }}
{signals}    pools:
{pools}",
            name = region(at),
            latitude = latitude - offset * 0.7,
            longitude = longitude + offset * 2.1,
        )
    }
}

fn address([x, y]: [u8; 2], host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, x, y, host)
}

/// The name of a region by its number.
pub fn region(at: usize) -> String {
    let (continent, _, _) = CONTINENTS[at % CONTINENTS.len()];
    format!("{continent}-region-{}", at / CONTINENTS.len())
}

/// The name of a model by its number.
pub fn model_name(at: usize) -> String {
    format!("model-{at}")
}
