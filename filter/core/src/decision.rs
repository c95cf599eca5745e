//! Where a request goes, and why.

use crate::availability::Availability;
use crate::classify::Classified;
use crate::shed::{Choice, ShedFractions};
use crate::tier::Tier;
use meridian_policy::filter_policy::Lane;
use meridian_policy::{ModelName, ZoneId, headers};
use std::borrow::Cow;

/// Where a request goes, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The caller's zone, and the source that gave it.
    pub caller: Classified,
    /// The definition of the zone that the decision follows.
    pub definition: ZoneId,
    /// The model, by the policy's own spelling.
    pub model: ModelName,
    /// The lane.
    pub lane: Lane,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Which regions are worth a request.
    pub available: Availability,
    /// The field by which it continues an answer that no other member can know.
    pub continues: Option<&'static str>,
    /// Where there was a choice between regions: what led to the lane.
    pub choice: Option<Choice>,
    /// Interactive or batch.
    pub tier: Tier,
    /// Of a request that needs fresh data: whether the lane leads to some.
    pub fresh: Option<Met>,
    /// Picks the region in the lanes that may lead to several: overflow, fresh and batch.
    pub spread: u64,
    /// Picks the server in this region's pool, where it has one, and else is the conversation's own.
    pub slot: u16,
    /// The conversation's own slot, where conversations have servers of their own and this is not the one: for other gateways.
    pub affinity_slot: Option<u16>,
    /// How long each attempt may be silent before the next member is asked as well, in milliseconds; `None` leaves it to
    /// the route.
    pub per_try_timeout_ms: Option<u64>,
}

/// Whether a need is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// As far as is known.
    Yes,
    /// No region that may serve the request has fresh data: it goes where it would go without the need.
    No,
    /// Nothing tells it, or what was known is too old, by the lease.
    Unknown,
}

impl Met {
    fn label(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

impl Decision {
    /// The request headers that pick the route, and the attempts' limit.
    pub fn route_headers(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        let stream = if self.stream { "1" } else { "0" };
        let mut headers = Vec::with_capacity(9);
        headers.extend([
            (headers::ZONE, Cow::Borrowed(self.caller.zone.as_str())),
            (headers::DEFINITION, self.definition.as_str().into()),
            (headers::MODEL, self.model.as_str().into()),
            (headers::LANE, self.lane.as_str().into()),
            (headers::STREAM, stream.into()),
            (headers::SLOT, self.slot.to_string().into()),
        ]);
        if matches!(self.lane, Lane::Overflow | Lane::Fresh | Lane::Batch) {
            headers.push((headers::SPREAD, format!("{:016x}", self.spread).into()));
        }
        if let Some(slot) = self.affinity_slot {
            headers.push((headers::AFFINITY_SLOT, slot.to_string().into()));
        }
        if self.stays().is_some() {
            headers.push((headers::MAX_RETRIES, "0".into()));
        } else if let Some(ms) = self.per_try_timeout_ms {
            headers.push((headers::PER_TRY_TIMEOUT, ms.to_string().into()));
        }
        headers
    }

    /// The field for which it stays with the first region, whatever that answers.
    pub fn stays(&self) -> Option<&'static str> {
        self.continues.filter(|_| self.lane == Lane::Home)
    }

    /// Why the request goes where it goes, for people and logs. Without the conversation's key, which a dictionary
    /// could turn back into a person.
    pub fn explain(&self) -> String {
        let Classified { zone, by } = &self.caller;
        let (lane, model) = (self.lane.as_str(), &self.model);
        let (zone, model) = (zone.as_str(), model.as_str());
        let mut why = ["lane=", lane, " zone=", zone, " by=", by, " model=", model].concat();
        if let Some(choice) = &self.choice {
            why += &explain_choice(choice);
        }
        match self.available {
            Availability::First => {}
            Availability::Others => why += " breaker=first",
            Availability::None(_) => why += " breaker=all",
        }
        if let Some(field) = self.continues {
            why += " continues=";
            why += field;
        }
        if self.tier == Tier::Batch {
            why += " tier=batch";
        }
        if let Some(met) = self.fresh {
            why += " fresh=";
            why += met.label();
        }
        why
    }
}

fn explain_choice(choice: &Choice) -> String {
    let mut why = format!(" home_share={}", choice.home_share);
    let ShedFractions {
        refused,
        loaded,
        queued,
    } = choice.shed;
    for (name, fraction) in [("cooling", refused), ("full", loaded), ("pressure", queued)] {
        if fraction > 0.0 {
            why += &format!(" {name}={fraction:.2}");
        }
    }
    if let Some(leaving) = choice.leaving {
        why += if leaving.begins {
            " drain=new"
        } else {
            " drain=ongoing"
        };
    }
    if choice.lease_ran_out {
        why += " lease=ran-out";
    }
    why
}
