//! Meridian between regions: the policy crate's own state, planner and decision, fed with what the pages and its own gateways say.

use super::{Answered, Ask, Router, Verdict};
use crate::case::Case;
use crate::page::{FIRST_TOKEN, Page, empty, note};
use meridian_filter_core::pace::Pace;
use meridian_filter_core::request::{Head, RequestContext};
use meridian_filter_core::router::{Admission, Admitted, Router as Decider};
use meridian_planner::chain::chain;
use meridian_planner::chain::overflow_chain;
use meridian_planner::plan::{Plan, carried_over, plan};
use meridian_planner::plugins::filter_policy;
use meridian_planner::signal::{AttemptCounts, Histogram, Millis, Observation, Reading};
use meridian_planner::state::FleetState;
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use meridian_policy::{FilterPolicy, Fleet, ModelName, RegionName, ZoneName};
use std::collections::BTreeMap;

/// The header that tells a caller's zone here.
pub const ZONE_HEADER: &str = "x-zone";
/// The only model.
pub const MODEL: &str = "model";

/// Seconds from the control plane's reading of what gateways say, once a second, to what they do by the plan that follows: the
/// way of their statistics, and that of the policy.
const PUBLISHED_AFTER: f64 = 0.25;

/// Shares of each (gateway, zone) in percent, second by second.
pub type Shares = BTreeMap<(RegionName, ZoneName), Vec<u8>>;

pub struct Meridian {
    fleet: Fleet,
    names: Vec<RegionName>,
    model: ModelName,
    state: FleetState,
    plan: Plan,
    policies: Vec<Compiled>,
    /// What the gateways get next, and when.
    coming: Option<(f64, Vec<Compiled>)>,
    admitted: BTreeMap<(usize, ZoneName), Admitted>,
    /// What each gateway counts, by zone, lane and region.
    attempts: Vec<BTreeMap<(ZoneName, Lane, usize), AttemptCounts>>,
    first_tokens: Vec<BTreeMap<usize, Histogram>>,
    /// Healthy replicas, and all.
    endpoints: Vec<(u64, u64)>,
    /// What each gateway sees of its attempts at each region.
    paces: Vec<Vec<Pace>>,
    under_way: BTreeMap<usize, Attempt>,
    shares: Shares,
}

/// A gateway's policy.
struct Compiled {
    policy: FilterPolicy,
    router: Decider,
}

/// The first attempt of a request, until it is answered.
struct Attempt {
    /// Attempts at the region that had no first token as it began, itself included.
    before: u32,
    zone: ZoneName,
    lane: Lane,
}

/// The beginning of time, so that no difference goes below zero.
const EPOCH: u64 = 1_700_000_000_000;

fn millis(now: f64) -> Millis {
    Millis(EPOCH + (now.max(0.0) * 1000.0) as u64)
}

impl Meridian {
    pub fn new(case: &Case) -> Self {
        let fleet = case.fleet.clone();
        let plan = carried_over(&fleet, &Plan::default());
        let count = case.regions.len();
        let mut new = Self {
            names: case.regions.iter().map(|site| site.name.clone()).collect(),
            model: MODEL.into(),
            state: FleetState::default(),
            policies: Vec::new(),
            coming: None,
            admitted: BTreeMap::new(),
            attempts: vec![BTreeMap::new(); count],
            first_tokens: vec![BTreeMap::new(); count],
            endpoints: vec![(0, 0); count],
            paces: vec![vec![Pace::default(); count]; count],
            under_way: BTreeMap::new(),
            shares: BTreeMap::new(),
            fleet,
            plan,
        };
        new.policies = new.compiled();
        new
    }

    /// The gateways' policies by the plan.
    fn compiled(&self) -> Vec<Compiled> {
        let policy = |name| {
            let policy = filter_policy(&self.fleet, &self.plan, name, None);
            let router = Decider::new(policy.clone());
            Compiled { policy, router }
        };
        self.names.iter().map(policy).collect()
    }

    fn take_what_came(&mut self, now: f64) {
        if let Some((_, policies)) = self.coming.take_if(|(at, _)| *at <= now) {
            self.policies = policies;
        }
    }

