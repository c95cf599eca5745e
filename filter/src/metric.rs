//! Counters and histograms, in Envoy's own statistics. Their labels stand in their names, from where Envoy's tag extraction
//! takes them (`meridian bootstrap` has the rules): `meridian_attempts;zone=eea;model=m;...`.

use meridian_policy::FallbackName;
use meridian_policy::chain::Member;
use meridian_policy::guard::Usage;
use meridian_policy::guard::load::Load;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// The ids of those in use. Names come from the fleet, so there are not many.
    static IDS: RefCell<HashMap<String, u32>> = RefCell::default();
}

/// Counts an attempt.
pub fn attempt(zone: &str, model: &str, lane: &str, to: &str, outcome: &str) {
    let model = plain(model);
    add(
        format!(
            "meridian_attempts;zone={zone};model={model};lane={lane};to={to};outcome={outcome}"
        ),
        1,
    );
}

/// Takes in the time to the first piece of a streamed answer.
pub fn first_token(model: &str, to: &str, milliseconds: u64) {
    let name = format!("meridian_first_token_ms;model={};to={to}", plain(model));
    if let Some(id) = id(MetricType::Histogram, name) {
        let _ = hostcalls::record_metric(id, milliseconds);
    }
}

/// Counts an answer of 200 that was none.
pub fn failure(model: &str, to: &str, what: &str) {
    add(
        format!(
            "meridian_failures;model={};to={to};what={what}",
            plain(model)
        ),
        1,
    );
}

/// Counts the tokens of an answer, where it was made.
pub fn tokens(zone: &str, model: &str, to: &str, usage: Usage) {
    let model = plain(model);
    for (what, count) in [
        ("prompt", usage.prompt),
        ("completion", usage.completion),
        ("cached", usage.cached),
    ] {
        if count > 0 {
            add(
                format!("meridian_tokens;zone={zone};model={model};to={to};what={what}"),
                count,
            );
        }
    }
}

/// Shows what a server said of its load.
pub fn load(model: &str, to: &str, load: Load) {
    let percent = load.kv_cache.map(|ratio| ratio * 100.0);
    for (what, value) in [("waiting", load.waiting), ("kv_cache_percent", percent)] {
        let Some(value) = value else { continue };
        let name = format!("meridian_load;model={};to={to};what={what}", plain(model));
        if let Some(id) = id(MetricType::Gauge, name) {
            let _ = hostcalls::record_metric(id, value.round() as u64);
        }
    }
}

/// Counts a request that a fallback's budget did not let through: `requests` or `usd`.
pub fn over_budget(fallback: &FallbackName, what: &str) {
    add(
        format!("meridian_over_budget;to={};what={what}", to(fallback)),
        1,
    );
}

/// Counts what a fallback has cost, in billionths of a dollar.
pub fn spent(fallback: &FallbackName, nanousd: u64) {
    let microusd = nanousd / 1000;
    if microusd > 0 {
        add(
            format!("meridian_spent_microusd;to={}", to(fallback)),
            microusd,
        );
    }
}

/// Counts an answer that says that it was made where it may not be.
pub fn misplaced(fallback: &FallbackName) {
    add(format!("meridian_misplaced;to={}", to(fallback)), 1);
}

fn to(fallback: &FallbackName) -> String {
    Member::Fallback(fallback.clone()).answers_as()
}

fn add(name: String, count: u64) {
    if let Some(id) = id(MetricType::Counter, name) {
        // What cannot be counted is no reason to fail.
        let _ = hostcalls::increment_metric(id, i64::try_from(count).unwrap_or(i64::MAX));
    }
}

fn id(kind: MetricType, name: String) -> Option<u32> {
    IDS.with_borrow_mut(|ids| {
        if let Some(id) = ids.get(&name) {
            return Some(*id);
        }
        let id = hostcalls::define_metric(kind, &name).ok()?;
        ids.insert(name, id);
        Some(id)
    })
}

/// A dot would end the tag that Envoy takes the label into.
fn plain(model: &str) -> String {
    meridian_policy::name::stat(model)
}
