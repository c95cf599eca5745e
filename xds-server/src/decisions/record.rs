//! The report of one request.

use meridian_planner::signal::Millis;
use meridian_policy::RegionName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// What a gateway decided about a request, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionRecord {
    /// Its number at this control plane, which grows.
    pub number: u64,
    /// When the request came, in milliseconds since the Unix epoch, by the gateway's clock.
    pub at: Millis,
    /// The gateway, by its region.
    #[schema(value_type = String)]
    pub gateway: RegionName,
    /// Its `x-request-id`.
    pub request_id: String,
    /// The caller's zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The header that told the zone, or `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The model, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The lane; none for a request that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// The HTTP status that the caller got; 0 if none.
    pub status: u16,
    /// Why the gateway refused it: the code of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// How the answer broke off after its first content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// The region or fallback that was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whom the gateway asked, in this order, at most eight.
    pub attempts: Vec<AttemptReport>,
    /// The tokens that the answer reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// Milliseconds until the first byte of the answer came from the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    /// Milliseconds until the request was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// The header `x-meridian-decision`.
    pub decision: String,
    /// It is one of a few ordinary requests, whatever became of it.
    pub sampled: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RequestOutcome)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// The gateway refused it.
    Refused,
    /// Its answer was an error.
    Failed,
    /// Its answer broke off after its first content.
    Broken,
    /// Its caller left before it was answered.
    Left,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Answered,
        Self::Refused,
        Self::Failed,
        Self::Broken,
        Self::Left,
    ];

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Broken => "broken",
            Self::Left => "left",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|each| each.as_str() == text);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("`{text}` is none of {all}")
        })
    }
}

/// One attempt of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptReport {
    /// The region or fallback.
    pub to: String,
    /// The address of its endpoint, `-` if there was none.
    pub address: String,
    /// How it ended, as in the access log's `attempt_log`.
    pub end: String,
    /// Milliseconds from its beginning to its end, or to the first content of its answer. None for the only one, which the times of the
    /// request tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}

/// Tokens of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Of the prompt.
    pub prompt: u64,
    /// Of the completion.
    pub completion: u64,
    /// Of the prompt, from a cache.
    pub cached: u64,
}
