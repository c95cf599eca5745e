//! The decision about one request, in the two steps in which it arrives: head, then body.

use crate::answer::Answer;
use crate::api::{self, Api, Shape, Unroutable};
use crate::body::{self, BodyFacts};
use crate::classify::{self, Classified};
use crate::filter_policy::{FilterPolicy, Lane, Less, ModelRule, TurnAway, ZoneRule};
use crate::headers;
use crate::name::{ModelName, RegionName, ZoneName};
use crate::needs::{self, Way};
use crate::pace::Pace;
use crate::refusal::{Reason, Refusal};
use crate::slots::{self, Ask, Balance};
use crate::tier::{self, Tier};
use std::net::IpAddr;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The head of a request, as Envoy shows it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// `GET`, `POST`...
    pub method: &'a str,
    /// The path with its query.
    pub path: &'a str,
    /// The other end of the connection; `None` if it is no IP address.
    pub source: Option<IpAddr>,
    /// Every header, repeated ones repeated, names in lower case.
    pub headers: &'a [(String, String)],
}

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
    shape: Shape,
    needs_fresh: bool,
    tier: Tier,
    /// The hash of its session, if it names one.
    session: Option<u64>,
}

/// What a decision takes from the moment and the place at which it is made.
pub struct Here<'a> {
    /// The request's own id, for requests that belong to no conversation.
    pub request_id: &'a [u8],
    /// The policy's lease has run out: home first.
    pub lease_ran_out: bool,
    /// How much a region's pool should get less by what it has just said, 0 to 1.
    pub cooling: &'a dyn Fn(&RegionName, &ModelName) -> f64,
    /// What part of a region's requests is too much, by what its servers have just said, 0 to 1.
    pub full: &'a dyn Fn(&RegionName, &ModelName) -> f64,
    /// How soon a region's pool gives first tokens.
    pub pace: &'a dyn Fn(&RegionName, &ModelName) -> Pace,
    /// The slot, and so the server, of a request that goes to this region's own pool of a model.
    pub slot: &'a dyn Fn(&ModelName, Ask) -> u16,
    /// By the gateway's own clock, in milliseconds.
    pub now_ms: u64,
}

/// Where a request goes, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The caller's zone, and what told it.
    pub caller: Classified,
    /// The model, by the policy's own spelling.
    pub model: ModelName,
    /// The lane.
    pub lane: Lane,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Where there was a choice between regions: what led to the lane.
    pub choice: Option<Choice>,
    /// Whether somebody waits for it.
    pub tier: Tier,
    /// Of a request that needs fresh data: whether the lane leads to some.
    pub fresh: Option<Met>,
    /// Picks the region in the lanes that may lead to several: overflow, fresh and batch.
    pub spread: u64,
    /// Picks the server in this region's pool, where it has one, and else is the conversation's own.
    pub slot: u16,
    /// The conversation's own slot, where conversations have servers of their own and this is not the one: for other gateways.
    pub place: Option<u16>,
    /// How long each attempt may be silent before the next member is asked as well, in milliseconds; `None` leaves it to
    /// the route.
    pub patience_ms: Option<u64>,
}

/// A choice between the first region and the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Percent that the first region was to keep.
    pub home_share: u8,
    /// Percent that it keeps whatever it said a moment ago.
    pub floor: u8,
    /// How much less it kept.
    pub less: Less,
    /// The lease had run out, so none of it counted.
    pub lease_ran_out: bool,
}

/// Whether a need is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// As far as is known.
    Yes,
    /// Nobody who may serve it can: it goes where it would go without the need.
    No,
    /// Nothing tells it, or what was known is too old, by the lease.
    Unknown,
}

impl FilterPolicy {
    /// Decides on a request's head. Headers that must not go on are found by [`classify::untrusted`].
    pub fn admit(&self, head: &Head<'_>) -> Admission {
        let shape = api::shape(head.path, head.headers);
        self.admitted(head, shape)
            .unwrap_or_else(|reason| Admission::Answer(Refusal { reason, shape }.answer()))
    }

