//! Access logs to the control plane: what was decided about requests and what became of them, and nothing that their callers have sent.

use super::access_log::log;
use super::node::Node;
use crate::name;
use crate::wire::{extension, header_is, seconds};
use envoy_types::pb::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, AndFilter, ComparisonFilter, HeaderFilter, NotHealthCheckFilter,
    OrFilter, ResponseFlagFilter, StatusCodeFilter, comparison_filter,
};
use envoy_types::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_types::pb::envoy::config::core::v3::{GrpcService, RuntimeUInt32};
use envoy_types::pb::envoy::config::route::v3::HeaderMatcher;
use envoy_types::pb::envoy::extensions::access_loggers::open_telemetry::v3::OpenTelemetryAccessLogConfig;
use envoy_types::pb::opentelemetry::proto::common::v1::any_value::Value;
use envoy_types::pb::opentelemetry::proto::common::v1::{AnyValue, KeyValue, KeyValueList};
use meridian_policy::filter_policy::Lane;
use meridian_policy::{RegionName, headers};

/// The attributes of a report, and Envoy's format of each.
const FIELDS: [(&str, &str); 16] = [
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("zone", "%REQ(X-MERIDIAN-ZONE)%"),
    ("model", "%REQ(X-MERIDIAN-MODEL)%"),
    ("decision", "%RESP(X-MERIDIAN-DECISION)%"),
    ("region", "%UPSTREAM_METADATA(meridian:region)%"),
    ("upstream", "%UPSTREAM_HOST%"),
    (
        "attempt_log",
        "%FILTER_STATE(wasm.meridian_attempts:PLAIN)%",
    ),
    ("tokens", "%FILTER_STATE(wasm.meridian_tokens:PLAIN)%"),
    ("status", "%RESPONSE_CODE%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("broken", "%FILTER_STATE(wasm.meridian_broken:PLAIN)%"),
    ("bytes_in", "%BYTES_RECEIVED%"),
    ("bytes_out", "%BYTES_SENT%"),
    ("first_byte_ms", "%RESPONSE_DURATION%"),
    ("duration_ms", "%DURATION%"),
    ("report", "%REQ(X-MERIDIAN-REPORT)%"),
];

/// A log to each replica of the control plane. None without one: such a gateway has a policy without a lease.
pub fn of_decisions(node: &Node<'_>) -> Vec<AccessLog> {
    let Some(control_plane) = node.lease.and(node.topology.control_plane.as_ref()) else {
        return Vec::new();
    };
    let home = node.home;
    let clusters = name::report_clusters(control_plane).into_iter();
    clusters
        .map(|cluster| AccessLog {
            filter: Some(filter(wanted())),
            ..log(extension(
                "envoy.access_loggers.open_telemetry",
                report(cluster, home),
            ))
        })
        .collect()
}

fn report(cluster: String, home: &RegionName) -> OpenTelemetryAccessLogConfig {
    let gateway = attribute("gateway", home.as_str());
    let fields = FIELDS.iter().map(|(key, format)| attribute(key, format));
    OpenTelemetryAccessLogConfig {
        log_name: "decisions".into(),
        grpc_service: Some(GrpcService {
            target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
                cluster_name: cluster,
                ..Default::default()
            })),
            // A control plane that hangs does not gather reports at the gateway.
            timeout: seconds(2),
            ..Default::default()
        }),
        disable_builtin_labels: true,
        attributes: Some(KeyValueList {
            values: std::iter::once(gateway).chain(fields).collect(),
        }),
        ..Default::default()
    }
}

fn attribute(key: &str, format: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(format.into())),
        }),
        ..Default::default()
    }
}

/// The requests that the filter has chosen, and those that were refused, failed over, broke off or were for a fallback, unless the filter
/// says that there are too many.
fn wanted() -> FilterSpecifier {
    let is_untold = header_is(headers::REPORT, headers::UNTOLD);
    let notable = any([
        status_of_an_error(),
        FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter::default()),
        header(HeaderMatcher {
            invert_match: true,
            ..header_is(headers::ATTEMPT, "1")
        }),
        header(header_is(headers::LANE, Lane::Fallback.as_str())),
    ]);
    all([
        FilterSpecifier::NotHealthCheckFilter(NotHealthCheckFilter {}),
        any([
            header(header_is(headers::REPORT, headers::SAMPLED)),
            all([
                header(HeaderMatcher {
                    invert_match: true,
                    treat_missing_header_as_empty: true,
                    ..is_untold
                }),
                notable,
            ]),
        ]),
    ])
}

fn status_of_an_error() -> FilterSpecifier {
    FilterSpecifier::StatusCodeFilter(StatusCodeFilter {
        comparison: Some(ComparisonFilter {
            op: comparison_filter::Op::Ge.into(),
            value: Some(RuntimeUInt32 {
                default_value: 400,
                // Envoy wants a key.
                runtime_key: "meridian.reported_status".into(),
            }),
        }),
    })
}

fn header(matcher: HeaderMatcher) -> FilterSpecifier {
    FilterSpecifier::HeaderFilter(HeaderFilter {
        header: Some(matcher),
    })
}

fn any<const N: usize>(of: [FilterSpecifier; N]) -> FilterSpecifier {
    let filters = of.map(filter).into();
    FilterSpecifier::OrFilter(OrFilter { filters })
}

fn all<const N: usize>(of: [FilterSpecifier; N]) -> FilterSpecifier {
    let filters = of.map(filter).into();
    FilterSpecifier::AndFilter(AndFilter { filters })
}

fn filter(specifier: FilterSpecifier) -> AccessLogFilter {
    AccessLogFilter {
        filter_specifier: Some(specifier),
    }
}
