//! LiteLLM's `latency-based-routing` as documented: the deployment with the lowest mean TTFT of the last ten answers of the last
//! hour. Deployments without answers are tried first. Failing deployments cool down.

use super::cooldown::Cooldown;
use super::interface::{AttemptResult, Decision, RouteQuery, Router, prefer};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};

/// LiteLLM's `max_latency_list_size`.
const MAX_LATENCIES: usize = 10;
/// LiteLLM's `ttl`, in seconds.
const TTL: f64 = 3600.0;

/// Router of [`Strategy::Latency`](crate::strategy::Strategy::Latency).
pub struct Latency {
    /// Recent answers by gateway and region: time of the answer and TTFT, in seconds.
    recent: BTreeMap<(usize, usize), VecDeque<(f64, f64)>>,
    cooldown: Cooldown,
    random: ChaCha8Rng,
}

impl Latency {
    pub fn new(random: ChaCha8Rng) -> Self {
        Self {
            recent: BTreeMap::new(),
            cooldown: Cooldown::default(),
            random,
        }
    }

    fn mean(&self, home: usize, region: usize, now: f64) -> f64 {
        let recent = self.recent.get(&(home, region)).into_iter().flatten();
        let fresh = recent.filter(|(at, _)| now - at < TTL);
        let (count, sum) = fresh.fold((0.0, 0.0), |(count, sum), (_, seconds)| {
            (count + 1.0, sum + seconds)
        });
        if count > 0.0 { sum / count } else { 0.0 }
    }
}

impl Router for Latency {
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision {
        let home = query.request.home;
        let (available, cooling) = self.cooldown.partition(home, query.candidates, query.now);
        let regions = if available.is_empty() {
            cooling
        } else {
            available
        };
        let means = regions
            .iter()
            .map(|region| self.mean(home, *region, query.now));
        let means: Vec<f64> = means.collect();
        let lowest = means.iter().copied().fold(f64::INFINITY, f64::min);
        let best = regions.iter().zip(&means);
        let best: Vec<usize> = best
            .filter(|(_, mean)| **mean <= lowest)
            .map(|(region, _)| *region)
            .collect();
        let region = best.choose(&mut self.random).copied();
        prefer(region.unwrap_or(query.candidates[0]), query.candidates)
    }

    fn on_attempt(&mut self, result: &AttemptResult, now: f64) {
        let (home, region) = (result.home, result.region);
        let Some(seconds) = result.first_token else {
            self.cooldown.record_failure(home, region, now);
            return;
        };
        let recent = self.recent.entry((home, region)).or_default();
        recent.push_back((now, seconds));
        if recent.len() > MAX_LATENCIES {
            recent.pop_front();
        }
    }
}
