//! Until when a policy's lease runs.

use super::Worker;
use crate::host::{Host, now_ms};
use meridian_policy::filter_policy::Lease;

/// The shared key of the lease and its arrival.
const KEY: &str = "lease";

/// When a lease expires that this Envoy has now, by the worker's clock. It runs from its first arrival: a VM that begins anew gets
/// the same lease once more.
pub fn lease_expires(host: &dyn Host, worker: &mut Worker, lease: Lease) -> u64 {
    let age = age(host, lease.given);
    let left = lease.runs_ms.saturating_sub(age);
    worker.steady_ms(host).saturating_add(left)
}

/// How long ago the lease that was given at this time arrived, in milliseconds.
fn age(host: &dyn Host, given: u64) -> u64 {
    let given = given.to_le_bytes();
    let now = now_ms(host);
    let (before, version) = host.shared(KEY);
    if let Some((before, [])) = before.as_deref().map(<[u8]>::as_chunks::<8>)
        && let [then, arrived] = before
        && *then == given
    {
        return now.saturating_sub(u64::from_le_bytes(*arrived));
    }
    // If another worker was first, it was at the same moment.
    let _ = host.set_shared(KEY, &[given, now.to_le_bytes()].concat(), version);
    0
}
