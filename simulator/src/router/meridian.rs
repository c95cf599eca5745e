//! Meridian's choice of a region: the product's state, planner and request path, fed with metrics pages and gateway statistics.

use super::interface::{AttemptResult, Decision, HomeShares, RouteQuery, Router};
use crate::case::Case;
use crate::metrics::{FIRST_TOKEN, MetricsPage, empty_histogram, record};
use crate::topology::{MODEL, ZONE_HEADER};
use meridian_filter_core::pace::{Pace, PoolPace};
use meridian_filter_core::request::{Head, RequestContext};
use meridian_filter_core::router::{Admission, Admitted, Router as PolicyRouter};
use meridian_planner::intent::Intents;
use meridian_planner::plan::{Plan, carried_over, plan};
use meridian_planner::plugins::filter_policy;
use meridian_planner::signal::{AttemptCounts, Histogram, Millis, Observation, Reading};
use meridian_planner::state::FleetState;
use meridian_planner::topology::Topology;
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use meridian_policy::{FilterPolicy, ModelName, RegionName, ZoneName};
use std::collections::BTreeMap;

/// Delay from a scrape of the gateways' statistics until the gateways use the resulting plan, in seconds: the scrape and the
/// delivery of the policy.
const PLAN_DELAY: f64 = 0.25;

/// Router of [`Strategy::Meridian`](crate::strategy::Strategy::Meridian), without the choice of a server.
pub struct Meridian {
    fleet: Topology,
    /// Region names by index.
    names: Vec<RegionName>,
    model: ModelName,
    state: FleetState,
    plan: Plan,
    /// Active policies by gateway.
    policies: Vec<GatewayPolicy>,
    /// Policies of the next plan, and the time in seconds at which they become active.
    pending: Option<(f64, Vec<GatewayPolicy>)>,
    /// Admissions by (gateway, zone): they do not depend on the request.
    admitted: BTreeMap<(usize, ZoneName), Admitted>,
    /// Attempt counters of each gateway by zone, lane and region.
    attempts: Vec<BTreeMap<(ZoneName, Lane, usize), AttemptCounts>>,
    /// TTFT histograms of each gateway by region.
    first_tokens: Vec<BTreeMap<usize, Histogram>>,
    /// Healthy servers and all servers by region.
    endpoints: Vec<(u64, u64)>,
    /// Pace of each gateway's attempts by region.
    paces: Vec<Vec<Pace>>,
    /// First attempts without a result by request index.
    in_flight: BTreeMap<usize, Attempt>,
    home_shares: HomeShares,
}

/// A gateway's policy, and the product's router compiled from it.
struct GatewayPolicy {
    policy: FilterPolicy,
    router: PolicyRouter,
}

/// The first attempt of a request.
struct Attempt {
    /// Attempts at the region that await a first token when this one starts, including this one.
    awaiting: u32,
    zone: ZoneName,
    lane: Lane,
}

/// Start of the simulation in milliseconds of Unix time. Large enough that no time difference is negative.
const EPOCH: u64 = 1_700_000_000_000;

fn millis(now: f64) -> Millis {
    Millis(EPOCH + (now.max(0.0) * 1000.0) as u64)
}

impl Meridian {
    pub fn new(case: &Case) -> Self {
        let fleet = Topology::from(&case.fleet);
        let plan = carried_over(&fleet, &Plan::default());
        let count = case.regions.len();
        let names = case.regions.iter().map(|region| region.name.clone());
        let mut new = Self {
            names: names.collect(),
            model: ModelName::from_static(MODEL),
            state: FleetState::default(),
            policies: Vec::new(),
            pending: None,
            admitted: BTreeMap::new(),
            attempts: vec![BTreeMap::new(); count],
            first_tokens: vec![BTreeMap::new(); count],
            endpoints: vec![(0, 0); count],
            paces: vec![vec![Pace::default(); count]; count],
            in_flight: BTreeMap::new(),
            home_shares: BTreeMap::new(),
            fleet,
            plan,
        };
        new.policies = new.compile();
        new
    }

