//! Regions and their pools.

use crate::listener::{Gateway, Public};
use crate::name::{ModelName, RegionName};
use crate::retrieval::VectorDb;
use crate::source::SignalSource;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

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
    pub fn reports_lag(&self) -> bool {
        self.signals.iter().any(SignalSource::reports_lag)
    }
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
