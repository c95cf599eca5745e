//! What may be wrong with a pool.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A limit that was passed counts until the signal is below this part of it: nothing comes and goes at the limit.
pub const CLEAR_OF: f64 = 0.8;

/// What is wrong with a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its own gateway has no healthy endpoint.
    NoEndpoints,
    /// Too many of its answers are failures.
    Errors,
    /// Too many requests wait.
    QueueDepth,
    /// The first token takes too long.
    FirstToken,
    /// The region's data store is too far behind.
    ReplicationLag,
    /// Its sources have not been heard lately.
    Stale,
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
        })
    }
}
