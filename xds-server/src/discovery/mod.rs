//! Splits a snapshot into xDS resources: each part that changes by itself becomes a resource of its own, and a
//! reference to it stays.
//!
//! ```text
//! Snapshot --split--> Parts --versions::resources--> Resources of the xDS server
//!          <--join---
//! ```
//!
//! | cut out | moves |
//! | --- | --- |
//! | routes of every listener (RDS) | weights of the lanes that lead elsewhere |
//! | endpoints of pools, peers and databases with addresses (EDS) | endpoints in the fleet file, regions that are down |
//! | the database that serves what is retrieved (EDS) | replicas that are behind |
//! | the router's policy (ECDS) | shares, whose data is fresh, the lease |
//! | what peers may bring (ECDS) | zones in the fleet file |
//! | what picks servers for peers (ECDS) | how pools balance, in the fleet file |
//! | the guard of all chains (ECDS) | the filter's file, contexts in the fleet file |
//! | secrets (SDS) | places of keys and certificates in the fleet file |
//!
//! `join` is the inverse. What is verified before publication is the joined parts, as a gateway assembles them.

mod join;
mod open;
mod split;
mod versions;

pub(crate) use open::ads;

pub use join::{Unresolved, join};
pub use split::{moving, split};
pub use versions::{replaced, resources};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;

/// The resources of one gateway, without versions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Listeners that refer to their routes, to the filter's policy, to RBAC and to secrets.
    pub listeners: Vec<Listener>,
    /// Clusters that refer to their endpoints and to the guard.
    pub clusters: Vec<Cluster>,
    /// Endpoints of pools, peers and databases, by their cluster's name.
    pub endpoints: Vec<ClusterLoadAssignment>,
    /// Routes, by name.
    pub routes: Vec<RouteConfiguration>,
    /// Configurations of HTTP filters, by the filter's name.
    pub extensions: Vec<TypedExtensionConfig>,
    /// Secrets: places on the gateway, never values.
    pub secrets: Vec<Secret>,
}

#[cfg(test)]
mod tests;
