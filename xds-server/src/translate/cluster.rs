//! Clusters: chains, and the pools, peers, fallbacks and providers that they lead to.

use super::wire::{
    address, duration, exactly, extension, file, header, number, seconds, socket_address, structure, text,
    transport_socket,
};
use super::{name, wire};
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CustomClusterType, DiscoveryType, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster, OutlierDetection};
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::envoy_internal_address::AddressNameSpecifier;
use envoy_types::pb::envoy::config::core::v3::health_check::{HealthChecker, HttpHealthCheck};
use envoy_types::pb::envoy::config::core::v3::{
    Address, EnvoyInternalAddress, HealthCheck, Http1ProtocolOptions, Http2ProtocolOptions,
    HttpProtocolOptions as CommonOptions, KeepaliveSettings, Locality, Metadata,
};
use envoy_types::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SubjectAltNameMatcher, TlsCertificate, TlsParameters,
    UpstreamTlsContext,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    AutoHttpConfig, ExplicitHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::envoy::r#type::v3::CodecClientType;
use envoy_types::util::pack_any;
use meridian_policy::chain::Member;
use meridian_policy::fleet::{Fallback, KeyPair, Pool};
use meridian_policy::{FallbackName, Fleet, ModelName, RegionName, ZoneName, headers};
use std::net::IpAddr;

/// Namespace of endpoint metadata, and its one key: which region answers there.
pub const METADATA: (&str, &str) = ("meridian", "region");

/// Any healthy endpoint keeps its priority at full health: by default Envoy moves part of the traffic on as soon as
/// some endpoints fail, for a zone of one region to a fallback that is paid for.
const OVERPROVISIONING: u32 = 100_000;

/// An open circuit breaker answers 503 and is not retried on the next member: overload is decided before routing, so
/// none may open first.
const UNLIMITED: u32 = 1_000_000;

/// Failovers under way in one chain. Envoy's default of 3 fails requests the moment a region dies.
const RETRIES: u32 = 1000;

/// 150 ms away, Envoy's default of 64 KiB carries 0.4 MB/s.
const PEER_WINDOW: u32 = 16 << 20;

/// The cluster without endpoints.
pub fn nothing(fleet: &Fleet) -> Cluster {
    let discovery = DiscoveryType::Static;
    Cluster {
        cluster_discovery_type: Some(kind(discovery)),
        ..base(name::NOTHING, fleet.limits.connect)
    }
}

/// Members in their order; Envoy takes the first that is healthy, and the next on a retry.
pub fn chain(fleet: &Fleet, zone: &ZoneName, model: &ModelName, members: &[Member]) -> Cluster {
    let clusters = members
        .iter()
        .map(|member| name::member(member, model))
        .collect();
    let aggregate = CustomClusterType {
        name: "envoy.clusters.aggregate".into(),
        typed_config: Some(pack_any(ClusterConfig { clusters })),
    };
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::ClusterType(aggregate)),
        lb_policy: LbPolicy::ClusterProvided.into(),
        circuit_breakers: circuit_breakers(),
        ..base(&name::chain(zone, model, members), fleet.limits.connect)
    }
}

/// The home region's inference servers.
pub fn pool(fleet: &Fleet, home: &RegionName, model: &ModelName, pool: &Pool) -> Cluster {
    let (discovery, addresses) = match pool {
        Pool::Endpoints(endpoints) => (
            DiscoveryType::Static,
            endpoints.iter().map(|each| address(*each)).collect(),
        ),
        Pool::Dns { host, port } => (DiscoveryType::StrictDns, vec![socket_address(host, *port)]),
    };
    let check = HttpHealthCheck {
        host: home.to_string(),
        path: "/health".into(),
        ..Default::default()
    };
    // vLLM's web server closes an idle connection after 5 s: let go of it first, or a request meets the close.
    let idle = CommonOptions {
        idle_timeout: seconds(4),
        ..Default::default()
    };
    let http1 = ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default());
    let cluster_name = name::pool(home, model);
    Cluster {
        cluster_discovery_type: Some(kind(discovery)),
        lb_policy: LbPolicy::LeastRequest.into(),
        health_checks: vec![health_check(check)],
        outlier_detection: outlier_detection(),
        circuit_breakers: circuit_breakers(),
        load_assignment: load_assignment(&cluster_name, home.as_str(), Some(home), addresses),
        ..with_protocol(base(&cluster_name, fleet.limits.connect), http1, Some(idle))
    }
}

