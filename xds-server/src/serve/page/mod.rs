//! The page: its files, which are part of the program, and what it shows besides the admin API's answers.

mod live;
mod series;

use live::Live;
use series::Series;

use super::operator::json::Api;
use super::report::Report;
use arc_swap::ArcSwap;
use axum::extract::{Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use meridian_planner::topology::Topology;
use rust_embed::{Embed, EmbeddedFile};
use std::sync::Arc;
use tokio::sync::watch;

/// The built page. There is none where nobody has built it.
#[derive(Embed)]
#[folder = "../target/page"]
struct Files;

/// The file that browsers ask for first.
const INDEX: &str = "index.html";

/// A page may load what this server has, and nothing else.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const NOT_BUILT: &str = "this meridian was built without its page: `scripts/setup page` builds it, then build meridian again\n";

/// The files. They are the same for everybody, and have nothing of the fleet.
pub fn files() -> Router {
    Router::new()
        .route("/", get(index))
        .route("/{file}", get(named))
}

async fn index(headers: HeaderMap) -> Response {
    match Files::get(INDEX) {
        Some(file) => answer(INDEX, &file, &headers),
        None => (StatusCode::NOT_FOUND, NOT_BUILT).into_response(),
    }
}

async fn named(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match Files::get(&name) {
        Some(file) => answer(&name, &file, &headers),
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}

fn answer(name: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hex::encode(file.metadata.sha256_hash()));
    let known = headers.get(IF_NONE_MATCH);
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    };
    let head = [
        (CONTENT_TYPE, kind.to_owned()),
        (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (CACHE_CONTROL, "no-cache".to_owned()),
        (ETAG, tag.clone()),
    ];
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, file.data.clone()).into_response()
}

/// What the page shows besides the admin API's answers.
#[derive(Clone)]
pub struct Page {
    live: Live,
    series: Arc<Series>,
    report: Arc<ArcSwap<Report>>,
    topology: Arc<ArcSwap<Topology>>,
    stopped: watch::Receiver<bool>,
}

impl Page {
    /// What is beside an API. `stopped` says that the process ends.
    pub fn of(api: &Api, topology: Arc<ArcSwap<Topology>>, stopped: watch::Receiver<bool>) -> Self {
        Self {
            live: Live::of(api, stopped.clone()),
            series: Arc::default(),
            report: Arc::clone(&api.pages.report),
            topology,
            stopped,
        }
    }

    /// The routes, relative to `/v1`.
    pub fn routes(self) -> Router {
        let events = Router::new().route("/events", get(live::events));
        Router::new()
            .route("/series", get(shown))
            .with_state(self.clone())
            .merge(events.with_state(self.live))
    }

    /// Keeps the signals and sends what is new, until the process ends.
    pub async fn run(mut self) {
        let kept = async {
            let mut steps = tokio::time::interval(series::STEP);
            loop {
                steps.tick().await;
                self.series.note(&self.report.load());
            }
        };
        tokio::select! {
            () = kept => {}
            () = self.live.run() => {}
            // An error means that the sender is gone: the process ends as well.
            _ = self.stopped.wait_for(|stopped| *stopped) => {}
        }
    }
}

async fn shown(State(page): State<Page>) -> Json<series::Shown> {
    Json(page.series.shown(page.topology.load().fleet()))
}
