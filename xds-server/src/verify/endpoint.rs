//! The addresses of a cluster.

use super::leak::{Leaks, only};
use super::owner::{Owner, Owners};
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::envoy_internal_address::AddressNameSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::{PortSpecifier, Protocol};
use envoy_types::pb::envoy::config::core::v3::{
    Address, EnvoyInternalAddress, Metadata, SocketAddress,
};
use envoy_types::pb::envoy::config::endpoint::v3::endpoint::HealthCheckConfig;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use std::collections::BTreeSet;

/// Namespace of the labels that endpoints carry for logs.
const LABELS: &str = "meridian";

/// Where an endpoint leads.
#[derive(Clone, Debug)]
pub enum Target<'f> {
    /// To the owners of an address.
    Owned(BTreeSet<Owner<'f>>),
    /// Into an internal listener of the same process.
    Internal(String),
}

/// An endpoint, and how it is called in a path.
#[derive(Clone, Debug)]
pub struct End<'f> {
    /// E.g. `10.0.1.10:8000`.
    pub shown: String,
    /// Where it leads.
    pub target: Target<'f>,
}

/// Every endpoint of an assignment. An address that is nobody's is a leak whoever uses it.
pub fn read<'f>(
    at: &str,
    assignment: &ClusterLoadAssignment,
    owners: &Owners<'f>,
    leaks: &mut Leaks,
) -> Vec<End<'f>> {
    let known = only!(
        ClusterLoadAssignment,
        assignment,
        [cluster_name, endpoints, policy]
    );
    leaks.known(at, assignment, &known);
    let mut ends = Vec::new();
    for locality in &assignment.endpoints {
        let known = only!(
            LocalityLbEndpoints,
            locality,
            [
                locality,
                lb_endpoints,
                load_balancing_weight,
                priority,
                proximity
            ]
        );
        leaks.known(at, locality, &known);
        for endpoint in &locality.lb_endpoints {
            ends.extend(end(at, endpoint, owners, leaks));
        }
    }
    ends
}

fn end<'f>(
    at: &str,
    endpoint: &LbEndpoint,
    owners: &Owners<'f>,
    leaks: &mut Leaks,
) -> Option<End<'f>> {
    let known = only!(
        LbEndpoint,
        endpoint,
        [
            health_status,
            metadata,
            load_balancing_weight,
            host_identifier
        ]
    );
    leaks.known(at, endpoint, &known);
    if let Some(metadata) = &endpoint.metadata {
        leaks.known(at, metadata, &only!(Metadata, metadata, [filter_metadata]));
        // Elsewhere it chooses transport sockets and proxies.
        for namespace in metadata.filter_metadata.keys().filter(|key| *key != LABELS) {
            leaks.unknown(at, format!("endpoint metadata of `{namespace}`"));
        }
    }
    let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else {
        leaks.unknown(at, "an endpoint by name");
        return None;
    };
    leaks.known(
        at,
        endpoint,
        &only!(Endpoint, endpoint, [address, health_check_config]),
    );
    if let Some(check) = &endpoint.health_check_config {
        // A probe at another port of the same host, which holds nothing of a request.
        leaks.known(at, check, &only!(HealthCheckConfig, check, [port_value]));
    }
    let address = endpoint.address.as_ref();
    match address.and_then(|address| address.address.as_ref()) {
        Some(AddressKind::SocketAddress(socket)) => socket_end(at, socket, owners, leaks),
        Some(AddressKind::EnvoyInternalAddress(internal)) => internal_end(at, internal, leaks),
        _ => {
            leaks.unknown(at, "this kind of address");
            None
        }
    }
}

fn socket_end<'f>(
    at: &str,
    socket: &SocketAddress,
    owners: &Owners<'f>,
    leaks: &mut Leaks,
) -> Option<End<'f>> {
    let (host, port) = socket_address(at, socket, leaks)?;
    let shown = format!("{host}:{port}");
    let owned = owners.at(host, port);
    if owned.is_empty() {
        leaks.add(
            &format!("{at} -> endpoint {shown}"),
            "nobody in the fleet has this address",
        );
    }
    Some(End {
        shown,
        target: Target::Owned(owned),
    })
}

fn internal_end<'f>(
    at: &str,
    internal: &EnvoyInternalAddress,
    leaks: &mut Leaks,
) -> Option<End<'f>> {
    let known = only!(EnvoyInternalAddress, internal, [address_name_specifier]);
    leaks.known(at, internal, &known);
    let Some(AddressNameSpecifier::ServerListenerName(listener)) = &internal.address_name_specifier
    else {
        leaks.unknown(at, "an internal address without a listener");
        return None;
    };
    Some(End {
        shown: format!("listener {listener}"),
        target: Target::Internal(listener.clone()),
    })
}

/// Whether something listens on a plain TCP socket.
pub fn listens(at: &str, address: &Address, leaks: &mut Leaks) {
    match &address.address {
        Some(AddressKind::SocketAddress(socket)) => {
            socket_address(at, socket, leaks);
        }
        _ => leaks.unknown(at, "this kind of address"),
    }
}

fn socket_address<'a>(
    at: &str,
    socket: &'a SocketAddress,
    leaks: &mut Leaks,
) -> Option<(&'a str, u32)> {
    let known = only!(SocketAddress, socket, [protocol, address, port_specifier]);
    leaks.known(at, socket, &known);
    if socket.protocol() != Protocol::Tcp {
        leaks.unknown(at, "a socket that is not TCP");
    }
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else {
        leaks.unknown(at, "a port that is not a number");
        return None;
    };
    Some((&socket.address, port))
}
