//! Time and size limits, and the thresholds of load and health.

use std::time::Duration;

/// Time and size limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Timeout of a connection to an endpoint or a peer.
    pub connect: Duration,
    /// Timeout of the first content of a streamed response, without the time for the prompt. After it, Envoy also tries the next
    /// member, and the first response wins.
    pub first_token: Duration,
    /// The same for a response that is not streamed: it is silent until it is whole.
    pub unstreamed: Duration,
    /// Prompt tokens that the slowest server reads per second. Both timeouts grow by the time for the prompt.
    pub prefill_rate: u32,
    /// Maximum silence between two pieces of a streamed response.
    pub stream_idle_timeout: Duration,
    /// Minimum rate of a response, in bytes per second, averaged over `stream_idle_timeout`: from the first content of a stream on, and
    /// from the first byte of any other response on. `None`: no limit.
    pub least_rate: Option<u32>,
    /// Timeout of the whole response.
    pub answer: Duration,
    /// Maximum concurrent retries of one zone and model at one gateway.
    pub retries: u32,
    /// Maximum size of a request body, in bytes.
    pub body: u32,
}

/// Limits of a zone or a model, in place of the fleet's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnLimits {
    /// Replaces [`Limits::first_token`].
    pub first_token: Option<Duration>,
    /// Replaces [`Limits::unstreamed`].
    pub unstreamed: Option<Duration>,
    /// Replaces [`Limits::prefill_rate`].
    pub prefill_rate: Option<u32>,
}

impl Limits {
    /// These limits, with the overrides of a zone or a model.
    pub fn with_overrides(self, own: &OwnLimits) -> Self {
        Self {
            first_token: own.first_token.unwrap_or(self.first_token),
            unstreamed: own.unstreamed.unwrap_or(self.unstreamed),
            prefill_rate: own.prefill_rate.unwrap_or(self.prefill_rate),
            ..self
        }
    }
}

/// How far failover goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// The most regions of a chain, at least 1. Fallbacks follow them.
    pub regions: usize,
}

/// The default of the fleet file.
impl Default for Failover {
    fn default() -> Self {
        Self { regions: 4 }
    }
}

/// The thresholds for shedding a region's load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overflow {
    /// Utilization above which home sheds the excess, 0 to 1.
    pub above: f64,
    /// Utilization below which home takes its callers back, 0 to 1.
    pub back_below: f64,
    /// The fraction of its callers that home always keeps, 0 to 1.
    pub floor: f64,
    /// The queue wait that counts as a utilization of 1.
    pub queue_wait: Duration,
    /// Whether GPU engine activity counts as utilization.
    pub gpu: bool,
    /// The most regions among which a gateway chooses for what its first region sheds, at least 1: the nearest.
    pub regions: usize,
}

impl Overflow {
    /// The floor in percent, rounded up.
    pub fn floor_percent(&self) -> u8 {
        (self.floor * 100.0 - 1e-9).ceil().clamp(0.0, 100.0) as u8
    }

    /// The target utilization of shedding: the middle between both thresholds.
    pub fn target(&self) -> f64 {
        f64::midpoint(self.above, self.back_below)
    }
}

/// The defaults of the fleet file.
impl Default for Overflow {
    fn default() -> Self {
        Self {
            above: 0.80,
            back_below: 0.70,
            floor: 0.10,
            queue_wait: Duration::from_secs(5),
            gpu: false,
            regions: 8,
        }
    }
}

/// The thresholds of a soft-unhealthy region. Other regions are tried before it, as far as they have room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unhealthy {
    /// Maximum number of requests that wait in a pool.
    pub queue_depth: u32,
    /// Maximum 95th percentile of the time to the first token.
    pub first_token_p95: Duration,
    /// Maximum fraction of failed responses, 0 to 1.
    pub error_rate: f64,
    /// Maximum replication lag of the data store.
    pub replication_lag: Duration,
    /// Maximum age of a signal. An older signal counts as absent.
    pub signal_ttl: Duration,
}

/// The defaults of the fleet file.
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
