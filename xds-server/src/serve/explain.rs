//! `/v1/explain` and `/v1/fleet` of the admin API: what a gateway would do with a request, and the fleet file that is in force.

use super::operator::json::errors::{Failed, Malformed, Refusing};
use super::operator::{Failure, Refused};
use super::report::Report;
use super::store::Store;
use crate::explain::{ExplainRequest, Explanation, Inputs, PolicyReport, explain, router_policy};
use crate::name::{ROUTER, native};
use crate::xds::{EncodedResource, Hub, ResourceType};
use arc_swap::ArcSwap;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use meridian_planner::topology::Topology;
use meridian_policy::{FilterPolicy, RegionName};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Explanations at a time: each may decide on a thousand requests.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What explanations are made of.
#[derive(Clone)]
pub struct Explainer {
    /// The connected Envoys, and what each has.
    pub hub: Arc<Hub>,
    /// The controller's last report.
    pub report: Arc<ArcSwap<Report>>,
    /// The fleet in force.
    pub topology: Arc<ArcSwap<Topology>>,
    /// Where the text of its file is.
    pub store: Store,
}

/// The fleet file that is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetInForce {
    /// Its path.
    pub file: String,
    /// Its text, as it was read.
    pub text: String,
}

impl Explainer {
    /// The routes, relative to `/v1`.
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(handle))
            .routes(routes!(fleet))
            .with_state(self)
    }

    /// Explains a request, when it is its turn.
    ///
    /// # Errors
    ///
    /// The request is wrong, or nothing has been published yet.
    pub async fn explained(self, request: ExplainRequest) -> Result<Explanation, Failure> {
        // It is never closed.
        let _place = AT_ONCE.acquire().await;
        let explained = tokio::task::spawn_blocking(move || self.explain(&request)).await;
        explained.unwrap_or_else(|error| {
            let error = error.to_string();
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error))
        })
    }

    /// The fleet file that is in force.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or nothing has been published yet.
    pub async fn fleet(&self) -> Result<FleetInForce, Failure> {
        let unavailable = |error: String| Failure::new(StatusCode::SERVICE_UNAVAILABLE, error);
        let state = self.store.state().await;
        let state =
            state.map_err(|error| unavailable(format!("the store cannot be read: {error:#}")))?;
        let text = state.and_then(|state| state.files.into_iter().next());
        let text = text.ok_or_else(|| unavailable("nothing has been published yet".to_owned()))?;
        let file = self.report.load().fleet.file.clone();
        Ok(FleetInForce { file, text })
    }

    fn explain(&self, request: &ExplainRequest) -> Result<Explanation, Failure> {
        let topology = self.topology.load();
        let gateway = &request.gateway;
        if !topology.regions.contains_key(gateway) {
            let known: Vec<&str> = topology.regions.keys().map(RegionName::as_str).collect();
            let error = format!(
                "gateway: there is no region `{gateway}`; there are: {}",
                known.join(", ")
            );
            return Err(Failure::new(StatusCode::NOT_FOUND, error));
        }
        let (policy, accepted) = self.policy(gateway).ok_or_else(|| {
            let error = format!("{gateway} has no policy yet; nothing has been published");
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, error)
        })?;
        let inputs = Inputs {
            policy: &policy,
            accepted: &accepted,
            topology: &topology,
            report: &self.report.load(),
        };
        explain(inputs, request)
            .map_err(|error| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
    }

    /// The policy that the region's Envoys have accepted: that of the first connected one that has any, else the published one.
    fn policy(&self, region: &RegionName) -> Option<(FilterPolicy, PolicyReport)> {
        let published = self.hub.published();
        let resources = published.get(region)?;
        let names = [ROUTER.to_owned(), native(ROUTER)];
        let newest = |name: &String| resources.get(ResourceType::Extension, name);
        let held = self.hub.held(region, ResourceType::Extension, &names);
        let mut accepted = held.iter().filter_map(|(_, resource)| resource.as_ref());
        let resource: &Arc<EncodedResource> = accepted.next().or(names.iter().find_map(newest))?;
        let has_it = |held: &Option<Arc<EncodedResource>>| {
            held.as_ref()
                .is_some_and(|it| it.version == resource.version)
        };
        let nodes = |wanted: bool| {
            let of = held.iter().filter(|(_, held)| has_it(held) == wanted);
            of.map(|(node, _)| node.clone()).collect()
        };
        let report = PolicyReport {
            version: resource.version.to_string(),
            accepted_by: nodes(true),
            others: nodes(false),
            newest: newest(&resource.name().to_string())
                .is_some_and(|it| it.version == resource.version),
        };
        Some((router_policy(resource)?, report))
    }
}

/// Explains what a gateway would do with a request.
///
/// It changes nothing. The answer is what `meridian explain --output json` prints; its fields may become more.
#[utoipa::path(
    post,
    path = "/explain",
    operation_id = "explain_request",
    request_body(content = ExplainRequest, example = json!({
        "gateway": "us-west-2", "country": "DE", "model": "llama-3.1-70b"
    })),
    responses(
        (status = 200, description = "The explanation.", body = Explanation),
        (status = 404, description = "There is no such gateway.", body = Refused),
        Malformed, Refusing, Failed,
    ),
)]
async fn handle(
    State(explainer): State<Explainer>,
    request: Result<Json<ExplainRequest>, JsonRejection>,
) -> Result<Json<Explanation>, Failure> {
    let Json(request) = request?;
    explainer.explained(request).await.map(Json)
}

/// Shows the fleet file that is in force, as it was read.
#[utoipa::path(
    get,
    path = "/fleet",
    operation_id = "get_fleet",
    responses((status = 200, description = "The fleet file.", body = FleetInForce), Refusing, Failed),
)]
async fn fleet(State(explainer): State<Explainer>) -> Result<Json<FleetInForce>, Failure> {
    explainer.fleet().await.map(Json)
}
