//! The routes of the admin API, for a port.

use super::operator::json::{Api, close_actions, head, no_such_method, no_such_path, routes};
use super::operator::{Access, authenticated};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;

/// The routes of a port whose callers `access` knows.
pub fn api(api: Api, access: Access) -> Router {
    let routes =
        OpenApiRouter::with_openapi(head()).nest("/v1", routes(api).fallback(no_such_path));
    let (routes, mut document) = routes.split_for_parts();
    close_actions(&mut document);
    // A document is a tree of maps and texts: it can be written.
    let document = document.to_json().unwrap_or_default();
    let document = move || async move { ([(CONTENT_TYPE, "application/json")], document) };
    routes
        .route("/v1/openapi.json", get(document))
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(access, authenticated))
}
