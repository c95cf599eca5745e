//! The event loop: requests, forward passes, pages, probes and faults in the order of their times.

mod event;
mod faults;
mod signals;

use crate::case::{Case, Site, What};
use crate::outcome::{Outcome, Served};
use crate::page::Counters;
use crate::replica::{Made, Replica};
use crate::router::{Answered, Ask, MODEL, Pick, Router, Verdict, Way};
use event::{Event, Queue};
use meridian_planner::chain::chain;
use meridian_planner::signal::Figures;
use meridian_policy::chain::Member;
use meridian_policy::name::{ModelName, ZoneName};
use rand::RngExt;
use rand::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};

/// Health checks find a lost region, or one that is back, after this time in seconds.
const HEALTH_CHECK: f64 = 3.0;
/// What has not come so many seconds after the end has not come.
const PATIENCE: f64 = 300.0;
/// Stands for a time that never came, in seconds.
pub const NEVER: f64 = 1000.0;

/// A request on its way.
#[derive(Clone, Debug, Default)]
struct Journey {
    /// Regions still to be asked.
    order: VecDeque<usize>,
    /// How the first of them chooses a replica.
    pick: Pick,
    /// When it reached the region that works on it.
    reached: f64,
    /// Regions that failed it.
    failed: Vec<usize>,
    /// A replica has made its first token.
    begun: bool,
}

/// How a region is.
#[derive(Default)]
struct State {
    counters: Vec<Counters>,
    lost: bool,
    /// The gateways' health checks say that it is lost.
    known_lost: bool,
    /// What its pages say instead of the truth.
    says: Option<Vec<Figures>>,
}

struct World<'c> {
    case: &'c Case,
    router: Box<dyn Router>,
    queue: Queue,
    now: f64,
    /// By region.
    replicas: Vec<Vec<Replica>>,
    regions: Vec<State>,
    /// By request.
    journeys: Vec<Journey>,
    served: Vec<Served>,
    /// What gateways hold back.
    held: BTreeMap<(usize, ZoneName), VecDeque<usize>>,
    /// Who may serve callers of a zone at a gateway, in the order of its chain.
    allowed: BTreeMap<(usize, ZoneName), Vec<usize>>,
    /// The request that comes next.
    next: usize,
    /// Requests that are not through.
    left: usize,
    violations: u64,
    random: ChaCha8Rng,
    /// How far signals are off.
    noise: ChaCha8Rng,
    /// Seconds that have begun.
    ticks: usize,
}

/// Runs a case.
pub fn run(case: &Case, way: Way, seed: u64) -> Outcome {
    let mut world = World::new(case, way, seed);
    while world.left > 0 && world.now < case.seconds + PATIENCE {
        let Some((now, event)) = world.queue.pop() else {
            break;
        };
        world.now = now;
        world.happens(event);
    }
    let preempted = world.replicas.iter().flatten().map(|one| one.preempted);
    Outcome {
        preempted: preempted.sum(),
        violations: world.violations,
        shares: world.router.shares().cloned().unwrap_or_default(),
        served: world.served,
    }
}

/// Who may serve callers of each zone at each gateway.
fn allowed(case: &Case) -> BTreeMap<(usize, ZoneName), Vec<usize>> {
    let model = ModelName::from(MODEL);
    let place = |member: Member| match member {
        Member::Pool(name) | Member::Peer(name) => {
            case.regions.iter().position(|site| site.name == name)
        }
        Member::Fallback(_) => None,
    };
    let mut allowed = BTreeMap::new();
    for (home, site) in case.regions.iter().enumerate() {
        for zone in case.fleet.zones.keys() {
            let members = chain(&case.fleet, zone, &model, &site.name);
            let regions = members.into_iter().filter_map(place).collect();
            allowed.insert((home, zone.clone()), regions);
        }
    }
    allowed
}

