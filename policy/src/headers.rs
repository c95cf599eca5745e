//! The headers that Meridian owns. A gateway removes a caller's `x-meridian-*` headers, except [`FOR_CALLERS`]. Only the filter,
//! and other gateways over mTLS, may set them.

/// The prefix of all Meridian headers.
pub const PREFIX: &str = "x-meridian-";
/// The residency zone of the caller, for people. The filter sets it. Routes do not match on it.
pub const ZONE: &str = "x-meridian-zone";
/// The ID of the definition of the zone under which the request was decided. The filter sets it. Routes and the rules for peers match
/// on it.
pub const DEFINITION: &str = "x-meridian-definition";
/// The model of the request. The filter sets it, and routes match on it.
pub const MODEL: &str = "x-meridian-model";
/// Set by callers: the needs of the request besides a response, `fresh`. Routes do not match on it.
pub const NEEDS: &str = "x-meridian-needs";
/// Set by callers: `batch` for a request that can wait, else `interactive`.
pub const TIER: &str = "x-meridian-tier";
/// Set by callers: the session of the request. Requests of one session stay together. It replaces the session that the body
/// suggests.
pub const SESSION: &str = "x-meridian-session";
/// The headers that callers may set.
pub const FOR_CALLERS: [&str; 3] = [NEEDS, TIER, SESSION];
/// The lane of the request: `home`, `overflow`, `fresh`, `batch` or `fallback`.
pub const LANE: &str = "x-meridian-lane";
/// `1` for a request with a streamed response, else `0`. The two have different timeouts.
pub const STREAM: &str = "x-meridian-stream";
/// Marks a health check of another gateway's vector database.
pub const VECTOR_DB: &str = "x-meridian-vector-db";
/// Picks one region of the overflow, fresh or batch lane. All requests of a conversation have the same value. It does not leave
/// the gateway.
pub const SPREAD: &str = "x-meridian-spread";
/// The number of the request, which no other request of the gateway has. It ties a request's attempts together: callers may give
/// several requests the same `x-request-id`.
pub const REQUEST: &str = "x-meridian-request";
/// The slot of the request: Envoy hashes it to pick a healthy server of a pool. A gateway that receives the request from a peer
/// sets a new slot.
pub const SLOT: &str = "x-meridian-slot";
/// The slot of the request's conversation, if the request has another slot. It is for other gateways.
pub const AFFINITY_SLOT: &str = "x-meridian-place";
/// Tells a peer that the prompt is too long for its pool. The guard sets it on an attempt.
pub const TOO_LONG: &str = "x-meridian-too-long";
/// The length in bytes of a request without `content-length`.
pub const LENGTH: &str = "x-meridian-length";
/// Whether the gateway tells the control plane of the request, [`SAMPLED`] or [`UNTOLD`]. Without it: if the request is refused, fails over
/// or is answered by a fallback.
pub const REPORT: &str = "x-meridian-report";
/// A value of [`REPORT`]: it is told of, whatever becomes of it.
pub const SAMPLED: &str = "sampled";
/// A value of [`REPORT`]: it is not told of, since there are too many at this moment.
pub const UNTOLD: &str = "untold";
/// Marks a request that the filter answered itself. It keeps Envoy's local-reply format away from that response.
pub const REFUSED: &str = "x-meridian-refused";
/// On responses: the reason for the route, for example `lane=home zone=eea by=cf-ipcountry model=m`.
pub const DECISION: &str = "x-meridian-decision";
/// On responses: the region that answered, or `fallback/<name>`. The guard sets it on the answer of an attempt, and the egress
/// filter on that of a provider. Envoy's own errors have none.
pub const REGION: &str = "x-meridian-region";
/// Envoy's header for the per-try timeout, in milliseconds. It overrides the route's `per_try_timeout`. Envoy's router removes
/// it.
pub const PER_TRY_TIMEOUT: &str = "x-envoy-upstream-rq-per-try-timeout-ms";

/// Envoy's header for the maximum number of retries. It overrides the route's `num_retries`. Envoy's router removes it.
pub const MAX_RETRIES: &str = "x-envoy-max-retries";

/// Envoy's header for the number of attempts of a request, the present one included.
pub const ATTEMPT: &str = "x-envoy-attempt-count";

/// On responses: asks Envoy for the next member of the chain. A gateway sets it when it refuses a peer. The guard sets it when a
/// response is final for this server but not for others. It never reaches a caller.
pub const RETRY: &str = "x-meridian-retry";

/// Envoy's header that excludes a response from all other retry conditions. The guard sets it on a response of the last
/// fallback. It never reaches a caller.
pub const FINAL: &str = "x-envoy-ratelimited";

/// Seconds after which a caller should try again if no member answered. Health checks and ejections change within seconds.
pub const RETRY_AFTER: &str = "2";

/// Whether a header has Meridian's prefix.
pub fn is_ours(name: &str) -> bool {
    name.len() >= PREFIX.len()
        && name.as_bytes()[..PREFIX.len()].eq_ignore_ascii_case(PREFIX.as_bytes())
}
