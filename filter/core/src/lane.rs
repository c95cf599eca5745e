//! Lanes: where a request goes first. One function for each kind of request.

use crate::availability::Availability;
use crate::breaker::Unavailable;
use crate::decision::Met;
use crate::request::RequestContext;
use crate::routes::ModelRoute;
use crate::shed::{Choice, batch_not_refused};
use crate::slots;
use crate::tier::Tier;
use meridian_policy::filter_policy::{Fresh, Lane};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admits {
    /// It goes this way.
    Lane(Verdict),
    /// A batch request for which no region has room.
    Later,
    /// No region is worth a request, and there are no fallbacks.
    Nowhere(Unavailable),
    /// By this field it continues an answer of the first region, which does not serve.
    Lost(&'static str),
}

/// What decides about the lane of a request.
#[derive(Clone, Copy, Debug)]
pub struct LaneRequest {
    /// Interactive or batch.
    pub tier: Tier,
    /// Whether it needs fresh data.
    pub needs_fresh: bool,
    /// The field by which it continues an answer that only the first region can know.
    pub continues: Option<&'static str>,
    /// Which regions are worth a request.
    pub available: Availability,
    /// The choice between the first region and others, if there is one.
    pub choice: Option<Choice>,
    /// Its conversation would leave the first region, were it interactive.
    pub leaves: bool,
}

/// Where a request goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The lane.
    pub lane: Lane,
    /// Of a request that needs fresh data: whether the lane leads to some.
    pub fresh: Option<Met>,
}

/// A lane, and the percentage of batch requests that it admits.
type Offer = (Lane, u8);

/// The verdict on a request.
pub fn verdict(route: &ModelRoute, ask: LaneRequest, context: &RequestContext<'_>) -> Admits {
    let LaneRequest {
        tier,
        needs_fresh,
        continues,
        available,
        choice,
        leaves,
    } = ask;
    if let Some(field) = continues.filter(|_| route.lane == Lane::Home) {
        return stays(route, ask, field);
    }
    if let Availability::None(unavailable) = available {
        return nowhere(route, ask, unavailable);
    }
    // A breaker is this gateway's own knowledge, which no lease bounds.
    let first_is_out = available == Availability::Others;
    let leaves = leaves || first_is_out;
    // Past the lease the gates' state is too old.
    let is_batch = tier == Tier::Batch && route.lane != Lane::Fallback && !context.lease_ran_out;
    let sheds = first_is_out || choice.is_some_and(|choice| choice.sheds());
    let (ordinary, leaves) = if is_batch {
        batch(route, sheds, context)
    } else {
        (interactive(route, leaves), leaves)
    };
    let ((lane, admits), fresh) = if needs_fresh {
        let (offer, met) = fresh(route, ordinary, leaves, context.lease_ran_out);
        (offer, Some(met))
    } else {
        (ordinary, None)
    };
    if is_batch && slots::hash(context.request_id) % 100 >= u64::from(admits) {
        return Admits::Later;
    }
    Admits::Lane(Verdict { lane, fresh })
}

/// A request that continues an answer stays with the first region, where most answers come from.
fn stays(route: &ModelRoute, ask: LaneRequest, field: &'static str) -> Admits {
    let serves = route.pools.first().is_none_or(|(_, serves)| *serves);
    if ask.available != Availability::First || !serves {
        return Admits::Lost(field);
    }
    Admits::Lane(Verdict {
        lane: route.lane,
        fresh: ask.needs_fresh.then_some(Met::Unknown),
    })
}

/// Where a request goes for which no region is worth asking: to the fallbacks. A batch request is not worth their price.
fn nowhere(route: &ModelRoute, ask: LaneRequest, unavailable: Unavailable) -> Admits {
    match ask.tier {
        _ if !route.has_fallback => Admits::Nowhere(unavailable),
        Tier::Batch => Admits::Later,
        Tier::Interactive => Admits::Lane(Verdict {
            lane: Lane::Fallback,
            fresh: ask.needs_fresh.then_some(Met::No),
        }),
    }
}

fn interactive(route: &ModelRoute, leaves: bool) -> Offer {
    let lane = if leaves { Lane::Overflow } else { route.lane };
    (lane, 100)
}

/// Batch leaves first: all of it, as soon as home sheds some of the interactive requests. Whether it leaves the first region, too.
fn batch(route: &ModelRoute, sheds: bool, context: &RequestContext<'_>) -> (Offer, bool) {
    let batch = &route.batch;
    if batch.at_first && sheds {
        let admits = batch.admitted.min(batch.elsewhere);
        return ((Lane::Overflow, admits), true);
    }
    let takes = batch_not_refused(batch, context.refused);
    let admits = (f64::from(batch.admitted) * takes).round() as u8;
    ((Lane::Batch, admits), !batch.at_first)
}

/// The lane of a request that needs fresh data, and whether it leads to some. The members at the end of the chain may be behind: an
/// old answer is better than none.
fn fresh(route: &ModelRoute, ordinary: Offer, leaves: bool, lease_ran_out: bool) -> (Offer, Met) {
    let met = |unknown: bool| if unknown { Met::Unknown } else { Met::Yes };
    let Some(fresh) = route.fresh.as_ref().filter(|_| !lease_ran_out) else {
        return (ordinary, met(lease_ran_out || route.fresh_unknown));
    };
    match FreshTarget::of(fresh, leaves) {
        FreshTarget::First => ((route.lane, fresh.batch.first), met(fresh.first_unknown)),
        FreshTarget::Others => ((Lane::Fresh, fresh.batch.others), met(fresh.others_unknown)),
        FreshTarget::Nowhere => (ordinary, Met::No),
    }
}

/// Where fresh data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreshTarget {
    /// In the first region.
    First,
    /// In other regions.
    Others,
    /// In none.
    Nowhere,
}

impl FreshTarget {
    /// Where a request that needs fresh data goes: to the first region unless its conversation leaves it, else by the fresh lane.
    pub fn of(fresh: &Fresh, leaves: bool) -> Self {
        match (fresh.first, fresh.others.is_empty()) {
            (true, true) => Self::First,
            (true, false) if !leaves => Self::First,
            (_, false) => Self::Others,
            (false, true) => Self::Nowhere,
        }
    }
}
