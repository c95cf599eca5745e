//! The input of a decision: a request's head, and its context.

use crate::breaker::Unavailable;
use crate::header_map::HeaderMap;
use crate::pace::PoolPace;
use crate::routes::PoolId;
use crate::slots::SlotRequest;
use meridian_policy::ModelName;
use std::net::IpAddr;

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path with its query.
    pub path: &'a str,
    /// The address of the connection's other end. `None` if it is no IP address.
    pub source: Option<IpAddr>,
    /// All headers.
    pub headers: &'a HeaderMap,
}

/// The time and the gateway's observations at the decision about a request.
pub struct RequestContext<'a> {
    /// The request's id, for requests without a conversation.
    pub request_id: &'a [u8],
    /// The policy's lease has run out: home first.
    pub lease_ran_out: bool,
    /// The fraction of a pool's requests that it refused recently, 0 to 1.
    pub refused: &'a dyn Fn(&PoolId) -> f64,
    /// The fraction of a pool's requests in excess of its limit by its servers' load reports, 0 to 1.
    pub loaded: &'a dyn Fn(&PoolId) -> f64,
    /// How soon a pool answers, by the gateway's own requests.
    pub pace: &'a dyn Fn(&PoolId) -> PoolPace,
    /// That a pool is not worth a request, if its breaker is open.
    pub breaker: &'a dyn Fn(&PoolId) -> Option<Unavailable>,
    /// Whether this request may probe a pool whose breaker is open. No other may for a while.
    pub may_probe: &'a dyn Fn(&PoolId) -> bool,
    /// The budget of hedges is used up.
    pub hedges_used_up: bool,
    /// Counts a request for a pool that is drained, and whether it begins a conversation. Returns the part of the pool's requests that do,
    /// 0 to 1.
    pub begins: &'a dyn Fn(&PoolId, bool) -> f64,
    /// Picks the slot, and so the server, in this region's own pool of a model.
    pub slot: &'a dyn Fn(&ModelName, SlotRequest) -> u16,
    /// The time by the gateway's own clock, in milliseconds.
    pub now_ms: u64,
}
