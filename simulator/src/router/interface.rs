//! What a router gets and what it answers.

use crate::case::Request;
use crate::metrics::MetricsPage;
use crate::replica::Replica;
use meridian_policy::{RegionName, ZoneName};
use std::collections::BTreeMap;

/// Home share of each (gateway, zone) in percent, one value per second.
pub type HomeShares = BTreeMap<(RegionName, ZoneName), Vec<u8>>;

/// A routing query: one request and the regions that may serve it.
pub struct RouteQuery<'a> {
    /// The request.
    pub request: &'a Request,
    /// Index of the request.
    pub id: usize,
    /// Regions that may serve the request and are not known to be down: home first, then by distance. Never empty.
    pub candidates: &'a [usize],
    /// By region: whether health checks found it down.
    pub down: &'a [bool],
    /// True state of the servers of all regions. Only the oracle reads it.
    pub servers: &'a [Vec<Replica>],
    /// Time in seconds from the start.
    pub now: f64,
}

/// A router's decision about a request.
pub enum Decision {
    /// Try regions until one answers.
    Send {
        /// Regions, in the order of attempts.
        regions: Vec<usize>,
        /// How the first region picks a server.
        pick: ServerPick,
    },
    /// The request waits at its gateway for the next probe.
    Hold,
}

impl Decision {
    /// Try `regions` in order; each picks a server by least requests.
    pub(super) fn send(regions: Vec<usize>) -> Self {
        Self::Send {
            regions,
            pick: ServerPick::LeastRequest,
        }
    }
}

/// How a region picks a server.
#[derive(Clone, Copy, Debug, Default)]
pub enum ServerPick {
    /// The server with the fewest requests: Envoy's `LEAST_REQUEST` with a choice among all servers.
    #[default]
    LeastRequest,
    /// The router picks when the request reaches the region.
    OnArrival,
    /// This server.
    Server(usize),
}

/// Result of an attempt as the gateway sees it.
#[derive(Clone, Copy, Debug)]
pub struct AttemptResult {
    /// Index of the request.
    pub id: usize,
    /// Region of the gateway.
    pub home: usize,
    /// Region of the attempt.
    pub region: usize,
    /// Time to the first token in seconds; `None` if the attempt failed.
    pub first_token: Option<f64>,
}

/// A region's queues at the time of a probe.
#[derive(Clone, Debug, Default)]
pub struct ProbeResult {
    /// Queued requests and all requests of each server.
    pub servers: Vec<(usize, usize)>,
}

/// A router. All times are in seconds from the start.
pub trait Router {
    /// Decides where a request goes.
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision;
    /// A region's metrics page arrives.
    fn on_metrics(&mut self, _page: &MetricsPage, _now: f64) {}
    /// A region's gateway reports its healthy servers and all servers.
    fn on_endpoints(&mut self, _region: usize, _healthy: usize, _all: usize) {}
    /// A probe's answer arrives at a gateway.
    fn on_probe(&mut self, _gateway: usize, _region: usize, _result: &ProbeResult) {}
    /// Picks the server for a request that reached a region with [`ServerPick::OnArrival`].
    fn pick_server(&mut self, _region: usize, _id: usize, _request: &Request) -> Option<usize> {
        None
    }
    /// A region's gateway receives the first token of a request from a server.
    fn on_first_token(&mut self, _region: usize, _id: usize) {}
    /// A region's gateway sees the end of a request.
    fn on_end(&mut self, _region: usize, _id: usize) {}
    /// A home gateway learns the result of an attempt.
    fn on_attempt(&mut self, _result: &AttemptResult, _now: f64) {}
    /// Called once a second.
    fn on_second(&mut self, _now: f64) {}
    /// The home shares over time, if the router has any.
    fn home_shares(&self) -> Option<&HomeShares> {
        None
    }
}

/// Tries `region` first, then the other candidates in their order.
pub(super) fn prefer(region: usize, candidates: &[usize]) -> Decision {
    let others = candidates.iter().copied().filter(|other| *other != region);
    Decision::send(std::iter::once(region).chain(others).collect())
}
