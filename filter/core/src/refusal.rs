//! Refusals: what a caller is told, in the shape of the API that it spoke.

use crate::answer::Answer;
use crate::body::BadBody;
use meridian_policy::api::Shape;
use meridian_policy::headers;
use meridian_policy::name::{ModelName, ZoneName};
use serde_json::json;

/// Why a request is not routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The filter was never given a policy.
    NoPolicy,
    /// The route could not be picked.
    NoRoute,
    /// No API has this path.
    UnknownPath,
    /// The path wants another method.
    WrongMethod {
        /// The one that works.
        allowed: &'static str,
    },
    /// No source places the caller in a zone, and the fleet refuses such callers.
    UnknownZone,
    /// The caller's zone is not served here.
    Misdirected {
        /// The caller's zone.
        zone: ZoneName,
        /// The right gateways.
        gateways: Vec<String>,
    },
    /// The caller's zone is not served here, and it is sent to the right gateway.
    Redirected {
        /// The caller's zone.
        zone: ZoneName,
        /// Gateway, path and query.
        location: String,
    },
    /// The caller needs something that there is not.
    UnknownNeed {
        /// Where it was asked for.
        header: String,
        /// What was.
        need: String,
    },
    /// The caller names a tier that there is not.
    UnknownTier(String),
    /// It can wait, and no region has room for it.
    Later,
    /// The body has a content encoding, which hides the model.
    Encoded(String),
    /// The body cannot be routed.
    BadBody(BadBody),
    /// The zone has no such model.
    UnknownModel {
        /// What was asked for.
        model: String,
        /// The caller's zone.
        zone: ZoneName,
        /// What there is.
        known: Vec<ModelName>,
    },
}

/// Seconds after which a batch request may be tried again.
const LATER: &str = "30";

/// A refusal and the shape to give it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// In whose shape.
    pub shape: Shape,
}

impl Refusal {
    /// The answer to the caller.
    pub fn answer(&self) -> Answer {
        let (status, code) = self.reason.status_and_code();
        let mut answer = Answer {
            status,
            headers: vec![
                ("content-type", "application/json".into()),
                (headers::DECISION, self.reason.explain(code)),
            ],
            body: self.body(status, code),
        };
        match &self.reason {
            Reason::Later => answer.headers.push(("retry-after", LATER.into())),
            Reason::NoPolicy | Reason::NoRoute => answer
                .headers
                .push(("retry-after", headers::RETRY_AFTER.into())),
            Reason::WrongMethod { allowed } => answer.headers.push(("allow", (*allowed).into())),
            Reason::Redirected { location, .. } => {
                answer.headers.push(("location", location.clone()))
            }
            _ => {}
        }
        answer
    }

    fn body(&self, status: u16, code: &str) -> String {
        let message = self.reason.message();
        let body = match self.shape {
            Shape::OpenAi => {
                let kind = if status == 429 {
                    "rate_limit_error"
                } else if status < 500 {
                    "invalid_request_error"
                } else {
                    "server_error"
                };
                let param = matches!(self.reason, Reason::UnknownModel { .. }).then_some("model");
                json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
            }
            Shape::Anthropic => {
                let kind = match status {
                    403 => "permission_error",
                    404 => "not_found_error",
                    429 => "rate_limit_error",
                    500.. => "api_error",
                    _ => "invalid_request_error",
                };
                json!({ "type": "error", "error": { "type": kind, "message": message } })
            }
        };
        body.to_string()
    }
}

impl Reason {
    fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::NoPolicy => (503, "no_policy"),
            Self::NoRoute => (503, "no_route"),
            Self::UnknownPath => (404, "unknown_path"),
            Self::WrongMethod { .. } => (405, "method_not_allowed"),
            Self::UnknownZone => (403, "unknown_zone"),
            Self::Misdirected { .. } => (421, "misdirected"),
            Self::Redirected { .. } => (307, "misdirected"),
            Self::UnknownNeed { .. } => (400, "unknown_need"),
            Self::UnknownTier(_) => (400, "unknown_tier"),
            Self::Later => (429, "batch_later"),
            Self::Encoded(_) => (415, "unsupported_encoding"),
            Self::BadBody(_) => (400, "invalid_body"),
            Self::UnknownModel { .. } => (404, "model_not_found"),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NoPolicy => {
                "This gateway has not been given a routing policy yet; nothing can be served."
                    .into()
            }
            Self::NoRoute => "This gateway could not pick a route; try again.".into(),
            Self::UnknownPath => "No inference API has this path.".into(),
            Self::WrongMethod { allowed } => format!("This path takes {allowed} requests only."),
            Self::UnknownZone => {
                "The caller's residency zone is not known, and this gateway refuses such callers."
                    .into()
            }
            Self::Misdirected { zone, gateways } if gateways.is_empty() => {
                format!("Callers of the residency zone `{zone}` are not served by this gateway.")
            }
            Self::Misdirected { zone, gateways } => format!(
                "Callers of the residency zone `{zone}` are not served by this gateway. Use: {}.",
                gateways.join(", ")
            ),
            Self::Redirected { zone, location } => {
                format!(
                    "Callers of the residency zone `{zone}` are not served by this gateway. Use: {location}."
                )
            }
            Self::UnknownNeed { header, need } => format!(
                "The header `{header}` asks for `{need}`, which is nothing that can be had; `fresh` is."
            ),
            Self::UnknownTier(tier) => format!(
                "The header `{}` says `{tier}`, which is no tier; `batch` and `interactive` are.",
                headers::TIER
            ),
            Self::Later => {
                "No region has room for batch requests at this moment; try again later.".into()
            }
            Self::Encoded(encoding) => {
                format!(
                    "The request body has the content encoding `{encoding}`; send it without one."
                )
            }
            Self::BadBody(bad) => bad.to_string(),
            Self::UnknownModel { model, zone, known } if known.is_empty() => format!(
                "The model `{model}` does not exist for the residency zone `{zone}`, and no other does."
            ),
            Self::UnknownModel { model, zone, known } => {
                let known: Vec<&str> = known.iter().map(ModelName::as_str).collect();
                format!(
                    "The model `{model}` does not exist for the residency zone `{zone}`. Known models: {}.",
                    known.join(", ")
                )
            }
        }
    }

    fn explain(&self, code: &str) -> String {
        match self {
            Self::Misdirected { zone, .. }
            | Self::Redirected { zone, .. }
            | Self::UnknownModel { zone, .. } => {
                format!("refused={code} zone={zone}")
            }
            _ => format!("refused={code}"),
        }
    }
}
