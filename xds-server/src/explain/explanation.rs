//! What an explanation says.

use meridian_planner::schema::{self, Name};
use meridian_planner::signal::Millis;
use meridian_policy::filter_policy::Lane;
use meridian_policy::{RegionName, ZoneId, ZoneName};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// What would happen to a request, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The gateway, by its region.
    #[schema(value_type = Name)]
    pub gateway: RegionName,
    /// When it was explained, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// The address of the connection's other end.
    #[schema(value_type = String)]
    pub from: IpAddr,
    /// The policy by which it is explained.
    pub policy: PolicyReport,
    /// The sources of the caller's zone, the most significant first.
    pub sources: Vec<SourceReport>,
    /// The caller's zone; `None` if it is not known, and the fleet refuses such callers.
    pub zone: Option<ZoneReport>,
    /// What becomes of the request. Several, the most frequent first, where its ID or conversation decides and is not said.
    pub outcomes: Vec<Outcome>,
    /// What the control plane cannot know, and would change the outcome.
    pub unless: Vec<Unless>,
    /// Regions and fallbacks that do not get the request, and why.
    pub excluded: Vec<Excluded>,
}

/// A policy, and who has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyReport {
    /// Its version.
    pub version: String,
    /// The Envoys of the region that have accepted it, by their node ids.
    pub accepted_by: Vec<String>,
    /// The Envoys of the region that have another one, or none.
    pub others: Vec<String>,
    /// It is the newest one. An older one is in force until the Envoys accept the newest.
    pub newest: bool,
}

/// A source of the caller's zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ZoneSourceReport)]
pub struct SourceReport {
    /// Its header.
    pub header: String,
    /// What the request has there.
    pub value: Option<String>,
    /// What it says.
    #[serde(flatten)]
    pub finding: Finding,
    /// It decides.
    pub decides: bool,
}

/// What a source says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The header is removed: the connection's other end is not one that the fleet trusts with it.
    NotTrusted {
        /// The networks that it trusts.
        trusted: Vec<String>,
    },
    /// The header is absent, or says that the country is not known.
    Absent,
    /// It names no zone: the caller's zone counts as unknown, unless another source names a pinned one.
    Invalid,
    /// It names a zone.
    Zone {
        /// The zone.
        #[schema(value_type = Name)]
        zone: ZoneName,
        /// Its requests never leave its regions and fallbacks.
        pinned: bool,
    },
}

/// The caller's zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ZoneReport {
    /// Its name.
    #[schema(value_type = Name)]
    pub zone: ZoneName,
    /// The header that named it, or `unknown`.
    pub by: String,
    /// The definition that the gateway follows.
    #[schema(value_type = Option<String>)]
    pub definition: Option<ZoneId>,
    /// Its requests never leave its regions and fallbacks.
    pub pinned: bool,
    /// Its regions.
    #[schema(value_type = Vec<Name>)]
    pub regions: Vec<RegionName>,
    /// Its fallbacks.
    pub fallbacks: Vec<String>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// Of all such requests, in percent.
    pub percent: f64,
    /// The response header `x-meridian-decision`.
    pub decision: String,
    /// Refused, answered or routed.
    #[serde(flatten)]
    pub result: Fate,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Fate {
    /// The gateway answers itself.
    Answered {
        /// The status.
        status: u16,
        /// The message of an error, or the body.
        message: String,
    },
    /// It is sent to the members of a chain, one after the other.
    Routed(Box<Routed>),
}

/// Where a request is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Routed {
    /// The lane.
    #[schema(value_type = schema::Lane)]
    pub lane: Lane,
    /// The first member that it is sent to, as in the response header `x-meridian-region`; `None` if all are passed over.
    pub first: Option<String>,
    /// What the share is made of, where others may take some of the requests.
    pub share: Option<ShareReport>,
    /// Whether the lane leads to fresh data, of a request that needs some.
    pub fresh: Option<String>,
    /// The field by which it continues an earlier answer: it stays with the first region, whatever that answers.
    pub continues: Option<String>,
    /// The members, in the order in which they are tried.
    pub chain: Vec<MemberReport>,
    /// Its limits.
    pub limits: LimitsReport,
}

/// The share of the first region, and what it is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShareReport {
    /// The first region.
    #[schema(value_type = Name)]
    pub region: RegionName,
    /// Percent of the requests that it keeps by the plan.
    pub planned: u8,
    /// Percent that it keeps at least, however often it refuses some.
    pub floor: u8,
    /// Whether the share is fixed: load does not change it.
    pub fixed: bool,
    /// The first region is drained: requests that begin a conversation leave it before the others.
    pub drained: bool,
    /// The regions that take the others, and their parts in percent.
    #[schema(value_type = Vec<(Name, u32)>)]
    pub others: Vec<(RegionName, u32)>,
    /// The intents that are about it.
    pub intents: Vec<String>,
}

/// A member of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemberReport {
    /// The region, or `fallback/<name>`.
    pub member: String,
    /// Whether the plan counts on it.
    pub serves: bool,
    /// How it is, in words.
    pub state: Vec<String>,
    /// Why it is passed over.
    pub passed_over: Option<String>,
    /// What it answers if it comes to it, and the request ends there: a fallback does not take everything that a region does.
    pub refuses: Option<String>,
}

/// Limits of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LimitsReport {
    /// After this silence the next member is asked as well, in milliseconds; `None` without another member.
    pub per_try_timeout_ms: Option<u64>,
    /// Of the whole answer, in seconds.
    pub answer_s: f64,
    /// Bytes of the body.
    pub body: u32,
}

/// A fact that only the gateway has, and what it would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Unless {
    /// The fact.
    pub when: String,
    /// The outcomes then, the most frequent first: the decision, and where it leads first.
    pub then: Vec<String>,
}

/// A region or a fallback that does not get the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Excluded {
    /// The region, or `fallback/<name>`.
    pub member: String,
    /// Why.
    pub why: String,
}
