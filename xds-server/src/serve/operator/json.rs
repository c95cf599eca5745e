//! The API as JSON over HTTP, and its OpenAPI document.

mod document;
pub(in crate::serve) mod errors;

pub use document::{close_actions, head};

use super::Operator;
use super::caller::Caller;
use super::failure::{Failure, Refused};
use super::key::key;
use super::request::{Audit, IntentRequest, UndoRequest, Which};
use crate::decisions::Kept;
use crate::serve::explain::Explainer;
use crate::serve::http::Pages;
use crate::serve::plans::Plans;
use crate::serve::report::Report;
use crate::serve::store::Record;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use errors::{Failed, Malformed, Refusing, Unknown};
use meridian_planner::intent::{Intent, Intents};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What the handlers use.
#[derive(Clone)]
pub struct Api {
    /// What operators say.
    pub operator: Operator,
    /// The report.
    pub pages: Pages,
    /// Explanations, and the fleet file.
    pub explainer: Explainer,
    /// What gateways have reported.
    pub decisions: Arc<Kept>,
    /// The plan in force, and those before.
    pub plans: Plans,
}

/// The routes, relative to `/v1`.
pub fn routes(api: Api) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(intents, create))
        .routes(routes!(undo))
        .routes(routes!(audit))
        .routes(routes!(status))
        .with_state(api)
}

/// Lists the drains, overrides and freezes in force.
///
/// The keys are their numbers.
#[utoipa::path(
    get,
    path = "/intents",
    operation_id = "list_intents",
    responses((status = 200, description = "The intents in force, by number.", body = BTreeMap<String, Intent>, example = json!({
        "7": {
            "action": { "kind": "drain", "region": "us-west-2" },
            "by": "ana",
            "why": "new drivers",
            "created": 1_796_083_200_000_u64,
            "expires": 1_796_090_400_000_u64
        }
    })), Refusing, Failed),
)]
async fn intents(State(api): State<Api>) -> Result<Json<Intents>, Failure> {
    api.operator.intents().await.map(Json)
}

/// Creates an intent.
///
/// It takes the place of one of the same kind for the same place. Answered once it is in the store, which is synchronized.
#[utoipa::path(
    post,
    path = "/intents",
    operation_id = "create_intent",
    params(("idempotency-key" = Option<String>, Header, description = "With replicas: within five minutes, a request with the key of an earlier one gets the answer of that one.", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    request_body(content = IntentRequest, examples(
        ("drain" = (summary = "Drain a region for two hours", value = json!({
            "action": { "kind": "drain", "region": "us-west-2" }, "by": "ana", "why": "new drivers", "for": "2h"
        }))),
        ("override" = (summary = "Send a third of a gateway's requests elsewhere", value = json!({
            "action": {
                "kind": "override", "gateway": "us-west-2", "zone": "global", "model": "llama-3.1-70b",
                "home_share": 67, "overflow": { "us-east-1": 1 }
            },
            "by": "ana", "why": "a test"
        }))),
        ("freeze" = (summary = "No plan moves a request", value = json!({
            "action": { "kind": "freeze" }, "by": "ana", "why": "an incident", "for": "30m"
        }))),
    )),
    responses(
        (status = 201, description = "It is in force.", body = Record, links(
            ("undo" = (operation_id = "undo_intent", parameters(("number" = "$response.body#/number"))))
        )),
        (status = 409, description = "Something speaks against it that `force` overrides.", body = Refused),
        Malformed, Refusing, Failed,
    ),
)]
async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    request: Result<Json<IntentRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Record>), Failure> {
    let caller = caller.operating()?;
    let key = key(&headers)?;
    let Json(request) = request?;
    let record = api.operator.create(caller, request, key).await?;
    Ok((StatusCode::CREATED, Json(record)))
}

/// Ends an intent.
#[utoipa::path(
    post,
    path = "/intents/{number}/undo",
    operation_id = "undo_intent",
    params(("number" = u64, Path, description = "The number of the intent.", maximum = 9_223_372_036_854_775_807_i64, example = 7),
        ("idempotency-key" = Option<String>, Header, description = "As for `create_intent`.", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    request_body(content = UndoRequest, example = json!({ "by": "ana", "why": "the drivers are in" })),
    responses(
        (status = 200, description = "It has ended.", body = Record),
        Unknown, Malformed, Refusing, Failed,
    ),
)]
async fn undo(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    number: Result<Path<u64>, PathRejection>,
    headers: HeaderMap,
    request: Result<Json<UndoRequest>, JsonRejection>,
) -> Result<Json<Record>, Failure> {
    let caller = caller.operating()?;
    let Path(number) = number?;
    let key = key(&headers)?;
    let Json(request) = request?;
    let undone = api.operator.undo(caller, number, request, key).await;
    undone.map(Json)
}

/// Lists the records of what was done, the oldest first.
///
/// Each record has the hash of the one before.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "list_audit",
    params(Which),
    responses(
        (status = 200, description = "The records.", body = Audit),
        (status = 400, description = "A parameter is wrong.", body = Refused),
        Refusing, Failed,
    ),
)]
async fn audit(
    State(api): State<Api>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Audit>, Failure> {
    let Query(which) = which?;
    api.operator.audit(which).await.map(Json)
}

/// Shows the state of the control plane.
///
/// What `meridian status --output json` prints. Its fields may become more.
#[utoipa::path(
    get,
    path = "/status",
    operation_id = "get_status",
    responses((status = 200, description = "The state.", body = Report), Refusing),
)]
async fn status(State(api): State<Api>) -> Response {
    api.pages.status().await
}

/// There is nothing at this path.
pub async fn no_such_path(OriginalUri(uri): OriginalUri) -> Failure {
    let error = format!(
        "there is nothing at `{}`; `/v1/openapi.json` lists what there is",
        uri.path()
    );
    Failure::new(StatusCode::NOT_FOUND, error)
}

/// There is something at this path, for other methods.
pub async fn no_such_method(method: Method) -> Failure {
    let error = format!("this path has no method {method}; the header `Allow` lists those it has");
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, error)
}