    /// The gateways' policies for the current plan.
    fn compile(&self) -> Vec<GatewayPolicy> {
        let policy = |name| {
            let policy = filter_policy(&self.fleet, &self.plan, name, None);
            let router = PolicyRouter::new(policy.clone());
            GatewayPolicy { policy, router }
        };
        self.names.iter().map(policy).collect()
    }

    /// Activates the pending policies once they are due.
    fn activate_pending(&mut self, now: f64) {
        if let Some((_, policies)) = self.pending.take_if(|(at, _)| *at <= now) {
            self.policies = policies;
        }
    }

    fn index(&self, name: &RegionName) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }

    fn admit(&mut self, home: usize, zone: &ZoneName) -> Option<Admitted> {
        let key = (home, zone.clone());
        if let Some(admitted) = self.admitted.get(&key) {
            return Some(admitted.clone());
        }
        let headers = [(ZONE_HEADER, zone.as_str())].into_iter().collect();
        let head = Head {
            method: "POST",
            path: "/v1/chat/completions",
            source: Some([127, 0, 0, 1].into()),
            headers: &headers,
        };
        let Admission::ReadBody(admitted) = self.policies[home].router.admit(&head) else {
            return None;
        };
        self.admitted.insert(key, admitted.clone());
        Some(admitted)
    }

    /// Lane and spread of a request, as its home gateway's policy decides.
    fn decide(&self, admitted: &Admitted, query: &RouteQuery<'_>) -> Option<(Lane, u64)> {
        let home = query.request.home;
        // A request without a conversation starts one.
        let conversation = query.request.session.unwrap_or(query.id as u64);
        let body = format!(
            r#"{{"model":"{MODEL}","stream":true,"messages":[],"prompt_cache_key":"{conversation}"}}"#
        );
        let context = RequestContext {
            request_id: &query.id.to_le_bytes(),
            lease_ran_out: false,
            refused: &|_| 0.0,
            loaded: &|_| 0.0,
            pace: &|pool| {
                let index = self.index(&pool.region);
                PoolPace {
                    streamed: index.map_or_else(Pace::default, |index| self.paces[home][index]),
                    ..PoolPace::default()
                }
            },
            hedges_used_up: false,
            breaker: &|_| None,
            begins: &|_, _| 0.5,
            may_probe: &|_| false,
            // The serving region's gateway picks the server on arrival.
            slot: &|_, ask| ask.affinity_slot,
            now_ms: millis(query.now).0,
        };
        let router = &self.policies[home].router;
        let decision = router.decide(admitted, body.as_bytes(), &context).ok()?;
        Some((decision.lane, decision.spread))
    }

    /// The chain that a gateway's routes give to a lane.
    fn members(&self, home: usize, zone: &ZoneName, lane: Lane, spread: u64) -> Vec<Member> {
        let name = &self.names[home];
        let rule = self.policies[home].policy.zones.get(zone);
        let rule = rule.and_then(|rule| rule.models.get(&self.model));
        let split = rule.and_then(|rule| rule.split.as_ref());
        let (Lane::Overflow, Some(split)) = (lane, split) else {
            return self.fleet.chain(zone, &self.model, name).to_vec();
        };
        // Envoy's weighted clusters read the header modulo the sum of the weights.
        let sum: u32 = split.overflow.values().sum();
        let mut rest = spread % u64::from(sum.max(1));
        let target = split.overflow.iter().find(|(_, weight)| {
            let is_target = rest < u64::from(**weight);
            rest = rest.saturating_sub(u64::from(**weight));
            is_target
        });
        target.map_or_else(Vec::new, |(to, _)| {
            let reach = self.fleet.reach(zone, &self.model, name);
            reach.map_or_else(Vec::new, |reach| reach.overflow_chain(name, to))
        })
    }

    /// The regions of a chain that are not known to be down.
    fn regions(&self, members: &[Member], down: &[bool]) -> Vec<usize> {
        let index = |member: &Member| match member {
            Member::Pool(region) | Member::Peer(region) => self.index(region),
            Member::Fallback(_) => None,
        };
        let regions = members.iter().filter_map(index);
        regions.filter(|region| !down[*region]).collect()
    }

    /// Applies the gateways' statistics to the state: attempts, TTFT and endpoint health.
    fn observe_gateways(&mut self, now: f64) {
        for (home, name) in self.names.iter().enumerate() {
            let attempts = self.attempts[home]
                .iter()
                .map(|((zone, lane, to), counts)| Reading::Attempts {
                    zone: zone.clone(),
                    model: self.model.clone(),
                    lane: *lane,
                    to: self.names[*to].clone(),
                    counts: *counts,
                });
            let first_tokens =
                self.first_tokens[home]
                    .iter()
                    .map(|(to, times)| Reading::FirstToken {
                        model: self.model.clone(),
                        to: self.names[*to].clone(),
                        times: times.clone(),
                    });
            let (healthy, total) = self.endpoints[home];
            let endpoints = Reading::Endpoints {
                model: self.model.clone(),
                healthy,
                total,
            };
            let observation = Observation {
                region: name.clone(),
                source: format!("{name}-gateway"),
                at: millis(now),
                readings: attempts.chain(first_tokens).chain([endpoints]).collect(),
            };
            self.state.apply(&self.fleet, &observation);
        }
    }
}

