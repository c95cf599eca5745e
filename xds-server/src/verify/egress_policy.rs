//! The policy that the filter on the way to a provider must have, derived by the verifier alone from the fleet's data.

use super::residency::may_transit;
use meridian_policy::egress_policy::Budget;
use meridian_policy::egress_policy::EgressPolicy;
use meridian_policy::{FallbackName, Fleet, ZoneName};
use std::collections::{BTreeMap, BTreeSet};

/// The policy of the egress listener of a fallback; `None` if the fleet has no such fallback.
pub fn expected(fleet: &Fleet, name: &FallbackName) -> Option<EgressPolicy> {
    let fallback = fleet.fallbacks.get(name)?;
    let envoys = envoys_with_egress(fleet, name).max(1);
    let share = |total: Option<u64>| total.map(|total| total / envoys);
    Some(EgressPolicy {
        fallback: name.clone(),
        provider: fallback.provider.clone(),
        jurisdiction: fallback.jurisdiction.clone(),
        budget: Budget {
            requests: share(fallback.budget.requests),
            nanousd: share(fallback.budget.nanousd),
        },
        price: fallback.price,
        context: fallback.context,
        renames: fallback.renames.clone(),
        pinned: pinned(fleet, name),
    })
}

/// The pinned zones whose requests the fallback may be given, with the tools that it may run for them.
fn pinned(fleet: &Fleet, name: &FallbackName) -> BTreeMap<ZoneName, BTreeSet<String>> {
    let mut pinned = BTreeMap::new();
    for (zone_name, zone) in &fleet.zones {
        if zone.pinned && zone.fallbacks.contains(name) {
            pinned.insert(zone_name.clone(), zone.content.fallback_tools.clone());
        }
    }
    pinned
}

/// The number of Envoys that can send requests to a fallback: the replicas of every gateway that carries a zone with
/// this fallback.
fn envoys_with_egress(fleet: &Fleet, name: &FallbackName) -> u64 {
    let mut envoys = 0;
    for (region, of) in &fleet.regions {
        let has_egress = fleet
            .zones
            .values()
            .any(|zone| zone.fallbacks.contains(name) && may_transit(zone, region));
        if has_egress {
            envoys += u64::from(of.gateway.replicas);
        }
    }
    envoys
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../envoy/fleet.yaml");

    #[test]
    fn each_envoy_has_an_equal_part_of_the_budget() {
        let mut fleet = crate::fleet::parse(EXAMPLE).unwrap();
        let (name, fallback) = fleet.fallbacks.iter_mut().next().unwrap();
        let name = name.clone();
        fallback.budget = Budget {
            requests: Some(1000),
            nanousd: None,
        };
        for zone in fleet.zones.values_mut() {
            zone.pinned = true;
            zone.fallbacks = Vec::new();
        }
        let regions: Vec<_> = fleet.regions.keys().cloned().collect();
        for (region, replicas) in fleet.regions.values_mut().zip([3, 5, 100]) {
            region.gateway.replicas = replicas;
        }
        let requests = |fleet: &Fleet| expected(fleet, &name).unwrap().budget.requests;
        assert_eq!(requests(&fleet), Some(1000), "no gateway has this egress");
        let zone = fleet.zones.values_mut().next().unwrap();
        zone.fallbacks = vec![name.clone()];
        zone.regions = regions[..1].iter().cloned().collect();
        assert_eq!(requests(&fleet), Some(333));
        let zone = fleet.zones.values_mut().next().unwrap();
        zone.regions = regions[..2].iter().cloned().collect();
        assert_eq!(requests(&fleet), Some(125));
        assert_eq!(expected(&fleet, &"unknown".parse().unwrap()), None);
    }
}
