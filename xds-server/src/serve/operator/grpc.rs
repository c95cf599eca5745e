//! The API as a gRPC service, `meridian.admin.v1.Admin`.

mod convert;

use super::caller::Caller;
use super::failure::Failure;
use super::json::Api;
use super::key::key;
use super::request::{MOST_RECORDS, SOME_PLANS, UndoRequest, Which, WhichPlans};
use crate::serve::decisions;
use crate::serve::explain::FleetInForce;
use axum::http::StatusCode;
use meridian_proto::admin::admin_server::{Admin, AdminServer};
use meridian_proto::admin::{
    CreateIntentRequest, ExplainRequest, ExplainResponse, GetFleetRequest, GetFleetResponse,
    GetPlanRequest, GetPlanResponse, GetStatusRequest, GetStatusResponse, ListAuditRequest,
    ListAuditResponse, ListDecisionsRequest, ListDecisionsResponse, ListIntentsRequest,
    ListIntentsResponse, ListPlansRequest, ListPlansResponse, Record, UndoIntentRequest,
};
use serde::Serialize;
use tonic::{Request, Response, Status};

/// The service. It knows callers as the routes of the same port do.
pub struct AdminService(Api);

/// The service of a port.
pub fn service(api: Api) -> AdminServer<AdminService> {
    AdminServer::new(AdminService(api))
}

/// Who sends a request: the port has checked it.
fn caller<T>(request: &Request<T>) -> Result<Caller, Failure> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, "the caller is not known"))
}

/// A value as the JSON that the routes answer with.
fn json(value: &impl Serialize) -> Result<String, Status> {
    serde_json::to_string(value).map_err(|error| Status::internal(error.to_string()))
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn list_intents(
        &self,
        request: Request<ListIntentsRequest>,
    ) -> Result<Response<ListIntentsResponse>, Status> {
        caller(&request)?;
        let intents = self.0.operator.intents().await?;
        Ok(Response::new(convert::intents_message(intents)))
    }

    async fn create_intent(
        &self,
        request: Request<CreateIntentRequest>,
    ) -> Result<Response<Record>, Status> {
        let caller = caller(&request)?.operating()?;
        let key = key(request.metadata().as_ref())?;
        let request = convert::intent_request(request.into_inner())?;
        let record = self.0.operator.create(caller, request, key).await?;
        Ok(Response::new(convert::record_message(record)))
    }

    async fn undo_intent(
        &self,
        request: Request<UndoIntentRequest>,
    ) -> Result<Response<Record>, Status> {
        let caller = caller(&request)?.operating()?;
        let key = key(request.metadata().as_ref())?;
        let UndoIntentRequest { number, by, why } = request.into_inner();
        let request = UndoRequest { by, why };
        let record = self.0.operator.undo(caller, number, request, key).await?;
        Ok(Response::new(convert::record_message(record)))
    }

    async fn list_audit(
        &self,
        request: Request<ListAuditRequest>,
    ) -> Result<Response<ListAuditResponse>, Status> {
        caller(&request)?;
        let ListAuditRequest { after, limit } = request.into_inner();
        let limit = convert::limit(limit, MOST_RECORDS);
        let audit = self.0.operator.audit(Which { after, limit }).await?;
        Ok(Response::new(convert::audit_message(audit)))
    }

    async fn list_decisions(
        &self,
        request: Request<ListDecisionsRequest>,
    ) -> Result<Response<ListDecisionsResponse>, Status> {
        caller(&request)?;
        let wanted = convert::wanted_decisions(request.into_inner())?;
        let found = decisions::find(&self.0.decisions, wanted)?;
        let json = json(&found)?;
        Ok(Response::new(ListDecisionsResponse { json }))
    }

    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        caller(&request)?;
        let json = self.0.pages.text().await;
        let json = json.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(GetStatusResponse { json }))
    }

    async fn get_plan(
        &self,
        request: Request<GetPlanRequest>,
    ) -> Result<Response<GetPlanResponse>, Status> {
        caller(&request)?;
        let json = json(&self.0.plans.in_force().await?)?;
        Ok(Response::new(GetPlanResponse { json }))
    }

    async fn list_plans(
        &self,
        request: Request<ListPlansRequest>,
    ) -> Result<Response<ListPlansResponse>, Status> {
        caller(&request)?;
        let ListPlansRequest { after, limit } = request.into_inner();
        let limit = convert::limit(limit, SOME_PLANS);
        let history = self.0.plans.history(WhichPlans { after, limit }).await?;
        let json = json(&history)?;
        Ok(Response::new(ListPlansResponse { json }))
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        caller(&request)?;
        let request = serde_json::from_str(&request.into_inner().json);
        let request =
            request.map_err(|error| Status::invalid_argument(format!("json: {error}")))?;
        let json = json(&self.0.explainer.clone().explained(request).await?)?;
        Ok(Response::new(ExplainResponse { json }))
    }

    async fn get_fleet(
        &self,
        request: Request<GetFleetRequest>,
    ) -> Result<Response<GetFleetResponse>, Status> {
        caller(&request)?;
        let FleetInForce { file, text } = self.0.explainer.fleet().await?;
        Ok(Response::new(GetFleetResponse { file, text }))
    }
}
