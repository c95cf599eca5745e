//! How dead and failing endpoints are noticed.

use crate::wire::{millis, no, number, seconds};
use envoy_types::pb::envoy::config::cluster::v3::OutlierDetection;
use envoy_types::pb::envoy::config::core::v3::HealthCheck;
use envoy_types::pb::envoy::config::core::v3::health_check::{
    HealthChecker, HttpHealthCheck, TcpHealthCheck,
};

/// Whether a request is answered.
pub(super) fn health_check(check: HttpHealthCheck) -> HealthCheck {
    now_and_then(HealthChecker::HttpHealthCheck(check))
}

/// Whether a connection stands.
pub(super) fn tcp_check() -> HealthCheck {
    now_and_then(HealthChecker::TcpHealthCheck(TcpHealthCheck::default()))
}

/// The intervals without traffic default to a minute, which would keep a dead region in the chain that long. Who is back is seen
/// sooner than who is gone: while an Envoy starts, its first checks may time out for its own work.
fn now_and_then(checker: HealthChecker) -> HealthCheck {
    HealthCheck {
        timeout: seconds(2),
        interval: seconds(2),
        no_traffic_healthy_interval: seconds(2),
        unhealthy_interval: millis(500),
        no_traffic_interval: millis(500),
        unhealthy_threshold: number(2),
        healthy_threshold: number(1),
        health_checker: Some(checker),
        ..Default::default()
    }
}

/// A server that fails requests while its health check is green is taken out by its answers. All of a pool may go:
/// the rest of the chain is the safety net. A plain 500 may be the request's own fault, so it takes more of them.
pub(super) fn of_servers() -> Option<OutlierDetection> {
    Some(OutlierDetection {
        consecutive_gateway_failure: number(5),
        enforcing_consecutive_gateway_failure: number(100),
        consecutive_5xx: number(10),
        // A green health check is no proof that requests are answered.
        successful_active_health_check_uneject_host: no(),
        ..ejection()
    })
}

/// A gateway is taken out if it cannot be reached or does not answer. What its pool answers is judged over there, and
/// comes back by its health check: a request that nobody can serve takes no gateway out.
pub(super) fn of_gateways() -> Option<OutlierDetection> {
    Some(OutlierDetection {
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: number(5),
        enforcing_consecutive_local_origin_failure: number(100),
        enforcing_consecutive_5xx: number(0),
        enforcing_consecutive_gateway_failure: number(0),
        ..ejection()
    })
}

/// A provider that cannot be reached, or ends connections without an answer, is asked again after some seconds only: meanwhile
/// requests go on at once, to the next fallback or back to the caller. What it answers takes it out never.
pub(super) fn of_providers() -> Option<OutlierDetection> {
    of_gateways().map(|detection| OutlierDetection {
        base_ejection_time: seconds(5),
        max_ejection_time: seconds(5),
        ..detection
    })
}

/// A database that cannot be reached is passed over at once, for some seconds: the very connection that met it goes on to the
/// next.
pub(super) fn of_databases() -> Option<OutlierDetection> {
    of_providers().map(|detection| OutlierDetection {
        consecutive_local_origin_failure: number(1),
        ..detection
    })
}

fn ejection() -> OutlierDetection {
    OutlierDetection {
        interval: seconds(1),
        base_ejection_time: seconds(10),
        max_ejection_time: seconds(30),
        max_ejection_percent: number(100),
        ..Default::default()
    }
}
