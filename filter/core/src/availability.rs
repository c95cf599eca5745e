//! Which regions are worth a request at this moment, by their pools' breakers and the plan.

use crate::breaker::Unavailable;
use crate::request::RequestContext;
use crate::routes::{ModelRoute, PoolId};
use std::rc::Rc;

/// Which regions are worth a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// The first one, as always.
    First,
    /// Another one: the breaker of the first one is open, or all regions of the chain are down.
    Others,
    /// None: each has an open breaker or is down. The soonest time to come again, and whether all are silent.
    None(Unavailable),
}

impl Availability {
    /// By the breakers of a route's pools, and the plan. A request that finds a region due for a probe probes it.
    pub fn of(route: &ModelRoute, context: &RequestContext<'_>) -> Self {
        let open = |(pool, _): &(Rc<PoolId>, bool)| (context.breaker)(pool);
        let is_worth = |pool: &(Rc<PoolId>, bool)| pool.1 && open(pool).is_none();
        let may_probe = |(pool, _): &(Rc<PoolId>, bool)| (context.may_probe)(pool);
        let Some((first, others)) = route.pools.split_first() else {
            return Self::First;
        };
        let all: Vec<Unavailable> = route.pools.iter().filter_map(open).collect();
        if all.is_empty() && first.1 {
            return Self::First;
        }
        let worth = others.iter().position(is_worth);
        // Envoy itself skips a first region that is down, for another of the chain. Past the lease the plan's word is too old.
        let is_beyond =
            |other: usize| !first.1 && other + 1 >= route.depth && !context.lease_ran_out;
        let others_alone = worth.is_some_and(is_beyond);
        if all.is_empty() && !others_alone {
            return Self::First;
        }
        let is_asked_first = open(first).is_none() && (first.1 || worth.is_some()) && !others_alone;
        if is_asked_first || may_probe(first) {
            return Self::First;
        }
        if worth.is_some() || others.iter().any(may_probe) {
            return Self::Others;
        }
        let waits = all.iter().map(|unavailable| unavailable.retry_after);
        Self::None(Unavailable {
            retry_after: waits.min().unwrap_or(1),
            is_silent: all.iter().all(|unavailable| unavailable.is_silent),
        })
    }
}
