//! Reports of requests to the control plane: they go to the control plane alone, and have nothing in them that a caller has sent.

use super::leak::{Leaks, only};
use crate::name;
use envoy_types::pb::envoy::config::core::v3::GrpcService;
use envoy_types::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_types::pb::envoy::extensions::access_loggers::open_telemetry::v3::OpenTelemetryAccessLogConfig;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::opentelemetry::proto::common::v1::any_value::Value;
use meridian_policy::Fleet;

/// What a report may have in it, besides names of regions. A caller's model is a header that the filter sets, from the fleet file.
const REPORTED: [&str; 16] = [
    "%REQ(X-REQUEST-ID)%",
    "%REQ(X-MERIDIAN-ZONE)%",
    "%REQ(X-MERIDIAN-MODEL)%",
    "%REQ(X-MERIDIAN-REPORT)%",
    "%RESP(X-MERIDIAN-DECISION)%",
    "%UPSTREAM_METADATA(meridian:region)%",
    "%UPSTREAM_HOST%",
    "%FILTER_STATE(wasm.meridian_attempts:PLAIN)%",
    "%FILTER_STATE(wasm.meridian_tokens:PLAIN)%",
    "%FILTER_STATE(wasm.meridian_broken:PLAIN)%",
    "%RESPONSE_CODE%",
    "%RESPONSE_FLAGS%",
    "%BYTES_RECEIVED%",
    "%BYTES_SENT%",
    "%RESPONSE_DURATION%",
    "%DURATION%",
];

/// Checks an access log to the control plane.
pub fn check(at: &str, fleet: &Fleet, any: Option<&Any>, leaks: &mut Leaks) {
    let at = format!("{at} -> report");
    let report = leaks.unpack_required::<OpenTelemetryAccessLogConfig>(&at, any);
    let Some(report) = report else {
        return;
    };
    let supported = only!(
        OpenTelemetryAccessLogConfig,
        report,
        [log_name, grpc_service, disable_builtin_labels, attributes]
    );
    leaks.check_fields(&at, &report, &supported);
    goes_to_control_plane(&at, fleet, report.grpc_service.as_ref(), leaks);
    let attributes = report.attributes.iter().flat_map(|list| &list.values);
    for attribute in attributes {
        let value = attribute.value.as_ref().and_then(|any| any.value.as_ref());
        let is_region = |text: &str| fleet.regions.contains_key(text);
        match value {
            Some(Value::StringValue(text)) if REPORTED.contains(&text.as_str()) => {}
            Some(Value::StringValue(text)) if is_region(text) => {}
            other => leaks.add(
                &at,
                format!(
                    "`{}` reports {other:?}, which may be what a caller has sent",
                    attribute.key
                ),
            ),
        }
    }
}

fn goes_to_control_plane(
    at: &str,
    fleet: &Fleet,
    service: Option<&GrpcService>,
    leaks: &mut Leaks,
) {
    let clusters = fleet.control_plane.as_ref().map(name::report_clusters);
    let clusters = clusters.unwrap_or_default();
    let Some(service) = service else {
        leaks.add(at, "it goes nowhere");
        return;
    };
    let supported = only!(GrpcService, service, [timeout, target_specifier]);
    leaks.check_fields(at, service, &supported);
    match &service.target_specifier {
        Some(TargetSpecifier::EnvoyGrpc(envoy)) => {
            let supported = only!(EnvoyGrpc, envoy, [cluster_name]);
            leaks.check_fields(at, envoy, &supported);
            if !clusters.contains(&envoy.cluster_name) {
                let cluster = &envoy.cluster_name;
                leaks.add(
                    at,
                    format!("it goes to `{cluster}`, which is no control plane"),
                );
            }
        }
        _ => leaks.unsupported(at, "a service that is not of Envoy's own client"),
    }
}
