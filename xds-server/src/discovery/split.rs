//! From a snapshot to its parts.

use super::Parts;
use super::open::{ads, managers, opened, secret_source};
use crate::translate::Snapshot;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
};
use envoy_types::pb::envoy::config::core::v3::{ExtensionConfigSource, TypedExtensionConfig};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{HttpFilter, Rds};
use envoy_types::util::pack_any;
use prost::Name;

/// Cuts a snapshot into its parts.
pub fn split(snapshot: Snapshot) -> Parts {
    let Snapshot {
        mut listeners,
        mut clusters,
        secrets,
    } = snapshot;
    let mut routes = Vec::new();
    let mut extensions = Vec::new();
    for listener in &mut listeners {
        managers(listener, |manager| {
            if let Some(RouteSpecifier::RouteConfig(configuration)) = manager.route_specifier.take()
            {
                manager.route_specifier = Some(RouteSpecifier::Rds(Rds {
                    config_source: Some(ads()),
                    route_config_name: configuration.name.clone(),
                }));
                routes.push(configuration);
            }
            for filter in &mut manager.http_filters {
                extensions.extend(policy(filter));
                secret_source(filter, Some(ads()));
            }
        });
    }
    Parts {
        endpoints: clusters.iter_mut().filter_map(endpoints).collect(),
        listeners,
        clusters,
        routes,
        extensions,
        secrets,
    }
}

/// Takes the configuration out of a Wasm filter that has one. Until it comes, and if it never does, the filter has none,
/// and refuses everything.
fn policy(filter: &mut HttpFilter) -> Option<TypedExtensionConfig> {
    let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
        return None;
    };
    let mut refusing: Wasm = opened(Some(any))?;
    refusing.config.as_mut()?.configuration.take()?;
    let extension = TypedExtensionConfig {
        name: filter.name.clone(),
        typed_config: Some(any.clone()),
    };
    filter.config_type = Some(ConfigType::ConfigDiscovery(ExtensionConfigSource {
        config_source: Some(ads()),
        default_config: Some(pack_any(refusing)),
        type_urls: vec![Wasm::type_url()],
        ..Default::default()
    }));
    Some(extension)
}

/// Takes the endpoints out of a pool or peer whose addresses are known: those of a region. Names are for Envoy to resolve.
fn endpoints(cluster: &mut Cluster) -> Option<ClusterLoadAssignment> {
    let fixed = ClusterDiscoveryType::Type(DiscoveryType::Static.into());
    let assignment = cluster.load_assignment.as_ref()?;
    let of_a_region = assignment
        .endpoints
        .iter()
        .all(|locality| locality.locality.is_some());
    if cluster.cluster_discovery_type != Some(fixed) || !of_a_region {
        return None;
    }
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into()));
    cluster.eds_cluster_config = Some(EdsClusterConfig {
        eds_config: Some(ads()),
        service_name: String::new(),
    });
    cluster.load_assignment.take()
}
