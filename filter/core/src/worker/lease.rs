//! Until when a policy's lease runs, by this gateway's clock.

use crate::host::{Host, now_ms};
use meridian_policy::filter_policy::Lease;

/// The shared key of the lease and its arrival.
const KEY: &str = "lease";

/// When a lease expires that this Envoy has now, in milliseconds since the Unix epoch. It runs from its first arrival: a
/// VM that begins anew gets the same lease once more.
pub fn lease_expires(host: &dyn Host, lease: Lease) -> u64 {
    let given = lease.given.to_le_bytes();
    let (before, version) = host.shared(KEY);
    let before = before.unwrap_or_default();
    let (before, []) = before.as_chunks::<8>() else {
        return now_ms(host).saturating_add(lease.runs_ms);
    };
    let arrived = match before {
        [then, arrived] if *then == given => u64::from_le_bytes(*arrived),
        _ => {
            let now = now_ms(host);
            let bytes = [given, now.to_le_bytes()].concat();
            // If another worker was first, it was at the same moment.
            let _ = host.set_shared(KEY, &bytes, version);
            now
        }
    };
    arrived.saturating_add(lease.runs_ms)
}
