//! The policy that the filter on the way to a provider must have, derived by the verifier alone from the fleet's data.

use super::leak::Leaks;
use super::provider::Provider;
use super::residency::{Definition, may_transit};
use super::walk::Zones;
use meridian_policy::egress_policy::Budget;
use meridian_policy::egress_policy::EgressPolicy;
use meridian_policy::{FallbackName, Fleet, ZoneId};
use std::collections::BTreeMap;

/// Reports differences between a policy and what the fleets say. `zones`: all definitions, and those that are led to the listener.
pub fn check(
    at: &str,
    policy: &EgressPolicy,
    provider: &Provider<'_>,
    zones: (&BTreeMap<ZoneId, Definition<'_>>, &Zones),
    leaks: &mut Leaks,
) {
    let (definitions, led_here) = zones;
    let own = EgressPolicy {
        pinned: BTreeMap::new(),
        unpinned: BTreeMap::new(),
        ..policy.clone()
    };
    if own != expected(provider) {
        let message = format!(
            "the filter's policy is not that of the fallback `{}`",
            provider.name
        );
        leaks.add(at, message);
    }
    let listed = [(true, &policy.pinned), (false, &policy.unpinned)];
    let listed = listed
        .into_iter()
        .flat_map(|(pinned, zones)| zones.iter().map(move |(id, tools)| (pinned, id, tools)));
    for (pinned, id, tools) in listed {
        let right = definitions.get(id).is_some_and(|definition| {
            let zone = definition.zone;
            definition.lists(provider)
                && (pinned, tools) == (zone.pinned, &zone.content.fallback_tools)
        });
        if !right {
            leaks.add(
                at,
                format!("the filter's policy for the definition `{id}` is not the fleet's"),
            );
        }
    }
    for id in led_here {
        if !policy.pinned.contains_key(id) && !policy.unpinned.contains_key(id) {
            leaks.add(at, format!("the filter lacks the definition `{id}`"));
        }
    }
}

/// The policy of a fallback, without the definitions of zones.
fn expected(provider: &Provider<'_>) -> EgressPolicy {
    let Provider { name, fallback, .. } = provider;
    let envoys = envoys_with_egress(provider.fleet, name).max(1);
    let share = |total: Option<u64>| total.map(|total| total / envoys);
    EgressPolicy {
        fallback: (*name).clone(),
        provider: fallback.provider.clone(),
        jurisdiction: fallback.jurisdiction.clone(),
        budget: Budget {
            requests: share(fallback.budget.requests),
            nanousd: share(fallback.budget.nanousd),
        },
        price: fallback.price,
        context: fallback.context,
        renames: fallback.renames.clone(),
        keeps_chats: [".openai.com", ".openai.azure.com"]
            .iter()
            .any(|domain| format!(".{}", fallback.endpoint.host).ends_with(domain)),
        unpinned: BTreeMap::new(),
        pinned: BTreeMap::new(),
    }
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
        let requests = |fleet: &Fleet| {
            let provider = Provider {
                age: 0,
                fleet,
                name: &name,
                fallback: &fleet.fallbacks[&name],
            };
            expected(&provider).budget.requests
        };
        assert_eq!(requests(&fleet), Some(1000), "no gateway has this egress");
        let zone = fleet.zones.values_mut().next().unwrap();
        zone.fallbacks = vec![name.clone()];
        zone.regions = regions[..1].iter().cloned().collect();
        assert_eq!(requests(&fleet), Some(333));
        let zone = fleet.zones.values_mut().next().unwrap();
        zone.regions = regions[..2].iter().cloned().collect();
        assert_eq!(requests(&fleet), Some(125));
    }
}
