//! The Envoy configuration of one gateway, as plain messages.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;

/// The resources that one Envoy receives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Listeners, with their routes.
    pub listeners: Vec<Listener>,
    /// Clusters, with their endpoints.
    pub clusters: Vec<Cluster>,
    /// References to secrets on the gateway; never their values.
    pub secrets: Vec<Secret>,
}

/// The same as resources of xDS, without versions: each part that changes by itself is one.
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
