//! The status port: `/status` for `meridian status`, `/metrics` for Prometheus, `/healthz` for a liveness probe.

use super::certificates::OwnCertificates;
use super::metrics;
use super::operator::Operators;
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
use std::time::{Duration, SystemTime};

/// Age at which a report means that the controller hangs: it renews the report twice a second, but while it makes a publication.
const STUCK: Duration = Duration::from_secs(5);

/// The state of the admin API for other machines.
#[derive(Clone)]
pub struct ApiState {
    /// Its certificates.
    pub certificates: Arc<OwnCertificates>,
    /// Who may use it.
    pub operators: Arc<Operators>,
}

/// The data of the pages.
#[derive(Clone)]
pub struct Pages {
    /// The controller's last report.
    pub report: Arc<ArcSwap<Report>>,
    /// The connected Envoys.
    pub hub: Arc<Hub>,
    /// The control plane's certificates; `None` without TLS.
    pub certificates: Option<Arc<OwnCertificates>>,
    /// The admin API for other machines; `None` if there is none.
    pub api: Option<ApiState>,
    /// The clock of the report's time.
    pub clock: Clock,
}

impl Pages {
    /// The report as JSON.
    pub async fn status(self) -> Response {
        written(move || Json(self.report()).into_response()).await
    }

    /// The same as text.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub async fn text(&self) -> anyhow::Result<String> {
        let pages = self.clone();
        let text = tokio::task::spawn_blocking(move || serde_json::to_string(&pages.report()));
        Ok(text.await??)
    }

    fn report(&self) -> Report {
        let mut report = Report::clone(&self.report.load()).with_clients(&self.hub);
        let api = self.api.as_ref();
        report.api = api.map(|api| api.operators.report());
        let of_api = api.map(|api| api.certificates.as_ref());
        report.with_certificates(self.certificates.as_deref(), of_api, SystemTime::now())
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
    let age = (pages.clock)().since(pages.report.load().at);
    if age > STUCK {
        let seconds = age.as_secs();
        let why = format!("the controller has reported nothing for {seconds} s\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why);
    }
    (StatusCode::OK, "ok\n".into())
}

async fn status(State(pages): State<Pages>) -> Response {
    pages.status().await
}

async fn page(State(pages): State<Pages>) -> Response {
    let page = move || {
        let text = metrics::page(pages.report());
        ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
    };
    written(page).await
}

/// A page of a large fleet takes a while to write: streams do not wait for it.
async fn written(page: impl FnOnce() -> Response + Send + 'static) -> Response {
    let page = tokio::task::spawn_blocking(page).await;
    page.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_planner::signal::Millis;

    #[tokio::test]
    async fn a_controller_that_is_stuck_is_not_healthy() {
        let answer = async |at| {
            let report = Report {
                at: Millis(at),
                ..Default::default()
            };
            let pages = Pages {
                report: Arc::new(ArcSwap::from_pointee(report)),
                hub: Arc::default(),
                certificates: None,
                api: None,
                clock: || Millis(60_000),
            };
            healthz(State(pages)).await
        };
        assert_eq!(answer(60_000).await, (StatusCode::OK, "ok\n".into()));
        assert_eq!(answer(55_000).await.0, StatusCode::OK);
        let why = "the controller has reported nothing for 7 s\n".to_owned();
        let stuck = (StatusCode::SERVICE_UNAVAILABLE, why);
        assert_eq!(answer(52_100).await, stuck);
    }
}
