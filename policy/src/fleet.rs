//! The fleet: zones, regions, pools and fallbacks, checked. Values of these types are made by the fleet file's loader,
//! which refuses whatever contradicts itself, so the rest of the code has no case for it: every name that is
//! mentioned exists, no pinned zone accepts a fallback of another jurisdiction, and every zone has a way to be served.

use crate::country::Country;
use crate::egress_policy::{Budget, Price, Provider};
use crate::name::{FallbackName, ModelName, RegionName, ZoneName};
use crate::pool_policy::Balance;
use crate::retrieval::VectorDb;
use crate::source::SignalSource;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// A whole fleet, as one fleet file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Residency zones.
    pub zones: BTreeMap<ZoneName, Zone>,
    /// What becomes of a caller that no source places in a zone.
    pub unknown_zone: UnknownZone,
    /// Where a caller's zone is read from, the most telling first.
    pub sources: Vec<ZoneSource>,
    /// Regions with their gateways and pools.
    pub regions: BTreeMap<RegionName, Region>,
    /// Hosted providers.
    pub fallbacks: BTreeMap<FallbackName, Fallback>,
    /// Time and size limits.
    pub limits: Limits,
    /// The limits of those models that have some of their own.
    pub own_limits: BTreeMap<ModelName, OwnLimits>,
    /// How the pools of a model balance, where that is told.
    pub balance: BTreeMap<ModelName, Balance>,
    /// API keys whose requests are batch: SHA-256, in hex.
    pub batch_keys: BTreeSet<String>,
    /// Another header by which callers say what they need, besides [`crate::headers::NEEDS`]; in lower case.
    pub needs_header: Option<String>,
    /// When a region sheds load.
    pub overflow: Overflow,
    /// When a region counts as unhealthy.
    pub unhealthy: Unhealthy,
    /// The control plane that the gateways ask; without one their configurations are static.
    pub control_plane: Option<ControlPlane>,
    /// SPIFFE trust domain of the gateways: a gateway's certificate names `spiffe://<trust_domain>/region/<region>`.
    pub trust_domain: String,
    /// Where the filter's .wasm lies on the gateways.
    pub filter: String,
    /// Where the gateways write their access log: a path, or `/dev/stdout`.
    pub access_log: String,
    /// Heap of one Envoy, in bytes: near it the largest requests are reset, then new ones refused.
    pub heap: u64,
}

/// A residency zone: who belongs to it and where its requests may go.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Countries whose callers belong here.
    pub countries: BTreeSet<Country>,
    /// Whether the countries that no other zone names belong here.
    pub rest: bool,
    /// Whether its requests never leave its regions and fallbacks.
    pub pinned: bool,
    /// Regions that it may use.
    pub regions: BTreeSet<RegionName>,
    /// Fallbacks that it may use, the first choice first.
    pub fallbacks: Vec<FallbackName>,
    /// What a gateway outside the zone does with its callers. Only pinned zones are ever misdirected.
    pub misdirected: Misdirected,
    /// Which of its regions is asked first.
    pub order: Order,
    /// Limits of its own.
    pub limits: OwnLimits,
}

/// Which of a zone's regions its callers are sent to first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Home, then the others by distance: all regions serve their own callers (active-active).
    #[default]
    Nearest,
    /// These in their order, at every gateway, then the others by distance (active-passive).
    Priority(Vec<RegionName>),
    /// A fixed part to each, at every gateway: load moves nobody. Where a region fails, the others are asked as for
    /// [`Order::Nearest`].
    Weighted(BTreeMap<RegionName, u32>),
}

/// What a gateway does with a pinned caller that it must not serve itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdirected {
    /// 421 that names the right gateways; no byte of the body is read.
    Refuse,
    /// 307 to the nearest right gateway.
    Redirect,
    /// Sent on to a peer in the zone: the request passes through this gateway.
    Forward,
}

/// What becomes of a caller that no source places in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownZone {
    /// It is treated as a caller of this zone.
    Zone(ZoneName),
    /// It is refused with 403.
    Refuse,
}

/// A header that tells a caller's zone or country.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneSource {
    /// The header's name, in lower case.
    pub header: String,
    /// What its value is.
    pub gives: Gives,
    /// Who may send it. From anyone else it is removed and says nothing.
    pub trust: Trust,
}

/// What the value of a [`ZoneSource`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gives {
    /// A zone's name.
    Zone,
    /// An ISO 3166-1 alpha-2 code.
    Country,
}

/// Whose headers are believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Addresses of the edge: the connection's own source, never a forwarded one.
    pub cidr: Vec<IpNet>,
}

