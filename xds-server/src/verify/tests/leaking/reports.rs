//! Reports to the control plane that leak.

use super::*;
use envoy_types::pb::envoy::config::accesslog::v3::access_log::ConfigType;
use envoy_types::pb::envoy::config::core::v3::GrpcService;
use envoy_types::pb::envoy::config::core::v3::grpc_service::{
    EnvoyGrpc, GoogleGrpc, TargetSpecifier,
};
use envoy_types::pb::envoy::extensions::access_loggers::open_telemetry::v3::OpenTelemetryAccessLogConfig;
use envoy_types::pb::opentelemetry::proto::common::v1::AnyValue;
use envoy_types::pb::opentelemetry::proto::common::v1::any_value::Value;
use prost::Message;

/// Edits the report of the public listener.
fn report(snapshot: &mut Snapshot, edit: impl Fn(&mut OpenTelemetryAccessLogConfig)) {
    manager(listener(snapshot, "public"), |manager| {
        let Some(ConfigType::TypedConfig(any)) = &mut manager.access_log[1].config_type else {
            panic!("no report");
        };
        let mut config = OpenTelemetryAccessLogConfig::decode(any.value.as_slice()).unwrap();
        edit(&mut config);
        *any = pack_any(config);
    });
}

fn service(snapshot: &mut Snapshot, edit: impl Fn(&mut GrpcService)) {
    report(snapshot, |config| {
        edit(config.grpc_service.as_mut().unwrap())
    });
}

/// Sets what the first attribute says.
fn says(snapshot: &mut Snapshot, text: &str) {
    report(snapshot, |config| {
        let value = AnyValue {
            value: Some(Value::StringValue(text.to_owned())),
        };
        config.attributes.as_mut().unwrap().values[1].value = Some(value);
    });
}

#[test]
fn reports_that_leak() {
    let all = vec![
        case(
            "to another cluster",
            EU,
            |s| {
                service(s, |service| {
                    service.target_specifier = Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
                        cluster_name: "peer/us-west-2/llama-3.1-70b".into(),
                        ..Default::default()
                    }));
                });
            },
            "which is no control plane",
        ),
        case(
            "by Google's client",
            EU,
            |s| {
                service(s, |service| {
                    let google = GoogleGrpc::default();
                    service.target_specifier = Some(TargetSpecifier::GoogleGrpc(google));
                });
            },
            "not of Envoy's own client",
        ),
        case(
            "nowhere",
            EU,
            |s| report(s, |config| config.grpc_service = None),
            "it goes nowhere",
        ),
        case(
            "a header of the caller",
            EU,
            |s| says(s, "%REQ(AUTHORIZATION)%"),
            "which may be what a caller has sent",
        ),
        case(
            "the query",
            EU,
            |s| says(s, "%REQ(:PATH)%"),
            "which may be what a caller has sent",
        ),
        case(
            "a body",
            EU,
            |s| {
                report(s, |config| {
                    config.body = Some(AnyValue {
                        value: Some(Value::StringValue("%REQ(COOKIE)%".into())),
                    });
                });
            },
            "`body` of this OpenTelemetryAccessLogConfig",
        ),
        case(
            "by HTTP",
            EU,
            |s| report(s, |config| config.http_service = Some(Default::default())),
            "`http_service` of this OpenTelemetryAccessLogConfig",
        ),
    ];
    let control_plane = "control_plane: { address: meridian.example.com }";
    check(&format!("{EXAMPLE}\n{control_plane}\n"), all);
}