/// Another region's gateway, as the way to one of its pools. `None` if the region is unknown.
pub fn peer(
    fleet: &Fleet,
    home: &RegionName,
    peer: &RegionName,
    model: &ModelName,
) -> Option<Cluster> {
    let (own, other) = (
        &fleet.regions.get(home)?.gateway,
        &fleet.regions.get(peer)?.gateway,
    );
    let is_ip = other.address.parse::<IpAddr>().is_ok();
    let san = SubjectAltNameMatcher {
        san_type: SanType::Uri.into(),
        matcher: Some(exactly(&fleet.spiffe_id(peer))),
        ..Default::default()
    };
    let tls = UpstreamTlsContext {
        sni: if is_ip {
            String::new()
        } else {
            other.address.clone()
        },
        common_tls_context: Some(mutual_tls(&own.identity, &own.ca, vec![san])),
        ..Default::default()
    };
    // The peer's gateway answers with the health of its pool of this model.
    // Envoy would send the cluster's name as the host, and its slashes make an HTTP/2 server end the connection.
    let check = HttpHealthCheck {
        host: peer.to_string(),
        path: super::peer::HEALTH_PATH.into(),
        request_headers_to_add: vec![header(headers::MODEL, model.as_str())],
        codec_client_type: CodecClientType::Http2.into(),
        ..Default::default()
    };
    let http2 = Http2ProtocolOptions {
        initial_stream_window_size: number(PEER_WINDOW),
        initial_connection_window_size: number(2 * PEER_WINDOW),
        connection_keepalive: Some(KeepaliveSettings {
            interval: seconds(10),
            timeout: seconds(3),
            ..Default::default()
        }),
        ..Default::default()
    };
    let cluster_name = name::peer(peer, model);
    let discovery = if is_ip {
        DiscoveryType::Static
    } else {
        DiscoveryType::StrictDns
    };
    let addresses = vec![socket_address(&other.address, other.port)];
    Some(Cluster {
        cluster_discovery_type: Some(kind(discovery)),
        transport_socket: transport_socket(tls),
        health_checks: vec![health_check(check)],
        outlier_detection: outlier_detection(),
        circuit_breakers: circuit_breakers(),
        load_assignment: load_assignment(&cluster_name, peer.as_str(), Some(peer), addresses),
        ..with_protocol(
            base(&cluster_name, fleet.limits.connect),
            ProtocolConfig::Http2ProtocolOptions(http2),
            None,
        )
    })
}

/// A fallback as a member of chains: its egress listener, in this process. It has no health checks: it is the end of
/// the chain, and always worth a try.
pub fn fallback(fleet: &Fleet, fallback: &FallbackName) -> Cluster {
    let internal = EnvoyInternalAddress {
        address_name_specifier: Some(AddressNameSpecifier::ServerListenerName(name::egress(
            fallback,
        ))),
        ..Default::default()
    };
    let egress = Some(Address {
        address: Some(AddressKind::EnvoyInternalAddress(internal)),
    });
    let cluster_name = name::fallback(fallback);
    Cluster {
        cluster_discovery_type: Some(kind(DiscoveryType::Static)),
        circuit_breakers: circuit_breakers(),
        load_assignment: load_assignment(&cluster_name, &cluster_name, None, vec![egress]),
        ..base(&cluster_name, fleet.limits.connect)
    }
}

