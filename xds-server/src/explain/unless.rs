//! What the gateway may know beside what the control plane knows, and what it would change.

use super::decisions::{Case, Decided, Tried, Unknown};
use super::explanation::Unless;
use super::place::Known;
use meridian_policy::filter_policy::ModelRule;

/// What the gateway may know, and what it would change.
pub fn unless(known: Known<'_>, case: &Case<'_>, rule: &ModelRule, base: &Tried) -> Vec<Unless> {
    let Some((first, others)) = rule.regions.split_first() else {
        return Vec::new();
    };
    let lease = known.policy.lease.map(|lease| lease.runs_ms / 1000);
    let facts = [
        (
            Unknown::Open(first),
            format!(
                "the gateway's breaker of {first} is open: it has served none of the last requests"
            ),
        ),
        (
            Unknown::AllOpen,
            "the gateway's breakers of all regions are open".to_owned(),
        ),
        (
            Unknown::Refuses(first),
            format!("{first} has refused half of the gateway's last requests for lack of room"),
        ),
        (
            Unknown::LeaseRanOut,
            format!(
                "the gateway has had no news of the control plane for {} s",
                lease.unwrap_or_default()
            ),
        ),
    ];
    // With one region, all breakers are its.
    let is_new = |unknown: &Unknown<'_>| *unknown != Unknown::AllOpen || !others.is_empty();
    let facts = facts.into_iter().filter(|(unknown, _)| is_new(unknown));
    let facts = facts.filter_map(|(unknown, when)| {
        let tried = case.tried(unknown);
        tried.differs(base).then(|| Unless {
            when,
            then: tried.decided.iter().map(|it| then(it, &tried)).collect(),
        })
    });
    facts.collect()
}

fn then(decided: &Decided, tried: &Tried) -> String {
    let percent = f64::from(decided.requests) / f64::from(tried.requests) * 100.0;
    let part = match percent {
        100.0 => String::new(),
        percent => format!("{percent:.0} %: "),
    };
    let to = match (&decided.first, decided.lane()) {
        (Some(first), _) => format!(", {first} first"),
        (None, Some(_)) => ", the fallbacks".to_owned(),
        (None, None) => String::new(),
    };
    format!("{part}{}{to}", decided.header())
}
