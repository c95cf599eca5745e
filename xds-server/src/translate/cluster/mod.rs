//! Clusters: chains and their members, and vector databases.

mod database;
mod health;
mod peer;
mod pool;
mod provider;

pub use database::{current_database, databases_of};
pub use peer::{peer, peer_endpoints};
pub use pool::{dns, pool};
pub use provider::{fallback, provider};

use crate::name;
use crate::translate::node::Node;
use crate::wire::{duration, extension, http_filter, number, structure, text};
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CustomClusterType, DiscoveryType, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, HttpProtocolOptions as CommonOptions};
use envoy_types::pb::envoy::config::core::v3::{Locality, Metadata};
use envoy_types::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
use envoy_types::pb::envoy::extensions::filters::http::upstream_codec::v3::UpstreamCodec;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
};
use envoy_types::util::pack_any;
use meridian_policy::chain::Member;
use meridian_policy::fleet::Limits;
use meridian_policy::{Fleet, ModelName, RegionName, ZoneName};
use std::net::{IpAddr, SocketAddr};

/// Namespace and key of the endpoint metadata that names the region.
pub const METADATA: (&str, &str) = ("meridian", "region");
/// The key of region and address in one text, which the filter reads.
const ENDPOINT: &str = "endpoint";

/// Overprovisioning factor, in percent. With Envoy's default, traffic moves to the next priority when some endpoints
/// fail; for a zone with one region that is a paid fallback. With this value one healthy endpoint keeps the whole
/// traffic.
const OVERPROVISIONING: u32 = 100_000;

/// A threshold that is never reached. An open circuit breaker responds with 503 and Envoy does not retry at the next
/// member. Overload is handled before routing.
const UNLIMITED: u32 = 1_000_000;

/// The cluster of the catch-all route. It has no endpoints.
pub fn nothing(fleet: &Fleet) -> Cluster {
    let discovery = DiscoveryType::Static;
    Cluster {
        cluster_discovery_type: Some(kind(discovery)),
        ..base(name::NOTHING, fleet.limits.connect)
    }
}

/// A chain as an aggregate cluster: Envoy uses the first healthy member, and the next one for a retry. The guard
/// inspects the response of every attempt.
pub fn chain(
    node: &Node<'_>,
    guard: &HttpFilter,
    zone: &ZoneName,
    model: &ModelName,
    members: &[Member],
) -> Cluster {
    let fleet = node.topology;
    let clusters = members
        .iter()
        .filter_map(|member| name::member(node.topology.definitions(), member, model))
        .collect();
    let aggregate = CustomClusterType {
        name: "envoy.clusters.aggregate".into(),
        typed_config: Some(pack_any(ClusterConfig { clusters })),
    };
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::ClusterType(aggregate)),
        lb_policy: LbPolicy::ClusterProvided.into(),
        circuit_breakers: circuit_breakers(&fleet.limits),
        ..with_guard(
            guard.clone(),
            Cluster {
                name: node.chain_name(zone, model, members),
                ..base(
                    &name::short::chain(zone, model, members),
                    fleet.limits.connect,
                )
            },
        )
    }
}

/// The guard runs on the aggregate, once per attempt; upstream filters of its members would not run. The protocol is
/// the members' own.
fn with_guard(guard: HttpFilter, cluster: Cluster) -> Cluster {
    let explicit = ExplicitHttpConfig {
        protocol_config: Some(ProtocolConfig::HttpProtocolOptions(Default::default())),
    };
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)),
        http_filters: vec![
            guard,
            http_filter(
                "envoy.filters.http.upstream_codec",
                UpstreamCodec::default(),
            ),
        ],
        ..Default::default()
    };
    with_extension(cluster, options)
}

/// A cluster whose statistics have its name.
fn base(cluster_name: &str, connect_timeout: std::time::Duration) -> Cluster {
    Cluster {
        name: cluster_name.into(),
        alt_stat_name: name::stat(cluster_name),
        connect_timeout: duration(connect_timeout),
        ..Default::default()
    }
}

fn kind(discovery: DiscoveryType) -> ClusterDiscoveryType {
    ClusterDiscoveryType::Type(discovery.into())
}

fn with_protocol(
    cluster: Cluster,
    protocol: ProtocolConfig,
    common: Option<CommonOptions>,
) -> Cluster {
    let explicit = ExplicitHttpConfig {
        protocol_config: Some(protocol),
    };
    with_options(
        cluster,
        UpstreamProtocolOptions::ExplicitHttpConfig(explicit),
        common,
    )
}

fn with_options(
    cluster: Cluster,
    protocol: UpstreamProtocolOptions,
    common: Option<CommonOptions>,
) -> Cluster {
    let options = HttpProtocolOptions {
        common_http_protocol_options: common,
        upstream_protocol_options: Some(protocol),
        ..Default::default()
    };
    with_extension(cluster, options)
}

fn with_extension(cluster: Cluster, options: HttpProtocolOptions) -> Cluster {
    let options = extension(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        options,
    );
    let typed = options.typed_config.map(|config| (options.name, config));
    Cluster {
        typed_extension_protocol_options: typed.into_iter().collect(),
        ..cluster
    }
}

fn load_assignment(
    cluster_name: &str,
    answers_as: &str,
    region: Option<&RegionName>,
    addresses: Vec<Option<Address>>,
) -> Option<ClusterLoadAssignment> {
    let endpoint = |address: Option<Address>| LbEndpoint {
        metadata: Some(metadata(answers_as, address.as_ref())),
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address,
            ..Default::default()
        })),
        ..Default::default()
    };
    let locality = region.map(|region| Locality {
        region: region.to_string(),
        ..Default::default()
    });
    Some(ClusterLoadAssignment {
        cluster_name: cluster_name.into(),
        policy: Some(Policy {
            overprovisioning_factor: number(OVERPROVISIONING),
            ..Default::default()
        }),
        endpoints: vec![LocalityLbEndpoints {
            locality,
            load_balancing_weight: number(1),
            lb_endpoints: addresses.into_iter().map(endpoint).collect(),
            ..Default::default()
        }],
        ..Default::default()
    })
}

/// The region of an endpoint, for logs and the filter. One that has an IP address has both in one text as well: the filter reads one
/// value per attempt.
fn metadata(answers_as: &str, address: Option<&Address>) -> Metadata {
    let (namespace, key) = METADATA;
    let endpoint = address
        .and_then(socket_of)
        .map(|socket| (ENDPOINT, text(&format!("{answers_as} {socket}"))));
    let labels = [(key, text(answers_as))].into_iter().chain(endpoint);
    Metadata {
        filter_metadata: [(namespace.to_owned(), structure(labels))].into(),
        ..Default::default()
    }
}

/// The address of an endpoint that has an IP address.
fn socket_of(address: &Address) -> Option<SocketAddr> {
    let Some(AddressKind::SocketAddress(socket)) = &address.address else {
        return None;
    };
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else {
        return None;
    };
    let ip: IpAddr = socket.address.parse().ok()?;
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

/// Limits concurrent retries by a fixed number. Envoy's `retry_budget` is a fraction of the cluster's active requests,
/// and those of a chain are counted at its members.
fn circuit_breakers(limits: &Limits) -> Option<CircuitBreakers> {
    let thresholds = Thresholds {
        max_connections: number(UNLIMITED),
        max_pending_requests: number(UNLIMITED),
        max_requests: number(UNLIMITED),
        max_retries: number(limits.retries),
        ..Default::default()
    };
    Some(CircuitBreakers {
        thresholds: vec![thresholds],
        ..Default::default()
    })
}
