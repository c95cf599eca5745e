//! The event loop: requests, forward passes, pages, probes and faults in the order of their times.

use crate::case::{Case, What};
use crate::outcome::{Outcome, Served};
use crate::page::{Counters, Page};
use crate::replica::{Made, Replica};
use crate::router::{Answered, Ask, Load, Router, Verdict, Way};
use meridian_policy::chain::{Member, chain};
use meridian_policy::name::{ModelName, ZoneName};
use rand::RngExt;
use rand::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// A page of metrics is read once a second, and this long on its way besides the network's time.
const PAGE_DELAY: f64 = 0.05;
/// Probes of [`Way::QueuePush`].
const PROBE_EVERY: f64 = 0.1;
/// Health checks find a dead region, or one that is back, after this time.
const HEALTH_CHECK: f64 = 3.0;
/// What has not come by then after the end has not come.
const PATIENCE: f64 = 300.0;
/// Stands for a time that never came, in seconds.
pub const NEVER: f64 = 1000.0;

#[derive(Debug)]
enum Event {
    /// The next request comes to its gateway.
    Comes,
    /// A request that lost its region looks for another.
    Again { id: usize },
    /// A request reaches a region.
    Reaches { id: usize, region: usize },
    /// Passes of a replica end, if they are still those.
    Ends { region: usize, replica: usize },
    /// The first token reaches the gateway.
    First { id: usize },
    /// Once a second: pages are read, routers plan.
    Tick,
    /// Pages arrive at whoever reads them.
    Page(Box<Page>),
    /// Probes are made.
    Probes,
    /// A probe arrives.
    Probe {
        gateway: usize,
        region: usize,
        load: Load,
    },
    /// A fault begins or ends.
    Fault { index: usize, begins: bool },
}

struct At {
    time: f64,
    turn: u64,
    event: Event,
}

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for At {}
impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for At {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time
            .total_cmp(&other.time)
            .then(self.turn.cmp(&other.turn))
    }
}

/// A request on its way.
#[derive(Clone, Debug, Default)]
struct Journey {
    /// Regions still to be asked.
    order: VecDeque<usize>,
    /// Who works on it, and since when it was asked.
    at: Option<(usize, usize, f64)>,
    /// When it reached the region.
    reached: f64,
    /// Regions that failed it.
    failed: Vec<usize>,
    begun: bool,
}

struct World<'c> {
    case: &'c Case,
    router: Box<dyn Router>,
    events: BinaryHeap<Reverse<At>>,
    turn: u64,
    now: f64,
    replicas: Vec<Vec<Replica>>,
    counters: Vec<Vec<Counters>>,
    /// Requests as each region's gateway counts them at its replicas, for the choice between them.
    lost: Vec<bool>,
    known_dead: Vec<bool>,
    frozen: Vec<Option<Page>>,
    idle: Vec<bool>,
    ways: Vec<Journey>,
    held: Vec<VecDeque<usize>>,
    allowed: BTreeMap<(usize, ZoneName), Vec<usize>>,
    served: Vec<Served>,
    next: usize,
    left: usize,
    probes: bool,
    random: ChaCha8Rng,
}

/// Runs a case.
pub fn run(case: &Case, way: Way, seed: u64) -> Outcome {
    let mut world = World::new(case, way, seed);
    while world.left > 0 && world.now < case.seconds + PATIENCE {
        let Some(Reverse(at)) = world.events.pop() else {
            break;
        };
        world.now = at.time;
        world.happens(at.event);
    }
    let preempted = world.replicas.iter().flatten().map(|one| one.preempted);
    Outcome {
        preempted: preempted.sum(),
        shares: world.router.shares().cloned().unwrap_or_default(),
        served: world.served,
    }
}

impl<'c> World<'c> {
    fn new(case: &'c Case, way: Way, seed: u64) -> Self {
        let count = case.regions.len();
        let replicas = |site: &crate::case::Site| vec![Replica::new(site.profile); site.replicas];
        let model = ModelName::from(crate::router::MODEL);
        let mut allowed = BTreeMap::new();
        for (home, site) in case.regions.iter().enumerate() {
            for zone in case.fleet.zones.keys() {
                let members = chain(&case.fleet, zone, &model, &site.name);
                let place = |member: Member| match member {
                    Member::Pool(name) | Member::Peer(name) => {
                        case.regions.iter().position(|site| site.name == name)
                    }
                    Member::Fallback(_) => None,
                };
                let regions = members.into_iter().filter_map(place).collect();
                allowed.insert((home, zone.clone()), regions);
            }
        }
        let mut world = Self {
            case,
            router: way.router(case, seed),
            events: BinaryHeap::new(),
            turn: 0,
            now: 0.0,
            replicas: case.regions.iter().map(replicas).collect(),
            counters: case
                .regions
                .iter()
                .map(|site| vec![Counters::default(); site.replicas])
                .collect(),
            lost: vec![false; count],
            known_dead: vec![false; count],
            frozen: vec![None; count],
            idle: vec![false; count],
            ways: vec![Journey::default(); case.requests.len()],
            held: vec![VecDeque::new(); count],
            allowed,
            served: vec![Served::default(); case.requests.len()],
            next: 0,
            left: case.requests.len(),
            probes: way == Way::QueuePush,
            random: ChaCha8Rng::seed_from_u64(seed ^ 0x5EED),
        };
        if let Some(first) = case.requests.first() {
            world.at(first.at, Event::Comes);
        }
        world.at(1.0, Event::Tick);
        if world.probes {
            world.at(0.0, Event::Probes);
        }
        for (index, fault) in case.faults.iter().enumerate() {
            world.at(
                fault.from,
                Event::Fault {
                    index,
                    begins: true,
                },
            );
            world.at(
                fault.to,
                Event::Fault {
                    index,
                    begins: false,
                },
            );
            if fault.what == What::Lost {
                // When the gateways' health checks notice.
                world.at(
                    fault.from + HEALTH_CHECK,
                    Event::Fault {
                        index,
                        begins: true,
                    },
                );
                world.at(
                    fault.to + HEALTH_CHECK,
                    Event::Fault {
                        index,
                        begins: false,
                    },
                );
            }
        }
        world
    }

