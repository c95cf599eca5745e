//! What the gateway may know beside what the control plane knows, and what it would change.

use super::decisions::{Assumption, Case, Decided, Decisions};
use super::explanation::Unless;
use super::place::Inputs;
use meridian_policy::filter_policy::ModelRule;

/// What the gateway may know, and what it would change.
pub fn unless(
    inputs: Inputs<'_>,
    case: &Case<'_>,
    rule: &ModelRule,
    base: &Decisions,
) -> Vec<Unless> {
    let Some((first, others)) = rule.regions.split_first() else {
        return Vec::new();
    };
    let lease = inputs.policy.lease.map(|lease| lease.runs_ms / 1000);
    let facts = [
        (
            Assumption::Open(first),
            format!(
                "the gateway's breaker of {first} is open: it has served none of the last requests"
            ),
        ),
        (
            Assumption::AllOpen,
            "the gateway's breakers of all regions are open".to_owned(),
        ),
        (
            Assumption::Refuses(first),
            format!("{first} has refused half of the gateway's last requests for lack of room"),
        ),
        (
            Assumption::LeaseRanOut,
            format!(
                "the gateway has had no news of the control plane for {} s",
                lease.unwrap_or_default()
            ),
        ),
    ];
    // With one region, all breakers are its.
    let is_new =
        |assumption: &Assumption<'_>| *assumption != Assumption::AllOpen || !others.is_empty();
    let facts = facts
        .into_iter()
        .filter(|(assumption, _)| is_new(assumption));
    let facts = facts.filter_map(|(assumption, when)| {
        let tried = case.tried(assumption);
        tried.differs(base).then(|| Unless {
            when,
            then: tried.decided.iter().map(|it| then(it, &tried)).collect(),
        })
    });
    facts.collect()
}

fn then(decided: &Decided, tried: &Decisions) -> String {
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
