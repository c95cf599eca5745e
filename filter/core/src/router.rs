//! The decision about one request, in the two steps in which it arrives: head, then body.

use crate::allowed_fields::{self, Allowance};
use crate::answer::Answer;
use crate::availability::Availability;
use crate::body::{self, BodyFacts};
use crate::classify::{self, Classified};
use crate::decision::Decision;
use crate::egress::without_query;
use crate::header_map::HeaderMap;
use crate::lane::{self, Admits, LaneRequest};
use crate::models;
use crate::needs;
use crate::pace::PoolPace;
use crate::per_try_timeout::{Seen, limit_ms};
use crate::refusal::{Reason, Refusal};
use crate::request::{Head, RequestContext};
use crate::routes::{ModelRoute, ZoneRoutes, compile};
use crate::shed::Choice;
use crate::slots::{self, SlotRequest};
use crate::tier::{self, Tier};
use meridian_policy::api::{self, Api, Shape, Unroutable};
use meridian_policy::filter_policy::{FilterPolicy, Lane, TurnAway};
use meridian_policy::pool_policy::Balance;
use meridian_policy::{ModelName, ZoneName, headers};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// What the head alone decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// The request is answered now: refused, or a list of models.
    Answer(Answer),
    /// The body must be read to decide.
    ReadBody(Admitted),
}

/// A request whose zone is decided and may be served from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    caller: Classified,
    /// The path, without its query.
    path: String,
    shape: Shape,
    needs_fresh: bool,
    tier: Tier,
    /// The hash of its session, if it names one.
    session: Option<u64>,
}

impl Admitted {
    /// The shape of the API that is spoken.
    pub fn shape(&self) -> Shape {
        self.shape
    }
}

/// A gateway's policy, compiled for requests.
#[derive(Debug)]
pub struct Router {
    policy: FilterPolicy,
    zones: BTreeMap<ZoneName, ZoneRoutes>,
}

impl Router {
    /// Compiles a policy.
    pub fn new(mut policy: FilterPolicy) -> Self {
        let zones = compile(&mut policy);
        Self { policy, zones }
    }

    /// The headers of a request that must not go on: see [`classify::untrusted`].
    pub fn untrusted<'r>(&self, source: Option<IpAddr>, request: &'r HeaderMap) -> Vec<&'r str> {
        classify::untrusted(&self.policy.sources, source, request)
    }

    /// Decides on a request's head. Headers that must not go on are found by [`Router::untrusted`].
    pub fn admit(&self, head: &Head<'_>) -> Admission {
        let shape = api::shape(head.path, head.headers.iter().map(|(name, _)| name));
        self.admission(head, shape)
            .unwrap_or_else(|reason| Admission::Answer(Refusal { reason, shape }.answer()))
    }

    fn admission(&self, head: &Head<'_>, shape: Shape) -> Result<Admission, Reason> {
        let api =
            api::route(head.method, head.path, shape).map_err(|unroutable| match unroutable {
                Unroutable::Path => Reason::UnknownPath,
                Unroutable::Method(allowed) => Reason::WrongMethod { allowed },
            })?;
        let caller = classify::classify(&self.policy, head.source, head.headers)
            .ok_or(Reason::UnknownZone)?;
        let zone = self.zones.get(&caller.zone).ok_or(Reason::UnknownZone)?;
        if let Some(turn_away) = &zone.turn_away {
            return Err(turned_away(turn_away, caller.zone, head.path));
        }
        match api {
            Api::Inference(shape) => self.inference(head, caller, shape),
            Api::Models(shape) => Ok(Admission::Answer(models::list(
                &caller,
                zone.models.keys(),
                shape,
            ))),
            Api::Model(shape, id) => {
                let (model, _) = known(zone, &caller.zone, &id)?;
                Ok(Admission::Answer(models::one(&caller, model, shape)))
            }
        }
    }

    fn inference(
        &self,
        head: &Head<'_>,
        caller: Classified,
        shape: Shape,
    ) -> Result<Admission, Reason> {
        let encoding = head.headers.iter().find(|(name, value)| {
            *name == "content-encoding" && !value.eq_ignore_ascii_case("identity")
        });
        if let Some((_, encoding)) = encoding {
            return Err(Reason::Encoded(encoding.to_owned()));
        }
        Ok(Admission::ReadBody(Admitted {
            caller,
            path: without_query(head.path).to_owned(),
            shape,
            needs_fresh: needs::fresh(head.headers, self.policy.needs_header.as_deref())?,
            tier: tier::tier(head.headers, &self.policy.batch_keys).map_err(Reason::UnknownTier)?,
            session: session(head.headers),
        }))
    }

    /// Bytes of request bodies that the worker holds at most.
    pub fn bodies(&self) -> Option<u64> {
        self.policy.bodies
    }

    /// Whether the servers of a zone may not fetch content that a request names by URL.
    pub fn refuses_remote_content(&self, zone: &ZoneName) -> bool {
        let routes = self.zones.get(zone);
        routes.is_some_and(|routes| routes.refuse_remote_content)
    }

    /// Decides on a request whose head was admitted, now that its body is whole.
    pub fn decide(
        &self,
        admitted: &Admitted,
        body: &[u8],
        context: &RequestContext<'_>,
    ) -> Result<Decision, Answer> {
        self.decision(admitted, body, context).map_err(|reason| {
            let shape = admitted.shape;
            Refusal { reason, shape }.answer()
        })
    }

    fn decision(
        &self,
        admitted: &Admitted,
        body: &[u8],
        context: &RequestContext<'_>,
    ) -> Result<Decision, Reason> {
        let BodyFacts {
            model,
            stream,
            affinity,
            continues,
        } = body::read(body).map_err(Reason::BadBody)?;
        let zone = &admitted.caller.zone;
        let routes = self.zones.get(zone).ok_or(Reason::UnknownZone)?;
        let (model, route) = known(routes, zone, &model)?;
        if routes.refuse_remote_content {
            without_remote_content(&admitted.path, body)?;
        }
        let key = admitted.session.or(affinity);
        let key = key.unwrap_or_else(|| xxh3_64(context.request_id));
        let available = Availability::of(route, context);
        let begins = || continues.is_none() && body::begins(body);
        let choice = Choice::of(route, begins, context);
        let leaves = choice.is_some_and(|choice| choice.leaves(hash(key, LEAVE)));
        let ask = LaneRequest {
            tier: admitted.tier,
            needs_fresh: admitted.needs_fresh,
            continues,
            available,
            choice,
            leaves,
        };
        let verdict = match lane::verdict(route, ask, context) {
            Admits::Lane(verdict) => verdict,
            Admits::Later => return Err(Reason::Later),
            Admits::Lost(field) => return Err(Reason::Lost { field }),
            Admits::Nowhere(unavailable) => {
                return Err(Reason::Unavailable {
                    model: model.clone(),
                    unavailable,
                });
            }
        };
        let (slot, affinity_slot) = self.slots(model, verdict.lane, key, context);
        Ok(Decision {
            caller: admitted.caller.clone(),
            definition: routes.definition.clone(),
            model: model.clone(),
            lane: verdict.lane,
            stream,
            available,
            continues,
            choice,
            tier: admitted.tier,
            fresh: verdict.fresh,
            spread: hash(key, SPREAD),
            slot,
            affinity_slot,
            per_try_timeout_ms: match available {
                // The fallbacks have a route of their own.
                Availability::None(_) => None,
                _ => per_try_timeout_ms(route, stream, body.len(), context),
            },
        })
    }

    /// The slot of a request, and its conversation's own if that is another one.
    fn slots(
        &self,
        model: &ModelName,
        lane: Lane,
        key: u64,
        context: &RequestContext<'_>,
    ) -> (u16, Option<u16>) {
        let affinity_slot = slots::slot(hash(key, SLOT));
        let balance = self.balance(model, lane);
        let slot = balance.map_or(affinity_slot, |balance| {
            let ask = SlotRequest {
                balance,
                affinity_slot,
                random: slots::hash(context.request_id),
                now_ms: context.now_ms,
            };
            (context.slot)(model, ask)
        });
        let by_conversation = balance == Some(Balance::Affinity) && slot != affinity_slot;
        (slot, by_conversation.then_some(affinity_slot))
    }

    /// How this region's own pool of a model balances, where a request on this lane may come to it.
    fn balance(&self, model: &ModelName, lane: Lane) -> Option<Balance> {
        let may_stay = matches!(lane, Lane::Home | Lane::Batch);
        self.policy.pools.get(model).filter(|_| may_stay).copied()
    }
}

