//! Joins parts to a snapshot, as a gateway does.

use super::open::{
    ads, certificate_sources, managers, network_filters, secret_source, sockets, upstream_filters,
};
use crate::snapshot::{Parts, Snapshot};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::listener::v3::filter;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, HttpFilter};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use std::collections::BTreeSet;

/// A reference that leads to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at} refers to the {what} `{name}`, which is not there")]
pub struct Unresolved {
    /// Who refers to it.
    pub at: String,
    /// A kind of resource.
    pub what: &'static str,
    /// Its name.
    pub name: String,
}

/// Puts the parts together. Every part must be referred to: one that is not would never be verified.
pub fn join(parts: &Parts) -> Result<Snapshot, Unresolved> {
    let mut joined = Join {
        parts,
        used: BTreeSet::new(),
        lost: None,
    };
    let mut listeners = parts.listeners.clone();
    for listener in &mut listeners {
        let at = format!("listener {}", listener.name);
        managers(listener, |manager| joined.manager(&at, manager));
        for socket in sockets(listener) {
            certificate_sources(socket, Some(&ads()), None);
        }
        for filter in network_filters(listener) {
            if let Some(filter::ConfigType::ConfigDiscovery(_)) = &filter.config_type {
                let config = joined.extension(&at, &filter.name);
                filter.config_type = config.map(filter::ConfigType::TypedConfig);
            }
        }
    }
    let mut clusters = parts.clusters.clone();
    for cluster in &mut clusters {
        joined.cluster(cluster);
    }
    let Parts {
        endpoints,
        routes,
        extensions,
        ..
    } = parts;
    if joined.used.len() != endpoints.len() + routes.len() + extensions.len() {
        joined.lose("nothing", "rest of the resources", "");
    }
    match joined.lost {
        Some(lost) => Err(lost),
        None => Ok(Snapshot {
            listeners,
            clusters,
            secrets: parts.secrets.clone(),
        }),
    }
}

const ENDPOINTS: &str = "endpoints";
const EXTENSION: &str = "filter configuration";
const ROUTES: &str = "routes";

struct Join<'p> {
    parts: &'p Parts,
    /// Kinds and names of the resources that were referred to.
    used: BTreeSet<(&'static str, String)>,
    lost: Option<Unresolved>,
}

impl Join<'_> {
    fn lose(&mut self, at: &str, what: &'static str, name: &str) {
        self.lost.get_or_insert(Unresolved {
            at: at.to_owned(),
            what,
            name: name.to_owned(),
        });
    }

    fn manager(&mut self, at: &str, manager: &mut HttpConnectionManager) {
        if let Some(RouteSpecifier::Rds(rds)) = &manager.route_specifier {
            let name = &rds.route_config_name;
            let found = self.parts.routes.iter().find(|routes| routes.name == *name);
            match found.filter(|_| rds.config_source == Some(ads())) {
                Some(routes) => {
                    self.used.insert((ROUTES, name.clone()));
                    manager.route_specifier = Some(RouteSpecifier::RouteConfig(routes.clone()));
                }
                None => self.lose(at, ROUTES, &name.clone()),
            }
        }
        for filter in &mut manager.http_filters {
            secret_source(filter, Some(&ads()), None);
            self.filter(at, filter);
        }
    }

    fn filter(&mut self, at: &str, filter: &mut HttpFilter) {
        if let Some(ConfigType::ConfigDiscovery(_)) = &filter.config_type {
            let config = self.extension(at, &filter.name);
            filter.config_type = config.map(ConfigType::TypedConfig);
        }
    }

    fn extension(&mut self, at: &str, name: &str) -> Option<Any> {
        let mut extensions = self.parts.extensions.iter();
        let found = extensions.find(|extension| extension.name == name);
        let config = found.and_then(|extension| extension.typed_config.clone());
        match &config {
            Some(_) => {
                self.used.insert((EXTENSION, name.to_owned()));
            }
            None => self.lose(at, EXTENSION, name),
        }
        config
    }

    fn cluster(&mut self, cluster: &mut Cluster) {
        if let Some(socket) = &mut cluster.transport_socket {
            certificate_sources(socket, Some(&ads()), None);
        }
        let at = format!("cluster {}", cluster.name);
        upstream_filters(cluster, |filter| self.filter(&at, filter));
        let by_eds = ClusterDiscoveryType::Type(DiscoveryType::Eds.into());
        if cluster.cluster_discovery_type != Some(by_eds) {
            return;
        }
        let mut endpoints = self.parts.endpoints.iter();
        match endpoints.find(|assignment| assignment.cluster_name == cluster.name) {
            Some(assignment) => {
                self.used.insert((ENDPOINTS, cluster.name.clone()));
                cluster.cluster_discovery_type =
                    Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into()));
                cluster.eds_cluster_config = None;
                cluster.load_assignment = Some(assignment.clone());
            }
            None => self.lose(&at, ENDPOINTS, &cluster.name),
        }
    }
}
