//! References between resources, as far as the order of pushes depends on them.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::core::v3::Address;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

/// What a resource refers to.
#[derive(Debug, Default)]
pub(super) struct References {
    /// Of a cluster: the EDS name; `None` if it does not use EDS.
    pub endpoints: Option<String>,
    /// Of a listener: the addresses that it binds.
    pub addresses: Vec<Address>,
    /// Of a listener: the RDS names.
    pub routes: Vec<String>,
}

impl References {
    /// The references of a packed resource.
    pub fn of(body: &Any) -> Self {
        if let Some(cluster) = unpack(body) {
            return Self {
                endpoints: endpoints(cluster),
                ..Self::default()
            };
        }
        let Some(mut listener) = unpack::<Listener>(body) else {
            return Self::default();
        };
        Self {
            endpoints: None,
            addresses: addresses(&mut listener),
            routes: routes(listener),
        }
    }
}

fn endpoints(cluster: Cluster) -> Option<String> {
    let eds = ClusterDiscoveryType::Type(DiscoveryType::Eds.into());
    if cluster.cluster_discovery_type != Some(eds) {
        return None;
    }
    let service = cluster.eds_cluster_config.map(|eds| eds.service_name);
    service
        .filter(|name| !name.is_empty())
        .or(Some(cluster.name))
}

fn addresses(listener: &mut Listener) -> Vec<Address> {
    let more = listener.additional_addresses.drain(..);
    let more = more.filter_map(|additional| additional.address);
    listener.address.take().into_iter().chain(more).collect()
}

fn routes(listener: Listener) -> Vec<String> {
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
