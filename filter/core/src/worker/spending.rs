//! What a fallback has cost this Envoy: all workers share it.

use crate::budget::{Admitted, BudgetExceeded, Estimate, Spending};
use crate::host::{Host, now_ms};
use meridian_policy::egress_policy::{Budget, EgressPolicy};

/// Tries to write what other workers write at the same moment.
const TRIES: usize = 100;
/// Money is not spent that cannot be counted.
const BUSY: BudgetExceeded = BudgetExceeded {
    limit: "busy",
    retry_after: 1,
};

/// Takes what a request may cost off a fallback's budget. `None`: it has neither budget nor price.
///
/// # Errors
/// The budget is spent, or other workers were faster at every try.
pub fn admit(
    host: &dyn Host,
    policy: &EgressPolicy,
    estimate: Estimate,
) -> Result<Option<Admitted>, BudgetExceeded> {
    let now = now_ms(host);
    if policy.budget == Budget::default() && policy.price.is_none() {
        return Ok(None);
    }
    let admitted = change(host, policy, |spending| {
        spending.admit(&policy.budget, estimate, now)
    });
    admitted.map_or(Err(BUSY), |admitted| admitted.map(Some))
}

/// An admitted request has cost so much, in billionths of a dollar.
pub fn settle(host: &dyn Host, policy: &EgressPolicy, admitted: Admitted, cost: u64) {
    let now = now_ms(host);
    // If it is lost, the budget is too small for an hour.
    let _ = change(host, policy, |spending| {
        spending.settle(admitted, cost, now)
    });
}

/// An admitted request never reached its provider.
pub fn give_back(host: &dyn Host, policy: &EgressPolicy, admitted: Admitted) {
    let now = now_ms(host);
    let _ = change(host, policy, |spending| spending.give_back(admitted, now));
}

/// Writes an empty account if there is none: the first write to a key is not compared with what other workers write.
pub fn begin_spending(host: &dyn Host, policy: &EgressPolicy) {
    let key = key(policy);
    if let (None, _) = host.shared(&key) {
        let _ = host.set_shared(&key, &Spending::default().to_bytes(), None);
    }
}

fn key(policy: &EgressPolicy) -> String {
    format!("spending {}", policy.fallback)
}

/// Changes what was spent with a fallback. `None`: other workers were faster at every try.
fn change<R>(
    host: &dyn Host,
    policy: &EgressPolicy,
    mut change: impl FnMut(&mut Spending) -> R,
) -> Option<R> {
    let key = key(policy);
    for _ in 0..TRIES {
        let (before, version) = host.shared(&key);
        let mut spending = Spending::from_bytes(&before.unwrap_or_default());
        let result = change(&mut spending);
        if host.set_shared(&key, &spending.to_bytes(), version) {
            return Some(result);
        }
    }
    None
}
