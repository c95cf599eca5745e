//! Runs the gateway's own decision on a request: once, or for many requests that differ in their IDs alone.

use super::first::first_region;
use meridian_filter_core::answer::Answer;
use meridian_filter_core::breaker::Unavailable;
use meridian_filter_core::decision::Decision;
use meridian_filter_core::pace::PoolPace;
use meridian_filter_core::per_try_timeout::{Seen, limit_ms};
use meridian_filter_core::request::RequestContext;
use meridian_filter_core::router::{Admitted, Router};
use meridian_filter_core::routes::PoolId;
use meridian_filter_core::slots::SlotRequest;
use meridian_filter_core::tier::Tier;
use meridian_policy::filter_policy::{FilterPolicy, Lane, ModelRule};
use meridian_policy::{RegionName, headers};

/// How many requests are tried where the ID is not said.
const REQUESTS: u32 = 1000;

/// The part of its requests that a region refuses, in [`Assumption::Refuses`].
const REFUSED: f64 = 0.5;

/// What only the gateway knows, and what is assumed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assumption<'r> {
    /// Nothing speaks against any region.
    Nothing,
    /// The breaker of a region's pool is open.
    Open(&'r RegionName),
    /// The breakers of all pools are open.
    AllOpen,
    /// A region has refused half of its last requests.
    Refuses(&'r RegionName),
    /// The lease of the policy has run out.
    LeaseRanOut,
}

/// An admitted request, and what decides about it.
pub struct Case<'c> {
    /// The policy.
    pub policy: &'c FilterPolicy,
    /// The same, compiled.
    pub router: &'c Router,
    /// The request's head.
    pub admitted: &'c Admitted,
    /// Its body.
    pub body: &'c [u8],
    /// It has a session, or its body names a conversation.
    pub has_conversation: bool,
    /// Its ID, if it is said.
    pub request_id: Option<&'c str>,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// What a gateway does with some of the requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// How many of [`Decisions::requests`].
    pub requests: u32,
    /// The decision on one of them, or the answer.
    pub outcome: Result<Decision, Answer>,
    /// The region that its lane leads to first.
    pub first: Option<RegionName>,
}

/// What a gateway does with the requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Decisions {
    /// How many were tried.
    pub requests: u32,
    /// What became of them, the most frequent first.
    pub decided: Vec<Decided>,
}