/// One location with a gateway and pools.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// The listener that callers reach.
    pub public: Public,
    /// The listener that other gateways reach.
    pub gateway: Gateway,
    /// Envoy's admin interface; loopback only.
    pub admin: SocketAddr,
    /// Every other region, the nearest first.
    pub nearest: Vec<RegionName>,
    /// How long it takes to another region and back: measured by somebody, or by the distance. Of some it may not be known.
    pub round_trips: BTreeMap<RegionName, Duration>,
    /// The pool of each model deployed here.
    pub pools: BTreeMap<ModelName, Pool>,
    /// Tokens of the longest prompt of those pools that tell it.
    pub contexts: BTreeMap<ModelName, u32>,
    /// The path that health checks ask for, of those pools where it is not `/health`.
    pub health_paths: BTreeMap<ModelName, String>,
    /// Where the control plane reads how the region is.
    pub signals: Vec<SignalSource>,
    /// What serving costs here, in a unit that all regions share.
    pub price: Option<f64>,
    /// Its vector database.
    pub vector_db: Option<VectorDb>,
}

impl Region {
    /// Whether a source tells how far its data store is behind.
    pub fn tells_lag(&self) -> bool {
        self.signals.iter().any(SignalSource::tells_lag)
    }
}

/// The listener that callers reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Public {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How callers name it, e.g. `https://us-west-2.llm.example.com`, without a trailing slash: for those who
    /// reached the wrong gateway.
    pub url: Option<String>,
    /// Its certificate; plain HTTP without one.
    pub tls: Option<KeyPair>,
}

/// The listener that other gateways reach over mTLS.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The host that other gateways connect to: an IP address or a DNS name.
    pub address: String,
    /// The port that they connect to.
    pub port: u16,
    /// This gateway's certificate, whose URI SAN is the region's SPIFFE ID.
    pub identity: KeyPair,
    /// The authority that signed the other gateways' certificates, a path on the gateway.
    pub ca: String,
    /// Envoys that the region runs at most: they share its part of budgets.
    pub replicas: u32,
}

/// Paths of a certificate chain and its key on the gateway, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The certificate chain.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// The inference servers of one model in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Addresses that are known.
    Endpoints(Vec<SocketAddr>),
    /// A name that resolves to all of them.
    Dns {
        /// The name to resolve.
        host: String,
        /// The port of every endpoint.
        port: u16,
    },
}

/// A hosted provider that takes a request when no region can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Which API it speaks.
    pub provider: Provider,
    /// Where its API is.
    pub endpoint: ProviderEndpoint,
    /// Where it may process a request, e.g. `eea`; `global` means anywhere.
    pub jurisdiction: BTreeSet<String>,
    /// Our credential.
    pub api_key: Secret,
    /// Tokens of the longest prompt, where that is told.
    pub context: Option<u32>,
    /// What all gateways together may spend with it.
    pub budget: Budget,
    /// What it costs, where that is told.
    pub price: Option<Price>,
}

/// A provider's base URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderEndpoint {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken; only a loopback provider may go without.
    pub tls: bool,
    /// What stands in for `/v1`, without a trailing slash: the path of the base URL.
    pub path: String,
}

/// Where a gateway finds a secret. Its value never passes through Meridian's own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// An environment variable of the Envoy process.
    Env(String),
    /// A file on the gateway, read when the gateway starts.
    File(String),
    /// A file on the gateway that holds it as a resource of Envoy's SDS, read again whenever another is moved over it.
    Sds(String),
}

/// Time and size limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection to an endpoint or a peer stands.
    pub connect: Duration,
    /// Until the first content of a streamed answer, besides what the prompt takes; past it the next region is asked as well, and
    /// the first to answer wins.
    pub first_token: Duration,
    /// The same for an answer that is not streamed: these are silent until they are whole.
    pub unstreamed: Duration,
    /// Tokens of a prompt that a server reads in a second, at the slowest: both limits are longer by what the prompt takes.
    pub prefill_rate: u32,
    /// Between two pieces of a streamed answer.
    pub stream_idle_timeout: Duration,
    /// For the whole answer.
    pub answer: Duration,
    /// Requests of one zone and model at one gateway that may be on their way to another member at a time.
    pub retries: u32,
    /// Largest request body, in bytes.
    pub body: u32,
}

/// Limits that a zone or a model has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnLimits {
    /// In place of [`Limits::first_token`].
    pub first_token: Option<Duration>,
    /// In place of [`Limits::unstreamed`].
    pub unstreamed: Option<Duration>,
    /// In place of [`Limits::prefill_rate`].
    pub prefill_rate: Option<u32>,
}

