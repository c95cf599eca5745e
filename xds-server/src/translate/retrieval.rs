//! Retrieval: connections to the listener `milvus` go to the database that the plan chose, then to the next readable
//! one if it does not respond. They are proxied as TCP, so Milvus and PostgreSQL work alike.
//!
//! ```text
//! milvus -> cluster vector_db/<home> -> listener retrieval/<region> -> chain retrieval/<region> -> database/<region>, ...
//!           its one endpoint moves      inside this process           fixed                        own, or by mTLS
//! ```
//!
//! Other gateways connect to `milvus-peer`, which leads to this region's own database only.

use super::access_log;
use super::node::Node;
use crate::wire::{address, exactly, extension, millis, number, transport_socket, yes};
use crate::{name, tls};
use envoy_types::pb::envoy::config::core::v3::BackoffStrategy;
use envoy_types::pb::envoy::config::listener::v3::listener::{
    InternalListenerConfig, ListenerSpecifier,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::rbac::v3::principal::{Authenticated, Identifier};
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::config::rbac::v3::{
    Permission, Policy, Principal, Rbac as Rules, permission,
};
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, UpstreamConnectMode,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
use meridian_planner::retrieval::{databases, readers};
use meridian_policy::RegionName;
use meridian_policy::fleet::Region;
use meridian_policy::retrieval::VectorDb;
use prost::{Message, Name};

/// The retrieval listeners of a region with a database.
pub fn listeners(node: &Node<'_>, region: &Region, database: &VectorDb) -> Vec<Listener> {
    let all = databases(node.fleet, node.home);
    let mut listeners = vec![public(node, database)];
    listeners.extend(for_gateways(node, region, database));
    listeners.extend(all.iter().map(|first| inside(node, first, all.len())));
    listeners
}

/// The listener for applications of the region.
fn public(node: &Node<'_>, database: &VectorDb) -> Listener {
    let to = tcp_proxy(node, "milvus", name::vector_db(node.home));
    Listener {
        name: "milvus".into(),
        address: address(database.listen),
        filter_chains: vec![chain(vec![network_filter(
            "envoy.filters.network.tcp_proxy",
            to,
        )])],
        ..Default::default()
    }
}

/// The internal listener that tries the database of `first`, then the others.
fn inside(node: &Node<'_>, first: &RegionName, members: usize) -> Listener {
    let listener = name::retrieval(first);
    let to = TcpProxy {
        max_connect_attempts: number(u32::try_from(members + 1).unwrap_or(u32::MAX)),
        // The wait until all workers know that an endpoint failed.
        backoff_options: Some(BackoffStrategy {
            base_interval: millis(50),
            max_interval: millis(500),
        }),
        ..tcp_proxy(node, &listener, listener.clone())
    };
    Listener {
        name: listener,
        listener_specifier: Some(ListenerSpecifier::InternalListener(
            InternalListenerConfig {},
        )),
        filter_chains: vec![chain(vec![network_filter(
            "envoy.filters.network.tcp_proxy",
            to,
        )])],
        ..Default::default()
    }
}

/// The listener for other gateways that may read this region's database; `None` if there are none.
fn for_gateways(node: &Node<'_>, region: &Region, database: &VectorDb) -> Option<Listener> {
    let readers = readers(node.fleet, node.home);
    if readers.is_empty() {
        return None;
    }
    let sans = readers
        .iter()
        .map(|reader| tls::gateway_san(node.fleet, reader));
    let context = DownstreamTlsContext {
        require_client_certificate: yes(),
        common_tls_context: Some(tls::between_gateways(&region.gateway, sans.collect())),
        ..Default::default()
    };
    let to = TcpProxy {
        // No upstream connection before the TLS handshake: the client must be authenticated first.
        upstream_connect_mode: UpstreamConnectMode::OnDownstreamTlsHandshake.into(),
        max_early_data_bytes: number(0),
        ..tcp_proxy(node, "milvus-peer", name::database(node.home))
    };
    let filters = vec![
        network_filter("envoy.filters.network.rbac", allowed(node, &readers)),
        network_filter("envoy.filters.network.tcp_proxy", to),
    ];
    Some(Listener {
        name: "milvus-peer".into(),
        address: address(database.listen_for_gateways(&region.gateway)),
        filter_chains: vec![FilterChain {
            transport_socket: transport_socket(context),
            ..chain(filters)
        }],
        ..Default::default()
    })
}

fn allowed(node: &Node<'_>, readers: &[RegionName]) -> Rbac {
    let principal = |reader: &RegionName| Principal {
        identifier: Some(Identifier::Authenticated(Authenticated {
            principal_name: Some(exactly(&node.fleet.spiffe_id(reader))),
        })),
    };
    let policy = Policy {
        permissions: vec![Permission {
            rule: Some(permission::Rule::Any(true)),
        }],
        principals: readers.iter().map(principal).collect(),
        ..Default::default()
    };
    Rbac {
        rules: Some(Rules {
            action: Action::Allow.into(),
            policies: [("readers".to_owned(), policy)].into(),
            ..Default::default()
        }),
        stat_prefix: "milvus_peer.".into(),
        ..Default::default()
    }
}

fn tcp_proxy(node: &Node<'_>, listener: &str, cluster: String) -> TcpProxy {
    TcpProxy {
        stat_prefix: name::stat(listener),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)),
        access_log: access_log::of_connections(&node.fleet.access_log, node.home, listener),
        ..Default::default()
    }
}

fn chain(filters: Vec<Filter>) -> FilterChain {
    FilterChain {
        filters,
        ..Default::default()
    }
}

fn network_filter<M: Message + Name>(name: &str, message: M) -> Filter {
    let filter = extension(name, message);
    Filter {
        name: filter.name,
        config_type: filter.typed_config.map(filter::ConfigType::TypedConfig),
    }
}
