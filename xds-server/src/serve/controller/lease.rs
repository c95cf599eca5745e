//! Leases: how long gateways may act on a plan without hearing from the control plane.

use crate::serve::saved_state::SavedState;
use meridian_planner::signal::Millis;
use meridian_policy::Fleet;
use meridian_policy::filter_policy::Lease;
use std::time::Duration;

/// The length of a lease in milliseconds; unlimited without a control plane.
fn runs_ms(fleet: &Fleet) -> u64 {
    let length = fleet
        .control_plane
        .as_ref()
        .map(|control_plane| control_plane.lease);
    length.map_or(u64::MAX, |length| {
        u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
    })
}

/// A lease that begins now.
pub fn new_lease(fleet: &Fleet, now: Millis) -> Lease {
    Lease {
        given: now.0 / 1000,
        runs_ms: runs_ms(fleet),
    }
}

/// The lease that an earlier process has given, unless it is due.
pub fn lease_after(saved: Option<&SavedState>, fleet: &Fleet, now: Millis) -> Lease {
    let saved = saved.map(|saved| saved.lease);
    let given = |lease: &Lease| Millis(lease.given * 1000);
    let kept = saved.filter(|lease| !is_due(fleet, *lease, given(lease), now));
    kept.unwrap_or_else(|| new_lease(fleet, now))
}

/// Whether a lease has begun and has not ended.
pub fn is_running(lease: Lease, now: Millis) -> bool {
    let given = Millis(lease.given * 1000);
    given <= now && now.since(given) < Duration::from_millis(lease.runs_ms)
}

/// Whether a lease that is in force since a time must be renewed: after a third of its length, so that two renewals may be lost.
pub fn is_due(fleet: &Fleet, lease: Lease, since: Millis, now: Millis) -> bool {
    let third = Duration::from_millis(runs_ms(fleet) / 3);
    lease.runs_ms != runs_ms(fleet) || now.since(since) >= third
}

/// A third of a lease's length, in whole seconds.
pub fn third_s(lease: Lease) -> u64 {
    (lease.runs_ms / 3000).max(1)
}
