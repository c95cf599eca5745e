//! Answers to what is not done, as JSON with an HTTP status, and as a gRPC status.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::response::{IntoResponse, Response};
use meridian_planner::intent::Objection;
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};
use utoipa::ToSchema;

/// Why something is not done. Nothing has changed.
#[derive(Debug)]
pub enum Refusal {
    /// Something speaks against it.
    Objections(Vec<Objection>),
    /// There is no such intent.
    NoSuchIntent(u64),
    /// The store cannot be written.
    Store(String),
    /// The replica that leads has refused it, with this status.
    Leader(u16, Refused),
    /// The store went away meanwhile: it may have been done.
    Unknown(String),
}

impl Refusal {
    /// Whether there is no such intent, as this replica or the one that leads says.
    pub fn is_no_such_intent(&self) -> bool {
        let not_found = StatusCode::NOT_FOUND.as_u16();
        match self {
            Self::NoSuchIntent(_) => true,
            Self::Leader(status, _) => *status == not_found,
            Self::Objections(_) | Self::Store(_) | Self::Unknown(_) => false,
        }
    }

    /// Whether it is one whatever the store does.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Store(_) | Self::Unknown(_))
    }

    /// A replica of another version has passed on what this one does not know.
    pub fn unreadable(error: &serde_json::Error) -> Self {
        let error = format!("the replica that leads is of another version: {error}");
        let failure = Failure::new(StatusCode::NOT_IMPLEMENTED, error);
        Self::Leader(failure.status.as_u16(), failure.refused)
    }

    /// For the replica that was asked.
    pub fn into_json(self) -> serde_json::Value {
        let Failure { status, refused } = self.into();
        serde_json::json!([status.as_u16(), refused])
    }

    /// From the replica that leads.
    pub fn of_leader(json: serde_json::Value) -> Self {
        match serde_json::from_value(json) {
            Ok((status, refused)) => Self::Leader(status, refused),
            Err(error) => Self::Unknown(format!("the leader's answer cannot be read: {error}")),
        }
    }
}

/// An answer other than what was wanted. Nothing has changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "errors": ["callers of `eea` would have no region with llama-3.1-70b that is neither drained nor down"],
    "may_be_forced": true
}))]
pub struct Refused {
    /// Why, a line each.
    pub errors: Vec<String>,
    /// `force` would change it.
    #[serde(default)]
    pub may_be_forced: bool,
}

/// What is not done, and the status of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body.
    pub refused: Refused,
}

impl Failure {
    /// A failure with one error.
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let refused = Refused {
            errors: vec![error.into()],
            may_be_forced: false,
        };
        Self { status, refused }
    }

    /// The control plane cannot do anything now.
    pub(super) fn unavailable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Objections(objections) => {
                let may_be_forced = objections.iter().all(Objection::may_be_forced);
                let status = if may_be_forced {
                    StatusCode::CONFLICT
                } else {
                    StatusCode::UNPROCESSABLE_ENTITY
                };
                let refused = Refused {
                    errors: objections.iter().map(Objection::to_string).collect(),
                    may_be_forced,
                };
                Self { status, refused }
            }
            Refusal::NoSuchIntent(number) => Self::new(
                StatusCode::NOT_FOUND,
                format!("there is no intent {number}; `meridian intents` lists those in force"),
            ),
            Refusal::Store(error) => Self::unavailable(format!(
                "the store cannot be written, nothing has changed: {error}"
            )),
            Refusal::Leader(status, refused) => {
                let status = StatusCode::from_u16(status);
                let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                Self { status, refused }
            }
            Refusal::Unknown(error) => Self::unavailable(format!(
                "it is not known whether it was done, `meridian audit` says it later: {error}"
            )),
        }
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = Json(self.refused);
        if self.status == StatusCode::UNAUTHORIZED {
            return (self.status, [(WWW_AUTHENTICATE, "Bearer")], body).into_response();
        }
        (self.status, body).into_response()
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let code = match failure.status {
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::FORBIDDEN => Code::PermissionDenied,
            StatusCode::NOT_FOUND | StatusCode::GONE => Code::NotFound,
            StatusCode::CONFLICT => Code::FailedPrecondition,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            _ => Code::InvalidArgument,
        };
        Self::new(code, failure.refused.errors.join("\n"))
    }
}
