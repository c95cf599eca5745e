//! `/v1/explain` and `/v1/fleet` of the status port: what a gateway would do with a request, and the fleet file that is in force.

use super::operator::Failure;
use super::report::Report;
use super::store::Store;
use crate::explain::{ExplainRequest, Explanation, Known, PolicyReport, explain, router_policy};
use crate::name::{ROUTER, native};
use crate::xds::{EncodedResource, Hub, ResourceType};
use arc_swap::ArcSwap;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use meridian_planner::topology::Topology;
use meridian_policy::{FilterPolicy, RegionName};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetInForce {
    /// Its path.
    pub file: String,
    /// Its text, as it was read.
    pub text: String,
}

impl Explainer {
    /// The routes.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/v1/explain", post(handle))
            .route("/v1/fleet", get(fleet))
            .with_state(self)
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
            return Err(Failure::new(StatusCode::NOT_FOUND, &error));
        }
        let (policy, accepted) = self.policy(gateway).ok_or_else(|| {
            let error = format!("{gateway} has no policy yet; nothing has been published");
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, &error)
        })?;
        let known = Known {
            policy: &policy,
            accepted: &accepted,
            topology: &topology,
            report: &self.report.load(),
        };
        explain(known, request)
            .map_err(|error| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()))
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

async fn handle(
    State(explainer): State<Explainer>,
    request: Result<Json<ExplainRequest>, JsonRejection>,
) -> Result<Json<Explanation>, Failure> {
    let Json(request) = request?;
    // It decides on a thousand requests.
    let explained = tokio::task::spawn_blocking(move || explainer.explain(&request)).await;
    explained
        .unwrap_or_else(|error| {
            let error = error.to_string();
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, &error))
        })
        .map(Json)
}

async fn fleet(State(explainer): State<Explainer>) -> Result<Json<FleetInForce>, Failure> {
    let file = explainer.report.load().fleet.file.clone();
    let text = match explainer.store.state().await {
        Ok(state) => state.and_then(|state| state.files.into_iter().next()),
        Err(error) => {
            let error = format!("the store cannot be read: {error:#}");
            return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, &error));
        }
    };
    let text = text.ok_or_else(|| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "nothing has been published yet",
        )
    })?;
    Ok(Json(FleetInForce { file, text }))
}
