//! LiteLLM's cooldowns: a deployment that fails more than so often within a minute is left out for a while.

use std::collections::BTreeMap;

/// `allowed_fails`, of a minute.
const ALLOWED: usize = 3;
/// `cooldown_time`'s default, in seconds.
const TIME: f64 = 5.0;

/// What has failed lately, by gateway and region.
#[derive(Default)]
pub struct Cooldown {
    /// When it failed, and until when it is left out.
    failures: BTreeMap<(usize, usize), (Vec<f64>, f64)>,
}

impl Cooldown {
    /// An attempt failed.
    pub fn failed(&mut self, home: usize, region: usize, now: f64) {
        let (failures, until) = self.failures.entry((home, region)).or_default();
        failures.retain(|at| now - at < 60.0);
        failures.push(now);
        if failures.len() > ALLOWED {
            *until = now + TIME;
        }
    }

    /// Those that are not left out, and then those that are, each in their order.
    pub fn order(&self, home: usize, allowed: &[usize], now: f64) -> (Vec<usize>, Vec<usize>) {
        let is_well = |region: &usize| {
            let failures = self.failures.get(&(home, *region));
            failures.is_none_or(|(_, until)| *until <= now)
        };
        allowed.iter().partition(|region| is_well(region))
    }
}
