//! The region that Envoy sends a request to first, by the lane and the hash that the filter sets.

use meridian_filter_core::decision::Decision;
use meridian_policy::RegionName;
use meridian_policy::filter_policy::{Lane, ModelRule, TOTAL_WEIGHT};
use std::collections::BTreeMap;
use xxhash_rust::xxh64::xxh64;

/// The region that a decision leads to first; `None` for the fallbacks.
pub fn first_region(rule: &ModelRule, decision: &Decision) -> Option<RegionName> {
    let weights = weights(rule, decision.lane);
    // Envoy hashes the header's text, and picks a cluster by the remainder.
    let hash = xxh64(format!("{:016x}", decision.spread).as_bytes(), 0);
    let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
    let mut at = u32::try_from(hash.checked_rem(u64::from(total))?).ok()?;
    for (region, weight) in weights {
        if at < weight {
            return Some(region.clone());
        }
        at -= weight;
    }
    None
}

/// The regions among which a lane chooses, in the order of their routes, with their parts in percent.
pub fn weights(rule: &ModelRule, lane: Lane) -> Vec<(&RegionName, u32)> {
    let Some((first, others)) = rule.regions.split_first() else {
        return Vec::new();
    };
    let of = |weights: &BTreeMap<RegionName, u32>| -> Vec<(&RegionName, u32)> {
        let each = others.iter();
        let each = each.map(|region| (region, weights.get(region).copied().unwrap_or(0)));
        each.filter(|(_, weight)| *weight > 0).collect()
    };
    let (planned, without) = match lane {
        Lane::Fallback => return Vec::new(),
        Lane::Home => return vec![(first, TOTAL_WEIGHT)],
        Lane::Overflow => {
            let split = rule.split.as_ref();
            (split.map(|split| of(&split.overflow)), others.first())
        }
        Lane::Fresh => {
            let fresh = rule.fresh.as_ref();
            (fresh.map(|fresh| of(&fresh.others)), others.first())
        }
        Lane::Batch => {
            let mut all = of(&rule.batch.others);
            let rest: u32 = all.iter().map(|(_, weight)| weight).sum();
            if rule.batch.at_first && rest < TOTAL_WEIGHT {
                all.insert(0, (first, TOTAL_WEIGHT - rest));
            }
            (Some(all), Some(first))
        }
    };
    match planned.filter(|planned| !planned.is_empty()) {
        Some(planned) => planned,
        None => without
            .into_iter()
            .map(|region| (region, TOTAL_WEIGHT))
            .collect(),
    }
}
