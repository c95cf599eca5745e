//! Where batch requests go: to the cheapest region as far as its gate is open, what is left to the next.

use crate::chain::chain;
use crate::plan::Plan;
use crate::weights;
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use meridian_policy::fleet::{Fleet, Order};
use meridian_policy::{ModelName, RegionName, ZoneName};
use std::collections::BTreeMap;

/// What becomes of batch requests for a (zone, model) at a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Percent of them that are served.
    pub admitted: u8,
    /// Where, by weight: the cheapest region that takes any comes first, and of those that cost as much the nearest. Where a
    /// zone has fixed parts, each region has its own.
    pub weights: BTreeMap<RegionName, u32>,
}

/// Of a plan; `None` where no region serves them.
pub fn batch(
    fleet: &Fleet,
    plan: &Plan,
    zone: &ZoneName,
    model: &ModelName,
    gateway: &RegionName,
) -> Option<Batch> {
    let members = chain(fleet, zone, model, gateway);
    let mut regions: Vec<&RegionName> = members.iter().filter_map(Member::region).collect();
    let first = *regions.first()?;
    let price = |region: &RegionName| {
        let region = fleet.regions.get(region);
        region.and_then(|region| region.price).unwrap_or_default()
    };
    regions.sort_by(|one, other| price(one).total_cmp(&price(other)));
    // As for everybody, the part of a region that serves nobody is the others'.
    let fixed = |region: &RegionName| match &fleet.zones.get(zone)?.order {
        Order::Weighted(parts) if plan.serves(region, model) => parts.get(region).copied(),
        Order::Weighted(_) | Order::Nearest | Order::Priority(_) => None,
    };
    let all: u32 = regions.iter().filter_map(|region| fixed(region)).sum();
    let mut parts = Vec::new();
    let mut left = 1.0;
    for region in regions {
        // Where no region that serves has a fixed part, they are asked as if there were none.
        let offered = match all {
            0 => left,
            _ => f64::from(fixed(region).unwrap_or(0)) / f64::from(all),
        };
        let takes = offered * f64::from(plan.batch_gate(region, model)) / 100.0;
        left -= takes;
        parts.push((region, takes));
    }
    let mut weights = weights::whole(parts);
    if weights.is_empty() {
        weights.insert(first.clone(), TOTAL_WEIGHT);
    }
    Some(Batch {
        admitted: ((1.0 - left) * 100.0).round().clamp(0.0, 100.0) as u8,
        weights,
    })
}
