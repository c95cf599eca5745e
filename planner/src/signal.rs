//! Signals: what is measured in a region, before anything is concluded from it.
//!
//! Counters and histograms are cumulative since their server or gateway started, as they are scraped: what happened
//! between two observations is [`crate::state`]'s to find out, restarts included.

use meridian_policy::filter_policy::Lane;
use meridian_policy::name::{FallbackName, ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A point in time: milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// How long ago `earlier` was; nothing if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// What one source said at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The region that it is about.
    pub region: RegionName,
    /// Who says so: a source of the fleet file by [`meridian_policy::source::SignalSource::key`], or a gateway, by its node id.
    pub source: String,
    /// When it was read.
    pub at: Millis,
    /// What was said. Never empty for a source that was understood.
    pub readings: Vec<Reading>,
}

/// One thing that a source said. Values that cannot be (negative, not a number) are left out by whoever reads them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// One engine of a pool's inference servers.
    Server {
        /// The pool's model.
        model: ModelName,
        /// Tells the engines of one source apart, e.g. the value of vLLM's label `engine`.
        engine: String,
        /// What it says about itself.
        figures: Figures,
    },
    /// The region's GPUs, their mean.
    Gpu {
        /// `DCGM_FI_DEV_GPU_UTIL` as a ratio: some kernel was running. Near 1 at small batches already.
        busy: Option<f64>,
        /// `DCGM_FI_PROF_GR_ENGINE_ACTIVE`, a ratio.
        engine_active: Option<f64>,
    },
    /// How far the region's data store is behind its primary.
    ReplicationLag {
        /// Seconds.
        seconds: f64,
    },
    /// A pool as the region's own gateway sees it.
    Endpoints {
        /// The pool's model.
        model: ModelName,
        /// Endpoints that take requests: their health checks pass, and they are not ejected.
        healthy: u64,
        /// All endpoints.
        total: u64,
    },
    /// Attempts that the region's gateway has made.
    Attempts {
        /// The callers' zone.
        zone: ZoneName,
        /// The model.
        model: ModelName,
        /// The lane.
        lane: Lane,
        /// The region that was asked.
        to: RegionName,
        /// How they ended.
        counts: AttemptCounts,
    },
    /// Time from an attempt to the first piece of a streamed answer, as the region's gateway sees it, in seconds.
    FirstToken {
        /// The model.
        model: ModelName,
        /// The region that was asked.
        to: RegionName,
        /// The times.
        times: Histogram,
    },
    /// A fallback's answers to the region's gateway that say that they were made outside of its jurisdiction.
    JurisdictionViolations {
        /// The fallback.
        fallback: FallbackName,
        /// How many.
        answers: f64,
    },
}

/// What an engine says about itself; `None` where it does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Requests in work.
    pub running: Option<f64>,
    /// Requests in work that it can have at most.
    pub max_running: Option<f64>,
    /// Requests that wait.
    pub waiting: Option<f64>,
    /// KV-cache in use, a ratio.
    pub kv_cache: Option<f64>,
    /// How full it is in the source's own measure, a ratio; above 1 is too full.
    pub utilization: Option<f64>,
    /// Seconds that requests waited.
    pub queue_time: Option<Histogram>,
    /// Seconds until the first token.
    pub first_token: Option<Histogram>,
    /// Inference requests answered, and those of them that failed by the server's fault.
    pub answers: Option<Answers>,
}

/// Requests answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// All.
    pub all: f64,
    /// With a status of 5xx.
    pub failed: f64,
}

/// How attempts ended. Refusals that are the caller's own fault are answers like any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttemptCounts {
    /// Answered.
    pub answered: f64,
    /// 429: too much to do, or too much asked by this caller.
    pub overloaded: f64,
    /// 5xx.
    pub failed: f64,
}

/// A cumulative histogram.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Upper bounds in rising order, each with the number of values up to it; infinity left out.
    pub buckets: Vec<(f64, f64)>,
    /// Sum of all values.
    pub sum: f64,
    /// Number of all values.
    pub count: f64,
}

impl Histogram {
    /// The same bounds without any values.
    pub fn emptied(&self) -> Self {
        Self {
            buckets: self
                .buckets
                .iter()
                .map(|(bound, _)| (*bound, 0.0))
                .collect(),
            ..Self::default()
        }
    }
}
