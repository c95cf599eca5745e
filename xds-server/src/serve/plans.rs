//! `/v1/plan` and `/v1/plans` of the admin API: the plan in force with the figures behind it, and what the plans before have moved.

mod in_force;

pub use in_force::{PlacementReport, PlanReport, PoolPlanReport};

use super::operator::json::errors::{Failed, Refusing};
use super::operator::{Failure, Refused, WhichPlans};
use super::report::Report;
use super::store::{PlanRecord, Store};
use arc_swap::ArcSwap;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use meridian_planner::topology::Topology;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What is known of plans.
#[derive(Clone)]
pub struct Plans {
    /// The controller's last report.
    pub report: Arc<ArcSwap<Report>>,
    /// The fleet in force.
    pub topology: Arc<ArcSwap<Topology>>,
    /// Where the history is.
    pub store: Store,
}

/// What plans have moved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanHistory {
    /// The plans that moved something, and the edits, the oldest first.
    pub plans: Vec<PlanRecord>,
}

impl Plans {
    /// The routes, relative to `/v1`.
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(plan))
            .routes(routes!(plans))
            .with_state(self)
    }

    /// The plan in force.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn in_force(&self) -> Result<PlanReport, Failure> {
        let last = self.store.plans(None, 1).await.map_err(unreadable)?;
        let (report, topology) = (self.report.load_full(), self.topology.load_full());
        Ok(PlanReport::of(&report, &topology, last.first()))
    }

    /// What plans have moved.
    ///
    /// # Errors
    ///
    /// The request is wrong, or the store cannot be read.
    pub async fn history(&self, which: WhichPlans) -> Result<PlanHistory, Failure> {
        let WhichPlans { after, limit } = which.checked()?;
        let plans = self.store.plans(after, limit).await.map_err(unreadable)?;
        Ok(PlanHistory { plans })
    }
}

fn unreadable(error: anyhow::Error) -> Failure {
    let error = format!("the store cannot be read: {error:#}");
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, error)
}

/// Shows the plan in force, with the figures behind it.
#[utoipa::path(
    get,
    path = "/plan",
    operation_id = "get_plan",
    responses((status = 200, description = "The plan.", body = PlanReport), Refusing, Failed),
)]
async fn plan(State(plans): State<Plans>) -> Result<Json<PlanReport>, Failure> {
    plans.in_force().await.map(Json)
}

/// Lists what plans have moved, and which signal, intent or edit moved it, the oldest first.
///
/// The last 1,000 are kept: the plans that moved something, and the edits.
#[utoipa::path(
    get,
    path = "/plans",
    operation_id = "list_plans",
    params(WhichPlans),
    responses(
        (status = 200, description = "The plans.", body = PlanHistory),
        (status = 400, description = "A parameter is wrong.", body = Refused),
        Refusing, Failed,
    ),
)]
async fn plans(
    State(plans): State<Plans>,
    which: Result<Query<WhichPlans>, QueryRejection>,
) -> Result<Json<PlanHistory>, Failure> {
    let Query(which) = which?;
    plans.history(which).await.map(Json)
}
