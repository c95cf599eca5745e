//! Which regions of a chain are worth a request at this moment, by their pools' breakers.

use crate::breaker::Unavailable;
use crate::request::RequestContext;
use crate::routes::{ModelRoute, PoolId};
use std::rc::Rc;

/// Which regions are worth a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// The first one, as always.
    First,
    /// Another one: the breaker of the first one is open.
    Others,
    /// None: each has an open breaker or is down. The soonest time to come again, and whether all are silent.
    None(Unavailable),
}

impl Availability {
    /// By the breakers of a route's pools. A request that finds a region due for a probe probes it.
    pub fn of(route: &ModelRoute, context: &RequestContext<'_>) -> Self {
        let open = |(pool, _): &(Rc<PoolId>, bool)| (context.breaker)(pool);
        let is_worth = |pool: &(Rc<PoolId>, bool)| pool.1 && open(pool).is_none();
        let may_probe = |(pool, _): &(Rc<PoolId>, bool)| (context.may_probe)(pool);
        let all: Vec<Unavailable> = route.pools.iter().filter_map(open).collect();
        let Some((first, others)) = route.pools.split_first().filter(|_| !all.is_empty()) else {
            return Self::First;
        };
        // Envoy itself skips a first region that is down.
        let others_are_worth = others.iter().any(is_worth);
        let is_asked_first = open(first).is_none() && (first.1 || others_are_worth);
        if is_asked_first || may_probe(first) {
            return Self::First;
        }
        if others_are_worth || others.iter().any(may_probe) {
            return Self::Others;
        }
        let waits = all.iter().map(|unavailable| unavailable.retry_after);
        Self::None(Unavailable {
            retry_after: waits.min().unwrap_or(1),
            is_silent: all.iter().all(|unavailable| unavailable.is_silent),
        })
    }
}
