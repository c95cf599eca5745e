//! Health checks and outlier detection.

use crate::wire::{millis, no, number, seconds};
use envoy_types::pb::envoy::config::cluster::v3::OutlierDetection;
use envoy_types::pb::envoy::config::core::v3::HealthCheck;
use envoy_types::pb::envoy::config::core::v3::health_check::{
    HealthChecker, HttpHealthCheck, TcpHealthCheck,
};

/// An HTTP health check.
pub(super) fn health_check(check: HttpHealthCheck) -> HealthCheck {
    with_intervals(HealthChecker::HttpHealthCheck(check))
}

/// A TCP health check: it passes if a connection is established.
pub(super) fn tcp_check() -> HealthCheck {
    with_intervals(HealthChecker::TcpHealthCheck(TcpHealthCheck::default()))
}

/// The intervals without traffic are set because Envoy's default of one minute would keep a dead region in the chain.
/// Unhealthy endpoints are checked more often and recover with one passed check: while an Envoy starts, its first
/// checks may time out because it is busy.
fn with_intervals(checker: HealthChecker) -> HealthCheck {
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

/// Ejects servers that fail requests although their health check passes. All servers of a pool may be ejected, as the
/// rest of the chain takes over. A plain 500 may be caused by the request, so more of them are needed.
pub(super) fn of_servers() -> Option<OutlierDetection> {
    Some(OutlierDetection {
        consecutive_gateway_failure: number(5),
        enforcing_consecutive_gateway_failure: number(100),
        consecutive_5xx: number(10),
        // A passing health check does not end an ejection: it does not prove that requests succeed.
        successful_active_health_check_uneject_host: no(),
        ..ejection()
    })
}

/// Ejects gateways and providers that cannot be reached or do not respond, so that requests go to the next one at once, or fail at
/// once. Errors that they respond with do not count: another gateway handles those of its pool, and a request that fails everywhere
/// must not eject gateways. A passing health check ends the ejection.
pub(super) fn of_remotes() -> Option<OutlierDetection> {
    Some(OutlierDetection {
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: number(5),
        enforcing_consecutive_local_origin_failure: number(100),
        enforcing_consecutive_5xx: number(0),
        enforcing_consecutive_gateway_failure: number(0),
        ..ejection()
    })
}

/// Ejects a database that cannot be reached for some seconds. The connection that failed goes on to the next database.
pub(super) fn of_databases() -> Option<OutlierDetection> {
    of_remotes().map(|detection| OutlierDetection {
        consecutive_local_origin_failure: number(1),
        ..detection
    })
}

/// The time is the same for each ejection in a row: a server that answers errors costs little to ask again, and while a whole
/// fleet is ejected a paid fallback answers alone.
fn ejection() -> OutlierDetection {
    OutlierDetection {
        interval: seconds(1),
        base_ejection_time: seconds(5),
        max_ejection_time: seconds(5),
        max_ejection_percent: number(100),
        ..Default::default()
    }
}
