//! Rules for requests that need fresh data.

use crate::plan::Plan;
use crate::topology::Topology;
use crate::weights;
use meridian_policy::filter_policy::{Fresh, FreshBatch};
use meridian_policy::{ModelName, RegionName, ZoneName};

/// The regions with fresh data for a (zone, model) at a gateway. `None` if no region is behind, or no region serves the
/// (zone, model).
pub fn fresh_rule(
    topology: &Topology,
    plan: &Plan,
    zone: &ZoneName,
    model: &ModelName,
    gateway: &RegionName,
) -> Option<Fresh> {
    let reach = topology.reach(zone, model, gateway)?;
    let mut regions = reach.regions().iter();
    let is_behind = |region: &RegionName| plan.freshness.behind.contains(region);
    let first = regions.next()?;
    let others: Vec<&RegionName> = regions.collect();
    if !is_behind(first) && !others.iter().any(|other| is_behind(other)) {
        return None;
    }
    let is_unknown = |region: &RegionName| plan.freshness.unknown.contains(region);
    let serving = |region: &RegionName| !is_behind(region) && plan.serves(region, model);
    let (unknown, known): (Vec<_>, Vec<_>) = others
        .into_iter()
        .filter(|other| serving(other))
        .partition(|other| is_unknown(other));
    let others_unknown = known.is_empty() && !unknown.is_empty();
    let fresh = if others_unknown { unknown } else { known }.into_iter();
    let planned = plan.placement(gateway, zone, model);
    let planned = planned.map(|placement| &placement.overflow);
    let parts = fresh.clone().filter_map(|other| {
        let weight = planned?.get(other)?;
        Some((other, f64::from(*weight)))
    });
    let mut parts: Vec<(&RegionName, f64)> = parts.collect();
    if parts.is_empty() {
        // Without a planned overflow to a fresh region, the nearest one takes all.
        parts.extend(fresh.take(1).map(|other| (other, 1.0)));
    }
    let others = weights::proportional(parts);
    let gates = others
        .keys()
        .map(|other: &RegionName| plan.batch_gate(other, model));
    let batch = FreshBatch {
        first: plan.batch_gate(first, model),
        others: gates.min().unwrap_or(100),
    };
    Some(Fresh {
        first: serving(first),
        first_unknown: is_unknown(first),
        others,
        others_unknown,
        batch,
    })
}
