//! The open breakers of pools. All workers of the gateway share them in one text, which is empty as long as every pool serves.

use crate::breaker::{Fault, MAX_FAULTS, OpenBreaker, Unavailable};
use crate::host::{Host, now_ms};
use crate::routes::PoolId;
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// The shared key of the text.
const KEY: &str = "breakers";
/// Tries to write what another worker writes at the same moment. What is lost is one fault or one answer.
const TRIES: usize = 10;

/// What this worker knows of breakers, by the pools' names.
#[derive(Debug, Default)]
pub struct Breakers {
    /// Faults in a row that this worker has seen.
    faults: HashMap<String, u32>,
    /// The open breakers, as this worker has read them last.
    open: BTreeMap<String, OpenBreaker>,
}

impl Breakers {
    /// Reads what the other workers have written. To be called ten times a second.
    pub fn refresh(&mut self, host: &dyn Host) {
        let (open, _) = read(host);
        let before = std::mem::replace(&mut self.open, open);
        for pool in before.keys().filter(|pool| !self.open.contains_key(*pool)) {
            // Another worker was served.
            self.faults.remove(pool);
        }
    }

    /// That a pool is not worth a request, if its breaker is open.
    pub fn unavailable(&self, host: &dyn Host, pool: &PoolId) -> Option<Unavailable> {
        let breaker = self.open.get(&pool.name)?;
        Some(breaker.unavailable(now_ms(host)))
    }

    /// A pool has served a request. Whether its breaker closes.
    pub fn note_served(&mut self, host: &dyn Host, pool: &str) -> bool {
        if self.faults.is_empty() && self.open.is_empty() {
            return false;
        }
        self.faults.remove(pool);
        self.open.contains_key(pool) && self.change(host, |open| open.remove(pool).is_some())
    }

    /// A pool has not served a request. Whether its breaker opens, or has more to say.
    pub fn note_fault(&mut self, host: &dyn Host, pool: &str, fault: Fault) -> bool {
        let faults = self.faults.entry_ref(pool).or_default();
        *faults = faults.saturating_add(1);
        let (opens, now) = (*faults >= MAX_FAULTS, now_ms(host));
        if !opens && !self.open.contains_key(pool) {
            return false;
        }
        self.change(host, |open| {
            let after = match open.get(pool) {
                Some(breaker) => breaker.after(fault, now),
                None if opens => OpenBreaker::new(fault, now),
                None => return false,
            };
            open.insert(pool.to_owned(), after) != Some(after)
        })
    }

    /// Whether this request may probe a pool whose breaker is open: no other one may for a while.
    pub fn may_probe(&mut self, host: &dyn Host, pool: &PoolId) -> bool {
        let Some(breaker) = self.open.get(&pool.name) else {
            return false;
        };
        let now = now_ms(host);
        if !breaker.is_due(now) {
            return false;
        }
        self.change(host, |open| match open.get_mut(&pool.name) {
            Some(breaker) if breaker.is_due(now) => {
                *breaker = breaker.probed(now);
                true
            }
            _ => false,
        })
    }

    /// Changes what all workers share, and whether `change` did.
    fn change(
        &mut self,
        host: &dyn Host,
        mut change: impl FnMut(&mut BTreeMap<String, OpenBreaker>) -> bool,
    ) -> bool {
        for _ in 0..TRIES {
            let (mut open, version) = read(host);
            let is_changed = change(&mut open);
            let text: String = open.iter().map(|(pool, open)| open.to_line(pool)).collect();
            if !is_changed || host.set_shared(KEY, text.as_bytes(), version) {
                self.open = open;
                return is_changed;
            }
        }
        false
    }
}

fn read(host: &dyn Host) -> (BTreeMap<String, OpenBreaker>, Option<u32>) {
    let (bytes, version) = host.shared(KEY);
    let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
    let open = text.lines().filter_map(OpenBreaker::parse);
    let open = open.map(|(pool, breaker)| (pool.to_owned(), breaker));
    (open.collect(), version)
}
