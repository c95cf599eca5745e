//! Routing of batch requests: the cheapest region takes as much as its gate allows, the next region takes the rest.

use crate::plan::Plan;
use crate::topology::Topology;
use crate::weights;
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use meridian_policy::fleet::Order;
use meridian_policy::{ModelName, RegionName, ZoneName};
use std::collections::BTreeMap;

/// Routing of batch requests for a (zone, model) at a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Admitted batch requests, in percent.
    pub admitted: u8,
    /// Regions by weight. The cheapest region with an open gate comes first, and the nearest of equal price. A zone
    /// with fixed parts keeps them.
    pub weights: BTreeMap<RegionName, u32>,
}

/// The batch routing under a plan; `None` if no region serves the (zone, model).
pub fn batch(
    topology: &Topology,
    plan: &Plan,
    zone: &ZoneName,
    model: &ModelName,
    gateway: &RegionName,
) -> Option<Batch> {
    let reach = topology.reach(zone, model, gateway)?;
    let mut regions: Vec<&RegionName> = reach.regions().iter().collect();
    let first = *regions.first()?;
    let price = |region: &RegionName| {
        let region = topology.regions.get(region);
        region.and_then(|region| region.price).unwrap_or_default()
    };
    regions.sort_by(|one, other| price(one).total_cmp(&price(other)));
    // As for interactive traffic, the part of a region that does not serve is divided among the others.
    let fixed = |region: &RegionName| match &topology.zones.get(zone)?.order {
        Order::Weighted(parts) if plan.serves(region, model) => parts.get(region).copied(),
        Order::Weighted(_) | Order::Nearest | Order::Priority(_) => None,
    };
    let total: u32 = regions.iter().filter_map(|region| fixed(region)).sum();
    let mut parts = Vec::new();
    let mut left = 1.0;
    for region in regions {
        // If no serving region has a fixed part, the fixed parts do not apply.
        let offered = match total {
            0 => left,
            _ => f64::from(fixed(region).unwrap_or(0)) / f64::from(total),
        };
        let accepted = offered * f64::from(plan.batch_gate(region, model)) / 100.0;
        left -= accepted;
        parts.push((region, accepted));
    }
    let mut weights = weights::proportional(parts);
    if weights.is_empty() {
        weights.insert(first.clone(), TOTAL_WEIGHT);
    }
    Some(Batch {
        admitted: ((1.0 - left) * 100.0).round().clamp(0.0, 100.0) as u8,
        weights,
    })
}
