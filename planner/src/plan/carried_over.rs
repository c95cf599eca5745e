//! Carrying a plan over to an edited fleet.

use super::value::Plan;
use crate::placement::Placement;
use crate::topology::Topology;
use meridian_policy::ModelName;
use std::collections::BTreeMap;

/// The part of a plan that is still valid in an edited fleet, for a start without observations. Requests without a
/// placement stay at home, as do those whose placement uses a removed region.
pub fn carried_over(topology: &Topology, prev: &Plan) -> Plan {
    let mut next = Plan {
        freshness: prev.freshness.carried_over(topology),
        ..Plan::default()
    };
    for (name, region) in &topology.regions {
        for model in region.pools.keys() {
            let health = prev.pools.get(name).and_then(|pools| pools.get(model));
            let pools = next.pools.entry(name.clone()).or_default();
            pools.insert(model.clone(), health.cloned().unwrap_or_default());
        }
    }
    for (region, gates) in &prev.batch {
        let pools = topology.regions.get(region).map(|region| &region.pools);
        let exists = |model: &ModelName| pools.is_some_and(|pools| pools.contains_key(model));
        let kept = gates.iter().filter(|(model, _)| exists(model));
        let kept: BTreeMap<_, _> = kept.map(|(model, gate)| (model.clone(), *gate)).collect();
        if !kept.is_empty() {
            next.batch.insert(region.clone(), kept);
        }
    }
    topology.each_choice(|(gateway, zone, model), (_, others)| {
        let before = prev.placement(gateway, zone, model);
        let placement = before.filter(|before| before.is_among(others)).cloned();
        next.place(
            gateway,
            zone,
            model,
            placement.unwrap_or_else(Placement::home),
        );
    });
    next
}
