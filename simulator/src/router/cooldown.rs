//! LiteLLM's cooldowns: a deployment that fails too often within a minute is skipped for some seconds.

use std::collections::BTreeMap;

/// LiteLLM's `allowed_fails`: failures per minute.
const ALLOWED_FAILS: usize = 3;
/// LiteLLM's default `cooldown_time`, in seconds.
const COOLDOWN_TIME: f64 = 5.0;

/// Recent failures by gateway and region.
#[derive(Default)]
pub struct Cooldown {
    /// Times of recent failures, and the end of the cooldown, in seconds.
    failures: BTreeMap<(usize, usize), (Vec<f64>, f64)>,
}

impl Cooldown {
    /// Records a failed attempt.
    pub fn record_failure(&mut self, home: usize, region: usize, now: f64) {
        let (failures, until) = self.failures.entry((home, region)).or_default();
        failures.retain(|at| now - at < 60.0);
        failures.push(now);
        if failures.len() > ALLOWED_FAILS {
            *until = now + COOLDOWN_TIME;
        }
    }

    /// Splits regions into available ones and ones that cool down. Both keep their order.
    pub fn partition(&self, home: usize, regions: &[usize], now: f64) -> (Vec<usize>, Vec<usize>) {
        let is_available = |region: &usize| {
            let failures = self.failures.get(&(home, *region));
            failures.is_none_or(|(_, until)| *until <= now)
        };
        regions.iter().partition(|region| is_available(region))
    }
}
