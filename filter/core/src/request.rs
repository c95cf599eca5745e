//! A request, and the moment at which it is decided.

use crate::pace::Pace;
use crate::routes::PoolId;
use crate::slots::Ask;
use meridian_policy::ModelName;
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

/// The moment and the gateway at which a request is decided.
pub struct RequestContext<'a> {
    /// The request's own id, for requests that belong to no conversation.
    pub request_id: &'a [u8],
    /// The policy's lease has run out: home first.
    pub lease_ran_out: bool,
    /// The part of a pool's requests that it refused lately, 0 to 1.
    pub refused: &'a dyn Fn(&PoolId) -> f64,
    /// The part of a pool's requests that is too much by its servers' load reports, 0 to 1.
    pub loaded: &'a dyn Fn(&PoolId) -> f64,
    /// How soon a pool gives first tokens.
    pub pace: &'a dyn Fn(&PoolId) -> Pace,
    /// Picks the slot, and so the server, of a request that goes to this region's own pool of a model.
    pub slot: &'a dyn Fn(&ModelName, Ask) -> u16,
    /// By the gateway's own clock, in milliseconds.
    pub now_ms: u64,
}
