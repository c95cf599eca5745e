//! The fleet: zones, regions, pools and fallbacks, checked. Values of these types are made by the fleet file's loader,
//! which refuses whatever contradicts itself, so the rest of the code has no case for it: every name that is
//! mentioned exists, no pinned zone accepts a fallback of another jurisdiction, and every zone has a way to be served.

use crate::name::{FallbackName, ModelName, RegionName, ZoneName};
use crate::pool_policy::Balance;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

pub use crate::fallback::{Fallback, ProviderEndpoint, Secret};
pub use crate::limits::{Limits, Overflow, OwnLimits, Unhealthy};
pub use crate::listener::{Gateway, KeyPair, Public};
pub use crate::region::{Pool, Region};
pub use crate::zone::{Misdirected, Order, Trust, UnknownZone, Zone, ZoneSource, ZoneSourceKind};

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
        self.limits.with_overrides(&zone).with_overrides(&model)
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
