//! Settings of single models and zones, as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of one model, in every region that has a pool of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawModel {
    /// Limits of this model. They replace those of the caller's zone and of `policy.limits`.
    #[serde(default)]
    pub limits: RawOwnLimits,
    /// How the gateway picks a server of a pool of this model. Default: `least_load`.
    #[serde(default)]
    pub balance: RawBalance,
}

/// How the gateway picks a server of a pool.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawBalance {
    /// The server with the fewest bytes of prompts that still wait for a first token.
    #[default]
    LeastLoad,
    /// The server that the conversation had before, whose KV cache may hold its beginning, while that server has at most 1.25 times
    /// the mean number of requests.
    Affinity,
}

/// Limits of one zone or one model. A limit that is left out is inherited.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOwnLimits {
    /// As `policy.limits.first_token`.
    pub first_token: Option<String>,
    /// As `policy.limits.unstreamed`.
    pub unstreamed: Option<String>,
    /// As `policy.limits.prefill_rate`.
    pub prefill_rate: Option<u32>,
}
