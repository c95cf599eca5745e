//! Refusals: error responses in the shape of the request's API.

use crate::allowed_fields::Violation;
use crate::answer::Answer;
use crate::body::BadBody;
use crate::breaker::Unavailable;
use crate::error_body::ErrorBody;
use crate::excerpt::{MAX_VALUE, excerpt};
use meridian_policy::api::Shape;
use meridian_policy::headers;
use meridian_policy::name::{ModelName, ZoneName};

/// The reason why a request is not routed. Its text is the message for the caller. It repeats no more than the beginning of what
/// the caller sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The filter has no policy yet.
    #[error("This gateway has not been given a routing policy yet; nothing can be served.")]
    NoPolicy,
    /// The filter has failed at the request.
    #[error("This gateway has failed at the request.")]
    Broken,
    /// Envoy cannot pick a route.
    #[error("This gateway could not pick a route; try again.")]
    NoRoute,
    /// The worker holds as many request bodies as it may.
    #[error("This gateway holds as many request bodies as it has memory for; try again.")]
    Full,
    /// The routes do not know the definition of the caller's zone that the decision follows.
    #[error(
        "The rules of the residency zone `{zone}` have just changed, and this gateway does not have all of them yet; try again."
    )]
    Mismatch {
        /// The caller's zone.
        zone: ZoneName,
    },
    /// No API has this path.
    #[error("No inference API has this path.")]
    UnknownPath,
    /// The path exists with another method.
    #[error("This path takes {allowed} requests only.")]
    WrongMethod {
        /// The method of the path.
        allowed: &'static str,
    },
    /// The caller's zone is unknown, and the fleet refuses such callers.
    #[error("The caller's residency zone is not known, and this gateway refuses such callers.")]
    UnknownZone,
    /// This gateway must not serve the caller's zone.
    #[error(
        "Callers of the residency zone `{zone}` are not served by this gateway.{}",
        usable(gateways)
    )]
    Misdirected {
        /// The caller's zone.
        zone: ZoneName,
        /// The gateways of the zone.
        gateways: Vec<String>,
    },
    /// This gateway must not serve the caller's zone, and redirects to a gateway of the zone.
    #[error(
        "Callers of the residency zone `{zone}` are not served by this gateway. Use: {}.",
        excerpt(location, MAX_VALUE)
    )]
    Redirected {
        /// The caller's zone.
        zone: ZoneName,
        /// The URL of the gateway, with the request's path and query.
        location: String,
    },
    /// The request has a need that does not exist.
    #[error(
        "The header `{header}` asks for `{}`, which is nothing that can be had; `fresh` is.",
        excerpt(need, MAX_VALUE)
    )]
    UnknownNeed {
        /// The header with the need.
        header: String,
        /// The unknown need.
        need: String,
    },
    /// The request names a tier that does not exist.
    #[error(
        "The header `{}` says `{}`, which is no tier; `batch` and `interactive` are.",
        headers::TIER,
        excerpt(_0, MAX_VALUE)
    )]
    UnknownTier(String),
    /// No region has room for this batch request.
    #[error("No region has room for batch requests at this moment; try again later.")]
    Later,
    /// No region is worth a request at this moment, and there are no fallbacks.
    #[error(
        "Every region that may serve the model `{model}` {}; try again in {} s.",
        if unavailable.is_silent { "has stopped to answer" } else { "refuses requests at this moment" },
        unavailable.retry_after
    )]
    Unavailable {
        /// The model.
        model: ModelName,
        /// Why, and for how long.
        unavailable: Unavailable,
    },
    /// The request continues an answer that is kept where nobody serves at this moment.
    #[error(
        "The request continues an earlier answer (`{field}`), which is kept by a region that does not serve at this moment. Send the \
         whole conversation as `input`, or try again."
    )]
    Lost {
        /// The field by which it does.
        field: &'static str,
    },
    /// The body has a content encoding, which hides the model.
    #[error(
        "The request body has the content encoding `{}`; send it without one.",
        excerpt(_0, MAX_VALUE)
    )]
    Encoded(String),
    /// The body cannot be routed.
    #[error("{_0}")]
    BadBody(BadBody),
    /// The zone's servers may not be given a field of the request.
    #[error("The field {_0}.")]
    Field(Violation),
    /// The zone does not have the model.
    #[error(
        "The model `{}` does not exist for the residency zone `{zone}`{}",
        excerpt(model, MAX_VALUE),
        available(known)
    )]
    UnknownModel {
        /// The model of the request.
        model: String,
        /// The caller's zone.
        zone: ZoneName,
        /// The models of the zone.
        known: Vec<ModelName>,
    },
}

fn unavailable_code(unavailable: &Unavailable) -> (u16, &'static str) {
    match unavailable.is_silent {
        true => (503, "regions_silent"),
        false => (429, "regions_overloaded"),
    }
}

fn usable(gateways: &[String]) -> String {
    if gateways.is_empty() {
        String::new()
    } else {
        format!(" Use: {}.", gateways.join(", "))
    }
}

fn available(models: &[ModelName]) -> String {
    if models.is_empty() {
        return ", and no other does.".into();
    }
    let models: Vec<&str> = models.iter().map(ModelName::as_str).collect();
    format!(". Known models: {}.", models.join(", "))
}

/// Seconds after which a caller should send a batch request again.
const BATCH_RETRY_AFTER: &str = "30";

/// A refusal, with the shape of its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// The shape of the response.
    pub shape: Shape,
}

impl Refusal {
    /// The response to the caller.
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
            Reason::Later => answer
                .headers
                .push(("retry-after", BATCH_RETRY_AFTER.into())),
            Reason::Unavailable { unavailable, .. } => answer
                .headers
                .push(("retry-after", unavailable.retry_after.to_string())),
            Reason::NoPolicy
            | Reason::NoRoute
            | Reason::Full
            | Reason::Mismatch { .. }
            | Reason::Lost { .. } => answer
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
        let param = match &self.reason {
            Reason::UnknownModel { .. } => Some("model"),
            Reason::Lost { field } => Some(*field),
            Reason::Field(violation) => Some(violation.field.as_str()),
            _ => None,
        };
        let body = ErrorBody {
            status,
            message: &self.reason.to_string(),
            param,
            code: Some(code),
        };
        body.json(self.shape).to_string()
    }
}

impl Reason {
    fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::UnknownPath => (404, "unknown_path"),
            Self::WrongMethod { .. } => (405, "method_not_allowed"),
            Self::UnknownZone => (403, "unknown_zone"),
            Self::Misdirected { .. } => (421, "misdirected"),
            Self::Redirected { .. } => (307, "misdirected"),
            Self::UnknownNeed { .. } => (400, "unknown_need"),
            Self::UnknownTier(_) => (400, "unknown_tier"),
            Self::Encoded(_) => (415, "unsupported_encoding"),
            Self::BadBody(_) => (400, "invalid_body"),
            Self::Field(violation) => (400, violation.code()),
            Self::UnknownModel { .. } => (404, "model_not_found"),
            _ => self.temporary(),
        }
    }

    /// Of those for which the same request may be served later.
    fn temporary(&self) -> (u16, &'static str) {
        match self {
            Self::NoPolicy => (503, "no_policy"),
            Self::Broken => (500, "gateway_failed"),
            Self::Full => (503, "gateway_full"),
            Self::Mismatch { .. } => (503, "zone_rules_changing"),
            Self::Later => (429, "batch_later"),
            Self::Unavailable { unavailable, .. } => unavailable_code(unavailable),
            Self::Lost { .. } => (503, "previous_response_unavailable"),
            _ => (503, "no_route"),
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
