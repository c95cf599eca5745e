//! The regions of a placement, as its inputs.

use crate::signal::Millis;
use meridian_policy::fleet::Overflow;
use meridian_policy::name::RegionName;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// Minimum settling time: a change shows in the signals after this time at the earliest.
pub const MIN_SETTLING_TIME: Duration = Duration::from_secs(2);

/// Maximum settling time, without the report interval.
pub const MAX_SETTLING_TIME: Duration = Duration::from_secs(30);

/// Decrease of utilization below its recent peak that counts as falling.
pub const FALLING_MARGIN: f64 = 0.02;

/// The first region of a placement.
#[derive(Clone, Copy, Debug)]
pub struct HomePool {
    /// Utilization, if known.
    pub utilization: Option<Utilization>,
    /// It has no healthy endpoint. Traffic that does not overflow follows the chain.
    pub down: bool,
    /// An operator drains it.
    pub drained: bool,
    /// Healthy endpoints in percent; 100 if unknown.
    pub serving: u8,
    /// Time of the last breach for which it sheds; `None` if it is healthy.
    pub last_breach: Option<Millis>,
    /// Step by which it sheds while unhealthy, in percentage points.
    pub unhealthy_step: u8,
    /// Requests are queued in it.
    pub has_queue: bool,
    /// Some of its sources have not reported within the signal TTL.
    pub silent: bool,
    /// It receives batch traffic, which leaves before interactive traffic.
    pub receives_batch: bool,
    /// Fraction of its load that can move to another region, 0 to 1. The rest belongs to zones without another region.
    pub sheddable: f64,
    /// Fraction of its movable traffic that belongs to this placement's gateway and zone, 0 to 1.
    pub movable_share: f64,
    /// Longest report interval of the sources of this region and the candidates.
    pub report_interval: Duration,
    /// Residence time of requests. Utilization follows the share with this delay.
    pub residence_time: Duration,
    /// Growth of utilization in percent per percent of request growth.
    pub elasticity: f64,
}

impl HomePool {
    /// Whether it is unhealthy or loaded above the limit.
    pub(super) fn is_overloaded(&self, limits: &Overflow) -> bool {
        let above = |utilization: Utilization| utilization.now > limits.above;
        self.last_breach.is_some() || self.utilization.is_some_and(above)
    }

    /// Utilization; 1 if unknown.
    pub(super) fn utilization_or_full(&self) -> f64 {
        self.utilization.map_or(1.0, |utilization| utilization.now)
    }

    /// Time until a change of the share shows in the utilization: the residence time, bounded, and the report interval.
    pub(crate) fn settling_time(&self) -> Duration {
        self.residence_time
            .clamp(MIN_SETTLING_TIME, MAX_SETTLING_TIME)
            + self.report_interval
    }

    /// Whether it fails the traffic that stays: without endpoints, unhealthy, or full.
    pub(crate) fn is_lost(&self) -> bool {
        self.down || self.last_breach.is_some() || self.is_full()
    }

    /// Whether it is full and has a queue. Utilization then falls only after the queue is empty.
    pub(super) fn is_full(&self) -> bool {
        self.has_queue
            && self
                .utilization
                .is_some_and(|utilization| utilization.now >= 1.0 - FALLING_MARGIN)
    }
}

/// Utilization of a pool, a ratio; 1 is full.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Utilization {
    /// Current value.
    pub now: f64,
    /// Minimum over the last seconds.
    pub low: f64,
    /// Maximum over the calm period.
    pub peak: f64,
}

/// Another region that may take overflow. Lists of candidates are in chain order.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The region.
    pub region: RegionName,
    /// Whether it serves.
    pub open: bool,
    /// An operator drains it.
    pub drained: bool,
    /// Headroom, as a utilization; negative if it is overloaded.
    pub headroom: f64,
    /// Capacity over the capacity of the first region: requests per second at equal utilization.
    pub relative_capacity: f64,
    /// Whether the headroom is measured. An unmeasured headroom includes the current overflow.
    pub measured: bool,
    /// It has sources, and none has reported within the signal TTL.
    pub silent: bool,
}

impl Candidate {
    /// Headroom in percent of the requests; negative if it is overloaded. `current` is its current overflow.
    pub(super) fn headroom_percent(&self, first: &HomePool, load: f64, current: f64) -> f64 {
        let headroom = self.headroom * self.relative_capacity / first.elasticity / load;
        if !self.open {
            0.0
        } else if self.measured || self.headroom < 0.0 {
            headroom
        } else {
            (headroom - current).max(0.0)
        }
    }
}
