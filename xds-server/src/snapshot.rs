//! The Envoy configuration of one gateway, as plain messages.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::Listener;
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
