//! The fleet: zones, regions, pools and fallbacks. The fleet file's loader makes these values and rejects contradictions. Other
//! code may rely on three facts. Every referenced name exists. A pinned zone has only fallbacks of its own jurisdiction. Every
//! zone can be served.

use crate::name::{FallbackName, ModelName, RegionName, ZoneName};
use crate::pool_policy::Balance;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

pub use crate::fallback::{Fallback, ProviderEndpoint, Secret};
pub use crate::limits::{Failover, Limits, Overflow, OwnLimits, Unhealthy};
pub use crate::listener::{FilterFiles, FilterKind, Gateway, KeyPair, Public};
pub use crate::region::{Pool, Region};
pub use crate::zone::{
    ContentRules, Misdirected, Order, Trust, UnknownZone, Zone, ZoneSource, ZoneSourceKind,
};

/// A fleet, as one fleet file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Residency zones.
    pub zones: BTreeMap<ZoneName, Zone>,
    /// The rule for callers whose zone is unknown.
    pub unknown_zone: UnknownZone,
    /// The sources of a caller's zone, the most significant first.
    pub sources: Vec<ZoneSource>,
    /// Regions with their gateways and pools.
    pub regions: BTreeMap<RegionName, Region>,
    /// Hosted providers.
    pub fallbacks: BTreeMap<FallbackName, Fallback>,
    /// Time and size limits.
    pub limits: Limits,
    /// The limits of models with limits of their own.
    pub own_limits: BTreeMap<ModelName, OwnLimits>,
    /// The balancing policy of each model's pools. Without an entry the default applies.
    pub balance: BTreeMap<ModelName, Balance>,
    /// SHA-256 digests, in hex, of the API keys whose requests are batch requests.
    pub batch_keys: BTreeSet<String>,
    /// Another header for the needs of a request, besides [`crate::headers::NEEDS`], in lower case.
    pub needs_header: Option<String>,
    /// How far failover goes, for zones without an own depth.
    pub failover: Failover,
    /// When a region sheds load.
    pub overflow: Overflow,
    /// When a region counts as unhealthy.
    pub unhealthy: Unhealthy,
    /// The control plane of the gateways. Without one, their configurations are static.
    pub control_plane: Option<ControlPlane>,
    /// SPIFFE trust domain of the gateways. A gateway's certificate has the ID `spiffe://<trust_domain>/region/<region>`.
    pub trust_domain: String,
    /// Paths of the filter on the gateways.
    pub filters: FilterFiles,
    /// Access log of the gateways: a path, or `/dev/stdout`.
    pub access_log: String,
    /// Maximum heap of one Envoy, in bytes. Near it Envoy resets the largest requests, then refuses new ones. A worker holds request bodies
    /// of up to a quarter of it.
    pub heap: u64,
}

/// The control plane, as the gateways reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlPlane {
    /// The hosts for the gateways' connections, one of each replica: IP addresses or DNS names. At least one.
    pub addresses: Vec<String>,
    /// The port for the gateways' connections.
    pub port: u16,
    /// The listen address for the gateways.
    pub listen: SocketAddr,
    /// The certificate of the control plane, with the URI SAN `spiffe://<trust_domain>/control-plane`, and the CA of the
    /// gateways. `None`: no TLS, for a control plane on loopback.
    pub tls: Option<ControlPlaneTls>,
    /// The listen address of `meridian status`, `/metrics` and `/healthz`.
    pub status: SocketAddr,
    /// The admin API for other machines; `None`: for the control plane's own alone, at `status`.
    pub api: Option<AdminApi>,
    /// The time for which a gateway applies a plan without a renewal. After it, requests go home first.
    pub lease: Duration,
}

/// The admin API for other machines, over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminApi {
    /// The listen address.
    pub listen: SocketAddr,
    /// The certificate and its key.
    pub identity: KeyPair,
    /// The CA of the operators' certificates; `None`: they have tokens.
    pub ca: Option<String>,
    /// Path of the file of operators.
    pub operators: String,
}

/// Paths of PEM files on the control plane's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlaneTls {
    /// The certificate and its key.
    pub identity: KeyPair,
    /// The CA of the gateways' certificates.
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

    /// The limits of a zone's requests for a model: the model's own, else the zone's, else the fleet's.
    pub fn limits_of(&self, zone: &ZoneName, model: &ModelName) -> Limits {
        let own = |own: Option<&OwnLimits>| own.copied().unwrap_or_default();
        let zone = own(self.zones.get(zone).map(|zone| &zone.limits));
        let model = own(self.own_limits.get(model));
        self.limits.with_overrides(&zone).with_overrides(&model)
    }

    /// How the gateway of a region runs the filter.
    pub fn filter_kind(&self, region: &RegionName) -> FilterKind {
        let region = self.regions.get(region);
        region.map_or_else(FilterKind::default, |region| region.gateway.filter)
    }

    /// Bytes of request bodies that a worker of a gateway holds at most: with its copies a body takes up to four times its size.
    pub fn bodies(&self) -> u64 {
        self.heap / 4
    }

    /// The balancing policy of each pool of a region.
    pub fn balances(&self, region: &RegionName) -> BTreeMap<ModelName, Balance> {
        let pools = self.regions.get(region).map(|region| region.pools.keys());
        let balance = |model: &ModelName| self.balance.get(model).copied().unwrap_or_default();
        let pools = pools.into_iter().flatten();
        pools.map(|model| (model.clone(), balance(model))).collect()
    }

    /// The models of all pools.
    pub fn models(&self) -> BTreeSet<&ModelName> {
        self.regions
            .values()
            .flat_map(|region| region.pools.keys())
            .collect()
    }
}
