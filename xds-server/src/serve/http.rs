//! The status port: `/status` for `meridian status`, `/metrics` for Prometheus, `/healthz` for whatever restarts it.

use super::metrics;
use super::report::Report;
use crate::xds::Hub;
use arc_swap::ArcSwap;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;

/// What the pages are made of.
#[derive(Clone)]
pub struct Pages {
    /// The last report, without clients.
    pub report: Arc<ArcSwap<Report>>,
    /// Who is connected.
    pub hub: Arc<Hub>,
}

impl Pages {
    fn report(&self) -> Report {
        Report::clone(&self.report.load()).with_clients(&self.hub)
    }
}

/// The pages.
pub fn pages(pages: Pages) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/status", get(status))
        .route("/metrics", get(page))
        .with_state(pages)
}

async fn status(State(pages): State<Pages>) -> Json<Report> {
    Json(pages.report())
}

async fn page(State(pages): State<Pages>) -> Response {
    let text = metrics::page(pages.report());
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}
