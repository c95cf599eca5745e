//! The admin API of a port.

use super::certificates::followed;
use super::decisions;
use super::http::ApiState;
use super::operator::grpc;
use super::operator::json::{
    Api, close_actions, head, no_such_method, no_such_path, routes as operations,
};
use super::operator::{Access, authenticated};
use super::page::{Page, files};
use super::ports::ApiPort;
use crate::clock::steady_clock;
use crate::xds::{self, Hub};
use anyhow::{Context, Result};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use std::sync::Arc;
use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;

/// The routes of a port whose callers `access` knows.
pub fn routes(api: Api, page: &Page, access: Access) -> Router {
    let admin = grpc::service(api.clone());
    let explainer = api.explainer.clone().routes();
    let plans = api.plans.clone().routes();
    let decisions = decisions::routes(Arc::clone(&api.decisions));
    let operations = operations(api).merge(explainer).merge(plans);
    let operations = operations.merge(decisions);
    let operations = operations.fallback(no_such_path);
    let routes = OpenApiRouter::with_openapi(head(&access)).nest("/v1", operations);
    let (routes, mut document) = routes.split_for_parts();
    close_actions(&mut document);
    // A document is a tree of maps and texts: it can be written.
    let document = document.to_json().unwrap_or_default();
    let document = move || async move { ([(CONTENT_TYPE, "application/json")], document) };
    routes
        .route("/v1/openapi.json", get(document))
        .nest("/v1", page.clone().routes())
        .route_service("/meridian.admin.v1.Admin/{method}", admin)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(access, authenticated))
}

/// The port for other machines, whose files are followed.
pub struct OpenApiPort {
    listener: TcpListener,
    /// What its files say.
    pub state: ApiState,
}

impl OpenApiPort {
    /// Follows its files from now on.
    pub fn follow(port: ApiPort) -> Self {
        let operators = port.operators.operators();
        tokio::spawn(port.operators.watch(steady_clock));
        let state = ApiState {
            certificates: followed(port.certificates),
            operators,
        };
        Self {
            listener: port.listener,
            state,
        }
    }

    /// Serves the API to the operators.
    ///
    /// # Errors
    ///
    /// The server fails.
    pub async fn serve(
        self,
        (api, page): (Api, Page),
        hub: Arc<Hub>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<()> {
        let access = Access::Operators(self.state.operators);
        let routes = routes(api, &page, access).merge(files());
        let routes = routes.fallback(no_such_path);
        let certificates = Arc::clone(&self.state.certificates.in_force);
        let serving = xds::serve_api(self.listener, certificates, hub, routes.into(), shutdown);
        serving.await.context("the port of the admin API")
    }
}
