//! Reasons for an unhealthy pool.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// A reason clears below this fraction of its limit. The hysteresis prevents flapping at the limit.
pub const CLEAR_FRACTION: f64 = 0.8;

/// A reason for an unhealthy pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The region's gateway reports no healthy endpoint.
    NoEndpoints,
    /// The error rate exceeds its limit.
    Errors,
    /// The queue exceeds its limit.
    QueueDepth,
    /// The time to first token exceeds its limit.
    FirstToken,
    /// The replication lag of the region's data store exceeds its limit.
    ReplicationLag,
    /// No source has reported within the signal TTL.
    Stale,
    /// An operator drains it.
    Drained,
}

impl Reason {
    /// All reasons.
    pub(crate) const ALL: [Self; 7] = [
        Self::NoEndpoints,
        Self::Errors,
        Self::QueueDepth,
        Self::FirstToken,
        Self::ReplicationLag,
        Self::Stale,
        Self::Drained,
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEndpoints => "no healthy endpoint",
            Self::Errors => "errors",
            Self::QueueDepth => "queue",
            Self::FirstToken => "first token",
            Self::ReplicationLag => "replication lag",
            Self::Stale => "stale",
            Self::Drained => "drained",
        })
    }
}
