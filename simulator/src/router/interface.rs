//! What a router gets and what it answers.

use crate::case::Request;
use crate::page::Page;
use crate::replica::Replica;
use meridian_policy::{RegionName, ZoneName};
use std::collections::BTreeMap;

/// Shares of each (gateway, zone) in percent, second by second.
pub type Shares = BTreeMap<(RegionName, ZoneName), Vec<u8>>;

/// One request, and who may serve it.
pub struct Ask<'a> {
    /// The request.
    pub request: &'a Request,
    /// Its number.
    pub id: usize,
    /// Regions that may serve it and are not known to be dead, home first, then by distance. Never empty.
    pub allowed: &'a [usize],
    /// By region: the gateways' health checks say that it is lost.
    pub lost: &'a [bool],
    /// The replicas of all regions as they are at this moment: for the oracle alone.
    pub truth: &'a [Vec<Replica>],
    /// Seconds from the begin.
    pub now: f64,
}

/// What becomes of a request.
pub enum Verdict {
    /// Regions are asked until one answers.
    Go {
        /// Which, one after the other.
        order: Vec<usize>,
        /// The replica in the first of them.
        pick: Pick,
    },
    /// It waits at its gateway until the next probes.
    Hold,
}

impl Verdict {
    /// The first region that answers, by its own gateway's choice of a replica.
    pub(super) fn go(order: Vec<usize>) -> Self {
        Self::Go {
            order,
            pick: Pick::Fewest,
        }
    }
}

/// How a replica of a region is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub enum Pick {
    /// The one that has the fewest requests: Envoy's `LEAST_REQUEST` with a choice among all.
    #[default]
    Fewest,
    /// The one that the router names as the request reaches the region.
    AtArrival,
    /// This one.
    Replica(usize),
}

/// How an attempt went, as its gateway sees it.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// The request.
    pub id: usize,
    /// The gateway.
    pub home: usize,
    /// Who was asked.
    pub region: usize,
    /// Seconds until the first token; `None` for an attempt that failed.
    pub first_token: Option<f64>,
}

/// A region's load by a light probe.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// By replica: requests that wait, and all.
    pub replicas: Vec<(usize, usize)>,
}

/// A way to route.
pub trait Router {
    /// Where a request goes.
    fn route(&mut self, ask: &Ask<'_>) -> Verdict;
    /// Pages of metrics arrive.
    fn page(&mut self, _page: &Page, _now: f64) {}
    /// A region's gateway says how many of its replicas are healthy.
    fn endpoints(&mut self, _region: usize, _healthy: usize, _all: usize) {}
    /// A probe arrives at a gateway.
    fn probe(&mut self, _gateway: usize, _region: usize, _load: &Load) {}
    /// The replica for a request that has just reached a region, where [`Pick::AtArrival`] asks for it.
    fn replica(&mut self, _region: usize, _id: usize, _request: &Request) -> Option<usize> {
        None
    }
    /// A region's own gateway sees the first token of a request that it has sent to a replica.
    fn begun(&mut self, _region: usize, _id: usize) {}
    /// A region's own gateway sees that a request is over.
    fn ended(&mut self, _region: usize, _id: usize) {}
    /// An attempt is answered.
    fn answered(&mut self, _answered: &Answered, _now: f64) {}
    /// Once a second.
    fn tick(&mut self, _now: f64) {}
    /// The shares that it keeps at home, second by second, if it has such.
    fn shares(&self) -> Option<&Shares> {
        None
    }
}

/// A region first, then the others in their order.
pub(super) fn first(region: usize, allowed: &[usize]) -> Verdict {
    let others = allowed.iter().copied().filter(|other| *other != region);
    Verdict::go(std::iter::once(region).chain(others).collect())
}
