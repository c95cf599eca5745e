//! What all workers of an Envoy share, and the clock.

use meridian_policy::budget::{Admitted, Budget, Estimate, Over, Spending};
use meridian_policy::clock::Steady;
use meridian_policy::cooling::{Cooling, Lately, surplus};
use meridian_policy::egress::EgressPolicy;
use meridian_policy::filter_policy::Lease;
use proxy_wasm::hostcalls;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tries to write what another worker writes at the same moment. What is lost is one answer's worth.
const TRIES: usize = 5;

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    u64::try_from(now().as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds of this worker's, for what it measures itself: a clock that is set moves nothing.
pub fn steady_ms() -> u64 {
    let now = now_ms();
    STEADY.with_borrow_mut(|clock| clock.at(now))
}

/// Nanoseconds since the Unix epoch.
pub fn now_ns() -> u64 {
    u64::try_from(now().as_nanos()).unwrap_or(u64::MAX)
}

fn now() -> Duration {
    let now = hostcalls::get_current_time().unwrap_or(UNIX_EPOCH);
    now.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

thread_local! {
    static STEADY: RefCell<Steady> = RefCell::default();
    /// What each pool answered this worker.
    static LATELY: RefCell<HashMap<String, Lately>> = RefCell::default();
    /// How full each pool told this worker that it is.
    static TOLD: RefCell<HashMap<String, Lately>> = RefCell::default();
    /// Requests of this worker whose answer broke off, and how.
    static BROKEN: RefCell<HashMap<String, &'static str>> = RefCell::default();
}

/// Requests that are remembered until they are logged.
const MOST_BROKEN: usize = 1000;

/// A request's answer has broken off when the caller had a part of it.
pub fn note_broken(request_id: &str, how: &'static str) {
    BROKEN.with_borrow_mut(|all| {
        if all.len() < MOST_BROKEN {
            all.insert(request_id.to_owned(), how);
        }
    });
}

/// How a request's answer broke off, if it did.
pub fn take_broken(request_id: &str) -> Option<&'static str> {
    BROKEN.with_borrow_mut(|all| all.remove(request_id))
}

/// A region's pool has answered; the part of its answers lately that were refusals for lack of room.
pub fn note_answer(region: &str, model: &str, refused: bool) -> f64 {
    let now = now_ms();
    LATELY.with_borrow_mut(|all| {
        let lately = all.entry(key(region, model)).or_default();
        lately.note(refused, now)
    })
}

/// A region's pool has refused a request for lack of room.
pub fn note_refusal(region: &str, model: &str, part: f64, retry_after: Option<u64>) {
    change(&key(region, model), |cooling| {
        cooling.after_refusal(part, retry_after, now_ms())
    });
}

/// Changes what all workers share.
fn change(key: &str, change: impl Fn(Cooling) -> Cooling) {
    for _ in 0..TRIES {
        let (before, version) = hostcalls::get_shared_data(key).unwrap_or_default();
        let after = change(Cooling::from_bytes(&before.unwrap_or_default()));
        if hostcalls::set_shared_data(key, Some(&after.to_bytes()), version).is_ok() {
            return;
        }
    }
}

/// A region's pool has said how full it is, as a ratio. `above` is the limit.
pub fn note_load(region: &str, model: &str, load: f64, above: f64) {
    let now = now_ms();
    let mean = TOLD.with_borrow_mut(|all| {
        let told = all.entry(key(region, model)).or_default();
        told.note_load(load, now)
    });
    let part = surplus(mean, above);
    if part > 0.0 {
        change(&full_key(region, model), |full| {
            full.after_surplus(part, now)
        });
    }
}

/// How much the share of a region's pool is lowered now because it refuses, 0 to 1.
pub fn cooling(region: &str, model: &str) -> f64 {
    level(&key(region, model))
}

/// What part of its requests is too much for a region's pool now, by its own word, 0 to 1.
pub fn full(region: &str, model: &str) -> f64 {
    level(&full_key(region, model))
}

fn level(key: &str) -> f64 {
    match hostcalls::get_shared_data(key) {
        Ok((Some(bytes), _)) => Cooling::from_bytes(&bytes).level(now_ms()),
        _ => 0.0,
    }
}

/// When a lease runs out that this Envoy has now, in milliseconds since the Unix epoch. It runs from its first arrival: a
/// VM that begins anew has the same one once more.
pub fn lease_runs_out(lease: Lease) -> u64 {
    let given = lease.given.to_le_bytes();
    let (before, version) = hostcalls::get_shared_data(LEASE).unwrap_or_default();
    let before = before.unwrap_or_default();
    let (before, []) = before.as_chunks::<8>() else {
        return now_ms().saturating_add(lease.runs_ms);
    };
    let arrived = match before {
        [then, arrived] if *then == given => u64::from_le_bytes(*arrived),
        _ => {
            let now = now_ms();
            let bytes = [given, now.to_le_bytes()].concat();
            // Where another worker was first, it was at the same moment.
            let _ = hostcalls::set_shared_data(LEASE, Some(&bytes), version);
            now
        }
    };
    arrived.saturating_add(lease.runs_ms)
}

/// Takes what a request may cost off a fallback's budget. `None`: it has none, and no price either.
pub fn admit(policy: &EgressPolicy, estimate: Estimate) -> Result<Option<Admitted>, Over> {
    let now = now_ms();
    if policy.budget == Budget::default() && policy.price.is_none() {
        return Ok(None);
    }
    spending(policy, |spending| {
        spending.admit(&policy.budget, estimate, now)
    })
    .map_or(Err(BUSY), |admitted| admitted.map(Some))
}

/// An admitted request has cost so much, in billionths of a dollar.
pub fn settle(policy: &EgressPolicy, admitted: Admitted, cost: u64) {
    let now = now_ms();
    // What is lost leaves the budget too small for an hour.
    let _ = spending(policy, |spending| spending.settle(admitted, cost, now));
}

/// An admitted request never reached its provider.
pub fn give_back(policy: &EgressPolicy, admitted: Admitted) {
    let now = now_ms();
    let _ = spending(policy, |spending| spending.give_back(admitted, now));
}

/// What was spent with a fallback is there from the start: what is written where nothing is, is not compared with what others
/// write.
pub fn begin_spending(policy: &EgressPolicy) {
    let key = spending_key(policy);
    if let Ok((None, _)) = hostcalls::get_shared_data(&key) {
        let nothing = Spending::default().to_bytes();
        let _ = hostcalls::set_shared_data(&key, Some(&nothing), None);
    }
}

fn spending_key(policy: &EgressPolicy) -> String {
    format!("spending {}", policy.fallback)
}

/// Changes what was spent with a fallback. `None`: other workers were faster every time.
fn spending<R>(policy: &EgressPolicy, mut change: impl FnMut(&mut Spending) -> R) -> Option<R> {
    let key = spending_key(policy);
    for _ in 0..MOST_TRIES {
        let (before, version) = hostcalls::get_shared_data(&key).unwrap_or_default();
        let mut spending = Spending::from_bytes(&before.unwrap_or_default());
        let result = change(&mut spending);
        if hostcalls::set_shared_data(&key, Some(&spending.to_bytes()), version).is_ok() {
            return Some(result);
        }
    }
    None
}

/// Tries where nothing may be lost.
const MOST_TRIES: usize = 100;
/// Money is not spent that cannot be counted.
const BUSY: Over = Over {
    what: "busy",
    retry_after: 1,
};

/// The lease, and when it arrived.
const LEASE: &str = "lease";

/// Names hold no spaces.
fn key(region: &str, model: &str) -> String {
    format!("cooling {region} {model}")
}

fn full_key(region: &str, model: &str) -> String {
    format!("full {region} {model}")
}
