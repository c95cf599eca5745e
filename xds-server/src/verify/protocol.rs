//! HTTP protocol options: timeouts and windows are supported, because they cannot choose a destination.

use super::leak::{Leaks, only};
use super::plugin::Plugin;
use envoy_types::pb::envoy::config::core::v3::{Http1ProtocolOptions, Http2ProtocolOptions};
use envoy_types::pb::envoy::extensions::filters::http::upstream_codec::v3::UpstreamCodec;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    AutoHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::google::protobuf::Any;
use meridian_policy::Fleet;
use std::collections::HashMap;

const UPSTREAM: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Checks the protocol of a cluster. Filters, mirrors and retries are not supported there.
pub fn upstream(at: &str, extensions: &HashMap<String, Any>, leaks: &mut Leaks) {
    for options in unpacked(at, extensions, leaks) {
        let supported = only!(
            HttpProtocolOptions,
            options,
            [common_http_protocol_options, upstream_protocol_options]
        );
        leaks.check_fields(at, &options, &supported);
        version(at, &options, leaks);
    }
}

/// Checks the protocol of a chain. Its upstream filters must be the guard and the codec. `guards`: configurations of the guard that are
/// right, as all chains have the same one.
pub fn of_chain(
    fleet: &Fleet,
    at: &str,
    extensions: &HashMap<String, Any>,
    guards: &mut Vec<Any>,
    leaks: &mut Leaks,
) {
    for options in unpacked(at, extensions, leaks) {
        let supported = only!(
            HttpProtocolOptions,
            options,
            [upstream_protocol_options, http_filters]
        );
        leaks.check_fields(at, &options, &supported);
        version(at, &options, leaks);
        for filter in &options.http_filters {
            let at = format!("{at}.http_filters[{:?}]", filter.name);
            leaks.check_fields(&at, filter, &only!(HttpFilter, filter, [name, config_type]));
            match &filter.config_type {
                Some(ConfigType::TypedConfig(any)) if Plugin::is(any) => {
                    let before = leaks.count();
                    if !guards.contains(any)
                        && let Some(plugin) = Plugin::of(&at, any, leaks)
                    {
                        plugin.guard(fleet, &at, leaks);
                        if leaks.count() == before {
                            guards.push(any.clone());
                        }
                    }
                }
                Some(ConfigType::TypedConfig(any)) => {
                    if let Some(codec) = leaks.unpack::<UpstreamCodec>(&at, any) {
                        leaks.check_fields(&at, &codec, &UpstreamCodec::default());
                    }
                }
                _ => leaks.unsupported(&at, "a filter without configuration"),
            }
        }
    }
}

fn unpacked(
    at: &str,
    extensions: &HashMap<String, Any>,
    leaks: &mut Leaks,
) -> Vec<HttpProtocolOptions> {
    let mut all = Vec::new();
    for (name, any) in extensions {
        if name == UPSTREAM {
            all.extend(leaks.unpack::<HttpProtocolOptions>(at, any));
        } else {
            leaks.unsupported(at, format!("the protocol options `{name}`"));
        }
    }
    all
}

fn version(at: &str, options: &HttpProtocolOptions, leaks: &mut Leaks) {
    match &options.upstream_protocol_options {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => {
            match &explicit.protocol_config {
                Some(ProtocolConfig::HttpProtocolOptions(options)) => http1(at, options, leaks),
                Some(ProtocolConfig::Http2ProtocolOptions(options)) => http2(at, options, leaks),
                _ => leaks.unsupported(at, "this protocol"),
            }
        }
        Some(UpstreamProtocolOptions::AutoConfig(auto)) => {
            let supported = only!(
                AutoHttpConfig,
                auto,
                [http_protocol_options, http2_protocol_options]
            );
            leaks.check_fields(at, auto, &supported);
            if let Some(options) = &auto.http_protocol_options {
                http1(at, options, leaks);
            }
            if let Some(options) = &auto.http2_protocol_options {
                http2(at, options, leaks);
            }
        }
        _ => leaks.unsupported(at, "this protocol"),
    }
}

/// HTTP/1 with default options.
pub fn http1(at: &str, options: &Http1ProtocolOptions, leaks: &mut Leaks) {
    leaks.check_fields(at, options, &Http1ProtocolOptions::default());
}

/// HTTP/2 with windows and keepalive; no CONNECT, no METADATA frames.
pub fn http2(at: &str, options: &Http2ProtocolOptions, leaks: &mut Leaks) {
    let supported = only!(
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
    leaks.check_fields(at, options, &supported);
}
