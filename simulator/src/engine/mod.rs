//! The discrete-event engine: processes requests, forward passes, metrics pages, probes and faults in order of time.

mod event;
mod faults;
mod gateway;
mod servers;
mod signals;

use crate::case::{Case, FaultKind, RegionSpec};
use crate::metrics::Counters;
use crate::replica::Replica;
use crate::results::{RequestResult, RunResult};
use crate::router::{Router, ServerPick, build};
use crate::strategy::Strategy;
use crate::topology::MODEL;
use event::{Event, Queue};
use meridian_planner::signal::Figures;
use meridian_planner::topology::Topology;
use meridian_policy::chain::Member;
use meridian_policy::name::{ModelName, ZoneName};
use rand::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};

/// Time until health checks detect that a region is down, or up again, in seconds.
const HEALTH_CHECK_DELAY: f64 = 3.0;
/// Time after the end of a case in which requests may still finish, in seconds.
const DRAIN_TIME: f64 = 300.0;

/// State of a request.
#[derive(Clone, Debug, Default)]
struct InFlight {
    /// Regions still to attempt.
    regions: VecDeque<usize>,
    /// How the first of them picks a server.
    pick: ServerPick,
    /// Arrival time at the region of the current attempt, in seconds.
    arrived: f64,
    /// Regions whose attempts failed.
    failed: Vec<usize>,
    /// A server has generated the first token.
    has_first_token: bool,
}

/// State of a region.
#[derive(Default)]
struct RegionState {
    counters: Vec<Counters>,
    is_down: bool,
    /// Health checks have found the region down.
    is_known_down: bool,
    /// Metrics that the region reports in place of the true ones.
    false_metrics: Option<Vec<Figures>>,
}

/// The state of a run. Vectors are indexed by region or by request.
struct Engine<'c> {
    case: &'c Case,
    router: Box<dyn Router>,
    queue: Queue,
    /// Time in seconds from the start.
    now: f64,
    servers: Vec<Vec<Replica>>,
    regions: Vec<RegionState>,
    in_flight: Vec<InFlight>,
    results: Vec<RequestResult>,
    /// Requests that gateways hold.
    held: BTreeMap<(usize, ZoneName), VecDeque<usize>>,
    /// Regions that may serve a zone at a gateway, in the order of its chain.
    candidates: BTreeMap<(usize, ZoneName), Vec<usize>>,
    /// Index of the next request to arrive.
    next: usize,
    /// Requests without an end.
    unfinished: usize,
    residency_violations: u64,
    /// Random numbers for the choice among equally loaded servers.
    random: ChaCha8Rng,
    /// Random numbers for noise and delay of metrics.
    noise: ChaCha8Rng,
    /// Whole seconds that have passed.
    seconds: usize,
}

/// Runs a case with a strategy.
pub fn run(case: &Case, strategy: Strategy, seed: u64) -> RunResult {
    let mut engine = Engine::new(case, strategy, seed);
    while engine.unfinished > 0 && engine.now < case.seconds + DRAIN_TIME {
        let Some((now, event)) = engine.queue.pop() else {
            break;
        };
        engine.now = now;
        engine.process(event);
    }
    let servers = engine.servers.iter().flatten();
    RunResult {
        preemptions: servers.map(|server| server.preemptions).sum(),
        residency_violations: engine.residency_violations,
        home_shares: engine.router.home_shares().cloned().unwrap_or_default(),
        requests: engine.results,
    }
}

/// Regions that may serve each zone at each gateway.
fn candidates(case: &Case) -> BTreeMap<(usize, ZoneName), Vec<usize>> {
    let model = ModelName::from_static(MODEL);
    let index = |member: &Member| match member {
        Member::Pool(name) | Member::Peer(name) => {
            case.regions.iter().position(|region| region.name == *name)
        }
        Member::Fallback(_) => None,
    };
    let topology = Topology::from(&case.fleet);
    let mut candidates = BTreeMap::new();
    for (home, region) in case.regions.iter().enumerate() {
        for zone in case.fleet.zones.keys() {
            let members = topology.chain(zone, &model, &region.name);
            let regions = members.iter().filter_map(index).collect();
            candidates.insert((home, zone.clone()), regions);
        }
    }
    candidates
}

impl<'c> Engine<'c> {
    fn new(case: &'c Case, strategy: Strategy, seed: u64) -> Self {
        let servers = |region: &RegionSpec| vec![Replica::new(region.profile); region.replicas];
        let state = |region: &RegionSpec| RegionState {
            counters: vec![Counters::default(); region.replicas],
            ..RegionState::default()
        };
        let mut engine = Self {
            case,
            router: build(strategy, case, seed),
            queue: Queue::default(),
            now: 0.0,
            servers: case.regions.iter().map(servers).collect(),
            regions: case.regions.iter().map(state).collect(),
            in_flight: vec![InFlight::default(); case.requests.len()],
            results: vec![RequestResult::default(); case.requests.len()],
            held: BTreeMap::new(),
            candidates: candidates(case),
            next: 0,
            unfinished: case.requests.len(),
            residency_violations: 0,
            random: ChaCha8Rng::seed_from_u64(seed ^ 0x5EED),
            noise: ChaCha8Rng::seed_from_u64(seed ^ 0x0FF),
            seconds: 0,
        };
        engine.schedule(strategy.uses_probes());
        engine
    }

    /// Schedules the first events.
    fn schedule(&mut self, uses_probes: bool) {
        if let Some(first) = self.case.requests.first() {
            self.queue.push(first.at, Event::Arrival);
        }
        self.queue.push(1.0, Event::Second);
        if uses_probes {
            self.queue.push(0.0, Event::SendProbes);
        }
        for (index, fault) in self.case.faults.iter().enumerate() {
            for (time, begins) in [(fault.from, true), (fault.to, false)] {
                self.queue.push(time, Event::Fault { index, begins });
                if fault.kind == FaultKind::Outage {
                    let is_down = begins;
                    let change = Event::HealthChange { index, is_down };
                    self.queue.push(time + HEALTH_CHECK_DELAY, change);
                }
            }
        }
    }

    /// Network delay between two regions in one direction, in seconds.
    fn one_way(&self, home: usize, region: usize) -> f64 {
        self.case.round_trip[home][region] / 2.0
    }

    fn process(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrival(),
            Event::AttemptArrival { id, region } => self.attempt_arrival(id, region),
            Event::AttemptFailed { id, region } => self.attempt_failed(id, region),
            Event::PassesEnd { region, server } => self.passes_end(region, server),
            Event::FirstToken { id } => self.first_token(id),
            Event::Second => self.second(),
            Event::Metrics(page) => self.router.on_metrics(&page, self.now),
            Event::SendProbes => self.send_probes(),
            Event::Probe {
                gateway,
                region,
                result,
            } => {
                self.router.on_probe(gateway, region, &result);
                self.release(gateway);
            }
            Event::Fault { index, begins } => self.fault(index, begins),
            Event::HealthChange { index, is_down } => self.health_change(index, is_down),
        }
    }
}