    fn at(&mut self, time: f64, event: Event) {
        self.turn += 1;
        let turn = self.turn;
        self.events.push(Reverse(At { time, turn, event }));
    }

    fn one_way(&self, home: usize, region: usize) -> f64 {
        self.case.round_trip[home][region] / 2.0
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Comes => {
                let id = self.next;
                self.next += 1;
                if let Some(request) = self.case.requests.get(self.next) {
                    self.at(request.at, Event::Comes);
                }
                self.ask(id);
            }
            Event::Again { id } => self.go(id),
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
                self.router.probe(gateway, region, load);
                if region + 1 == self.case.regions.len() {
                    self.release(gateway);
                }
            }
            Event::Fault { index, begins } => self.fault(index, begins),
        }
    }

    /// A request asks its router; `false` if it is held.
    fn ask(&mut self, id: usize) -> bool {
        let request = &self.case.requests[id];
        let all = &self.allowed[&(request.home, request.zone.clone())];
        let alive = all
            .iter()
            .copied()
            .filter(|region| !self.known_dead[*region]);
        let allowed: Vec<usize> = alive.collect();
        if allowed.is_empty() {
            self.fall_back(id);
            return true;
        }
        let verdict = self.router.route(&Ask {
            request,
            id,
            allowed: &allowed,
            truth: &self.replicas,
            now: self.now,
        });
        match verdict {
            Verdict::Go(order) => {
                self.ways[id].order = order.into();
                self.go(id);
                true
            }
            Verdict::Hold => {
                self.held[request.home].push_back(id);
                false
            }
        }
    }

    /// The next region of a request's order.
    fn go(&mut self, id: usize) {
        let home = self.case.requests[id].home;
        while let Some(region) = self.ways[id].order.pop_front() {
            if self.ways[id].failed.contains(&region) {
                continue;
            }
            let time = self.now + self.one_way(home, region);
            self.at(time, Event::Reaches { id, region });
            return;
        }
        self.fall_back(id);
    }

    fn fall_back(&mut self, id: usize) {
        self.served[id].fall_back(&self.case.requests[id], self.now);
        self.left -= 1;
    }

    fn reaches(&mut self, id: usize, region: usize) {
        let request = &self.case.requests[id];
        let asked = self.now - self.one_way(request.home, region);
        if self.lost[region] {
            self.fails(id, region);
            return;
        }
        // As Envoy's least request: the better one of two.
        let count = self.replicas[region].len();
        let one = self.random.random_range(0..count);
        let other = self.random.random_range(0..count);
        let requests = |replica: usize| self.replicas[region][replica].requests();
        let replica = if requests(one) <= requests(other) {
            one
        } else {
            other
        };
        self.ways[id].at = Some((region, replica, asked));
        self.ways[id].reached = self.now;
        let request = &self.case.requests[id];
        self.replicas[region][replica].arrive(id, request.prompt, request.output, self.now);
        self.proceed(region, replica);
    }

    /// An attempt failed before its first token: its gateway knows after a way back, and goes on.
    fn fails(&mut self, id: usize, region: usize) {
        let request = &self.case.requests[id];
        let answered = Answered {
            id,
            home: request.home,
            region,
            first_token: None,
            prompt: request.prompt,
        };
        self.router.answered(&answered, self.now);
        self.ways[id].failed.push(region);
        self.ways[id].at = None;
        let back = self.now + self.one_way(request.home, region);
        self.at(back, Event::Again { id });
    }

    fn proceed(&mut self, region: usize, replica: usize) {
        let now = self.now;
        let one = &mut self.replicas[region][replica];
        one.begin(now);
        if let Some(ends) = one.ends() {
            self.at(ends.max(now), Event::Ends { region, replica });
        }
    }

    fn ends(&mut self, region: usize, replica: usize) {
        let one = &mut self.replicas[region][replica];
        // An arrival has cut the passes short, or they were ended by it already.
        if one.ends().is_none_or(|ends| (ends - self.now).abs() > 1e-9) {
            return;
        }
        for made in one.end() {
            let (id, last) = match made {
                Made::First(id) => (id, false),
                Made::Last(id) => (id, true),
            };
            let home = self.case.requests[id].home;
            let back = self.one_way(home, region);
            if last {
                self.counters[region][replica].answered();
                self.served[id].done(region, self.now + back);
                self.ways[id].at = None;
                self.router.done(home, region);
                self.left -= 1;
            } else {
                let waited = self.now - self.ways[id].reached;
                self.counters[region][replica].first_token(waited);
                self.served[id].first(&self.case.requests[id], self.now + back);
                self.ways[id].begun = true;
                self.at(self.now + back, Event::First { id });
                self.served[id].region = Some(region);
            }
        }
        self.proceed(region, replica);
    }

    fn first(&mut self, id: usize) {
        let request = &self.case.requests[id];
        let Some(region) = self.served[id].region else {
            return;
        };
        let answered = Answered {
            id,
            home: request.home,
            region,
            first_token: self.served[id].first_token,
            prompt: request.prompt,
        };
        self.router.answered(&answered, self.now);
    }

    fn tick(&mut self) {
        for region in 0..self.case.regions.len() {
            let all = self.replicas[region].len();
            let healthy = if self.known_dead[region] { 0 } else { all };
            self.router.endpoints(region, healthy, all);
            if self.lost[region] {
                continue;
            }
            let replicas = self.replicas[region].iter_mut();
            let pages = replicas
                .zip(&mut self.counters[region])
                .map(|(replica, counters)| counters.page(replica));
            let mut page = Page {
                region,
                at: self.now,
                replicas: pages.collect(),
            };
            if let Some(frozen) = &self.frozen[region] {
                page.replicas.clone_from(&frozen.replicas);
            }
            if self.idle[region] {
                for figures in &mut page.replicas {
                    figures.running = Some(0.0);
                    figures.waiting = Some(0.0);
                    figures.kv_cache = Some(0.0);
                }
            }
            self.at(self.now + PAGE_DELAY, Event::Page(Box::new(page)));
        }
        self.router.tick(self.now);
        self.at(self.now + 1.0, Event::Tick);
    }

    fn probe(&mut self) {
        let count = self.case.regions.len();
        for region in 0..count {
            let replicas = &self.replicas[region];
            let free = replicas.iter().filter(|replica| replica.waiting() == 0);
            let load = if self.lost[region] {
                Load::default()
            } else {
                Load {
                    requests: replicas.iter().map(Replica::requests).sum(),
                    free: free.count(),
                    replicas: replicas.len(),
                }
            };
            for gateway in 0..count {
                let arrives = self.now + self.one_way(gateway, region);
                self.at(
                    arrives,
                    Event::Probe {
                        gateway,
                        region,
                        load,
                    },
                );
            }
        }
        self.at(self.now + PROBE_EVERY, Event::Probes);
    }

    /// Those that a gateway holds back ask again, in their order, until one must go on waiting.
    fn release(&mut self, gateway: usize) {
        let mut waiting = std::mem::take(&mut self.held[gateway]);
        while let Some(id) = waiting.pop_front() {
            if !self.ask(id) {
                self.held[gateway].clear();
                waiting.push_front(id);
                break;
            }
        }
        self.held[gateway] = waiting;
    }

    fn fault(&mut self, index: usize, begins: bool) {
        let fault = self.case.faults[index].clone();
        for region in 0..self.case.regions.len() {
            if !fault.is_about(region) {
                continue;
            }
            match fault.what {
                What::Lost if begins == self.lost[region] => self.known_dead[region] = begins,
                What::Lost => {
                    self.lost[region] = begins;
                    if begins {
                        self.lose(region);
                    }
                }
                What::Slower(factor) => {
                    for replica in &mut self.replicas[region] {
                        replica.slowness = if begins { factor } else { 1.0 };
                    }
                }
                What::SaysIdle => self.idle[region] = begins,
                What::Frozen if begins => {
                    let replicas = self.replicas[region].iter_mut();
                    let pages = replicas
                        .zip(&mut self.counters[region])
                        .map(|(replica, counters)| counters.page(replica));
                    self.frozen[region] = Some(Page {
                        region,
                        at: self.now,
                        replicas: pages.collect(),
                    });
                }
                What::Frozen => self.frozen[region] = None,
            }
        }
    }

    /// Everything that a region has is lost: what has no first token yet looks for another region, the rest has failed.
    fn lose(&mut self, region: usize) {
        let lost: Vec<usize> = self.replicas[region]
            .iter_mut()
            .flat_map(Replica::die)
            .collect();
        for id in lost {
            if self.ways[id].begun {
                self.served[id].broken();
                self.ways[id].at = None;
                self.left -= 1;
            } else {
                self.fails(id, region);
            }
        }
    }
}
