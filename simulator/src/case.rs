//! A case: a fleet, what its callers ask for, and what goes wrong.

use crate::objective::Objective;
use crate::profile::Profile;
use meridian_policy::Fleet;
use meridian_policy::name::{RegionName, ZoneName};

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, short.
    pub name: String,
    /// What happens in it, in a sentence.
    pub about: String,
    /// The fleet: zones, regions and their order.
    pub fleet: Fleet,
    /// Its regions, in the order of their names.
    pub regions: Vec<Site>,
    /// Round trips between regions in seconds, by their places in `regions`.
    pub round_trip: Vec<Vec<f64>>,
    /// The requests, the earliest first.
    pub requests: Vec<Request>,
    /// What is promised to callers.
    pub objective: Objective,
    /// Requests per second that each region serves as promised.
    pub capacity: Vec<f64>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Length in seconds.
    pub seconds: f64,
    /// When something about demand or capacity changes at once, in seconds.
    pub disturbances: Vec<f64>,
}

impl Case {
    /// Whether a region may serve a request: a pinned zone's requests stay in its regions.
    pub fn may_use(&self, request: usize, region: usize) -> bool {
        let zone = self.fleet.zones.get(&self.requests[request].zone);
        zone.is_some_and(|zone| !zone.pinned || zone.regions.contains(&self.regions[region].name))
    }
}

/// A region.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its name.
    pub name: RegionName,
    /// Replicas of the model.
    pub replicas: usize,
    /// How long they take.
    pub profile: Profile,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it reaches its gateway, in seconds from the begin.
    pub at: f64,
    /// The region whose gateway it reaches.
    pub home: usize,
    /// Its caller's zone.
    pub zone: ZoneName,
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// The conversation that it belongs to.
    pub session: Option<u64>,
}

/// What goes wrong from one time to another, in seconds.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Where; `None` is everywhere.
    pub region: Option<usize>,
    /// From when.
    pub from: f64,
    /// Until when.
    pub to: f64,
    /// What.
    pub what: What,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// The region is gone: connections to it fail, and what it had is lost.
    Lost,
    /// Everything takes this many times as long.
    Slower(f64),
    /// Its metrics pages say that it has nothing to do, and that nothing has come since that began.
    SaysIdle,
}

impl Fault {
    /// Whether it is about a region.
    pub fn is_about(&self, region: usize) -> bool {
        self.region.is_none_or(|about| about == region)
    }
}