impl<'c> World<'c> {
    fn new(case: &'c Case, way: Way, seed: u64) -> Self {
        let replicas = |site: &Site| vec![Replica::new(site.profile); site.replicas];
        let state = |site: &Site| State {
            counters: vec![Counters::default(); site.replicas],
            ..State::default()
        };
        let mut world = Self {
            case,
            router: way.router(case, seed),
            queue: Queue::default(),
            now: 0.0,
            replicas: case.regions.iter().map(replicas).collect(),
            regions: case.regions.iter().map(state).collect(),
            journeys: vec![Journey::default(); case.requests.len()],
            served: vec![Served::default(); case.requests.len()],
            held: BTreeMap::new(),
            allowed: allowed(case),
            next: 0,
            left: case.requests.len(),
            violations: 0,
            random: ChaCha8Rng::seed_from_u64(seed ^ 0x5EED),
            noise: ChaCha8Rng::seed_from_u64(seed ^ 0x0FF),
            ticks: 0,
        };
        if let Some(first) = case.requests.first() {
            world.queue.push(first.at, Event::Comes);
        }
        world.queue.push(1.0, Event::Tick);
        if way.probes() {
            world.queue.push(0.0, Event::Probes);
        }
        for (index, fault) in case.faults.iter().enumerate() {
            for (time, begins) in [(fault.from, true), (fault.to, false)] {
                world.queue.push(time, Event::Fault { index, begins });
                if fault.what == What::Lost {
                    let lost = begins;
                    let noticed = Event::Noticed { index, lost };
                    world.queue.push(time + HEALTH_CHECK, noticed);
                }
            }
        }
        world
    }

