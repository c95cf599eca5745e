//! The short configuration: the gateway's identity and the addresses of the control plane.
//!
//! With several replicas a gateway connects to any of them for its configuration, and reports its statistics to each.

use super::{common, secrets};
use crate::discovery::ads;
use crate::wire::{
    duration, exactly, extension, number, seconds, socket_address, transport_socket,
};
use crate::{name, tls};
use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::{DynamicResources, StaticResources};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily,
};
use envoy_types::pb::envoy::config::core::v3::api_config_source::ApiType;
use envoy_types::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_types::pb::envoy::config::core::v3::{
    ApiConfigSource, ApiVersion, BackoffStrategy, GrpcService, Http2ProtocolOptions,
    KeepaliveSettings, RetryPolicy, TypedExtensionConfig,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::config::metrics::v3::stats_sink;
use envoy_types::pb::envoy::config::metrics::v3::{
    HistogramEmitMode, MetricsServiceConfig, StatsSink,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    SubjectAltNameMatcher, UpstreamTlsContext,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
};
use meridian_policy::fleet::ControlPlane;
use meridian_policy::{Fleet, RegionName};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Interval at which a gateway reports its statistics.
const REPORT: Duration = Duration::from_secs(1);

/// Longest time between two attempts to connect to the control plane, at first and later.
const RECONNECT_AT_FIRST: Duration = Duration::from_millis(200);
const RECONNECT: Duration = Duration::from_secs(1);

/// The variant of xDS that a gateway uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Incremental: a response holds changed resources only.
    Delta,
    /// State of the world.
    Sotw,
}

/// Why there is no short configuration for a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoControlPlane {
    /// The fleet file has no `control_plane`.
    #[error(
        "the fleet file has no `control_plane`; add one, e.g. `control_plane: {{ address: cp.example.com }}`, or take \
         the static configuration of `meridian export`"
    )]
    NotThere,
    /// The fleet has no such region.
    #[error("there is no such region")]
    NoRegion,
}

/// The configuration that `meridian bootstrap` prints: all other resources come from the control plane.
///
/// `secrets`: the directory of the gateway with the files of [`secret_files`](super::secret_files). Envoy reads the
/// certificates of the connection to the control plane again when their files are replaced. Without it, it reads them when
/// it starts.
///
/// # Errors
///
/// If the fleet has no control plane or no such region.
pub fn dynamic(
    fleet: &Fleet,
    home: &RegionName,
    protocol: Protocol,
    secrets: Option<&Path>,
) -> Result<Bootstrap, NoControlPlane> {
    let control_plane = fleet
        .control_plane
        .as_ref()
        .ok_or(NoControlPlane::NotThere)?;
    let region = fleet.regions.get(home).ok_or(NoControlPlane::NoRegion)?;
    let bootstrap = common::bootstrap(fleet, home).ok_or(NoControlPlane::NoRegion)?;
    let api_type = match protocol {
        Protocol::Delta => ApiType::DeltaGrpc,
        Protocol::Sotw => ApiType::Grpc,
    };
    Ok(Bootstrap {
        dynamic_resources: Some(DynamicResources {
            ads_config: Some(ApiConfigSource {
                api_type: api_type.into(),
                transport_api_version: ApiVersion::V3.into(),
                grpc_services: vec![service(name::CONTROL_PLANE, Some(reconnects()))],
                set_node_on_first_message_only: true,
                ..Default::default()
            }),
            cds_config: Some(ads()),
            lds_config: Some(ads()),
            ..Default::default()
        }),
        static_resources: Some(StaticResources {
            clusters: clusters(fleet, control_plane, secrets),
            secrets: match (&control_plane.tls, secrets) {
                (Some(_), None) => secrets::own(&region.gateway).into(),
                _ => Vec::new(),
            },
            ..Default::default()
        }),
        stats_sinks: name::report_clusters(control_plane)
            .iter()
            .map(|cluster| reports(cluster))
            .collect(),
        stats_flush_interval: duration(REPORT),
        ..bootstrap
    })
}

/// The cluster of all replicas, and one of each, if there are several.
fn clusters(fleet: &Fleet, control_plane: &ControlPlane, secrets: Option<&Path>) -> Vec<Cluster> {
    let all = &control_plane.addresses;
    let cluster =
        |name: &str, addresses: &[String]| cluster(fleet, control_plane, name, addresses, secrets);
    let mut clusters = vec![cluster(name::CONTROL_PLANE, all)];
    if all.len() > 1 {
        let each = name::report_clusters(control_plane).into_iter().zip(all);
        clusters.extend(each.map(|(name, address)| cluster(&name, std::slice::from_ref(address))));
    }
    clusters
}

