//! Regions and their pools.

use crate::listener::{Gateway, Public};
use crate::location::Location;
use crate::name::{ModelName, RegionName};
use crate::retrieval::VectorDb;
use crate::source::SignalSource;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// A location with a gateway and pools.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// The listener for callers.
    pub public: Public,
    /// The listener for other gateways.
    pub gateway: Gateway,
    /// The listen address of Envoy's admin interface: loopback only.
    pub admin: SocketAddr,
    /// Where it is, if the fleet file says it. Nothing is decided by it: the distances that follow from it are in `round_trips`.
    pub location: Option<Location>,
    /// All other regions, the nearest first.
    pub nearest: Vec<RegionName>,
    /// Round-trip time to other regions, measured or estimated from the distance. Some may be unknown.
    pub round_trips: BTreeMap<RegionName, Duration>,
    /// The pool of each model deployed here.
    pub pools: BTreeMap<ModelName, Pool>,
    /// Maximum length of a prompt in tokens, for pools where it is known.
    pub contexts: BTreeMap<ModelName, u32>,
    /// Health check path of pools, where it is not `/health`.
    pub health_paths: BTreeMap<ModelName, String>,
    /// The pools whose DNS name alone decides which servers they have: an address that it no longer has is not used.
    pub names_decide: BTreeSet<ModelName>,
    /// The sources of the region's signals.
    pub signals: Vec<SignalSource>,
    /// Relative price of serving in this region. All regions share the unit.
    pub price: Option<f64>,
    /// The vector database of the region.
    pub vector_db: Option<VectorDb>,
}

impl Region {
    /// Whether a source reports the replication lag of the region's data store.
    pub fn reports_lag(&self) -> bool {
        self.signals.iter().any(SignalSource::reports_lag)
    }
}

/// The inference servers of one model in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pool {
    /// A fixed list of addresses.
    Endpoints(Vec<SocketAddr>),
    /// A DNS name that resolves to all endpoints.
    Dns {
        /// The name to resolve.
        host: String,
        /// The port of every endpoint.
        port: u16,
    },
}
