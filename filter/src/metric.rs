//! Counters and histograms, in Envoy's own statistics. Their labels stand in their names, from where Envoy's tag extraction
//! takes them (`meridian bootstrap` has the rules): `meridian_attempts;zone=eea;model=m;...`.

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
    let name = format!(
        "meridian_attempts;zone={zone};model={model};lane={lane};to={to};outcome={outcome}"
    );
    if let Some(id) = id(MetricType::Counter, name) {
        // What cannot be counted is no reason to fail.
        let _ = hostcalls::increment_metric(id, 1);
    }
}

/// Takes in the time to the first piece of a streamed answer.
pub fn first_token(model: &str, to: &str, milliseconds: u64) {
    let name = format!("meridian_first_token_ms;model={};to={to}", plain(model));
    if let Some(id) = id(MetricType::Histogram, name) {
        let _ = hostcalls::record_metric(id, milliseconds);
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
