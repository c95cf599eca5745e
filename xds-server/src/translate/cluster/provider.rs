//! Clusters of fallbacks: the member of chains, and the hosted API.

use super::health;
use super::{base, circuit_breakers, kind, load_assignment, with_options};
use crate::name;
use crate::wire::{exactly, socket_address, transport_socket};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    CommonLbConfig, DiscoveryType, DnsLookupFamily,
};
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::envoy_internal_address::AddressNameSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, EnvoyInternalAddress};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SubjectAltNameMatcher, UpstreamTlsContext,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    AutoHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::envoy::r#type::v3::Percent;
use meridian_policy::fleet::Fallback;
use meridian_policy::{FallbackId, FallbackName, Fleet};
use std::net::IpAddr;

/// A fallback as a member of chains: it leads to the egress listener in the same Envoy. It has no health checks, because it is the
/// last member of a chain.
pub fn fallback(fleet: &Fleet, id: &FallbackId, fallback: &FallbackName) -> Cluster {
    let internal = EnvoyInternalAddress {
        address_name_specifier: Some(AddressNameSpecifier::ServerListenerName(name::egress(id))),
        ..Default::default()
    };
    let egress = Some(Address {
        address: Some(AddressKind::EnvoyInternalAddress(internal)),
    });
    let (cluster_name, short) = (name::fallback(id), name::short::fallback(fallback));
    Cluster {
        cluster_discovery_type: Some(kind(DiscoveryType::Static)),
        circuit_breakers: circuit_breakers(&fleet.limits),
        load_assignment: load_assignment(&cluster_name, &short, None, vec![egress]),
        name: cluster_name,
        ..base(&short, fleet.limits.connect)
    }
}

/// The cluster of a fallback's hosted API.
pub fn provider(
    fleet: &Fleet,
    id: &FallbackId,
    fallback_name: &FallbackName,
    fallback: &Fallback,
) -> Cluster {
    let endpoint = &fallback.endpoint;
    let is_ip = endpoint.host.parse::<IpAddr>().is_ok();
    let discovery = if is_ip {
        DiscoveryType::Static
    } else {
        DiscoveryType::LogicalDns
    };
    let (cluster_name, short) = (name::provider(id), name::short::provider(fallback_name));
    let addresses = vec![socket_address(&endpoint.host, endpoint.port)];
    let cluster = Cluster {
        cluster_discovery_type: Some(kind(discovery)),
        // By default Envoy uses IPv6 if the name has an address, reachable or not.
        dns_lookup_family: DnsLookupFamily::All.into(),
        outlier_detection: health::of_remotes(),
        // No panic mode: Envoy would use endpoints that it has ejected.
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Percent { value: 0.0 }),
            ..Default::default()
        }),
        circuit_breakers: circuit_breakers(&fleet.limits),
        load_assignment: load_assignment(
            &cluster_name,
            &name::short::fallback(fallback_name),
            None,
            addresses,
        ),
        name: cluster_name,
        ..base(&short, fleet.limits.connect)
    };
    if !endpoint.tls {
        return cluster;
    }
    let negotiated = UpstreamProtocolOptions::AutoConfig(AutoHttpConfig::default());
    Cluster {
        transport_socket: transport_socket(provider_tls(&endpoint.host)),
        ..with_options(cluster, negotiated, None)
    }
}

/// TLS that accepts a certificate of the provider's host, signed by one of the system's roots.
fn provider_tls(host: &str) -> UpstreamTlsContext {
    let is_ip = host.parse::<IpAddr>().is_ok();
    let san = SubjectAltNameMatcher {
        san_type: if is_ip {
            SanType::IpAddress
        } else {
            SanType::Dns
        }
        .into(),
        matcher: Some(exactly(host)),
        ..Default::default()
    };
    let validation = CertificateValidationContext {
        system_root_certs: Some(Default::default()),
        match_typed_subject_alt_names: vec![san],
        ..Default::default()
    };
    UpstreamTlsContext {
        sni: if is_ip {
            String::new()
        } else {
            host.to_owned()
        },
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: vec!["h2".into(), "http/1.1".into()],
            validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
            ..Default::default()
        }),
        ..Default::default()
    }
}
