//! Clusters of vector databases: the current one, the chains, and each database.

use super::health::{self, health_check, tcp_check};
use super::peer::to_gateway;
use super::{base, circuit_breakers, kind, load_assignment};
use crate::name;
use crate::translate::node::Node;
use crate::translate::peer as listener;
use crate::wire::{header, socket_address};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CustomClusterType, DiscoveryType, DnsLookupFamily, LbPolicy,
};
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::envoy_internal_address::AddressNameSpecifier;
use envoy_types::pb::envoy::config::core::v3::health_check::HttpHealthCheck;
use envoy_types::pb::envoy::config::core::v3::{Address, EnvoyInternalAddress};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::endpoint::v3::endpoint::HealthCheckConfig;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
use envoy_types::pb::envoy::r#type::v3::CodecClientType;
use envoy_types::util::pack_any;
use meridian_planner::retrieval::{chain, databases, with_database};
use meridian_policy::fleet::Gateway;
use meridian_policy::retrieval::VectorDb;
use meridian_policy::{Fleet, RegionName, headers};
use std::net::IpAddr;

/// All retrieval clusters of a region; none if it has no database.
pub fn databases_of(node: &Node<'_>) -> Vec<Cluster> {
    let (fleet, home) = (node.topology, node.home);
    let all = databases(fleet, home);
    if all.is_empty() {
        return Vec::new();
    }
    let cluster_name = name::vector_db(home);
    let serving = Cluster {
        cluster_discovery_type: Some(kind(DiscoveryType::Static)),
        circuit_breakers: circuit_breakers(&fleet.limits),
        load_assignment: current_database(node),
        ..base(&cluster_name, fleet.limits.connect)
    };
    let mut clusters = vec![serving];
    // A chain for every database, may it be read or not: the listener in front of it outlives an edit of zones.
    clusters.extend(with_database(fleet).map(|first| database_chain(fleet, home, first)));
    clusters.extend(
        all.iter()
            .filter_map(|region| database(fleet, home, region)),
    );
    clusters
}

/// The one endpoint, an internal listener, that selects the current database; `None` if the region may read none. A plan changes this
/// endpoint only. Existing connections stay where they are.
pub fn current_database(node: &Node<'_>) -> Option<ClusterLoadAssignment> {
    let (fleet, home) = (node.topology, node.home);
    if databases(fleet, home).is_empty() {
        return None;
    }
    let serves = node.plan.freshness.serves(fleet, home);
    let internal = EnvoyInternalAddress {
        address_name_specifier: Some(AddressNameSpecifier::ServerListenerName(name::retrieval(
            serves,
        ))),
        ..Default::default()
    };
    let endpoint = Some(Address {
        address: Some(AddressKind::EnvoyInternalAddress(internal)),
    });
    let cluster_name = name::vector_db(home);
    load_assignment(&cluster_name, serves.as_str(), Some(serves), vec![endpoint])
}

/// The chain of databases, in the order of attempts.
fn database_chain(fleet: &Fleet, home: &RegionName, first: &RegionName) -> Cluster {
    let members = chain(fleet, home, first);
    let aggregate = CustomClusterType {
        name: "envoy.clusters.aggregate".into(),
        typed_config: Some(pack_any(ClusterConfig {
            clusters: members.iter().map(name::database).collect(),
        })),
    };
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::ClusterType(aggregate)),
        lb_policy: LbPolicy::ClusterProvided.into(),
        circuit_breakers: circuit_breakers(&fleet.limits),
        ..base(&name::retrieval(first), fleet.limits.connect)
    }
}

/// The cluster of one database: the home region's own, or another region's through its gateway.
fn database(fleet: &Fleet, home: &RegionName, region: &RegionName) -> Option<Cluster> {
    fleet.regions.get(home)?;
    let other = fleet.regions.get(region)?;
    let database = other.vector_db.as_ref()?;
    if region == home {
        let cluster = reached(fleet, region, &database.host, database.port);
        return Some(Cluster {
            health_checks: vec![tcp_check()],
            ..cluster
        });
    }
    Some(through_gateway(
        fleet,
        home,
        region,
        &other.gateway,
        database,
    ))
}

fn through_gateway(
    fleet: &Fleet,
    home: &RegionName,
    region: &RegionName,
    other: &Gateway,
    database: &VectorDb,
) -> Cluster {
    // The gateway accepts every connection. Its HTTP health check reports the state of its database.
    let check = HttpHealthCheck {
        host: region.to_string(),
        path: listener::HEALTH_PATH.into(),
        request_headers_to_add: vec![header(headers::VECTOR_DB, "1")],
        codec_client_type: CodecClientType::Http2.into(),
        ..Default::default()
    };
    let mut cluster = reached(fleet, region, &other.address, database.gateway_port);
    let localities = cluster
        .load_assignment
        .iter_mut()
        .flat_map(|all| &mut all.endpoints);
    for endpoint in localities.flat_map(|locality| &mut locality.lb_endpoints) {
        if let Some(HostIdentifier::Endpoint(endpoint)) = &mut endpoint.host_identifier {
            endpoint.health_check_config = Some(HealthCheckConfig {
                port_value: other.port.into(),
                ..Default::default()
            });
        }
    }
    Cluster {
        transport_socket: to_gateway(fleet, region, other, Some(name::reader(home))),
        health_checks: vec![health_check(check)],
        ..cluster
    }
}

fn reached(fleet: &Fleet, region: &RegionName, host: &str, port: u16) -> Cluster {
    let is_ip = host.parse::<IpAddr>().is_ok();
    let discovery = if is_ip {
        DiscoveryType::Static
    } else {
        DiscoveryType::StrictDns
    };
    let cluster_name = name::database(region);
    Cluster {
        cluster_discovery_type: Some(kind(discovery)),
        dns_lookup_family: DnsLookupFamily::V4Preferred.into(),
        outlier_detection: health::of_databases(),
        circuit_breakers: circuit_breakers(&fleet.limits),
        load_assignment: load_assignment(
            &cluster_name,
            region.as_str(),
            Some(region),
            vec![socket_address(host, port)],
        ),
        ..base(&cluster_name, fleet.limits.connect)
    }
}
