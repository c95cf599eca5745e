//! The policy of one gateway's router filter, as JSON in Envoy's configuration. A person can read it in a config dump, and can
//! write it by hand.

use crate::country::Country;
use crate::name::{ModelName, RegionName, ZoneId, ZoneName};
use crate::pool_policy::Balance;
use crate::zone::{UnknownZone, ZoneSource};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The sum of a set of weights.
pub const TOTAL_WEIGHT: u32 = 100;

/// The policy of one gateway. An unknown field may be a restriction, so the filter rejects a policy that has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterPolicy {
    /// The home region.
    pub region: RegionName,
    /// The sources of a caller's zone, the most significant first.
    pub sources: Vec<ZoneSource>,
    /// The zone of each country that a zone names.
    pub countries: BTreeMap<Country, ZoneName>,
    /// The zone of all other countries.
    pub rest_of_world: Option<ZoneName>,
    /// The rule for callers whose zone is unknown.
    pub unknown_zone: UnknownZone,
    /// The rule of each zone at this gateway.
    pub zones: BTreeMap<ZoneName, ZoneRule>,
    /// SHA-256 digests, in hex, of the API keys whose requests are batch requests.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub batch_keys: BTreeSet<String>,
    /// Another header for the needs of a request, besides [`crate::headers::NEEDS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_header: Option<String>,
    /// The balancing policy of each pool of this region.
    #[serde(default)]
    pub pools: BTreeMap<ModelName, Balance>,
    /// Bytes of request bodies that one worker holds at most. `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bodies: Option<u64>,
    /// The lease of the policy. `None`: it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// The time for which a gateway applies a plan. After it, every request goes home first: the plan may no longer fit the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// When the lease was granted, in seconds since the Unix epoch. It informs people, and makes each renewal a distinct policy.
    pub given: u64,
    /// Duration of the lease from its arrival, by the gateway's own clock, in milliseconds.
    pub runs_ms: u64,
}

/// The rule of a zone at this gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneRule {
    /// The definition of the zone that this rule follows.
    pub definition: ZoneId,
    /// Whether requests of the zone never leave its regions and fallbacks.
    pub pinned: bool,
    /// The response to callers that this gateway must not serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_away: Option<TurnAway>,
    /// Whether requests that name content by URL are refused: the server would fetch it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refuse_remote_content: bool,
    /// The models of the zone at this gateway.
    #[serde(default)]
    pub models: BTreeMap<ModelName, ModelRule>,
}

/// The rule for a zone's requests for a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRule {
    /// The ordinary lane of the requests.
    pub lane: Lane,
    /// The regions that its lanes lead to first, in order. Those of the chain are the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionName>,
    /// How many of them the chain has, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Those of them that do not serve the model, by the plan.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub down: BTreeSet<RegionName>,
    /// Whether fallbacks follow the regions in the chain.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_fallback: bool,
    /// The split between the first region and others, if others may take requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// The regions with fresh data, while the data of some region is known to be behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<Fresh>,
    /// No region is known to be behind, and the freshness of some region is unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh_unknown: bool,
    /// The rule for batch requests.
    #[serde(default, skip_serializing_if = "BatchRule::is_default")]
    pub batch: BatchRule,
    /// The per-try timeout, if another server can take the request.
    #[serde(default, alias = "patience", skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<PerTryTimeout>,
}

/// The rule for the batch requests of a zone for a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRule {
    /// Percentage of batch requests that are served. The others get 429.
    pub admitted: u8,
    /// Whether the first region takes batch requests.
    pub at_first: bool,
    /// Percentage of batch requests that are served elsewhere while the first region sheds: the least that any region which
    /// takes them admits.
    #[serde(default = "full", skip_serializing_if = "is_full")]
    pub elsewhere: u8,
    /// Weight of each other region for batch requests, in percent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<RegionName, u32>,
}

fn full() -> u8 {
    100
}

fn is_full(percent: &u8) -> bool {
    *percent == full()
}