    fn admitted(&self, head: &Head<'_>, shape: Shape) -> Result<Admission, Reason> {
        let api =
            api::route(head.method, head.path, shape).map_err(|unroutable| match unroutable {
                Unroutable::Path => Reason::UnknownPath,
                Unroutable::Method(allowed) => Reason::WrongMethod { allowed },
            })?;
        let caller =
            classify::classify(self, head.source, head.headers).ok_or(Reason::UnknownZone)?;
        let rule = self.zones.get(&caller.zone).ok_or(Reason::UnknownZone)?;
        match &rule.turn_away {
            Some(TurnAway::Refuse(gateways)) => {
                return Err(Reason::Misdirected {
                    zone: caller.zone,
                    gateways: gateways.clone(),
                });
            }
            Some(TurnAway::Redirect(url)) => {
                return Err(Reason::Redirected {
                    zone: caller.zone,
                    location: format!("{url}{}", head.path),
                });
            }
            None => {}
        }
        match api {
            Api::Inference(shape) => {
                let encoding = head.headers.iter().find(|(name, value)| {
                    name == "content-encoding" && !value.eq_ignore_ascii_case("identity")
                });
                match encoding {
                    Some((_, encoding)) => Err(Reason::Encoded(encoding.clone())),
                    None => Ok(Admission::ReadBody(Admitted {
                        caller,
                        shape,
                        needs_fresh: needs::fresh(head.headers, self.needs_header.as_deref())?,
                        tier: tier::tier(head.headers, &self.batch_keys)
                            .map_err(Reason::UnknownTier)?,
                        session: session(head.headers),
                    })),
                }
            }
            Api::Models(shape) => Ok(Admission::Answer(models(&caller, rule, shape))),
            Api::Model(shape, id) => {
                let (model, _) = known(rule, &caller.zone, &id)?;
                Ok(Admission::Answer(answer_json(
                    &caller,
                    &model_card(model, shape),
                )))
            }
        }
    }

    /// Decides on a request whose head was admitted, now that its body is whole.
    pub fn decide(
        &self,
        admitted: &Admitted,
        body: &[u8],
        here: &Here<'_>,
    ) -> Result<Decision, Answer> {
        let refuse = |reason| {
            Refusal {
                reason,
                shape: admitted.shape,
            }
            .answer()
        };
        let BodyFacts {
            model,
            stream,
            affinity,
        } = body::read(body).map_err(|bad| refuse(Reason::BadBody(bad)))?;
        let zone = &admitted.caller.zone;
        let rule = self
            .zones
            .get(zone)
            .ok_or_else(|| refuse(Reason::UnknownZone))?;
        let (model, rule) = known(rule, zone, &model).map_err(refuse)?;
        let key = admitted.session.or(affinity);
        let key = key.unwrap_or_else(|| xxh3_64(here.request_id));
        let choice = rule.split.as_ref().map(|split| Choice {
            home_share: split.home_share,
            floor: split.floor,
            less: split.less(
                |region| (here.cooling)(region, model),
                |region| (here.full)(region, model),
                |region| (here.pace)(region, model),
                here.now_ms,
            ),
            lease_ran_out: here.lease_ran_out,
        });
        let leaves = choice.is_some_and(|choice| choice.leaves(key));
        // Past the lease what the gates say is too old.
        let is_batch =
            admitted.tier == Tier::Batch && rule.lane != Lane::Fallback && !here.lease_ran_out;
        // Batch leaves first: all of it, where some of the others would.
        let away = rule.batch.at_first && choice.is_some_and(|choice| choice.presses());
        let leaves = match is_batch {
            true => away || !rule.batch.at_first,
            false => leaves,
        };
        let batch = &rule.batch;
        let ordinary = match (is_batch, leaves) {
            (true, _) if away => (Lane::Overflow, batch.admitted.min(batch.elsewhere)),
            (true, _) => {
                let takes = batch.not_refused(|region| (here.cooling)(region, model));
                (
                    Lane::Batch,
                    (f64::from(batch.admitted) * takes).round() as u8,
                )
            }
            (false, true) => (Lane::Overflow, 100),
            (false, false) => (rule.lane, 100),
        };
        let ((lane, takes), fresh) = if admitted.needs_fresh {
            let (lane, met) = fresh_lane(rule, ordinary, leaves, here.lease_ran_out);
            (lane, Some(met))
        } else {
            (ordinary, None)
        };
        if is_batch && slots::hash(here.request_id) % 100 >= u64::from(takes) {
            return Err(refuse(Reason::Later));
        }
        let place = slots::slot(hash(key, SLOT));
        let may_stay = matches!(lane, Lane::Home | Lane::Batch);
        let pool = self.pools.get(model).filter(|_| may_stay);
        let slot = pool.map_or(place, |balance| {
            let ask = Ask {
                balance: *balance,
                place,
                random: slots::hash(here.request_id),
                now_ms: here.now_ms,
            };
            (here.slot)(model, ask)
        });
        Ok(Decision {
            caller: admitted.caller.clone(),
            model: model.clone(),
            lane,
            stream,
            choice,
            tier: admitted.tier,
            fresh,
            spread: hash(key, SPREAD),
            slot,
            place: (pool == Some(&Balance::Affinity) && slot != place).then_some(place),
            patience_ms: rule
                .patience
                .map(|patience| patience.limit_ms(stream, body.len())),
        })
    }
}

