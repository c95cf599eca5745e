//! The public listener: requests of callers pass the filter and are routed to chains.

use crate::wire::{address, extension, header_is, http_filter, matches, no, number, seconds, transport_socket, yes};
use super::node::Node;
use super::{access_log, filter, local_reply, report};
use crate::{name, tls};
use envoy_types::pb::envoy::config::core::v3::{CidrRange, SocketOption, socket_option};
use envoy_types::pb::envoy::config::core::v3::http_protocol_options::HeadersWithUnderscoresAction;
use envoy_types::pb::envoy::config::core::v3::{Http2ProtocolOptions, HttpProtocolOptions};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter as network_filter};
use envoy_types::pb::envoy::extensions::compression::gzip::compressor::v3::Gzip;
use envoy_types::pb::envoy::extensions::compression::gzip::compressor::v3::gzip::CompressionLevel;
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3::Compressor;
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3::compressor::{CommonDirectionConfig, ResponseDirectionConfig};
use envoy_types::pb::envoy::extensions::filters::http::health_check::v3::HealthCheck;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    InternalAddressConfig, PathWithEscapedSlashesAction, RouteSpecifier,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{CommonTlsContext, DownstreamTlsContext};
use meridian_policy::fleet::{Limits, Region};

/// Bytes that Envoy buffers per connection before it stops reading. Routes set a larger limit for request bodies.
const CONNECTION_BUFFER: u32 = 1 << 20;
use std::net::Ipv4Addr;

/// Responds with 200 while the gateway accepts traffic, for load balancers in front of gateways.
const READY_PATH: &str = "/healthz";

pub fn listener(node: &Node<'_>, routes: RouteConfiguration, region: &Region) -> Listener {
    let ready = HealthCheck {
        pass_through_mode: no(),
        headers: vec![header_is(":path", READY_PATH)],
        ..Default::default()
    };
    let manager = HttpConnectionManager {
        stat_prefix: "public".into(),
        // By default Envoy waits 1 s for the caller to close before it ends the connection of a stream that broke off.
        delayed_close_timeout: seconds(0),
        access_log: [
            access_log::of_requests(&node.topology.access_log, node.home, "public"),
            report::of_decisions(node),
        ]
        .concat(),
        // Zone sources are trusted by the address of the connection.
        use_remote_address: yes(),
        internal_address_config: Some(nobody()),
        always_set_request_id_in_response: true,
        normalize_path: yes(),
        merge_slashes: true,
        // Some clients escape the slashes of a model's name. The filter must see the path that is forwarded.
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::UnescapeAndForward.into(),
        common_http_protocol_options: Some(HttpProtocolOptions {
            idle_timeout: seconds(3600),
            headers_with_underscores_action: HeadersWithUnderscoresAction::RejectRequest.into(),
            ..Default::default()
        }),
        http2_protocol_options: Some(Http2ProtocolOptions {
            max_concurrent_streams: number(100),
            initial_stream_window_size: number(64 << 10),
            initial_connection_window_size: number(1 << 20),
            ..Default::default()
        }),
        request_headers_timeout: seconds(10),
        request_timeout: seconds(300),
        local_reply_config: Some(local_reply::for_callers(&node.topology.limits)),
        http_filters: vec![
            http_filter("envoy.filters.http.health_check", ready),
            http_filter("envoy.filters.http.compressor", compressor()),
            filter::router(node.topology, node.plan, node.home, node.lease),
            http_filter("envoy.filters.http.router", Router::default()),
        ],
        route_specifier: Some(RouteSpecifier::RouteConfig(routes)),
        ..Default::default()
    };
    let server_tls = region.public.tls.is_some().then(server_tls);
    Listener {
        name: "public".into(),
        address: address(region.public.listen),
        per_connection_buffer_limit_bytes: number(CONNECTION_BUFFER),
        socket_options: vec![unread_limit(&node.topology.limits)],
        filter_chains: vec![FilterChain {
            filters: vec![connection_manager(manager)],
            transport_socket: server_tls.and_then(transport_socket),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Compresses answers for callers that ask for it. Servers are asked for plain ones, which the guard can read. Envoy flushes each event
/// of a stream by itself.
fn compressor() -> Compressor {
    let fast = Gzip {
        compression_level: CompressionLevel::BestSpeed.into(),
        // 10 KB per stream instead of 260 KB.
        memory_level: number(1),
        window_bits: number(10),
        ..Default::default()
    };
    let common = CommonDirectionConfig {
        content_type_matcher: vec![
            matches("application/json.*"),
            matches("text/event-stream.*"),
        ],
        ..Default::default()
    };
    Compressor {
        compressor_library: Some(extension("gzip", fast)),
        response_direction_config: Some(ResponseDirectionConfig {
            common_config: Some(common),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Ends the connection of a caller who has read nothing for as long as a stream may be silent. Envoy has no limit of its own for what is
/// left to send when a stream has ended.
fn unread_limit(limits: &Limits) -> SocketOption {
    // Linux' numbers of TCP and of its TCP_USER_TIMEOUT, which accepted connections inherit.
    const TCP: i64 = 6;
    const USER_TIMEOUT: i64 = 18;
    SocketOption {
        level: TCP,
        name: USER_TIMEOUT,
        value: i64::try_from(limits.stream_idle_timeout.as_millis())
            .ok()
            .map(socket_option::Value::IntValue),
        ..Default::default()
    }
}

/// The network filter of every HTTP listener.
pub fn connection_manager(manager: HttpConnectionManager) -> Filter {
    let manager = extension("envoy.filters.network.http_connection_manager", manager);
    let config_type = manager
        .typed_config
        .map(network_filter::ConfigType::TypedConfig);
    Filter {
        name: manager.name,
        config_type,
    }
}

fn server_tls() -> DownstreamTlsContext {
    DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificate_sds_secret_configs: vec![tls::by_name(name::PUBLIC)],
            alpn_protocols: vec!["h2".into(), "http/1.1".into()],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Treats no address as internal, so that Envoy removes the `x-envoy-*` headers of every caller. An empty list would
/// mean all private networks.
fn nobody() -> InternalAddressConfig {
    InternalAddressConfig {
        cidr_ranges: vec![CidrRange {
            address_prefix: Ipv4Addr::BROADCAST.to_string(),
            prefix_len: number(32),
        }],
        ..Default::default()
    }
}