impl Default for BatchRule {
    fn default() -> Self {
        Self {
            admitted: full(),
            at_first: true,
            elsewhere: full(),
            others: BTreeMap::new(),
        }
    }
}

impl BatchRule {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The share of the first region. The rest takes the overflow lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The first region of the home lane.
    pub first: RegionName,
    /// Percentage of the requests that the first region keeps.
    pub home_share: u8,
    /// Percentage that the first region keeps even while it refuses requests for lack of room.
    #[serde(default)]
    pub floor: u8,
    /// The regions of the overflow lane, by weight.
    #[serde(default)]
    pub overflow: BTreeMap<RegionName, u32>,
    /// Whether the share is fixed: load does not change it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fixed: bool,
    /// Whether the first region is drained: requests that begin a conversation leave it before the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drains: bool,
}

/// The response to a misdirected caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnAway {
    /// 421 with these gateways, the nearest first: their URLs, or their regions if they have no URL.
    Refuse(Vec<String>),
    /// 307 to the URL of this gateway.
    Redirect(String),
}

/// The lane of a request: where the filter sends it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// The home chain: home's pool, or the nearest region with the model.
    Home,
    /// Another region first, by weight, because home sheds.
    Overflow,
    /// A region by weight, home or another, because the request can wait.
    Batch,
    /// Another region with fresh data first, by weight. The request needs fresh data, and home's data is behind or home sheds.
    Fresh,
    /// The fallbacks only: no region of the zone has the model, or all that have it refuse requests or do not answer.
    Fallback,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 5] = [
        Self::Home,
        Self::Overflow,
        Self::Batch,
        Self::Fresh,
        Self::Fallback,
    ];

    /// The value of the lane header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Overflow => "overflow",
            Self::Batch => "batch",
            Self::Fresh => "fresh",
            Self::Fallback => "fallback",
        }
    }
}

/// The regions of a (zone, model) with fresh data, while the data of some region is behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fresh {
    /// Whether the first region serves requests and has fresh data.
    pub first: bool,
    /// Whether the freshness of the first region is unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_unknown: bool,
    /// The other regions with fresh data, by weight: the targets of the fresh lane.
    #[serde(default)]
    pub others: BTreeMap<RegionName, u32>,
    /// Whether the freshness of all of these other regions is unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub others_unknown: bool,
    /// The percentages of batch requests that need fresh data and are served.
    #[serde(default, skip_serializing_if = "FreshBatch::is_default")]
    pub batch: FreshBatch,
}

/// Percentages of batch requests that need fresh data and are served, by their target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreshBatch {
    /// In the first region: the opening of its gate.
    pub first: u8,
    /// In the other regions: the least that any of them admits.
    pub others: u8,
}

impl Default for FreshBatch {
    fn default() -> Self {
        Self {
            first: 100,
            others: 100,
        }
    }
}

impl FreshBatch {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The per-try timeout of a zone's requests for a model: after this silence, Envoy also tries the next member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerTryTimeout {
    /// Timeout of a streamed response, without the time for the prompt, in milliseconds.
    pub first_token_ms: u64,
    /// Timeout of a response that is not streamed, without the time for the prompt, in milliseconds.
    pub unstreamed_ms: u64,
    /// Prompt tokens that a server reads per second. They extend the timeout.
    pub prefill_rate: u32,
    /// Maximum of the extended timeout, in milliseconds.
    pub longest_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_of_an_older_control_plane_is_read() {
        let limits = r#"{"first_token_ms":1,"unstreamed_ms":2,"prefill_rate":3,"longest_ms":4}"#;
        let older = format!(r#"{{"lane":"home","patience":{limits}}}"#);
        let rule: ModelRule = serde_json::from_str(&older).unwrap();
        assert_eq!(
            rule.per_try_timeout.map(|limits| limits.longest_ms),
            Some(4)
        );
        let newer = serde_json::to_string(&rule).unwrap();
        assert!(newer.contains("per_try_timeout"), "{newer}");
    }
}