impl Case<'_> {
    /// Tries the request.
    pub fn tried(&self, assumption: Assumption<'_>) -> Decisions {
        let mut all = Decisions {
            requests: 0,
            decided: Vec::new(),
        };
        let first = self.request_id.unwrap_or("request 0");
        all.add(self.decided(first, assumption));
        if self.request_id.is_none() && !self.is_decided_by_its_conversation(&all) {
            let others = (1..REQUESTS).map(|number| format!("request {number}"));
            others.for_each(|id| all.add(self.decided(&id, assumption)));
        }
        all.decided
            .sort_by_key(|decided| std::cmp::Reverse(decided.requests));
        all
    }

    /// Whether the ID changes nothing: the conversation of an interactive request decides.
    fn is_decided_by_its_conversation(&self, tried: &Decisions) -> bool {
        let decisions = tried.decided.iter().map(|it| it.outcome.as_ref());
        self.has_conversation && decisions.flatten().all(|it| it.tier == Tier::Interactive)
    }

    fn decided(&self, id: &str, assumption: Assumption<'_>) -> Decided {
        let outcome = self.decide(id, self.body, assumption);
        let first = outcome.as_ref().ok().and_then(|decision| {
            let rule = self.rule(decision)?;
            first_region(rule, decision)
        });
        Decided {
            requests: 1,
            outcome,
            first,
        }
    }

    /// The rule that a decision follows.
    pub fn rule(&self, decision: &Decision) -> Option<&ModelRule> {
        let zone = self.policy.zones.get(&decision.caller.zone)?;
        zone.models.get(&decision.model)
    }

    /// The per-try timeout of a body of this size, in milliseconds.
    pub fn per_try_timeout_ms(&self, size: u64, decision: &Decision) -> Option<u64> {
        let rule = self.rule(decision)?;
        let timeout = rule.per_try_timeout.as_ref()?;
        let serving = rule
            .regions
            .iter()
            .filter(|region| !rule.down.contains(*region));
        let regions: Vec<PoolPace> = serving.map(|_| PoolPace::default()).collect();
        let seen = Seen {
            regions: &regions,
            hedges_used_up: false,
            now_ms: self.now_ms,
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Some(limit_ms(timeout, decision.stream, size, &seen))
    }

    fn decide(
        &self,
        id: &str,
        body: &[u8],
        assumption: Assumption<'_>,
    ) -> Result<Decision, Answer> {
        let refused = |pool: &PoolId| match assumption {
            Assumption::Refuses(region) if pool.region == *region => REFUSED,
            _ => 0.0,
        };
        let breaker = |pool: &PoolId| {
            let is_open = match assumption {
                Assumption::Open(region) => pool.region == *region,
                Assumption::AllOpen => true,
                Assumption::Nothing | Assumption::Refuses(_) | Assumption::LeaseRanOut => false,
            };
            is_open.then_some(Unavailable {
                retry_after: 1,
                is_silent: false,
            })
        };
        let context = RequestContext {
            request_id: id.as_bytes(),
            lease_ran_out: assumption == Assumption::LeaseRanOut,
            refused: &refused,
            loaded: &|_| 0.0,
            pace: &|_| PoolPace::default(),
            breaker: &breaker,
            begins: &|_, _| 0.5,
            may_probe: &|_| false,
            hedges_used_up: false,
            slot: &|_, ask: SlotRequest| ask.affinity_slot,
            now_ms: self.now_ms,
        };
        self.router.decide(self.admitted, body, &context)
    }
}

impl Decisions {
    fn add(&mut self, decided: Decided) {
        self.requests += 1;
        let mut all = self.decided.iter_mut();
        match all.find(|other| other.is_like(&decided)) {
            Some(same) => same.requests += 1,
            None => self.decided.push(decided),
        }
    }

    /// What became of the requests, but for their numbers.
    pub fn differs(&self, other: &Self) -> bool {
        let all = |tried: &Self| tried.decided.clone();
        let (one, other) = (all(self), all(other));
        let is_in = |decided: &Decided, all: &[Decided]| {
            all.iter().any(|other| {
                decided.is_like(other) && decided.requests.abs_diff(other.requests) < 20
            })
        };
        one.len() != other.len() || !one.iter().all(|decided| is_in(decided, &other))
    }
}

impl Decided {
    fn is_like(&self, other: &Self) -> bool {
        let lane = |decided: &Self| decided.outcome.as_ref().ok().map(|it| (it.lane, it.fresh));
        let refused = |decided: &Self| {
            let answer = decided.outcome.as_ref().err();
            answer.map(|answer| (answer.status, answer.body.clone()))
        };
        self.first == other.first && lane(self) == lane(other) && refused(self) == refused(other)
    }

    /// The lane; `None` if the gateway answers itself.
    pub fn lane(&self) -> Option<Lane> {
        self.outcome.as_ref().ok().map(|decision| decision.lane)
    }

    /// The response header `x-meridian-decision`.
    pub fn header(&self) -> String {
        match &self.outcome {
            Ok(decision) => decision.explain(),
            Err(answer) => decision_of(answer),
        }
    }
}

/// The response header `x-meridian-decision` of a gateway's own answer.
pub fn decision_of(answer: &Answer) -> String {
    let mut headers = answer.headers.iter();
    let decision = headers.find(|(name, _)| *name == headers::DECISION);
    decision.map(|(_, value)| value.clone()).unwrap_or_default()
}
