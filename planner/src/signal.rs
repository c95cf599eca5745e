//! Signals: measurements in a region, before any judgement.
//!
//! Counters and histograms are cumulative since the start of their server or gateway. [`crate::state`] derives growth
//! between observations and handles restarts.

use meridian_policy::filter_policy::Lane;
use meridian_policy::name::{FallbackName, ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// A point in time: milliseconds since the Unix epoch.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// Time since `earlier`; zero if `earlier` is in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// One report of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The observed region.
    pub region: RegionName,
    /// The source: a source of the fleet file by [`meridian_policy::source::SignalSource::key`], or a gateway by its
    /// node id.
    pub source: String,
    /// Time of the report.
    pub at: Millis,
    /// The readings. Never empty if the report was parsed.
    pub readings: Vec<Reading>,
}

/// One reading of a source. The planner rejects impossible values, for example negative counts or NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// One engine of a pool's inference servers.
    Server {
        /// The pool's model.
        model: ModelName,
        /// Identifies the engine within its source, e.g. the value of vLLM's label `engine`.
        engine: String,
        /// The engine's figures.
        figures: Figures,
    },
    /// The mean over the region's GPUs.
    Gpu {
        /// `DCGM_FI_DEV_GPU_UTIL` as a ratio: the fraction of time with a running kernel. It is close to 1 even at
        /// small batch sizes.
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
        /// Endpoints that take requests: healthy and not ejected.
        healthy: u64,
        /// All endpoints.
        total: u64,
    },
    /// The DNS name of a pool, as the region's own gateway resolves it.
    Name {
        /// The pool's model.
        model: ModelName,
        /// Addresses that the name has.
        addresses: u64,
    },
    /// Attempts by the region's gateway.
    Attempts {
        /// The callers' zone.
        zone: ZoneName,
        /// The model.
        model: ModelName,
        /// The lane.
        lane: Lane,
        /// The target region.
        to: RegionName,
        /// Number of attempts by outcome.
        counts: AttemptCounts,
    },
    /// Time from an attempt to the first chunk of a streamed response, in seconds, as the region's gateway measures it.
    FirstToken {
        /// The model.
        model: ModelName,
        /// The target region.
        to: RegionName,
        /// The times.
        times: Histogram,
    },
    /// Health checks of another region's gateway by the region's gateway.
    PeerChecks {
        /// The region of the other gateway.
        to: RegionName,
        /// Their number by outcome.
        counts: PeerCheckCounts,
    },
    /// Answers to the region's gateway that say that a pool's server does not have the pool's model.
    MissingModel {
        /// The pool's model.
        model: ModelName,
        /// The pool's region.
        to: RegionName,
        /// Number of answers, cumulative.
        answers: f64,
    },
    /// Requests that the region's gateway refused because parts of its configuration, or of a peer's, are of different fleet files.
    Mismatches {
        /// Number of requests, cumulative.
        requests: f64,
    },
    /// Answers of a fallback to the region's gateway that report processing outside of its jurisdiction.
    JurisdictionViolations {
        /// The fallback.
        fallback: FallbackName,
        /// Number of answers, cumulative.
        answers: f64,
    },
}

/// Figures of an engine; `None` where it does not report one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Running requests.
    pub running: Option<f64>,
    /// Maximum number of running requests.
    pub max_running: Option<f64>,
    /// Waiting requests.
    pub waiting: Option<f64>,
    /// KV cache usage, a ratio.
    pub kv_cache: Option<f64>,
    /// Utilization in the source's own measure, a ratio. Above 1 is overload.
    pub utilization: Option<f64>,
    /// Queue time of requests, in seconds.
    pub queue_time: Option<Histogram>,
    /// Time to first token, in seconds.
    pub first_token: Option<Histogram>,
    /// Inference requests answered, in total and with a server error.
    pub answers: Option<Answers>,
}

/// Number of requests answered, cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// All answers.
    pub all: f64,
    /// Answers with a 5xx status.
    pub failed: f64,
}

/// Number of attempts by outcome, cumulative. Client errors other than 429 count as answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttemptCounts {
    /// Answered.
    pub answered: f64,
    /// Status 429: the pool is overloaded, or the caller exceeds its limit.
    pub overloaded: f64,
    /// Status 5xx, or no answer while the region answered nobody else.
    pub failed: f64,
    /// Of the answered ones: those that broke off when the caller had a part of them.
    #[serde(default)]
    pub broken: f64,
}

impl AttemptCounts {
    /// All attempts. An answer that began before these counts may have broken off within them.
    pub fn all(&self) -> f64 {
        (self.answered + self.overloaded + self.failed).max(self.errors())
    }

    /// Attempts that failed, before the first content or after it.
    pub fn errors(&self) -> f64 {
        self.failed + self.broken
    }

    /// The counts, in one order.
    pub fn each(&self) -> [f64; 4] {
        [self.answered, self.overloaded, self.failed, self.broken]
    }
}

/// Number of health checks of a gateway by another, by outcome, and of failed TLS handshakes between them, cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerCheckCounts {
    /// Checks that were answered, whatever the answer says.
    pub answered: f64,
    /// Checks without an answer: no connection, or none in time.
    pub unanswered: f64,
    /// Handshakes in which the checking gateway refused the other one's certificate.
    pub refused_certificates: f64,
    /// Handshakes that failed otherwise, e.g. because the other gateway refused the checking one's certificate.
    pub failed_handshakes: f64,
}

/// A cumulative histogram.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Upper bounds in ascending order, each with the cumulative count up to it. The infinite bound is omitted.
    pub buckets: Vec<(f64, f64)>,
    /// Sum of all values.
    pub sum: f64,
    /// Number of all values.
    pub count: f64,
}

impl Histogram {
    /// A histogram with the same bounds and no values.
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

#[cfg(test)]
mod tests {
    use super::AttemptCounts;

    #[test]
    fn an_answer_that_breaks_off_is_one_attempt_and_one_error() {
        let all_break = AttemptCounts {
            answered: 10.0,
            broken: 10.0,
            ..AttemptCounts::default()
        };
        assert_eq!((all_break.all(), all_break.errors()), (10.0, 10.0));
        // They began before the counts.
        let later = AttemptCounts {
            broken: 10.0,
            ..AttemptCounts::default()
        };
        assert_eq!((later.all(), later.errors()), (10.0, 10.0));
        let mixed = AttemptCounts {
            answered: 6.0,
            overloaded: 1.0,
            failed: 3.0,
            broken: 2.0,
        };
        assert_eq!((mixed.all(), mixed.errors()), (10.0, 5.0));
    }
}
