//! Retrieval: connections to the listener `milvus` go to the database that the plan chose, then to the next readable
//! one if it does not respond. They are proxied as TCP, so Milvus and PostgreSQL work alike.
//!
//! ```text
//! milvus -> cluster vector_db/<home> -> listener retrieval/<region> -> chain retrieval/<region> -> database/<region>, ...
//!           its one endpoint moves      inside this process           fixed                        own, or by mTLS
//! ```
//!
//! Other gateways connect to `milvus-peer`, which leads to this region's own database only.
//!
//! Envoy does not close a connection because its listener, its cluster or its endpoint is gone. The plugin `retrieval`
//! closes those that an edit of the fleet no longer allows. The listeners are made so that no edit of zones replaces what
//! other connections use: Envoy would close them after its drain time.

use super::node::Node;
use super::{access_log, filter};
use crate::wire::{
    address, exactly, extension, millis, network_filter, number, transport_socket, yes,
};
use crate::{name, tls};
use envoy_types::pb::envoy::config::core::v3::BackoffStrategy;
use envoy_types::pb::envoy::config::listener::v3::listener::{
    InternalListenerConfig, ListenerSpecifier,
};
use envoy_types::pb::envoy::config::listener::v3::listener_filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{
    Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter,
};
use envoy_types::pb::envoy::config::rbac::v3::principal::{Authenticated, Identifier};
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::config::rbac::v3::{
    Permission, Policy, Principal, Rbac as Rules, permission,
};
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, UpstreamConnectMode,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
use meridian_planner::retrieval::{readers, with_database};
use meridian_policy::RegionName;
use meridian_policy::fleet::Region;
use meridian_policy::retrieval::VectorDb;

/// Attempts of a connection to reach a database, about 1.5 s in all. It is no multiple of the chain's members: an edit that
/// changes them must not replace the listener. Databases that fail health checks are not attempted.
const ATTEMPTS: u32 = 8;

/// The retrieval listeners of a region with a database.
pub fn listeners(node: &Node<'_>, region: &Region, database: &VectorDb) -> Vec<Listener> {
    let mut listeners = vec![public(node, database)];
    listeners.extend(for_gateways(node, region, database));
    listeners.extend(with_database(node.topology).map(|first| inside(node, first)));
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

/// The internal listener that tries the database of `first`, if it may be read, then the others.
fn inside(node: &Node<'_>, first: &RegionName) -> Listener {
    let listener = name::retrieval(first);
    let to = TcpProxy {
        max_connect_attempts: number(ATTEMPTS),
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
        filter_chains: vec![chain(vec![
            filter::retrieval(node.topology, node.home),
            network_filter("envoy.filters.network.tcp_proxy", to),
        ])],
        ..Default::default()
    }
}

/// The listener for other gateways that may read this region's database; `None` if there are none. Each has a filter chain
/// of its own, so that an edit which is about one of them leaves the others' connections alone.
fn for_gateways(node: &Node<'_>, region: &Region, database: &VectorDb) -> Option<Listener> {
    let readers = readers(node.topology, node.home);
    if readers.is_empty() {
        return None;
    }
    let inspector = extension(
        "envoy.filters.listener.tls_inspector",
        TlsInspector::default(),
    );
    Some(Listener {
        name: "milvus-peer".into(),
        address: address(database.listen_for_gateways(&region.gateway)),
        listener_filters: vec![ListenerFilter {
            name: inspector.name,
            config_type: inspector.typed_config.map(ConfigType::TypedConfig),
            ..Default::default()
        }],
        filter_chains: readers
            .iter()
            .map(|reader| for_gateway(node, reader))
            .collect(),
        ..Default::default()
    })
}

/// The filter chain for the gateway of one other region.
fn for_gateway(node: &Node<'_>, reader: &RegionName) -> FilterChain {
    let san = tls::gateway_san(node.topology, reader);
    let context = DownstreamTlsContext {
        require_client_certificate: yes(),
        common_tls_context: Some(tls::between_gateways(vec![san])),
        ..Default::default()
    };
    let to = TcpProxy {
        // No upstream connection before the TLS handshake: the client must be authenticated first.
        upstream_connect_mode: UpstreamConnectMode::OnDownstreamTlsHandshake.into(),
        max_early_data_bytes: number(0),
        ..tcp_proxy(node, "milvus-peer", name::database(node.home))
    };
    FilterChain {
        name: reader.to_string(),
        filter_chain_match: Some(FilterChainMatch {
            application_protocols: vec![name::reader(reader)],
            ..Default::default()
        }),
        transport_socket: transport_socket(context),
        ..chain(vec![
            network_filter("envoy.filters.network.rbac", allowed(node, reader)),
            filter::retrieval(node.topology, node.home),
            network_filter("envoy.filters.network.tcp_proxy", to),
        ])
    }
}

fn allowed(node: &Node<'_>, reader: &RegionName) -> Rbac {
    let principal = Principal {
        identifier: Some(Identifier::Authenticated(Authenticated {
            principal_name: Some(exactly(&node.topology.spiffe_id(reader))),
        })),
    };
    let policy = Policy {
        permissions: vec![Permission {
            rule: Some(permission::Rule::Any(true)),
        }],
        principals: vec![principal],
        ..Default::default()
    };
    Rbac {
        rules: Some(Rules {
            action: Action::Allow.into(),
            policies: [("reader".to_owned(), policy)].into(),
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
        access_log: access_log::of_connections(&node.topology.access_log, node.home, listener),
        ..Default::default()
    }
}

fn chain(filters: Vec<Filter>) -> FilterChain {
    FilterChain {
        filters,
        ..Default::default()
    }
}
