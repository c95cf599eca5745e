//! LiteLLM's `latency-based-routing`: the deployment whose last answers were the fastest. For streams it is the time to the
//! first token that counts; the mean of the last ten, kept for an hour; who has none yet is tried first.

use super::{Answered, Ask, Router, Verdict, first};
use crate::case::Case;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};

const KEPT: usize = 10;
const TTL: f64 = 3600.0;

pub struct Latency {
    last: BTreeMap<(usize, usize), VecDeque<(f64, f64)>>,
    random: ChaCha8Rng,
}

impl Latency {
    pub fn new(_case: &Case, random: ChaCha8Rng) -> Self {
        Self {
            last: BTreeMap::new(),
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
        let means: Vec<f64> = ask
            .allowed
            .iter()
            .map(|region| self.mean(home, *region, ask.now))
            .collect();
        let least = means.iter().copied().fold(f64::INFINITY, f64::min);
        let best: Vec<usize> = ask
            .allowed
            .iter()
            .zip(&means)
            .filter(|(_, mean)| **mean <= least)
            .map(|(region, _)| *region)
            .collect();
        let region = best.choose(&mut self.random).copied();
        first(region.unwrap_or(ask.allowed[0]), ask.allowed)
    }

    fn answered(&mut self, answered: &Answered, now: f64) {
        // A failure counts as a very slow answer.
        let seconds = answered.first_token.unwrap_or(1000.0);
        let last = self
            .last
            .entry((answered.home, answered.region))
            .or_default();
        last.push_back((now, seconds));
        if last.len() > KEPT {
            last.pop_front();
        }
    }
}
