//! What a replay says.

use serde::{Deserialize, Serialize};

/// What would become of recorded requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// Decisions that were read.
    pub requests: usize,
    /// Lines without a decision about where a request goes: lists of models, connections, requests of other gateways, bad requests.
    pub others: usize,
    /// Requests that would have gone elsewhere, the most frequent first.
    pub moved: Vec<Moved>,
}

/// Requests that would have gone elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// What they have in common.
    #[serde(flatten)]
    pub of: Group,
    /// How many there are.
    pub requests: usize,
    /// The `x-request-id` of the first one.
    pub example: String,
}

/// Where requests went, and where they would have gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Group {
    /// The gateway that they came to.
    pub gateway: String,
    /// The caller's zone.
    pub zone: String,
    /// The model.
    pub model: String,
    /// The region or fallback that took them, or why they were refused.
    pub before: String,
    /// The region or fallback that would be asked first, or why they would be refused.
    pub after: String,
}