    fn place(&self, name: &RegionName) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }

    fn admitted(&mut self, home: usize, zone: &ZoneName) -> Option<Admitted> {
        let key = (home, zone.clone());
        if let Some(admitted) = self.admitted.get(&key) {
            return Some(admitted.clone());
        }
        let headers = [(ZONE_HEADER.to_owned(), zone.to_string())];
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

    /// The regions of a chain that are not known to be lost.
    fn regions(&self, members: &[Member], lost: &[bool]) -> Vec<usize> {
        let place = |member: &Member| match member {
            Member::Pool(region) | Member::Peer(region) => self.place(region),
            Member::Fallback(_) => None,
        };
        let regions = members.iter().filter_map(place);
        regions.filter(|region| !lost[*region]).collect()
    }

    /// What the gateways say: what they count, and how many of their endpoints are healthy.
    fn hear(&mut self, now: f64) {
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
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        self.take_what_came(ask.now);
        let (home, zone) = (ask.request.home, &ask.request.zone);
        let Some(admitted) = self.admitted(home, zone) else {
            return Verdict::go(Vec::new());
        };
        // Who belongs to no conversation begins one.
        let conversation = ask.request.session.unwrap_or(ask.id as u64);
        let body = format!(
            r#"{{"model":"{MODEL}","stream":true,"messages":[],"prompt_cache_key":"{conversation}"}}"#
        );
        let here = RequestContext {
            request_id: &ask.id.to_le_bytes(),
            lease_ran_out: false,
            refused: &|_| 0.0,
            loaded: &|_| 0.0,
            pace: &|pool| {
                let place = self.place(&pool.region);
                place.map_or_else(Pace::default, |place| self.paces[home][place])
            },
            // Its region's gateway picks as it arrives.
            slot: &|_, ask| ask.affinity_slot,
            now_ms: millis(ask.now).0,
        };
        let policy = &self.policies[home];
        let Ok(decision) = policy.router.decide(&admitted, body.as_bytes(), &here) else {
            return Verdict::go(Vec::new());
        };
        let name = &self.names[home];
        let split = policy
            .policy
            .zones
            .get(zone)
            .and_then(|rule| rule.models.get(&self.model));
        let split = split.and_then(|rule| rule.split.as_ref());
        let members = match (decision.lane, split) {
            (Lane::Overflow, Some(split)) => {
                // As Envoy's weighted clusters read the header: modulo the sum of the weights.
                let sum: u32 = split.overflow.values().sum();
                let mut drawn = decision.spread % u64::from(sum.max(1));
                let target = split.overflow.iter().find(|(_, weight)| {
                    let within = drawn < u64::from(**weight);
                    drawn = drawn.saturating_sub(u64::from(**weight));
                    within
                });
                target.map_or_else(Vec::new, |(to, _)| {
                    overflow_chain(&self.fleet, zone, &self.model, name, to)
                })
            }
            _ => chain(&self.fleet, zone, &self.model, name),
        };
        let order = self.regions(&members, ask.lost);
        if let Some(region) = order.first() {
            let before = self.paces[home][*region].begin();
            let (zone, lane) = (zone.clone(), decision.lane);
            self.under_way
                .insert(ask.id, Attempt { before, zone, lane });
        }
        Verdict::go(order)
    }

    fn page(&mut self, page: &Page, _now: f64) {
        let region = &self.names[page.region];
        for (index, figures) in page.replicas.iter().enumerate() {
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

    fn answered(&mut self, answered: &Answered, now: f64) {
        let (home, region) = (answered.home, answered.region);
        let pace = &mut self.paces[home][region];
        match (answered.first_token, self.under_way.remove(&answered.id)) {
            (Some(seconds), Some(attempt)) => {
                pace.first_token(attempt.before, seconds, millis(now).0);
                let key = (attempt.zone, attempt.lane, region);
                self.attempts[home].entry(key).or_default().answered += 1.0;
            }
            (None, Some(_)) => pace.gone(),
            (_, None) => {}
        }
        if let Some(seconds) = answered.first_token {
            let times = self.first_tokens[answered.home]
                .entry(answered.region)
                .or_insert_with(|| empty(&FIRST_TOKEN));
            note(times, seconds);
        }
    }

    fn endpoints(&mut self, region: usize, healthy: usize, all: usize) {
        self.endpoints[region] = (healthy as u64, all as u64);
    }

    fn tick(&mut self, now: f64) {
        self.take_what_came(now);
        self.hear(now);
        let next = plan(&self.fleet, &self.state, &self.plan, millis(now));
        if next != self.plan {
            self.plan = next;
            self.coming = Some((now + PUBLISHED_AFTER, self.compiled()));
        }
        for (gateway, zones) in &self.plan.gateways {
            for (zone, models) in zones {
                if let Some(placement) = models.get(&self.model) {
                    let key = (gateway.clone(), zone.clone());
                    let shares = self.shares.entry(key).or_default();
                    shares.push(placement.home_share);
                }
            }
        }
    }

    fn shares(&self) -> Option<&Shares> {
        Some(&self.shares)
    }
}