fn service(cluster: &str, retry_policy: Option<RetryPolicy>) -> GrpcService {
    GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: cluster.into(),
            retry_policy,
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// How soon a gateway connects again. Envoy itself waits up to 30 s: longer than an edit waits for gateways that are away while a
/// control plane restarts.
fn reconnects() -> RetryPolicy {
    RetryPolicy {
        retry_back_off: Some(BackoffStrategy {
            base_interval: duration(RECONNECT_AT_FIRST),
            max_interval: duration(RECONNECT),
        }),
        ..Default::default()
    }
}

/// Streams the gateway's statistics to the control plane: responses by region, time to first token, healthy endpoints.
fn reports(cluster: &str) -> StatsSink {
    let config = MetricsServiceConfig {
        grpc_service: Some(service(cluster, None)),
        transport_api_version: ApiVersion::V3.into(),
        emit_tags_as_labels: true,
        histogram_emit_mode: HistogramEmitMode::Histogram.into(),
        ..Default::default()
    };
    let sink = extension("envoy.stat_sinks.metrics_service", config);
    StatsSink {
        name: sink.name,
        config_type: sink.typed_config.map(stats_sink::ConfigType::TypedConfig),
    }
}

/// A cluster of the control plane.
fn cluster(
    fleet: &Fleet,
    control_plane: &ControlPlane,
    name: &str,
    addresses: &[String],
    secrets: Option<&Path>,
) -> Cluster {
    let tls = control_plane.tls.as_ref();
    let tls = tls.map(|_| control_plane_tls(fleet, addresses, secrets));
    let endpoints = addresses.iter().map(|address| LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: socket_address(address, control_plane.port),
            ..Default::default()
        })),
        ..Default::default()
    });
    let options = protocol(control_plane.addresses.len() > 1);
    let discovery = if addresses.iter().all(|address| is_ip(address)) {
        DiscoveryType::Static
    } else {
        DiscoveryType::StrictDns
    };
    Cluster {
        name: name.into(),
        connect_timeout: seconds(2),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery.into())),
        dns_lookup_family: DnsLookupFamily::V4Preferred.into(),
        typed_extension_protocol_options: options
            .typed_config
            .map(|config| (options.name, config))
            .into_iter()
            .collect(),
        transport_socket: tls.and_then(transport_socket),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.into(),
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: endpoints.collect(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// mTLS: the gateway presents the certificate that it presents to other gateways. The server must be the control plane of
/// the trust domain.
fn control_plane_tls(
    fleet: &Fleet,
    addresses: &[String],
    secrets: Option<&Path>,
) -> UpstreamTlsContext {
    let san = SubjectAltNameMatcher {
        san_type: SanType::Uri.into(),
        matcher: Some(exactly(&fleet.control_plane_id())),
        ..Default::default()
    };
    UpstreamTlsContext {
        // Of several hosts none is named: replicas have certificates for the same ID.
        sni: match addresses {
            [address] if !is_ip(address) => address.clone(),
            _ => String::new(),
        },
        common_tls_context: Some(tls::mutual(
            secrets::of(name::GATEWAY, secrets),
            secrets::of(name::AUTHORITY, secrets),
            vec![san],
        )),
        ..Default::default()
    }
}

/// HTTP/2 with keepalives.
fn protocol(has_replicas: bool) -> TypedExtensionConfig {
    // A control plane that hangs answers no ping: Envoy closes the connection and reconnects, with replicas to another one soon.
    let (interval, timeout) = if has_replicas { (2, 3) } else { (10, 5) };
    let http2 = Http2ProtocolOptions {
        connection_keepalive: Some(KeepaliveSettings {
            interval: seconds(interval),
            timeout: seconds(timeout),
            ..Default::default()
        }),
        initial_stream_window_size: number(1 << 20),
        initial_connection_window_size: number(1 << 20),
        ..Default::default()
    };
    let explicit = ExplicitHttpConfig {
        protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(http2)),
    };
    extension(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        HttpProtocolOptions {
            upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)),
            ..Default::default()
        },
    )
}

fn is_ip(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok()
}
