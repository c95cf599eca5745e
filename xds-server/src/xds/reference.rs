//! References between resources, as far as the order of pushes depends on them.

use super::resources::Resource;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::core::v3::Address;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

/// The EDS name of a cluster; `None` if it does not use EDS.
pub(super) fn endpoints(cluster: &Resource) -> Option<String> {
    let cluster: Cluster = unpack(&cluster.body)?;
    let eds = ClusterDiscoveryType::Type(DiscoveryType::Eds.into());
    if cluster.cluster_discovery_type != Some(eds) {
        return None;
    }
    let service = cluster.eds_cluster_config.map(|eds| eds.service_name);
    service
        .filter(|name| !name.is_empty())
        .or(Some(cluster.name))
}

/// The addresses that a listener binds.
pub(super) fn addresses(listener: &Resource) -> Vec<Address> {
    let listener: Option<Listener> = unpack(&listener.body);
    listener
        .map(|listener| {
            let more = listener.additional_addresses.into_iter();
            let more = more.filter_map(|additional| additional.address);
            listener.address.into_iter().chain(more).collect()
        })
        .unwrap_or_default()
}

/// The RDS names of a listener.
pub(super) fn routes(listener: &Resource) -> Vec<String> {
    let Some(listener) = unpack::<Listener>(&listener.body) else {
        return Vec::new();
    };
    let chains = listener.filter_chains.into_iter();
    let filters = chains
        .chain(listener.default_filter_chain)
        .flat_map(|chain| chain.filters)
        .filter_map(|filter| match filter.config_type? {
            ConfigType::TypedConfig(config) => Some(config),
            ConfigType::ConfigDiscovery(_) => None,
        });
    let api = listener.api_listener.and_then(|api| api.api_listener);
    filters
        .chain(api)
        .filter_map(|config| unpack::<HttpConnectionManager>(&config))
        .filter_map(|manager| match manager.route_specifier? {
            RouteSpecifier::Rds(rds) => Some(rds.route_config_name),
            _ => None,
        })
        .collect()
}

fn unpack<M: Message + Name + Default>(any: &Any) -> Option<M> {
    (any.type_url == M::type_url())
        .then(|| M::decode(any.value.as_slice()).ok())
        .flatten()
}
