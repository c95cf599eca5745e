//! A peer: a pool of another region, reached through its gateway.

use super::health::{self, health_check};
use super::{base, circuit_breakers, kind, load_assignment, with_protocol};
use crate::translate::peer as listener;
use crate::wire::{header, number, seconds, socket_address, transport_socket};
use crate::{name, tls};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{DiscoveryType, DnsLookupFamily};
use envoy_types::pb::envoy::config::core::v3::health_check::HttpHealthCheck;
use envoy_types::pb::envoy::config::core::v3::{
    HealthStatus, Http2ProtocolOptions, KeepaliveSettings, TransportSocket,
};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config;
use envoy_types::pb::envoy::r#type::v3::CodecClientType;
use meridian_planner::plan::Plan;
use meridian_policy::fleet::Gateway;
use meridian_policy::{Fleet, ModelName, RegionName, headers};
use std::net::IpAddr;

/// Marks every endpoint as unhealthy. In panic mode Envoy still uses it.
fn unhealthy(mut assignment: ClusterLoadAssignment) -> ClusterLoadAssignment {
    for locality in &mut assignment.endpoints {
        for endpoint in &mut locality.lb_endpoints {
            endpoint.set_health_status(HealthStatus::Unhealthy);
        }
    }
    assignment
}

fn assignment(
    cluster_name: &str,
    peer: &RegionName,
    gateway: &Gateway,
    down: bool,
) -> Option<ClusterLoadAssignment> {
    let addresses = vec![socket_address(&gateway.address, gateway.port)];
    let assignment = load_assignment(cluster_name, peer.as_str(), Some(peer), addresses);
    if down {
        assignment.map(unhealthy)
    } else {
        assignment
    }
}

/// The endpoints of a peer's cluster by a plan. `None` if it has a DNS name, or is unknown.
pub fn peer_endpoints(
    fleet: &Fleet,
    peer: &RegionName,
    model: &ModelName,
    plan: &Plan,
) -> Option<ClusterLoadAssignment> {
    let gateway = &fleet.regions.get(peer)?.gateway;
    let down = plan.is_down(peer, model);
    gateway.address.parse::<IpAddr>().ok()?;
    assignment(&name::peer(peer, model), peer, gateway, down)
}

/// mTLS that accepts the certificate of one region's gateway only. `protocol`: an application protocol to offer besides
/// HTTP/2.
pub(super) fn to_gateway(
    fleet: &Fleet,
    region: &RegionName,
    gateway: &Gateway,
    protocol: Option<String>,
) -> Option<TransportSocket> {
    let is_ip = gateway.address.parse::<IpAddr>().is_ok();
    let mut common = tls::between_gateways(vec![tls::gateway_san(fleet, region)]);
    common.alpn_protocols.extend(protocol);
    transport_socket(UpstreamTlsContext {
        sni: if is_ip {
            String::new()
        } else {
            gateway.address.clone()
        },
        common_tls_context: Some(common),
        ..Default::default()
    })
}

/// The cluster of another region's pool, reached through its gateway. `down`: the plan says that the pool is down. `None`
/// if the region is unknown.
///
/// A cluster with a DNS name is not marked as down: the mark would change the cluster, and Envoy would recreate it and
/// drop its connections. There the weights and the health check avoid the pool.
pub fn peer(
    fleet: &Fleet,
    home: &RegionName,
    peer: &RegionName,
    model: &ModelName,
    down: bool,
) -> Option<Cluster> {
    fleet.regions.get(home)?;
    let other = &fleet.regions.get(peer)?.gateway;
    let is_ip = other.address.parse::<IpAddr>().is_ok();
    let cluster_name = name::peer(peer, model);
    let discovery = if is_ip {
        DiscoveryType::Static
    } else {
        DiscoveryType::StrictDns
    };
    Some(Cluster {
        cluster_discovery_type: Some(kind(discovery)),
        dns_lookup_family: DnsLookupFamily::V4Preferred.into(),
        transport_socket: to_gateway(fleet, peer, other, None),
        health_checks: vec![health_check(pool_check(peer, model))],
        outlier_detection: health::of_remotes(),
        circuit_breakers: circuit_breakers(&fleet.limits),
        load_assignment: assignment(&cluster_name, peer, other, down && is_ip),
        ..with_protocol(
            base(&cluster_name, fleet.limits.connect),
            explicit_http_config::ProtocolConfig::Http2ProtocolOptions(http2()),
            None,
        )
    })
}

/// The peer's gateway responds with the health of its pool of this model.
fn pool_check(peer: &RegionName, model: &ModelName) -> HttpHealthCheck {
    HttpHealthCheck {
        // By default Envoy sends the cluster's name as the host. Its slashes make an HTTP/2 server close the connection.
        host: peer.to_string(),
        path: listener::HEALTH_PATH.into(),
        request_headers_to_add: vec![header(headers::MODEL, model.as_str())],
        codec_client_type: CodecClientType::Http2.into(),
        ..Default::default()
    }
}

fn http2() -> Http2ProtocolOptions {
    Http2ProtocolOptions {
        initial_stream_window_size: number(listener::WINDOW),
        initial_connection_window_size: number(2 * listener::WINDOW),
        connection_keepalive: Some(KeepaliveSettings {
            interval: seconds(10),
            timeout: seconds(3),
            ..Default::default()
        }),
        ..Default::default()
    }
}
