//! Splits a snapshot into its parts.

use super::open::{
    ads, certificate_sources, managers, network_filters, opened, secret_source, sockets,
    upstream_filters,
};
use crate::snapshot::{Parts, Snapshot};
use crate::translate::Moving;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
};
use envoy_types::pb::envoy::config::core::v3::{ExtensionConfigSource, TypedExtensionConfig};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::{Filter, filter};
use envoy_types::pb::envoy::config::rbac::v3::Rbac as Rules;
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilter;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{HttpFilter, Rds};
use envoy_types::pb::envoy::extensions::filters::network::wasm::v3 as network;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::util::pack_any;
use prost::{Message, Name};

/// Splits a snapshot into its parts.
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
                extensions.extend(extension(filter));
                secret_source(filter, None, Some(ads()));
            }
        });
        for socket in sockets(listener) {
            certificate_sources(socket, None, Some(&ads()));
        }
        for filter in network_filters(listener) {
            of_connections(filter, &mut extensions);
        }
    }
    for cluster in &mut clusters {
        if let Some(socket) = &mut cluster.transport_socket {
            certificate_sources(socket, None, Some(&ads()));
        }
        upstream_filters(cluster, |filter| shared(filter, &mut extensions));
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

/// The parts that a plan moves.
pub fn moving(moving: Moving) -> Parts {
    let Moving {
        mut router,
        routes,
        endpoints,
    } = moving;
    Parts {
        extensions: extension(&mut router).into_iter().collect(),
        routes: routes.into_iter().collect(),
        endpoints,
        ..Default::default()
    }
}

/// Moves the configuration of a filter to a resource. Until Envoy has it, the filter refuses every request.
fn extension(filter: &mut HttpFilter) -> Option<TypedExtensionConfig> {
    let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
        return None;
    };
    let refusing = refusing(any)?;
    let extension = TypedExtensionConfig {
        name: filter.name.clone(),
        typed_config: Some(any.clone()),
    };
    filter.config_type = Some(ConfigType::ConfigDiscovery(ExtensionConfigSource {
        config_source: Some(ads()),
        type_urls: vec![refusing.type_url.clone()],
        default_config: Some(refusing),
        ..Default::default()
    }));
    Some(extension)
}

/// Moves the configuration of a filter that every chain has to one shared resource.
fn shared(filter: &mut HttpFilter, extensions: &mut Vec<TypedExtensionConfig>) {
    if let Some(ConfigType::TypedConfig(any)) = &filter.config_type
        && let Some(source) = source_of::<Wasm>(&filter.name, any, extensions)
            .or_else(|| source_of::<DynamicModuleFilter>(&filter.name, any, extensions))
    {
        filter.config_type = Some(ConfigType::ConfigDiscovery(source));
    }
}

/// The same for a filter of TCP connections.
fn of_connections(filter: &mut Filter, extensions: &mut Vec<TypedExtensionConfig>) {
    if let Some(filter::ConfigType::TypedConfig(any)) = &filter.config_type
        && let Some(source) = source_of::<network::Wasm>(&filter.name, any, extensions)
    {
        filter.config_type = Some(filter::ConfigType::ConfigDiscovery(source));
    }
}

/// The source of a plugin's configuration, which is among the resources from now on. `None` if the filter is no plugin, or
/// there is a different configuration of the same name: then it stays inline.
fn source_of<W: Message + Name + Default + PartialEq>(
    name: &str,
    any: &Any,
    extensions: &mut Vec<TypedExtensionConfig>,
) -> Option<ExtensionConfigSource> {
    if any.type_url != W::type_url() {
        return None;
    }
    match extensions.iter().find(|each| each.name == name) {
        None => extensions.push(TypedExtensionConfig {
            name: name.to_owned(),
            typed_config: Some(any.clone()),
        }),
        Some(before) if before.typed_config.as_ref() == Some(any) => {}
        Some(before) if opened::<W>(before.typed_config.as_ref()) == opened::<W>(Some(any)) => {}
        Some(_) => return None,
    }
    Some(ExtensionConfigSource {
        config_source: Some(ads()),
        type_urls: vec![any.type_url.clone()],
        ..Default::default()
    })
}

/// The default configuration: the filter without a policy, or RBAC that allows nothing. `None` for a filter that stays
/// inline.
fn refusing(filter: &Any) -> Option<Any> {
    if let Some(mut wasm) = opened::<Wasm>(Some(filter)) {
        wasm.config.as_mut()?.configuration.take()?;
        return Some(pack_any(wasm));
    }
    if let Some(mut module) = opened::<DynamicModuleFilter>(Some(filter)) {
        module.filter_config.take()?;
        return Some(pack_any(module));
    }
    opened::<Rbac>(Some(filter)).map(|_| {
        pack_any(Rbac {
            rules: Some(Rules {
                action: Action::Allow.into(),
                ..Default::default()
            }),
            ..Default::default()
        })
    })
}

/// Moves the endpoints of a cluster to a resource, if they are the addresses of a region. Clusters with DNS names keep
/// theirs.
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
