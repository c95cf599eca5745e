//! Routers that ignore load.

use super::cooldown::Cooldown;
use super::interface::{AttemptResult, Decision, RouteQuery, Router, prefer};
use crate::case::Case;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Router of [`Strategy::Nearest`](crate::strategy::Strategy::Nearest).
pub struct Nearest;

impl Router for Nearest {
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision {
        Decision::send(query.candidates.to_vec())
    }
}

/// Router of [`Strategy::RoundRobin`](crate::strategy::Strategy::RoundRobin): each gateway has its own turn.
#[derive(Default)]
pub struct RoundRobin {
    turn: BTreeMap<usize, usize>,
}

impl Router for RoundRobin {
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision {
        let turn = self.turn.entry(query.request.home).or_default();
        *turn += 1;
        prefer(
            query.candidates[*turn % query.candidates.len()],
            query.candidates,
        )
    }
}

/// Router of [`Strategy::FixedWeights`](crate::strategy::Strategy::FixedWeights).
pub struct FixedWeights {
    weights: Vec<f64>,
    random: ChaCha8Rng,
}

impl FixedWeights {
    pub fn new(case: &Case, random: ChaCha8Rng) -> Self {
        let weights = case.regions.iter().map(|region| region.replicas as f64);
        Self {
            weights: weights.collect(),
            random,
        }
    }
}

impl Router for FixedWeights {
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision {
        let region = weighted(&self.weights, query.candidates, &mut self.random);
        prefer(region, query.candidates)
    }
}

fn weighted(weights: &[f64], regions: &[usize], random: &mut ChaCha8Rng) -> usize {
    let sum: f64 = regions.iter().map(|region| weights[*region]).sum();
    let mut drawn = random.random::<f64>() * sum;
    for region in regions {
        drawn -= weights[*region];
        if drawn < 0.0 {
            return *region;
        }
    }
    regions[regions.len() - 1]
}

/// Router of [`Strategy::Priority`](crate::strategy::Strategy::Priority).
#[derive(Default)]
pub struct Priority {
    cooldown: Cooldown,
}

impl Router for Priority {
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision {
        let (mut regions, cooling) =
            self.cooldown
                .partition(query.request.home, query.candidates, query.now);
        regions.extend(cooling);
        Decision::send(regions)
    }

    fn on_attempt(&mut self, result: &AttemptResult, now: f64) {
        if result.first_token.is_none() {
            self.cooldown
                .record_failure(result.home, result.region, now);
        }
    }
}

/// Router of [`Strategy::ZoneAware`](crate::strategy::Strategy::ZoneAware): Envoy's algorithm with gateways as originating hosts.
/// Home keeps the ratio of its capacity share to its gateway share, at most 1. Other regions get the rest in proportion to
/// their residual capacity.
pub struct ZoneAware {
    /// Share of its own requests that each region keeps, 0 to 1.
    keeps: Vec<f64>,
    /// Capacity share beyond the gateway share, by region.
    residual: Vec<f64>,
    random: ChaCha8Rng,
}

impl ZoneAware {
    pub fn new(case: &Case, random: ChaCha8Rng) -> Self {
        let all: usize = case.regions.iter().map(|region| region.replicas).sum();
        let each = 1.0 / case.regions.len() as f64;
        let share = |replicas: usize| replicas as f64 / all as f64;
        let shares = case.regions.iter().map(|region| share(region.replicas));
        Self {
            keeps: shares
                .clone()
                .map(|share| (share / each).min(1.0))
                .collect(),
            residual: shares.map(|share| (share - each).max(0.0)).collect(),
            random,
        }
    }
}

impl Router for ZoneAware {
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision {
        let is_kept = query.candidates.first() == Some(&query.request.home)
            && self.random.random::<f64>() < self.keeps[query.request.home];
        let others: Vec<usize> = query.candidates.iter().copied().skip(1).collect();
        let has_residual = others.iter().any(|region| self.residual[*region] > 0.0);
        let region = if is_kept || !has_residual {
            query.candidates[0]
        } else {
            weighted(&self.residual, &others, &mut self.random)
        };
        prefer(region, query.candidates)
    }
}