/// The hosted API behind a fallback.
pub fn provider(fleet: &Fleet, fallback_name: &FallbackName, fallback: &Fallback) -> Cluster {
    let endpoint = &fallback.endpoint;
    let is_ip = endpoint.host.parse::<IpAddr>().is_ok();
    let discovery = if is_ip {
        DiscoveryType::Static
    } else {
        DiscoveryType::LogicalDns
    };
    let cluster_name = name::provider(fallback_name);
    let addresses = vec![socket_address(&endpoint.host, endpoint.port)];
    let cluster = Cluster {
        cluster_discovery_type: Some(kind(discovery)),
        circuit_breakers: circuit_breakers(),
        load_assignment: load_assignment(
            &cluster_name,
            &name::fallback(fallback_name),
            None,
            addresses,
        ),
        ..base(&cluster_name, fleet.limits.connect)
    };
    if !endpoint.tls {
        return cluster;
    }
    let san = SubjectAltNameMatcher {
        san_type: if is_ip {
            SanType::IpAddress
        } else {
            SanType::Dns
        }
        .into(),
        matcher: Some(exactly(&endpoint.host)),
        ..Default::default()
    };
    let validation = CertificateValidationContext {
        system_root_certs: Some(Default::default()),
        match_typed_subject_alt_names: vec![san],
        ..Default::default()
    };
    let tls = UpstreamTlsContext {
        sni: if is_ip {
            String::new()
        } else {
            endpoint.host.clone()
        },
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: vec!["h2".into(), "http/1.1".into()],
            validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let negotiated = UpstreamProtocolOptions::AutoConfig(AutoHttpConfig::default());
    Cluster {
        transport_socket: transport_socket(tls),
        ..with_options(cluster, negotiated, None)
    }
}

/// Both ends of a connection between gateways: TLS 1.3, HTTP/2, certificates that name regions.
pub fn mutual_tls(own: &KeyPair, ca: &str, peers: Vec<SubjectAltNameMatcher>) -> CommonTlsContext {
    let validation = CertificateValidationContext {
        trusted_ca: file(ca),
        match_typed_subject_alt_names: peers,
        ..Default::default()
    };
    CommonTlsContext {
        tls_params: Some(TlsParameters {
            tls_minimum_protocol_version: TlsProtocol::TlSv13.into(),
            // As a client Envoy stops at 1.2 by itself.
            tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
            ..Default::default()
        }),
        tls_certificates: vec![certificate(own)],
        alpn_protocols: vec!["h2".into()],
        validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
        ..Default::default()
    }
}

/// A certificate by the paths of its files.
pub fn certificate(pair: &KeyPair) -> TlsCertificate {
    TlsCertificate {
        certificate_chain: file(&pair.certificate),
        private_key: file(&pair.key),
        ..Default::default()
    }
}

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
    let (namespace, key) = METADATA;
    let metadata = Metadata {
        filter_metadata: [(namespace.to_owned(), structure([(key, text(answers_as))]))].into(),
        ..Default::default()
    };
    let endpoint = |address| LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address,
            ..Default::default()
        })),
        metadata: Some(metadata.clone()),
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

/// The intervals without traffic default to a minute, which would keep a dead region in the chain that long.
fn health_check(check: HttpHealthCheck) -> HealthCheck {
    HealthCheck {
        timeout: seconds(1),
        interval: seconds(2),
        no_traffic_interval: seconds(2),
        no_traffic_healthy_interval: seconds(2),
        unhealthy_threshold: number(2),
        healthy_threshold: number(1),
        health_checker: Some(HealthChecker::HttpHealthCheck(check)),
        ..Default::default()
    }
}

/// A server that fails requests while its health check is green is taken out by its answers. All of a pool may go:
/// the rest of the chain is the safety net.
fn outlier_detection() -> Option<OutlierDetection> {
    Some(OutlierDetection {
        consecutive_5xx: number(5),
        interval: seconds(1),
        base_ejection_time: seconds(10),
        max_ejection_time: seconds(30),
        max_ejection_percent: number(100),
        // A green health check is no proof that requests are answered.
        successful_active_health_check_uneject_host: Some(wire::no()),
        ..Default::default()
    })
}

fn circuit_breakers() -> Option<CircuitBreakers> {
    let thresholds = Thresholds {
        max_connections: number(UNLIMITED),
        max_pending_requests: number(UNLIMITED),
        max_requests: number(UNLIMITED),
        max_retries: number(RETRIES),
        ..Default::default()
    };
    Some(CircuitBreakers {
        thresholds: vec![thresholds],
        ..Default::default()
    })
}