/// A lane, and percent of batch requests that it takes.
type Takes = (Lane, u8);

/// The lane of a request that needs fresh data, and whether it leads to some. Who answers last if the regions there fail may be
/// behind: an old answer is better than none.
fn fresh_lane(
    rule: &ModelRule,
    ordinary: Takes,
    leaves: bool,
    lease_ran_out: bool,
) -> (Takes, Met) {
    let met = |unknown: bool| if unknown { Met::Unknown } else { Met::Yes };
    let Some(fresh) = rule.fresh.as_ref().filter(|_| !lease_ran_out) else {
        return (ordinary, met(lease_ran_out || rule.fresh_unknown));
    };
    match fresh.way(leaves) {
        Way::First => ((rule.lane, fresh.batch.first), met(fresh.first_unknown)),
        Way::Others => ((Lane::Fresh, fresh.batch.others), met(fresh.others_unknown)),
        Way::Nowhere => (ordinary, Met::No),
    }
}

/// The session that a request names.
fn session(request: &[(String, String)]) -> Option<u64> {
    let named = |(name, value): &&(String, String)| {
        name.eq_ignore_ascii_case(headers::SESSION) && !value.is_empty()
    };
    let (_, value) = request.iter().find(named)?;
    Some(xxh3_64(value.as_bytes()))
}

impl Choice {
    /// Home has less room at this moment than others have.
    fn presses(&self) -> bool {
        !self.lease_ran_out && (self.less.most() > 0.0 || self.less.full > 0.0)
    }

    /// Whether a conversation leaves. Those with the highest place leave first and come back last: the others stay where
    /// they are, and so does their KV-cache.
    fn leaves(&self, key: u64) -> bool {
        let place = hash(key, LEAVE) as f64 / u64::MAX as f64;
        let share = f64::from(self.home_share);
        let less = self.less.most();
        // By what is full the share may have been lowered already.
        let most = 100.0 * (1.0 - self.less.full);
        let keeps = (share * (1.0 - less)).min(most);
        let keeps = keeps.max(share.min(f64::from(self.floor)));
        !self.lease_ran_out && place >= keeps / 100.0
    }
}

/// Hashes of one key that say nothing about each other: whoever leaves is spread over all regions, and all of their servers.
const LEAVE: u64 = 1;
const SPREAD: u64 = 2;
const SLOT: u64 = 3;

fn hash(key: u64, seed: u64) -> u64 {
    xxh3_64_with_seed(&key.to_le_bytes(), seed)
}

