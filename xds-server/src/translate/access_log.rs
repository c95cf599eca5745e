//! Access logs, as one JSON object per line.

use crate::wire::{extension, structure, text};
use envoy_types::pb::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, NotHealthCheckFilter, access_log,
};
use envoy_types::pb::envoy::config::core::v3::substitution_format_string::Format;
use envoy_types::pb::envoy::config::core::v3::{SubstitutionFormatString, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::FileAccessLog;
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::file_access_log::AccessLogFormat;
use envoy_types::pb::google::protobuf::Struct;
use meridian_policy::RegionName;

/// One JSON object per request: caller, decision, target, attempts, times.
pub fn of_requests(path: &str, home: &RegionName, listener: &str) -> Vec<AccessLog> {
    let fields = structure([
        ("time", text("%START_TIME%")),
        ("gateway", text(home.as_str())),
        ("listener", text(listener)),
        ("request_id", text("%REQ(X-REQUEST-ID)%")),
        ("from", text("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")),
        ("method", text("%REQ(:METHOD)%")),
        ("path", text("%PATH(NQ)%")),
        ("zone", text("%REQ(X-MERIDIAN-ZONE)%")),
        ("model", text("%REQ(X-MERIDIAN-MODEL)%")),
        ("decision", text("%RESP(X-MERIDIAN-DECISION)%")),
        ("route", text("%ROUTE_NAME%")),
        ("region", text("%UPSTREAM_METADATA(meridian:region)%")),
        ("upstream", text("%UPSTREAM_HOST%")),
        ("attempts", text("%UPSTREAM_REQUEST_ATTEMPT_COUNT%")),
        (
            "attempt_log",
            text("%FILTER_STATE(wasm.meridian_attempts:PLAIN)%"),
        ),
        ("status", text("%RESPONSE_CODE%")),
        ("details", text("%RESPONSE_CODE_DETAILS%")),
        ("tls_failure", text("%UPSTREAM_TRANSPORT_FAILURE_REASON%")),
        ("flags", text("%RESPONSE_FLAGS%")),
        ("broken", text("%FILTER_STATE(wasm.meridian_broken:PLAIN)%")),
        ("bytes_in", text("%BYTES_RECEIVED%")),
        ("bytes_out", text("%BYTES_SENT%")),
        ("first_byte_ms", text("%RESPONSE_DURATION%")),
        ("duration_ms", text("%DURATION%")),
        ("peer", text("%DOWNSTREAM_PEER_URI_SAN%")),
    ]);
    let requests_only = FilterSpecifier::NotHealthCheckFilter(NotHealthCheckFilter {});
    let filter = AccessLogFilter {
        filter_specifier: Some(requests_only),
    };
    vec![AccessLog {
        filter: Some(filter),
        ..file_log(path, fields)
    }]
}

/// One JSON object per TCP connection: target, bytes, duration.
pub fn of_connections(path: &str, home: &RegionName, listener: &str) -> Vec<AccessLog> {
    let fields = structure([
        ("time", text("%START_TIME%")),
        ("gateway", text(home.as_str())),
        ("listener", text(listener)),
        ("from", text("%DOWNSTREAM_REMOTE_ADDRESS%")),
        ("region", text("%UPSTREAM_METADATA(meridian:region)%")),
        ("upstream", text("%UPSTREAM_HOST%")),
        ("attempts", text("%UPSTREAM_REQUEST_ATTEMPT_COUNT%")),
        ("details", text("%CONNECTION_TERMINATION_DETAILS%")),
        ("tls_failure", text("%UPSTREAM_TRANSPORT_FAILURE_REASON%")),
        ("flags", text("%RESPONSE_FLAGS%")),
        ("bytes_in", text("%BYTES_RECEIVED%")),
        ("bytes_out", text("%BYTES_SENT%")),
        ("duration_ms", text("%DURATION%")),
        ("peer", text("%DOWNSTREAM_PEER_URI_SAN%")),
    ]);
    vec![file_log(path, fields)]
}

fn file_log(path: &str, fields: Struct) -> AccessLog {
    let format = SubstitutionFormatString {
        format: Some(Format::JsonFormat(fields)),
        ..Default::default()
    };
    let log = FileAccessLog {
        path: path.into(),
        access_log_format: Some(AccessLogFormat::LogFormat(format)),
    };
    self::log(extension("envoy.access_loggers.file", log))
}

/// An access log of all requests or connections.
pub fn log(log: TypedExtensionConfig) -> AccessLog {
    AccessLog {
        name: log.name,
        config_type: log.typed_config.map(access_log::ConfigType::TypedConfig),
        ..Default::default()
    }
}
