//! A case: a fleet, its requests and its faults.

use crate::objective::Objective;
use crate::profile::Profile;
use meridian_policy::Fleet;
use meridian_policy::name::{RegionName, ZoneName};

/// One simulated scenario.
#[derive(Clone, Debug)]
pub struct Case {
    /// Short name.
    pub name: String,
    /// One sentence that says what happens.
    pub description: String,
    /// The fleet: zones, regions and their order.
    pub fleet: Fleet,
    /// The regions, sorted by name. A region's index in this list is its number everywhere.
    pub regions: Vec<RegionSpec>,
    /// Round-trip times between regions in seconds, indexed by region.
    pub round_trip: Vec<Vec<f64>>,
    /// The requests, sorted by arrival time.
    pub requests: Vec<Request>,
    /// Service-level objective of every request.
    pub objective: Objective,
    /// Goodput of each region, in requests per second.
    pub capacity: Vec<f64>,
    /// Faults to inject.
    pub faults: Vec<Fault>,
    /// Length in seconds.
    pub seconds: f64,
    /// Times at which demand or capacity changes abruptly, in seconds.
    pub disturbances: Vec<f64>,
}

impl Case {
    /// Whether a region may serve a request. Requests of a pinned zone stay in the zone's regions.
    pub fn may_use(&self, request: usize, region: usize) -> bool {
        let zone = self.fleet.zones.get(&self.requests[request].zone);
        zone.is_some_and(|zone| !zone.pinned || zone.regions.contains(&self.regions[region].name))
    }
}

/// A region's servers.
#[derive(Clone, Debug)]
pub struct RegionSpec {
    /// Name.
    pub name: RegionName,
    /// Number of servers (replicas of the model).
    pub replicas: usize,
    /// Service times of each server.
    pub profile: Profile,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Arrival time at the gateway, in seconds from the start.
    pub at: f64,
    /// Home region.
    pub home: usize,
    /// The caller's residency zone.
    pub zone: ZoneName,
    /// Prompt length in tokens.
    pub prompt: u64,
    /// Answer length in tokens.
    pub output: u64,
    /// Conversation identifier, if the trace has one.
    pub session: Option<u64>,
}

/// A fault that lasts for a period.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The affected region; `None` means all regions.
    pub region: Option<usize>,
    /// Start, in seconds.
    pub from: f64,
    /// End, in seconds.
    pub to: f64,
    /// Kind.
    pub kind: FaultKind,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// The region is down: connections fail, and requests in progress are lost.
    Outage,
    /// Every forward pass takes this many times as long.
    Slowdown(f64),
    /// The region's metrics pages report idle servers, and counters stop.
    IdleMetrics,
}

impl Fault {
    /// Whether the fault affects a region.
    pub fn affects(&self, region: usize) -> bool {
        self.region.is_none_or(|affected| affected == region)
    }
}