impl Router for Meridian {
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision {
        self.activate_pending(query.now);
        let (home, zone) = (query.request.home, &query.request.zone);
        let Some(admitted) = self.admit(home, zone) else {
            return Decision::send(Vec::new());
        };
        let Some((lane, spread)) = self.decide(&admitted, query) else {
            return Decision::send(Vec::new());
        };
        let regions = self.regions(&self.members(home, zone, lane, spread), query.down);
        if let Some(region) = regions.first() {
            let awaiting = self.paces[home][*region].begin();
            let zone = zone.clone();
            let attempt = Attempt {
                awaiting,
                zone,
                lane,
            };
            self.in_flight.insert(query.id, attempt);
        }
        Decision::send(regions)
    }

    fn on_metrics(&mut self, page: &MetricsPage, _now: f64) {
        let region = &self.names[page.region];
        for (index, figures) in page.servers.iter().enumerate() {
            let source = self.fleet.regions.get(region);
            let Some(source) = source.and_then(|region| region.signals.get(index)) else {
                continue;
            };
            let observation = Observation {
                region: region.clone(),
                source: source.key(),
                at: millis(page.at),
                readings: vec![Reading::Server {
                    model: self.model.clone(),
                    engine: "0".into(),
                    figures: figures.clone(),
                }],
            };
            self.state.apply(&self.fleet, &observation);
        }
    }

    fn on_endpoints(&mut self, region: usize, healthy: usize, all: usize) {
        self.endpoints[region] = (healthy as u64, all as u64);
    }

    fn on_attempt(&mut self, result: &AttemptResult, now: f64) {
        let (home, region) = (result.home, result.region);
        let pace = &mut self.paces[home][region];
        match (result.first_token, self.in_flight.remove(&result.id)) {
            (Some(seconds), Some(attempt)) => {
                pace.first_token(attempt.awaiting, seconds, millis(now).0);
                let key = (attempt.zone, attempt.lane, region);
                self.attempts[home].entry(key).or_default().answered += 1.0;
            }
            (None, Some(_)) => pace.gone(),
            (_, None) => {}
        }
        if let Some(seconds) = result.first_token {
            let times = self.first_tokens[home]
                .entry(region)
                .or_insert_with(|| empty_histogram(&FIRST_TOKEN));
            record(times, seconds);
        }
    }

    fn on_second(&mut self, now: f64) {
        self.activate_pending(now);
        self.observe_gateways(now);
        let next = plan(
            &self.fleet,
            &self.state,
            &Intents::default(),
            &self.plan,
            millis(now),
        );
        if next != self.plan {
            self.plan = next;
            self.pending = Some((now + PLAN_DELAY, self.compile()));
        }
        for (gateway, zones) in &self.plan.gateways {
            for (zone, models) in zones {
                if let Some(placement) = models.get(&self.model) {
                    let key = (gateway.clone(), zone.clone());
                    let shares = self.home_shares.entry(key).or_default();
                    shares.push(placement.home_share);
                }
            }
        }
    }

    fn home_shares(&self) -> Option<&HomeShares> {
        Some(&self.home_shares)
    }
}