fn per_try_timeout_ms(
    route: &ModelRoute,
    stream: bool,
    body: usize,
    context: &RequestContext<'_>,
) -> Option<u64> {
    let timeout = route.per_try_timeout.as_ref()?;
    // A region that serves nobody has no queue either: it is not sooner than the others.
    let serving = route
        .pools
        .iter()
        .filter(|(pool, serves)| *serves && (context.breaker)(pool).is_none());
    let regions: Vec<PoolPace> = serving.map(|(pool, _)| (context.pace)(pool)).collect();
    let seen = Seen {
        regions: &regions,
        hedges_used_up: context.hedges_used_up,
        now_ms: context.now_ms,
    };
    Some(limit_ms(timeout, stream, body, &seen))
}

fn turned_away(turn_away: &TurnAway, zone: ZoneName, path: &str) -> Reason {
    match turn_away {
        TurnAway::Refuse(gateways) => Reason::Misdirected {
            zone,
            gateways: gateways.clone(),
        },
        TurnAway::Redirect(url) => Reason::Redirected {
            zone,
            location: format!("{url}{path}"),
        },
    }
}

fn known<'r>(
    routes: &'r ZoneRoutes,
    zone: &ZoneName,
    model: &str,
) -> Result<(&'r ModelName, &'r ModelRoute), Reason> {
    routes
        .models
        .get_key_value(model)
        .ok_or_else(|| Reason::UnknownModel {
            model: model.to_owned(),
            zone: zone.clone(),
            known: routes.models.keys().cloned().collect(),
        })
}

/// Refuses a request that names content by URL: the server would fetch it.
fn without_remote_content(path: &str, body: &[u8]) -> Result<(), Reason> {
    let allowance = Allowance {
        forbids_store: false,
        listed_only: false,
        tools: &BTreeSet::new(),
        remote_content: false,
    };
    let checked = allowed_fields::check(path, body, allowance);
    checked.map(drop).map_err(Reason::Field)
}

/// The hash of the session that a request names.
fn session(request: &HeaderMap) -> Option<u64> {
    let named = |(name, value): &(&str, &str)| {
        name.eq_ignore_ascii_case(headers::SESSION) && !value.is_empty()
    };
    let (_, value) = request.iter().find(named)?;
    Some(xxh3_64(value.as_bytes()))
}

/// Seeds of the hashes of one key. The hashes are independent of each other: the requests that leave are spread over all regions,
/// and over all of their servers.
const LEAVE: u64 = 1;
const SPREAD: u64 = 2;
const SLOT: u64 = 3;

fn hash(key: u64, seed: u64) -> u64 {
    xxh3_64_with_seed(&key.to_le_bytes(), seed)
}
