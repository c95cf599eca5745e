//! What all workers of an Envoy share, and the clock.

use meridian_policy::cooling::Cooling;
use proxy_wasm::hostcalls;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tries to write what another worker writes at the same moment. What is lost is one answer's worth.
const TRIES: usize = 5;

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let now = hostcalls::get_current_time().unwrap_or(UNIX_EPOCH);
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A region's pool has said that it has too much to do.
pub fn note_overload(region: &str, model: &str, retry_after: Option<u64>) {
    let key = key(region, model);
    for _ in 0..TRIES {
        let (before, version) = hostcalls::get_shared_data(&key).unwrap_or_default();
        let before = Cooling::from_bytes(&before.unwrap_or_default());
        let after = before.after_overload(retry_after, now_ms());
        if hostcalls::set_shared_data(&key, Some(&after.to_bytes()), version).is_ok() {
            return;
        }
    }
}

/// How much the share of a region's pool is lowered now, 0 to 1.
pub fn cooling(region: &str, model: &str) -> f64 {
    match hostcalls::get_shared_data(&key(region, model)) {
        Ok((Some(bytes), _)) => Cooling::from_bytes(&bytes).level(now_ms()),
        _ => 0.0,
    }
}

/// Names hold no spaces.
fn key(region: &str, model: &str) -> String {
    format!("cooling {region} {model}")
}
