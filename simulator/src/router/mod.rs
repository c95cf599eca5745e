//! Ways to route, side by side. All of them see the same: who may be asked, nearest first, without those that the
//! gateways' health checks have found dead; pages of metrics once a second; light probes; their own answers.

mod cooldown;
mod latency;
mod least_load;
mod meridian;
mod oracle;
mod queue;
mod servers;
mod simple;

pub use meridian::{MODEL, Shares, ZONE_HEADER};

use crate::case::{Case, Request};
use crate::page::Page;
use crate::replica::Replica;
use rand::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;
use servers::OwnServers;

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
    fn go(order: Vec<usize>) -> Self {
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

/// The ways to route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The nearest region, always.
    Nearest,
    /// One after the other.
    RoundRobin,
    /// At random, by how large regions are.
    FixedWeights,
    /// In order, leaving out who has failed for a while: LiteLLM's order with cooldowns.
    Priority,
    /// The lowest latency of the last answers: LiteLLM's `latency-based-routing`.
    Latency,
    /// As much at home as its part of all capacity carries: Envoy's zone-aware routing.
    ZoneAware,
    /// The lowest load by the last pages.
    LeastLoad,
    /// At home while a replica has nobody waiting, else where one has, else it is held back: SkyWalker's selective pushing.
    QueuePush,
    /// Meridian.
    Meridian,
    /// The replica that costs the least by what is true at this moment.
    Oracle,
    /// A part of Meridian: the nearest region, always, and in it the server that Meridian picks.
    OwnServers,
    /// A part of Meridian: the region that it picks, and in it the server with the fewest requests.
    OwnRegions,
}

impl Way {
    /// All of them: the others, Meridian, the oracle, and Meridian's parts.
    pub const ALL: [Self; 12] = [
        Self::Nearest,
        Self::RoundRobin,
        Self::FixedWeights,
        Self::Priority,
        Self::Latency,
        Self::ZoneAware,
        Self::LeastLoad,
        Self::QueuePush,
        Self::Meridian,
        Self::Oracle,
        Self::OwnServers,
        Self::OwnRegions,
    ];

    /// Whether Meridian is held against it: not what nobody can have, and not its own parts.
    pub fn is_other(self) -> bool {
        !matches!(
            self,
            Self::Meridian | Self::Oracle | Self::OwnServers | Self::OwnRegions
        )
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest only",
            Self::RoundRobin => "round robin",
            Self::FixedWeights => "fixed weights",
            Self::Priority => "priority, cooldown",
            Self::Latency => "lowest latency",
            Self::ZoneAware => "zone-aware weights",
            Self::LeastLoad => "least load, delayed",
            Self::QueuePush => "push on queue state",
            Self::Meridian => "Meridian",
            Self::Oracle => "oracle",
            Self::OwnServers => "nearest, own servers",
            Self::OwnRegions => "Meridian, least request",
        }
    }

    /// Whether it asks regions for their queues.
    pub fn probes(self) -> bool {
        self == Self::QueuePush
    }

    /// A router that goes this way.
    pub fn router(self, case: &Case, seed: u64) -> Box<dyn Router> {
        let random = ChaCha8Rng::seed_from_u64(seed);
        match self {
            Self::Nearest => Box::new(simple::Nearest),
            Self::RoundRobin => Box::new(simple::RoundRobin::default()),
            Self::FixedWeights => Box::new(simple::FixedWeights::new(case, random)),
            Self::Priority => Box::new(simple::Priority::default()),
            Self::Latency => Box::new(latency::Latency::new(random)),
            Self::ZoneAware => Box::new(simple::ZoneAware::new(case, random)),
            Self::LeastLoad => Box::new(least_load::LeastLoad::new(case)),
            Self::QueuePush => Box::new(queue::QueuePush::new(case)),
            Self::Meridian => Box::new(OwnServers::new(case, meridian::Meridian::new(case))),
            Self::Oracle => Box::new(oracle::Oracle::new(case)),
            Self::OwnServers => Box::new(OwnServers::new(case, simple::Nearest)),
            Self::OwnRegions => Box::new(meridian::Meridian::new(case)),
        }
    }
}

/// A region first, then the others in their order.
fn first(region: usize, allowed: &[usize]) -> Verdict {
    let others = allowed.iter().copied().filter(|other| *other != region);
    Verdict::go(std::iter::once(region).chain(others).collect())
}