impl Limits {
    /// These, but for what is said in their place.
    pub fn or_own(self, own: &OwnLimits) -> Self {
        Self {
            first_token: own.first_token.unwrap_or(self.first_token),
            unstreamed: own.unstreamed.unwrap_or(self.unstreamed),
            prefill_rate: own.prefill_rate.unwrap_or(self.prefill_rate),
            ..self
        }
    }
}

/// When a region sheds load, and how far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overflow {
    /// Utilization above which home sheds what brings it back under, 0 to 1.
    pub above: f64,
    /// Utilization below which it takes its callers back.
    pub back_below: f64,
    /// The part of its callers that home keeps whatever happens, 0 to 1.
    pub floor: f64,
    /// A queue wait of this long is a utilization of 1.
    pub queue_wait: Duration,
    /// Whether GPU engine activity is utilization as well.
    pub gpu: bool,
}

impl Overflow {
    /// The floor in whole percents.
    pub fn floor_percent(&self) -> u8 {
        (self.floor * 100.0 - 1e-9).ceil().clamp(0.0, 100.0) as u8
    }

    /// The utilization that shedding aims at: in the middle between the two limits, where neither is near.
    pub fn target(&self) -> f64 {
        f64::midpoint(self.above, self.back_below)
    }
}

/// What holds where a fleet file says nothing.
impl Default for Overflow {
    fn default() -> Self {
        Self {
            above: 0.80,
            back_below: 0.70,
            floor: 0.10,
            queue_wait: Duration::from_secs(5),
            gpu: false,
        }
    }
}

/// When a region is soft-unhealthy: other regions are asked first as far as they have room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unhealthy {
    /// More requests than this wait in a pool.
    pub queue_depth: u32,
    /// The 95th percentile of the time to the first token is above this.
    pub first_token_p95: Duration,
    /// More than this part of the answers are failures, 0 to 1.
    pub error_rate: f64,
    /// The data store is behind its primary by more than this.
    pub replication_lag: Duration,
    /// A signal that is older says nothing.
    pub signal_ttl: Duration,
}

/// What holds where a fleet file says nothing.
impl Default for Unhealthy {
    fn default() -> Self {
        Self {
            queue_depth: 100,
            first_token_p95: Duration::from_secs(3),
            error_rate: 0.01,
            replication_lag: Duration::from_secs(30),
            signal_ttl: Duration::from_secs(10),
        }
    }
}

/// The control plane, as the gateways reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlPlane {
    /// The host that gateways connect to: an IP address or a DNS name.
    pub address: String,
    /// The port that they connect to.
    pub port: u16,
    /// Where it listens for them.
    pub listen: SocketAddr,
    /// Its certificate, with the URI SAN `spiffe://<trust_domain>/control-plane`, and the authority of the gateways';
    /// `None` for a control plane on loopback that speaks without TLS.
    pub tls: Option<ControlPlaneTls>,
    /// Where it answers `meridian status`, `/metrics` and `/healthz`.
    pub status: SocketAddr,
    /// How long a gateway acts on what it was told while it hears nothing new; past it, home first.
    pub lease: Duration,
}

/// Paths on the control plane's machine, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlaneTls {
    /// Certificate and key.
    pub identity: KeyPair,
    /// The authority that signed the gateways' certificates.
    pub ca: String,
}

impl Fleet {
    /// The SPIFFE ID in the control plane's certificate.
    pub fn control_plane_id(&self) -> String {
        format!("spiffe://{}/control-plane", self.trust_domain)
    }

    /// The SPIFFE ID in a gateway's certificate.
    pub fn spiffe_id(&self, region: &RegionName) -> String {
        format!("spiffe://{}/region/{region}", self.trust_domain)
    }

    /// The limits of a zone's requests for a model: each is the model's own, else the zone's, else the fleet's.
    pub fn limits_of(&self, zone: &ZoneName, model: &ModelName) -> Limits {
        let own = |own: Option<&OwnLimits>| own.copied().unwrap_or_default();
        let zone = own(self.zones.get(zone).map(|zone| &zone.limits));
        let model = own(self.own_limits.get(model));
        self.limits.or_own(&zone).or_own(&model)
    }

    /// How each pool of a region balances over its servers.
    pub fn balances(&self, region: &RegionName) -> BTreeMap<ModelName, Balance> {
        let pools = self.regions.get(region).map(|region| region.pools.keys());
        let balance = |model: &ModelName| self.balance.get(model).copied().unwrap_or_default();
        let pools = pools.into_iter().flatten();
        pools.map(|model| (model.clone(), balance(model))).collect()
    }

    /// Every model that is deployed anywhere.
    pub fn models(&self) -> BTreeSet<&ModelName> {
        self.regions
            .values()
            .flat_map(|region| region.pools.keys())
            .collect()
    }
}