impl Admitted {
    /// The shape of the API that is spoken.
    pub fn shape(&self) -> Shape {
        self.shape
    }
}

impl Decision {
    /// The request headers that pick the route, and the attempts' limit.
    pub fn route_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (headers::ZONE, self.caller.zone.to_string()),
            (headers::MODEL, self.model.to_string()),
            (headers::LANE, self.lane.as_str().to_owned()),
            (
                headers::STREAM,
                if self.stream { "1" } else { "0" }.to_owned(),
            ),
            (headers::SLOT, self.slot.to_string()),
        ];
        if matches!(self.lane, Lane::Overflow | Lane::Fresh | Lane::Batch) {
            headers.push((headers::SPREAD, format!("{:016x}", self.spread)));
        }
        let place = self.place.map(|place| (headers::PLACE, place.to_string()));
        headers.extend(place);
        headers.extend(
            self.patience_ms
                .map(|ms| (headers::PATIENCE, ms.to_string())),
        );
        headers
    }

    /// Why the request goes where it goes, for people and logs. Without the conversation's key, which a dictionary
    /// could turn back into a person.
    pub fn explain(&self) -> String {
        let Self {
            caller: Classified { zone, by },
            model,
            lane,
            ..
        } = self;
        let mut why = format!("lane={} zone={zone} by={by} model={model}", lane.as_str());
        if let Some(choice) = &self.choice {
            why += &format!(" home_share={}", choice.home_share);
            let Less {
                cooling,
                full,
                pressure,
            } = choice.less;
            if cooling > 0.0 {
                why += &format!(" cooling={cooling:.2}");
            }
            if full > 0.0 {
                why += &format!(" full={full:.2}");
            }
            if pressure > 0.0 {
                why += &format!(" pressure={pressure:.2}");
            }
            if choice.lease_ran_out {
                why += " lease=ran-out";
            }
        }
        if self.tier == Tier::Batch {
            why += " tier=batch";
        }
        why += match self.fresh {
            None => "",
            Some(Met::Yes) => " fresh=yes",
            Some(Met::No) => " fresh=no",
            Some(Met::Unknown) => " fresh=unknown",
        };
        why
    }
}

fn known<'r>(
    rule: &'r ZoneRule,
    zone: &ZoneName,
    model: &str,
) -> Result<(&'r ModelName, &'r ModelRule), Reason> {
    rule.models
        .get_key_value(model)
        .ok_or_else(|| Reason::UnknownModel {
            model: model.to_owned(),
            zone: zone.clone(),
            known: rule.models.keys().cloned().collect(),
        })
}

fn models(caller: &Classified, rule: &ZoneRule, shape: Shape) -> Answer {
    let data: Vec<_> = rule
        .models
        .keys()
        .map(|model| model_card(model, shape))
        .collect();
    let list = match shape {
        Shape::OpenAi => serde_json::json!({ "object": "list", "data": data }),
        Shape::Anthropic => {
            let end = |id: Option<&ModelName>| id.map(ModelName::to_string);
            let (first, last) = (
                end(rule.models.keys().next()),
                end(rule.models.keys().next_back()),
            );
            serde_json::json!({ "data": data, "has_more": false, "first_id": first, "last_id": last })
        }
    };
    answer_json(caller, &list)
}

fn model_card(model: &ModelName, shape: Shape) -> serde_json::Value {
    match shape {
        Shape::OpenAi => {
            serde_json::json!({ "id": model, "object": "model", "created": 0, "owned_by": "meridian" })
        }
        Shape::Anthropic => serde_json::json!({
            "id": model, "type": "model", "display_name": model, "created_at": "1970-01-01T00:00:00Z"
        }),
    }
}

fn answer_json(caller: &Classified, body: &serde_json::Value) -> Answer {
    let decision = format!("answered=models zone={} by={}", caller.zone, caller.by);
    Answer {
        status: 200,
        headers: vec![
            ("content-type", "application/json".into()),
            (headers::DECISION, decision),
        ],
        body: body.to_string(),
    }
}
