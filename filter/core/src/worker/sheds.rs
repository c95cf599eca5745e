//! What pools refuse, and the load that their servers report. Each worker knows what it was answered; what follows from it all
//! workers of the Envoy share.

use crate::host::{Host, now_ms};
use crate::routes::{PoolId, loaded_key, refused_key};
use crate::shed_level::{RecentAnswers, ShedLevel, excess};
use hashbrown::HashMap;

/// Tries to write what another worker writes at the same moment. What is lost is one answer's worth.
const TRIES: usize = 5;

/// This worker's answers, by the pools' names.
#[derive(Debug, Default)]
pub struct Sheds {
    /// Which of them were refusals.
    refusals: HashMap<String, RecentAnswers>,
    /// The load that they reported.
    loads: HashMap<String, RecentAnswers>,
}

impl Sheds {
    /// A pool has answered. The part of its recent answers that were refusals for lack of room.
    pub fn note_answer(&mut self, host: &dyn Host, pool: &str, refused: bool) -> f64 {
        let recent = self.refusals.entry_ref(pool).or_default();
        recent.note_answer(refused, now_ms(host))
    }

    /// A pool's server has reported its load, a ratio. `above` is the limit.
    pub fn note_load(&mut self, host: &dyn Host, pool: &str, load: f64, above: f64) {
        let now = now_ms(host);
        let mean = self.loads.entry_ref(pool).or_default().note_load(load, now);
        let part = excess(mean, above);
        if part > 0.0 {
            change(host, &loaded_key(pool), |loaded| {
                loaded.after_load_report(part, now)
            });
        }
    }
}

/// A pool has refused a request for lack of room. `part`: of its recent answers; `retry_after`: seconds.
pub fn note_refusal(host: &dyn Host, pool: &str, part: f64, retry_after: Option<u64>) {
    change(host, &refused_key(pool), |refused| {
        refused.after_refusal(part, retry_after, now_ms(host))
    });
}

/// The part of a pool's requests that it refuses now, 0 to 1.
pub fn refused(host: &dyn Host, pool: &PoolId) -> f64 {
    level(host, &pool.refused_key)
}

/// The part of a pool's requests that is too much by its servers' load reports, 0 to 1.
pub fn loaded(host: &dyn Host, pool: &PoolId) -> f64 {
    level(host, &pool.loaded_key)
}

fn level(host: &dyn Host, key: &str) -> f64 {
    match host.shared(key) {
        (Some(bytes), _) => ShedLevel::from_bytes(&bytes).level(now_ms(host)),
        (None, _) => 0.0,
    }
}

/// Changes what all workers share.
fn change(host: &dyn Host, key: &str, change: impl Fn(ShedLevel) -> ShedLevel) {
    for _ in 0..TRIES {
        let (before, version) = host.shared(key);
        let after = change(ShedLevel::from_bytes(&before.unwrap_or_default()));
        if host.set_shared(key, &after.to_bytes(), version) {
            return;
        }
    }
}
