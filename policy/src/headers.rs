//! The headers that Meridian owns. A caller's own `x-meridian-*` headers are always removed, but for those that are for callers:
//! only the filter and, over mTLS, another gateway may set them.

/// Every header with this prefix is Meridian's.
pub const PREFIX: &str = "x-meridian-";
/// The residency zone that the filter decided on; routes match on it.
pub const ZONE: &str = "x-meridian-zone";
/// The model that the request names; routes match on it.
pub const MODEL: &str = "x-meridian-model";
/// From callers: what they need besides an answer, `fresh`. No route is picked by it but by what the filter makes of it.
pub const NEEDS: &str = "x-meridian-needs";
/// From callers: `batch` for what can wait, else `interactive`.
pub const TIER: &str = "x-meridian-tier";
/// From callers: requests of one session stay together. In the place of what their bodies tell of it.
pub const SESSION: &str = "x-meridian-session";
/// Those that are for callers.
pub const FOR_CALLERS: [&str; 3] = [NEEDS, TIER, SESSION];
/// The lane that the filter chose: `home`, `overflow`, `fresh`, `batch` or `fallback`.
pub const LANE: &str = "x-meridian-lane";
/// `1` if the caller asked for a streamed answer, else `0`: the two have different time limits.
pub const STREAM: &str = "x-meridian-stream";
/// On a health check of another gateway: it asks for the vector database.
pub const VECTOR_DB: &str = "x-meridian-vector-db";
/// Picks one of the overflow, fresh or batch lane's regions: the same for every request of a conversation. It ends at the gateway.
pub const SPREAD: &str = "x-meridian-spread";
/// Picks the server in a pool: a number that Envoy hashes over the healthy ones. A gateway that gets a request from another one picks anew.
pub const SLOT: &str = "x-meridian-slot";
/// The slot of a request's conversation, where the slot is another one: for other gateways.
pub const AFFINITY_SLOT: &str = "x-meridian-place";
/// The bytes of a request that does not say its length itself.
pub const LENGTH: &str = "x-meridian-length";
/// On a request that the filter answered itself: keeps Envoy's local-reply format away from the answer.
pub const REFUSED: &str = "x-meridian-refused";
/// On answers: why the request went where it went, e.g. `lane=home zone=eea by=cf-ipcountry model=m`.
pub const DECISION: &str = "x-meridian-decision";
/// On answers: the region that answered, or `fallback/<name>`. Set by Envoy from the endpoint's metadata.
pub const REGION: &str = "x-meridian-region";
/// Envoy's own, in milliseconds: how long each attempt may be silent. Its router reads it in place of the route's
/// `per_try_timeout`, and takes it off.
pub const PER_TRY_TIMEOUT: &str = "x-envoy-upstream-rq-per-try-timeout-ms";

/// Envoy's own: how many attempts a request has had, the present one included.
pub const ATTEMPT: &str = "x-envoy-attempt-count";

/// A response header that asks for the next member of the chain: a gateway sets it where it refuses a peer, the guard where
/// an answer is final for its server but not for others. It never reaches a caller.
pub const RETRY: &str = "x-meridian-retry";

/// Envoy's own: an answer that carries it is retried under no other condition. The guard sets it where the last resort has
/// answered. It never reaches a caller.
pub const FINAL: &str = "x-envoy-ratelimited";

/// Seconds until a caller should try again who found nobody to answer: health checks and ejections move within seconds.
pub const RETRY_AFTER: &str = "2";

/// Whether a header is one of Meridian's own.
pub fn is_ours(name: &str) -> bool {
    name.len() >= PREFIX.len()
        && name.as_bytes()[..PREFIX.len()].eq_ignore_ascii_case(PREFIX.as_bytes())
}
