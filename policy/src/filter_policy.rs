//! The filter's policy: what one gateway's filter needs of the fleet, as the JSON that travels in Envoy's
//! configuration. It is readable in a config dump, and can be written by hand.

use crate::country::Country;
use crate::name::{ModelName, RegionName, ZoneName};
use crate::pool_policy::Balance;
use crate::zone::{UnknownZone, ZoneSource};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The sum of a set of weights.
pub const TOTAL_WEIGHT: u32 = 100;

/// One gateway's policy. A field that a filter does not know could hold a restriction, so it refuses the whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterPolicy {
    /// The home region.
    pub region: RegionName,
    /// Where a caller's zone is read from, the most telling first.
    pub sources: Vec<ZoneSource>,
    /// The zone of each country that a zone names.
    pub countries: BTreeMap<Country, ZoneName>,
    /// The zone of all other countries.
    pub rest_of_world: Option<ZoneName>,
    /// What becomes of callers that no source places.
    pub unknown_zone: UnknownZone,
    /// What each zone may do here.
    pub zones: BTreeMap<ZoneName, ZoneRule>,
    /// API keys whose requests are batch: SHA-256, in hex.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub batch_keys: BTreeSet<String>,
    /// Another header by which callers say what they need, besides [`crate::headers::NEEDS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_header: Option<String>,
    /// How each pool of this region balances over its servers.
    #[serde(default)]
    pub pools: BTreeMap<ModelName, Balance>,
    /// How long the shares below hold, if not for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// How long a gateway acts on what it was told. Past it every request goes home first: a plan that nobody renews may be
/// about a fleet that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// When it was given, in seconds since the Unix epoch: for people, and to make each renewal another policy.
    pub given: u64,
    /// How long it runs from its arrival, by the gateway's own clock, in milliseconds.
    pub runs_ms: u64,
}

/// What a zone's callers may do at this gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneRule {
    /// Whether its requests never leave its regions and fallbacks.
    pub pinned: bool,
    /// Set where its callers must not be served from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_away: Option<TurnAway>,
    /// The models that it can have here.
    #[serde(default)]
    pub models: BTreeMap<ModelName, ModelRule>,
}

/// Where a zone's requests for a model go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRule {
    /// The lane that leads to it.
    pub lane: Lane,
    /// Set where another region may take some of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Set while some region that could serve them is known to have no fresh data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<Fresh>,
    /// While none is, nothing tells of some whether they have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh_unknown: bool,
    /// What becomes of batch requests.
    #[serde(default, skip_serializing_if = "BatchRule::is_default")]
    pub batch: BatchRule,
    /// How long an attempt may be silent; set where another server can be asked.
    #[serde(default, alias = "patience", skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<PerTryTimeout>,
}

/// What becomes of batch requests for a (zone, model).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRule {
    /// Percent of them that are served; the others are told to come later.
    pub admitted: u8,
    /// Some of them go to the region that the home lane leads to.
    pub at_first: bool,
    /// Percent of them that are served while that region presses: no more than any of those that take them then lets in.
    #[serde(default = "full", skip_serializing_if = "is_full")]
    pub elsewhere: u8,
    /// What each other region has of them, in percent.
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

/// What the first region keeps; the rest takes the overflow lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The region that the home lane leads to.
    pub first: RegionName,
    /// Percent of the requests that it keeps.
    pub home_share: u8,
    /// Percent that it keeps even while it refuses requests for lack of room.
    #[serde(default)]
    pub floor: u8,
    /// The regions that the overflow lane leads to, by weight.
    #[serde(default)]
    pub overflow: BTreeMap<RegionName, u32>,
    /// The share is a fixed part: load moves nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fixed: bool,
}

/// How a misdirected caller is turned away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnAway {
    /// 421 naming these gateways (URLs, or regions without one), the nearest first.
    Refuse(Vec<String>),
    /// 307 to this gateway's URL.
    Redirect(String),
}

/// Where the filter sends a request first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// The home chain: home's pool, or the nearest region that has the model.
    Home,
    /// Another region first, by weight: home sheds.
    Overflow,
    /// A region by weight, home or another: the request can wait.
    Batch,
    /// Another region first, by weight, whose data is fresh: the request needs it, and home's is not, or home sheds.
    Fresh,
    /// Straight to the fallbacks: no region that the zone may use has the model.
    Fallback,
}

impl Lane {
    /// All of them.
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

/// Which of the regions that may serve a (zone, model) have fresh data, while some have not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fresh {
    /// Whether the region that the home lane leads to has, and serves.
    pub first: bool,
    /// Nothing tells whether it has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_unknown: bool,
    /// The others that have, by weight: the fresh lane leads to them.
    #[serde(default)]
    pub others: BTreeMap<RegionName, u32>,
    /// Nothing tells whether any of them has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub others_unknown: bool,
    /// What becomes of those of them that are batch.
    #[serde(default, skip_serializing_if = "FreshBatch::is_default")]
    pub batch: FreshBatch,
}

/// Percent of the batch requests that need fresh data that are served, by where they would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreshBatch {
    /// In the first region: as far as its gate is open.
    pub first: u8,
    /// In the others: no more than any of them lets in.
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

/// How long an attempt of a zone's requests for a model may be silent before the next member is asked as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerTryTimeout {
    /// For a streamed answer to a prompt without length, in milliseconds.
    pub first_token_ms: u64,
    /// The same for an answer that is not streamed.
    pub unstreamed_ms: u64,
    /// Tokens of a prompt that a server reads in a second.
    pub prefill_rate: u32,
    /// What no prompt takes a limit past, in milliseconds.
    pub longest_ms: u64,
}
