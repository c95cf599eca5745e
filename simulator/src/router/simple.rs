//! Ways that look at no load.

use super::cooldown::Cooldown;
use super::interface::{Answered, Ask, Router, Verdict, first};
use crate::case::Case;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// The nearest region, always.
pub struct Nearest;

impl Router for Nearest {
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        Verdict::go(ask.allowed.to_vec())
    }
}

/// One region after the other, at each gateway.
#[derive(Default)]
pub struct RoundRobin {
    turn: BTreeMap<usize, usize>,
}

impl Router for RoundRobin {
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        let turn = self.turn.entry(ask.request.home).or_default();
        *turn += 1;
        first(ask.allowed[*turn % ask.allowed.len()], ask.allowed)
    }
}

/// At random, by the number of replicas.
pub struct FixedWeights {
    weights: Vec<f64>,
    random: ChaCha8Rng,
}

impl FixedWeights {
    pub fn new(case: &Case, random: ChaCha8Rng) -> Self {
        let weights = case.regions.iter().map(|site| site.replicas as f64);
        Self {
            weights: weights.collect(),
            random,
        }
    }
}

impl Router for FixedWeights {
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        let region = weighted(&self.weights, ask.allowed, &mut self.random);
        first(region, ask.allowed)
    }
}

fn weighted(weights: &[f64], among: &[usize], random: &mut ChaCha8Rng) -> usize {
    let sum: f64 = among.iter().map(|region| weights[*region]).sum();
    let mut drawn = random.random::<f64>() * sum;
    for region in among {
        drawn -= weights[*region];
        if drawn < 0.0 {
            return *region;
        }
    }
    among[among.len() - 1]
}

/// LiteLLM's deployments in order: the first that is not cooling down.
#[derive(Default)]
pub struct Priority {
    cooldown: Cooldown,
}

impl Router for Priority {
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        let (mut order, cooling) = self.cooldown.order(ask.request.home, ask.allowed, ask.now);
        order.extend(cooling);
        Verdict::go(order)
    }

    fn answered(&mut self, answered: &Answered, now: f64) {
        if answered.first_token.is_none() {
            self.cooldown.failed(answered.home, answered.region, now);
        }
    }
}

/// Envoy's zone-aware routing with gateways as the originating hosts: home keeps what its part of all capacity carries of
/// its part of all gateways, and the others take the rest by what they have left.
pub struct ZoneAware {
    /// Home's part of all capacity, over its part of all gateways.
    local: Vec<f64>,
    /// What a region has beyond its own gateway's part.
    left: Vec<f64>,
    random: ChaCha8Rng,
}

impl ZoneAware {
    pub fn new(case: &Case, random: ChaCha8Rng) -> Self {
        let all: usize = case.regions.iter().map(|site| site.replicas).sum();
        let each = 1.0 / case.regions.len() as f64;
        let part = |replicas: usize| replicas as f64 / all as f64;
        let parts = case.regions.iter().map(|site| part(site.replicas));
        Self {
            local: parts.clone().map(|part| (part / each).min(1.0)).collect(),
            left: parts.map(|part| (part - each).max(0.0)).collect(),
            random,
        }
    }
}

impl Router for ZoneAware {
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        let stays = ask.allowed.first() == Some(&ask.request.home)
            && self.random.random::<f64>() < self.local[ask.request.home];
        let others: Vec<usize> = ask.allowed.iter().copied().skip(1).collect();
        let can = others.iter().any(|region| self.left[*region] > 0.0);
        let region = if stays || !can {
            ask.allowed[0]
        } else {
            weighted(&self.left, &others, &mut self.random)
        };
        first(region, ask.allowed)
    }
}
