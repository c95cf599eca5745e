//! Lanes: where a request goes first. One function for each kind of request.

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

/// The verdict on a request. `leaves`: its conversation would leave the first region, were it interactive.
pub fn verdict(
    route: &ModelRoute,
    tier: Tier,
    needs_fresh: bool,
    choice: Option<Choice>,
    leaves: bool,
    context: &RequestContext<'_>,
) -> Admits {
    // Past the lease the gates' state is too old.
    let is_batch = tier == Tier::Batch && route.lane != Lane::Fallback && !context.lease_ran_out;
    let sheds = choice.is_some_and(|choice| choice.sheds());
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
