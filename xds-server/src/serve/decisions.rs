//! `/v1/decisions` of the admin API: what gateways have reported lately.

use super::operator::json::errors::Refusing;
use super::operator::{Failure, Refused};
use crate::decisions::{Decisions, Kept, Wanted};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes, relative to `/v1`.
pub fn routes(kept: Arc<Kept>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(decisions))
        .with_state(kept)
}

/// The reports that are wanted.
///
/// # Errors
/// A parameter is wrong.
pub fn find(kept: &Kept, wanted: Wanted) -> Result<Decisions, Failure> {
    let wanted = wanted.checked();
    let wanted = wanted.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, error))?;
    Ok(kept.find(&wanted))
}

/// Lists what gateways have decided lately, and what became of it: the oldest first.
///
/// A gateway reports requests that were refused, failed over, broke off or were for a fallback, and a few of the others. Reports are kept
/// for 15 minutes, by the replica that a gateway reports to: each has those of all gateways.
#[utoipa::path(
    get,
    path = "/decisions",
    operation_id = "list_decisions",
    params(Wanted),
    responses(
        (status = 200, description = "The reports.", body = Decisions),
        (status = 400, description = "A parameter is wrong.", body = Refused),
        Refusing,
    ),
)]
async fn decisions(
    State(kept): State<Arc<Kept>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Decisions>, Failure> {
    let Query(wanted) = wanted?;
    find(&kept, wanted).map(Json)
}
