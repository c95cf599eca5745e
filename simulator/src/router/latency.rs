//! LiteLLM's `latency-based-routing`, as it is documented: the deployment whose last answers were the fastest. For streams it
//! is the time to the first token that counts; the mean of the last ten, kept for an hour; who has none yet is tried first,
//! and who fails cools down.

use super::cooldown::Cooldown;
use super::interface::{Answered, Ask, Router, Verdict, first};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};

/// `max_latency_list_size`.
const KEPT: usize = 10;
/// `ttl`, in seconds.
const TTL: f64 = 3600.0;

pub struct Latency {
    /// By gateway and region: when answers came, and after how many seconds.
    last: BTreeMap<(usize, usize), VecDeque<(f64, f64)>>,
    cooldown: Cooldown,
    random: ChaCha8Rng,
}

impl Latency {
    pub fn new(random: ChaCha8Rng) -> Self {
        Self {
            last: BTreeMap::new(),
            cooldown: Cooldown::default(),
            random,
        }
    }

    fn mean(&self, home: usize, region: usize, now: f64) -> f64 {
        let last = self.last.get(&(home, region)).into_iter().flatten();
        let fresh = last.filter(|(at, _)| now - at < TTL);
        let (count, sum) = fresh.fold((0.0, 0.0), |(count, sum), (_, seconds)| {
            (count + 1.0, sum + seconds)
        });
        if count > 0.0 { sum / count } else { 0.0 }
    }
}

impl Router for Latency {
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        let home = ask.request.home;
        let (well, cooling) = self.cooldown.order(home, ask.allowed, ask.now);
        let among = if well.is_empty() { cooling } else { well };
        let means = among.iter().map(|region| self.mean(home, *region, ask.now));
        let means: Vec<f64> = means.collect();
        let least = means.iter().copied().fold(f64::INFINITY, f64::min);
        let best = among.iter().zip(&means);
        let best: Vec<usize> = best
            .filter(|(_, mean)| **mean <= least)
            .map(|(region, _)| *region)
            .collect();
        let region = best.choose(&mut self.random).copied();
        first(region.unwrap_or(ask.allowed[0]), ask.allowed)
    }

    fn answered(&mut self, answered: &Answered, now: f64) {
        let (home, region) = (answered.home, answered.region);
        let Some(seconds) = answered.first_token else {
            self.cooldown.failed(home, region, now);
            return;
        };
        let last = self.last.entry((home, region)).or_default();
        last.push_back((now, seconds));
        if last.len() > KEPT {
            last.pop_front();
        }
    }
}
