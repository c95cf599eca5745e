//! The endpoints of a cluster.

use super::leak::{Leaks, only};
use super::owner::{Owner, Owners};
use super::provider::Provider;
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

/// Metadata namespace of labels for logs.
const LABELS: &str = "meridian";

/// The target of an endpoint.
#[derive(Clone, Debug)]
pub enum Target<'f> {
    /// An address.
    Owned {
        /// Its owners by the newest fleet that has it.
        owners: BTreeSet<Owner<'f>>,
        /// All definitions of providers there.
        providers: BTreeSet<Provider<'f>>,
    },
    /// An internal listener of the same Envoy.
    Internal(String),
}

/// An endpoint, and its form in a path.
#[derive(Clone, Debug)]
pub struct End<'f> {
    /// E.g. `10.0.1.10:8000`.
    pub shown: String,
    /// The target.
    pub target: Target<'f>,
}

/// The endpoints of an assignment. An address without an owner is a leak, even in an unused cluster.
pub fn read<'f>(
    at: &str,
    assignment: &ClusterLoadAssignment,
    owners: &Owners<'f>,
    leaks: &mut Leaks,
) -> Vec<End<'f>> {
    let supported = only!(
        ClusterLoadAssignment,
        assignment,
        [cluster_name, endpoints, policy]
    );
    leaks.check_fields(at, assignment, &supported);
    let mut ends = Vec::new();
    for locality in &assignment.endpoints {
        let supported = only!(
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
        leaks.check_fields(at, locality, &supported);
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
    let supported = only!(
        LbEndpoint,
        endpoint,
        [
            health_status,
            metadata,
            load_balancing_weight,
            host_identifier
        ]
    );
    leaks.check_fields(at, endpoint, &supported);
    if let Some(metadata) = &endpoint.metadata {
        leaks.check_fields(at, metadata, &only!(Metadata, metadata, [filter_metadata]));
        // Metadata of other namespaces may choose transport sockets and proxies.
        for namespace in metadata.filter_metadata.keys().filter(|key| *key != LABELS) {
            leaks.unsupported(at, format!("endpoint metadata of `{namespace}`"));
        }
    }
    let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else {
        leaks.unsupported(at, "an endpoint by name");
        return None;
    };
    leaks.check_fields(
        at,
        endpoint,
        &only!(Endpoint, endpoint, [address, health_check_config]),
    );
    if let Some(check) = &endpoint.health_check_config {
        // A health check may use another port of the same host; it carries nothing of a request.
        leaks.check_fields(at, check, &only!(HealthCheckConfig, check, [port_value]));
    }
    let address = endpoint.address.as_ref();
    match address.and_then(|address| address.address.as_ref()) {
        Some(AddressKind::SocketAddress(socket)) => socket_end(at, socket, owners, leaks),
        Some(AddressKind::EnvoyInternalAddress(internal)) => internal_end(at, internal, leaks),
        _ => {
            leaks.unsupported(at, "this kind of address");
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
        target: Target::Owned {
            owners: owned,
            providers: owners.providers(host, port),
        },
    })
}

fn internal_end<'f>(
    at: &str,
    internal: &EnvoyInternalAddress,
    leaks: &mut Leaks,
) -> Option<End<'f>> {
    let supported = only!(EnvoyInternalAddress, internal, [address_name_specifier]);
    leaks.check_fields(at, internal, &supported);
    let Some(AddressNameSpecifier::ServerListenerName(listener)) = &internal.address_name_specifier
    else {
        leaks.unsupported(at, "an internal address without a listener");
        return None;
    };
    Some(End {
        shown: format!("listener {listener}"),
        target: Target::Internal(listener.clone()),
    })
}

/// Checks that a listener has a plain TCP socket.
pub fn listens(at: &str, address: &Address, leaks: &mut Leaks) {
    match &address.address {
        Some(AddressKind::SocketAddress(socket)) => {
            socket_address(at, socket, leaks);
        }
        _ => leaks.unsupported(at, "this kind of address"),
    }
}

fn socket_address<'a>(
    at: &str,
    socket: &'a SocketAddress,
    leaks: &mut Leaks,
) -> Option<(&'a str, u32)> {
    let supported = only!(SocketAddress, socket, [protocol, address, port_specifier]);
    leaks.check_fields(at, socket, &supported);
    if socket.protocol() != Protocol::Tcp {
        leaks.unsupported(at, "a socket that is not TCP");
    }
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else {
        leaks.unsupported(at, "a port that is not a number");
        return None;
    };
    Some((&socket.address, port))
}
