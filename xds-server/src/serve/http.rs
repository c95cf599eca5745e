//! The status port: `/status` for `meridian status`, `/metrics` for Prometheus, `/healthz` for whatever restarts it.

use super::metrics;
use super::report::Report;
use crate::clock::Clock;
use crate::xds::Hub;
use arc_swap::ArcSwap;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use std::time::Duration;

/// The report is made anew several times a second. One that is older than this is a conductor's that is stuck.
const STUCK: Duration = Duration::from_secs(5);

/// What the pages are made of.
#[derive(Clone)]
pub struct Pages {
    /// The last report, without clients.
    pub report: Arc<ArcSwap<Report>>,
    /// Who is connected.
    pub hub: Arc<Hub>,
    /// The clock that the report's time is of.
    pub clock: Clock,
}

impl Pages {
    fn report(&self) -> Report {
        Report::clone(&self.report.load()).with_clients(&self.hub)
    }
}

/// The pages.
pub fn pages(pages: Pages) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/status", get(status))
        .route("/metrics", get(page))
        .with_state(pages)
}

async fn healthz(State(pages): State<Pages>) -> (StatusCode, String) {
    let silent = (pages.clock)().since(pages.report.load().at);
    if silent > STUCK {
        let seconds = silent.as_secs();
        let why = format!("the conductor has reported nothing for {seconds} s\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why);
    }
    (StatusCode::OK, "ok\n".into())
}

async fn status(State(pages): State<Pages>) -> Json<Report> {
    Json(pages.report())
}

async fn page(State(pages): State<Pages>) -> Response {
    let text = metrics::page(pages.report());
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_policy::signal::Millis;

    #[tokio::test]
    async fn a_conductor_that_is_stuck_is_not_healthy() {
        let answer = async |at| {
            let report = Report {
                at: Millis(at),
                ..Default::default()
            };
            let pages = Pages {
                report: Arc::new(ArcSwap::from_pointee(report)),
                hub: Arc::default(),
                clock: || Millis(60_000),
            };
            healthz(State(pages)).await
        };
        assert_eq!(answer(60_000).await, (StatusCode::OK, "ok\n".into()));
        assert_eq!(answer(55_000).await.0, StatusCode::OK);
        let why = "the conductor has reported nothing for 7 s\n".to_owned();
        let stuck = (StatusCode::SERVICE_UNAVAILABLE, why);
        assert_eq!(answer(52_100).await, stuck);
    }
}
