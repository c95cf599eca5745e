//! What a placement sees of the regions that it is about.

use crate::signal::Millis;
use meridian_policy::name::RegionName;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A change is seen in the signals after this time at the earliest.
pub const SETTLE: Duration = Duration::from_secs(2);

/// And after this time at the latest.
pub const SETTLE_MOST: Duration = Duration::from_secs(30);

/// A utilization that fell by this in the last seconds is on its way down.
pub const FALLS: f64 = 0.02;

/// The first region, as far as a placement needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct HomePool {
    /// Its utilization, if known.
    pub utilization: Option<Utilization>,
    /// It has no healthy endpoint: what is not sent elsewhere goes along the chain.
    pub down: bool,
    /// Percent of its endpoints that serve; all of them where nobody tells.
    pub serving: u8,
    /// Its callers are better off elsewhere; when that was seen last.
    pub unhealthy: Option<Millis>,
    /// What it sheds for that in one step, in percent.
    pub unhealthy_step: u8,
    /// Requests wait in it.
    pub queues: bool,
    /// It has sources that were not heard lately.
    pub silent: bool,
    /// It has batch requests, which leave first.
    pub batch: bool,
    /// The part of its load that can be shed at all, 0 to 1: the rest belongs to zones that have nowhere else to go.
    pub sheddable: f64,
    /// The part of those who can leave it that the placement is about: of several gateways and zones each has its own.
    pub own: f64,
    /// The longest time between two looks at it or at one of the others.
    pub every: Duration,
    /// How long requests stay in it: its utilization follows its share by so much.
    pub residence_time: Duration,
    /// By how many percent its utilization changes with each percent of the requests.
    pub elasticity: f64,
}

impl HomePool {
    /// Its utilization; unknown is taken for full.
    pub(super) fn saw(&self) -> f64 {
        self.utilization.map_or(1.0, |utilization| utilization.now)
    }

    /// How long it takes until a change of its share is seen in its utilization: as long as requests stay.
    pub(crate) fn settles(&self) -> Duration {
        self.residence_time.clamp(SETTLE, SETTLE_MOST) + self.every
    }

    /// Whoever stays there is not served as callers should be.
    pub(crate) fn is_lost(&self) -> bool {
        self.down || self.unhealthy.is_some() || self.is_full()
    }

    /// It is full and requests wait: that fewer come is not seen before those are gone.
    pub(super) fn is_full(&self) -> bool {
        self.queues
            && self
                .utilization
                .is_some_and(|utilization| utilization.now >= 1.0 - FALLS)
    }
}

/// How full a pool is; 1 is full.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Utilization {
    /// Now.
    pub now: f64,
    /// The lowest of the last seconds.
    pub low: f64,
    /// The highest of them.
    pub peak: f64,
}

/// Another region that could take some: nearest first in a list of these.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Which.
    pub region: RegionName,
    /// It serves, so that it may be asked at all.
    pub open: bool,
    /// What it can take more, in utilization; below nothing if it has too much already.
    pub room: f64,
    /// How many requests it takes for the same utilization, over how many the first region takes.
    pub size: f64,
    /// Whether the room follows from what it has: if not, what it was given already is part of it.
    pub measured: bool,
    /// It has sources, and none of them was heard lately.
    pub silent: bool,
}

impl Candidate {
    /// What it can take more, in percent of the requests; below nothing if it has too much.
    pub(super) fn fits(&self, first: &HomePool, load: f64, had: f64) -> f64 {
        let fits = self.room * self.size / first.elasticity / load;
        if !self.open {
            0.0
        } else if self.measured || self.room < 0.0 {
            fits
        } else {
            (fits - had).max(0.0)
        }
    }
}
