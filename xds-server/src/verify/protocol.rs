//! HTTP as it is spoken: time limits and windows, nothing that chooses a destination.

use super::known::{Leaks, only};
use envoy_types::pb::envoy::config::core::v3::{Http1ProtocolOptions, Http2ProtocolOptions};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    AutoHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::google::protobuf::Any;
use std::collections::HashMap;

const UPSTREAM: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A cluster's protocol. Filters, mirrors and retries of its own are not known.
pub fn upstream(at: &str, extensions: &HashMap<String, Any>, leaks: &mut Leaks) {
    for (name, any) in extensions {
        if name != UPSTREAM {
            leaks.unknown(at, format!("the protocol options `{name}`"));
            continue;
        }
        let Some(options) = leaks.open::<HttpProtocolOptions>(at, any) else {
            continue;
        };
        leaks.known(
            at,
            &options,
            &only!(
                HttpProtocolOptions,
                options,
                [common_http_protocol_options, upstream_protocol_options]
            ),
        );
        match &options.upstream_protocol_options {
            Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => {
                match &explicit.protocol_config {
                    Some(ProtocolConfig::HttpProtocolOptions(options)) => http1(at, options, leaks),
                    Some(ProtocolConfig::Http2ProtocolOptions(options)) => {
                        http2(at, options, leaks)
                    }
                    _ => leaks.unknown(at, "this protocol"),
                }
            }
            Some(UpstreamProtocolOptions::AutoConfig(auto)) => {
                let known = only!(
                    AutoHttpConfig,
                    auto,
                    [http_protocol_options, http2_protocol_options]
                );
                leaks.known(at, auto, &known);
                if let Some(options) = &auto.http_protocol_options {
                    http1(at, options, leaks);
                }
                if let Some(options) = &auto.http2_protocol_options {
                    http2(at, options, leaks);
                }
            }
            _ => leaks.unknown(at, "this protocol"),
        }
    }
}

/// HTTP/1 by default, in either direction.
pub fn http1(at: &str, options: &Http1ProtocolOptions, leaks: &mut Leaks) {
    leaks.known(at, options, &Http1ProtocolOptions::default());
}

/// HTTP/2 with its windows, in either direction; no CONNECT, no METADATA frames.
pub fn http2(at: &str, options: &Http2ProtocolOptions, leaks: &mut Leaks) {
    let known = only!(
        Http2ProtocolOptions,
        options,
        [
            hpack_table_size,
            max_concurrent_streams,
            initial_stream_window_size,
            initial_connection_window_size,
            max_outbound_frames,
            max_outbound_control_frames,
            connection_keepalive,
        ]
    );
    leaks.known(at, options, &known);
}
