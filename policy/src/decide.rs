//! The decision about one request, in the two steps in which it arrives: head, then body.

use crate::answer::Answer;
use crate::api::{self, Api, Shape, Unroutable};
use crate::body::{self, BodyFacts};
use crate::classify::{self, Classified};
use crate::filter_policy::{FilterPolicy, Lane, TurnAway, ZoneRule};
use crate::headers;
use crate::name::{ModelName, ZoneName};
use crate::refusal::{Reason, Refusal};
use std::net::IpAddr;

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
}

/// Where a request goes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The caller's zone, and what told it.
    pub caller: Classified,
    /// The model, by the policy's own spelling.
    pub model: ModelName,
    /// The lane.
    pub lane: Lane,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// The conversation's key.
    pub affinity: Option<u64>,
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
                    None => Ok(Admission::ReadBody(Admitted { caller, shape })),
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
    pub fn decide(&self, admitted: &Admitted, body: &[u8]) -> Result<Decision, Answer> {
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
        let (model, lane) = known(rule, zone, &model).map_err(refuse)?;
        Ok(Decision {
            caller: admitted.caller.clone(),
            model: model.clone(),
            lane: *lane,
            stream,
            affinity,
        })
    }
}

impl Admitted {
    /// The shape of the API that is spoken.
    pub fn shape(&self) -> Shape {
        self.shape
    }
}

impl Decision {
    /// The request headers that pick the route.
    pub fn route_headers(&self) -> [(&'static str, &str); 4] {
        [
            (headers::ZONE, self.caller.zone.as_str()),
            (headers::MODEL, self.model.as_str()),
            (headers::LANE, self.lane.as_str()),
            (headers::STREAM, if self.stream { "1" } else { "0" }),
        ]
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
        format!("lane={} zone={zone} by={by} model={model}", lane.as_str())
    }
}

fn known<'r>(
    rule: &'r ZoneRule,
    zone: &ZoneName,
    model: &str,
) -> Result<(&'r ModelName, &'r Lane), Reason> {
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
