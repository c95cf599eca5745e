//! The API as a gRPC service, `meridian.admin.v1.Admin`.

mod convert;

use super::caller::Caller;
use super::failure::Failure;
use super::json::Api;
use super::key::key;
use super::request::{UndoRequest, Which};
use crate::serve::decisions;
use axum::http::StatusCode;
use meridian_proto::admin::admin_server::{Admin, AdminServer};
use meridian_proto::admin::{
    CreateIntentRequest, GetStatusRequest, GetStatusResponse, ListAuditRequest, ListAuditResponse,
    ListDecisionsRequest, ListDecisionsResponse, ListIntentsRequest, ListIntentsResponse, Record,
    UndoIntentRequest,
};
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
        let which = match limit {
            0 => Which::after(after),
            limit => Which {
                after,
                limit: usize::try_from(limit).unwrap_or(usize::MAX),
            },
        };
        let audit = self.0.operator.audit(which).await?;
        Ok(Response::new(convert::audit_message(audit)))
    }

    async fn list_decisions(
        &self,
        request: Request<ListDecisionsRequest>,
    ) -> Result<Response<ListDecisionsResponse>, Status> {
        caller(&request)?;
        let wanted = convert::wanted_decisions(request.into_inner())?;
        let found = decisions::find(&self.0.decisions, wanted)?;
        let json = serde_json::to_string(&found);
        let json = json.map_err(|error| Status::internal(error.to_string()))?;
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
}