    fn one_way(&self, home: usize, region: usize) -> f64 {
        self.case.round_trip[home][region] / 2.0
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Comes => self.comes(),
            Event::Failed { id, region } => self.failed(id, region),
            Event::Reaches { id, region } => self.reaches(id, region),
            Event::Ends { region, replica } => self.ends(region, replica),
            Event::First { id } => self.first(id),
            Event::Tick => self.tick(),
            Event::Page(page) => self.router.page(&page, self.now),
            Event::Probes => self.probe(),
            Event::Probe {
                gateway,
                region,
                load,
            } => {
                self.router.probe(gateway, region, &load);
                self.release(gateway);
            }
            Event::Fault { index, begins } => self.fault(index, begins),
            Event::Noticed { index, lost } => self.noticed(index, lost),
        }
    }

    fn comes(&mut self) {
        let id = self.next;
        self.next += 1;
        if let Some(request) = self.case.requests.get(self.next) {
            self.queue.push(request.at, Event::Comes);
        }
        let request = &self.case.requests[id];
        let key = (request.home, request.zone.clone());
        // Nobody overtakes those who wait.
        let others_wait = self.held.get(&key).is_some_and(|held| !held.is_empty());
        if others_wait || !self.ask(id) {
            self.held.entry(key).or_default().push_back(id);
        }
    }

    /// A request asks its router; `false` if it is to be held back.
    fn ask(&mut self, id: usize) -> bool {
        let request = &self.case.requests[id];
        let all = &self.allowed[&(request.home, request.zone.clone())];
        let lost: Vec<bool> = self
            .regions
            .iter()
            .map(|region| region.known_lost)
            .collect();
        let alive = all.iter().copied().filter(|region| !lost[*region]);
        let allowed: Vec<usize> = alive.collect();
        if allowed.is_empty() {
            self.fall_back(id);
            return true;
        }
        let verdict = self.router.route(&Ask {
            request,
            id,
            allowed: &allowed,
            lost: &lost,
            truth: &self.replicas,
            now: self.now,
        });
        match verdict {
            Verdict::Go { order, pick } => {
                self.journeys[id].order = order.into();
                self.journeys[id].pick = pick;
                self.go(id);
                true
            }
            Verdict::Hold => false,
        }
    }

    /// To the next region of a request's order.
    fn go(&mut self, id: usize) {
        let home = self.case.requests[id].home;
        while let Some(region) = self.journeys[id].order.pop_front() {
            if self.journeys[id].failed.contains(&region) {
                continue;
            }
            self.violations += u64::from(!self.case.may_use(id, region));
            let time = self.now + self.one_way(home, region);
            self.queue.push(time, Event::Reaches { id, region });
            return;
        }
        self.fall_back(id);
    }

    fn fall_back(&mut self, id: usize) {
        self.served[id].fall_back(&self.case.requests[id], self.now);
        self.left -= 1;
    }

    fn reaches(&mut self, id: usize, region: usize) {
        if self.regions[region].lost {
            self.fails(id, region);
            return;
        }
        let replica = self.pick(id, region);
        self.journeys[id].reached = self.now;
        let request = &self.case.requests[id];
        self.replicas[region][replica].arrive(id, request.prompt, request.output, self.now);
        self.proceed(region, replica);
    }

    /// The replica that works on a request. What a router says holds for the region that it chose.
    fn pick(&mut self, id: usize, region: usize) -> usize {
        let count = self.replicas[region].len();
        let named = match self.journeys[id].pick {
            Pick::Replica(replica) => Some(replica),
            Pick::AtArrival => self.router.replica(region, id, &self.case.requests[id]),
            Pick::Fewest => None,
        };
        if let Some(named) = named.filter(|named| *named < count) {
            return named;
        }
        let requests = |replica: usize| self.replicas[region][replica].requests();
        let fewest = (0..count).map(requests).min().unwrap_or_default();
        let best: Vec<usize> = (0..count)
            .filter(|replica| requests(*replica) == fewest)
            .collect();
        best[self.random.random_range(0..best.len())]
    }

    /// An attempt fails before its first token: its gateway knows after a way back.
    fn fails(&mut self, id: usize, region: usize) {
        let home = self.case.requests[id].home;
        let back = self.now + self.one_way(home, region);
        self.queue.push(back, Event::Failed { id, region });
    }

    fn failed(&mut self, id: usize, region: usize) {
        self.router.answered(
            &Answered {
                id,
                home: self.case.requests[id].home,
                region,
                first_token: None,
            },
            self.now,
        );
        self.journeys[id].failed.push(region);
        if matches!(self.journeys[id].pick, Pick::Replica(_)) {
            self.journeys[id].pick = Pick::default();
        }
        self.go(id);
    }

    fn proceed(&mut self, region: usize, replica: usize) {
        let now = self.now;
        let one = &mut self.replicas[region][replica];
        one.begin(now);
        if let Some(ends) = one.ends() {
            self.queue
                .push(ends.max(now), Event::Ends { region, replica });
        }
    }

    fn ends(&mut self, region: usize, replica: usize) {
        let one = &mut self.replicas[region][replica];
        // An arrival has cut the passes short, or they were ended by it already.
        if one.ends().is_none_or(|ends| (ends - self.now).abs() > 1e-9) {
            return;
        }
        for made in one.end() {
            let id = made.id();
            let back = self.one_way(self.case.requests[id].home, region);
            let counters = &mut self.regions[region].counters[replica];
            match made {
                Made::First(_) => {
                    counters.first_token(self.now - self.journeys[id].reached);
                    self.served[id].first(region, &self.case.requests[id], self.now + back);
                    self.journeys[id].begun = true;
                    self.router.begun(region, id);
                    self.queue.push(self.now + back, Event::First { id });
                }
                Made::Last(_) => {
                    counters.answered();
                    self.router.ended(region, id);
                    self.served[id].done(&self.case.requests[id], self.now + back);
                    self.left -= 1;
                }
            }
        }
        self.proceed(region, replica);
    }

    fn first(&mut self, id: usize) {
        let Some(region) = self.served[id].region else {
            return;
        };
        self.router.answered(
            &Answered {
                id,
                home: self.case.requests[id].home,
                region,
                first_token: self.served[id].first_token,
            },
            self.now,
        );
    }
}
