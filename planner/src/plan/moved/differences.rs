//! The differences between two plans that somebody notices.

use super::super::value::Plan;
use super::value::{Condition, Moved, Share};
use crate::health::Health;
use crate::placement::Placement;
use meridian_policy::{ModelName, RegionName};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Everything that differs, the most significant first: health, freshness, retrieval, gates, then placements by how far their share moved.
/// What a plan only notes for the next one is left out, and so is a new placement that begins at home.
pub fn moved(before: &Plan, next: &Plan) -> Vec<Moved> {
    let mut moved = health(before, next);
    moved.extend(freshness(before, next));
    moved.extend(retrieval(before, next));
    moved.extend(gates(before, next));
    let mut placements = placements(before, next);
    placements.sort_by_key(|placement| Reverse(placement.points()));
    moved.extend(placements);
    moved
}

/// The pools of both plans.
fn pools<'p>(before: &'p Plan, next: &'p Plan) -> BTreeSet<(&'p RegionName, &'p ModelName)> {
    let regions = before.pools.iter().chain(&next.pools);
    regions
        .flat_map(|(region, pools)| pools.keys().map(move |model| (region, model)))
        .collect()
}

fn health(before: &Plan, next: &Plan) -> Vec<Moved> {
    let condition = |plan: &Plan, region: &RegionName, model: &ModelName| {
        let pools = plan.pools.get(region);
        let health: Option<&Health> = pools.and_then(|pools| pools.get(model));
        health.map(Condition::from)
    };
    let each = pools(before, next).into_iter();
    each.filter_map(|(region, model)| {
        let [before, after] = [before, next].map(|plan| condition(plan, region, model));
        let is_same = before.clone().unwrap_or_default() == after.clone().unwrap_or_default();
        (!is_same).then(|| Moved::Health {
            region: region.clone(),
            model: model.clone(),
            before,
            after,
        })
    })
    .collect()
}

fn freshness(before: &Plan, next: &Plan) -> Vec<Moved> {
    let (before, after) = (&before.freshness.behind, &next.freshness.behind);
    let regions = before.symmetric_difference(after);
    let moved = regions.map(|region| Moved::Freshness {
        region: region.clone(),
        behind: after.contains(region),
    });
    moved.collect()
}

fn retrieval(before: &Plan, next: &Plan) -> Vec<Moved> {
    let (before, after) = (&before.freshness.retrieval, &next.freshness.retrieval);
    let homes: BTreeSet<&RegionName> = before.keys().chain(after.keys()).collect();
    let moved = homes.into_iter().filter_map(|home| {
        let [before, after] = [before, after].map(|by| by.get(home).unwrap_or(home));
        (before != after).then(|| Moved::Retrieval {
            region: home.clone(),
            before: before.clone(),
            after: after.clone(),
        })
    });
    moved.collect()
}

fn gates(before: &Plan, next: &Plan) -> Vec<Moved> {
    let each = pools(before, next).into_iter();
    each.filter_map(|(region, model)| {
        let [before, after] = [before, next].map(|plan| plan.batch_gate(region, model));
        (before != after).then(|| Moved::BatchGate {
            region: region.clone(),
            model: model.clone(),
            before,
            after,
        })
    })
    .collect()
}

fn placements(before: &Plan, next: &Plan) -> Vec<Moved> {
    let plans = before.gateways.iter().chain(&next.gateways);
    let places: BTreeSet<_> = plans
        .flat_map(|(gateway, zones)| {
            zones.iter().flat_map(move |(zone, models)| {
                let models = models.keys();
                models.map(move |model| (gateway, zone, model))
            })
        })
        .collect();
    let each = places.into_iter().filter_map(|(gateway, zone, model)| {
        let plans = [before, next].map(|plan| plan.placement(gateway, zone, model));
        let [before, after] = plans.map(|placement| placement.map(Share::from));
        let at_home = || Share::from(&Placement::home());
        let is_same =
            before.clone().unwrap_or_else(at_home) == after.clone().unwrap_or_else(at_home);
        (!is_same).then(|| Moved::Placement {
            gateway: gateway.clone(),
            zone: zone.clone(),
            model: model.clone(),
            before,
            after,
        })
    });
    each.collect()
}
