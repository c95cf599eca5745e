//! What models have of their own.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a model has of its own, wherever it is deployed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawModel {
    /// Limits in place of its zones' and of those under `policy.limits`.
    #[serde(default)]
    pub limits: RawOwnLimits,
    /// How its pools pick a server. Default: `least_load`.
    #[serde(default)]
    pub balance: RawBalance,
}

/// How a pool's server is picked.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawBalance {
    /// The one that will have read its prompts first.
    #[default]
    LeastLoad,
    /// The one that a conversation had before, whose KV-cache may hold its beginning, unless it has clearly more to do than the
    /// others: a hash with bounded load.
    Affinity,
}

/// Limits of a zone or a model: those that depend on hardware and size. What is left out is as it is elsewhere.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOwnLimits {
    /// As in `policy.limits`.
    pub first_token: Option<String>,
    /// As in `policy.limits`.
    pub unstreamed: Option<String>,
    /// As in `policy.limits`.
    pub prefill_rate: Option<u32>,
}
