//! Time and size limits, and the limits of a region's load and health.

use std::time::Duration;

/// Time and size limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection to an endpoint or a peer stands.
    pub connect: Duration,
    /// Until the first content of a streamed answer, besides what the prompt takes; past it the next region is asked as well, and
    /// the first to answer wins.
    pub first_token: Duration,
    /// The same for an answer that is not streamed: these are silent until they are whole.
    pub unstreamed: Duration,
    /// Tokens of a prompt that a server reads in a second, at the slowest: both limits are longer by what the prompt takes.
    pub prefill_rate: u32,
    /// Between two pieces of a streamed answer.
    pub stream_idle_timeout: Duration,
    /// For the whole answer.
    pub answer: Duration,
    /// Requests of one zone and model at one gateway that may be on their way to another member at a time.
    pub retries: u32,
    /// Largest request body, in bytes.
    pub body: u32,
}

/// Limits that a zone or a model has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnLimits {
    /// In place of [`Limits::first_token`].
    pub first_token: Option<Duration>,
    /// In place of [`Limits::unstreamed`].
    pub unstreamed: Option<Duration>,
    /// In place of [`Limits::prefill_rate`].
    pub prefill_rate: Option<u32>,
}

impl Limits {
    /// These, but for what is said in their place.
    pub fn with_overrides(self, own: &OwnLimits) -> Self {
        Self {
            first_token: own.first_token.unwrap_or(self.first_token),
            unstreamed: own.unstreamed.unwrap_or(self.unstreamed),
            prefill_rate: own.prefill_rate.unwrap_or(self.prefill_rate),
            ..self
        }
    }
}

/// When a region sheds load, and how far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overflow {
    /// Utilization above which home sheds what brings it back under, 0 to 1.
    pub above: f64,
    /// Utilization below which it takes its callers back.
    pub back_below: f64,
    /// The part of its callers that home keeps whatever happens, 0 to 1.
    pub floor: f64,
    /// A queue wait of this long is a utilization of 1.
    pub queue_wait: Duration,
    /// Whether GPU engine activity is utilization as well.
    pub gpu: bool,
}

impl Overflow {
    /// The floor in whole percents.
    pub fn floor_percent(&self) -> u8 {
        (self.floor * 100.0 - 1e-9).ceil().clamp(0.0, 100.0) as u8
    }

    /// The utilization that shedding aims at: in the middle between the two limits, where neither is near.
    pub fn target(&self) -> f64 {
        f64::midpoint(self.above, self.back_below)
    }
}

/// What holds where a fleet file says nothing.
impl Default for Overflow {
    fn default() -> Self {
        Self {
            above: 0.80,
            back_below: 0.70,
            floor: 0.10,
            queue_wait: Duration::from_secs(5),
            gpu: false,
        }
    }
}

/// When a region is soft-unhealthy: other regions are asked first as far as they have room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unhealthy {
    /// More requests than this wait in a pool.
    pub queue_depth: u32,
    /// The 95th percentile of the time to the first token is above this.
    pub first_token_p95: Duration,
    /// More than this part of the answers are failures, 0 to 1.
    pub error_rate: f64,
    /// The data store is behind its primary by more than this.
    pub replication_lag: Duration,
    /// A signal that is older says nothing.
    pub signal_ttl: Duration,
}

/// What holds where a fleet file says nothing.
impl Default for Unhealthy {
    fn default() -> Self {
        Self {
            queue_depth: 100,
            first_token_p95: Duration::from_secs(3),
            error_rate: 0.01,
            replication_lag: Duration::from_secs(30),
            signal_ttl: Duration::from_secs(10),
        }
    }
}
