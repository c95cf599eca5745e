//! The plan as a value.

use crate::freshness::Freshness;
use crate::gate::Gate;
use crate::health::{Health, Reason};
use crate::placement::Placement;
use crate::topology::Topology;
use meridian_policy::{ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Placements of one gateway, by zone and model.
pub type Placements = BTreeMap<ZoneName, BTreeMap<ModelName, Placement>>;

/// Where requests go, and the state behind that decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Health of the pools, by region.
    pub pools: BTreeMap<RegionName, BTreeMap<ModelName, Health>>,
    /// Placements by gateway, for each choice between regions.
    pub gateways: BTreeMap<RegionName, Placements>,
    /// Batch gates by region. A missing gate is fully open.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub batch: BTreeMap<RegionName, BTreeMap<ModelName, Gate>>,
    /// Regions whose data is behind, and the databases that serve in their place.
    #[serde(default)]
    pub freshness: Freshness,
}

impl Plan {
    /// Sets the placement of a (zone, model) at a gateway.
    pub(crate) fn place(
        &mut self,
        gateway: &RegionName,
        zone: &ZoneName,
        model: &ModelName,
        placement: Placement,
    ) {
        let zones = self.gateways.entry(gateway.clone()).or_default();
        let models = zones.entry(zone.clone()).or_default();
        models.insert(model.clone(), placement);
    }

    /// The placement of a (zone, model) at a gateway; `None` without a choice between regions.
    pub fn placement(
        &self,
        gateway: &RegionName,
        zone: &ZoneName,
        model: &ModelName,
    ) -> Option<&Placement> {
        self.gateways.get(gateway)?.get(zone)?.get(model)
    }

    /// The gateways whose configuration may differ under another plan for the same fleet. Of a pool, gateways follow whether it is down,
    /// whether it serves, whether it is drained, and its batch gate.
    pub fn concerned(&self, other: &Self, topology: &Topology) -> BTreeSet<RegionName> {
        if self.freshness != other.freshness {
            return topology.regions.keys().cloned().collect();
        }
        let seen = |plan: &Self, region: &RegionName, model: &ModelName| {
            (
                plan.is_down(region, model),
                plan.serves(region, model),
                plan.batch_gate(region, model),
                plan.is_drained(region, model),
            )
        };
        let differs = |(region, model): &(&RegionName, &ModelName)| {
            seen(self, region, model) != seen(other, region, model)
        };
        let pools = topology.regions.iter();
        let pools = pools.flat_map(|(name, region)| {
            let models = region.pools.keys();
            models.map(move |model| (name, model))
        });
        let pools: BTreeSet<_> = pools.filter(differs).collect();
        let uses_one = |gateway: &RegionName| {
            let mut reaches = topology.reaches_of(gateway);
            !pools.is_empty()
                && reaches.any(|(_, model, reach)| {
                    let mut regions = reach.all_regions();
                    regions.any(|region| pools.contains(&(region, model)))
                })
        };
        let moves = |gateway: &RegionName| {
            self.gateways.get(gateway) != other.gateways.get(gateway) || uses_one(gateway)
        };
        let gateways = topology.regions.keys();
        gateways.filter(|gateway| moves(gateway)).cloned().collect()
    }

    /// Batch traffic that a region's pool accepts, in percent.
    pub fn batch_gate(&self, region: &RegionName, model: &ModelName) -> u8 {
        if !self.serves(region, model) {
            return 0;
        }
        let gates = self.batch.get(region);
        let gate = gates.and_then(|gates| gates.get(model));
        gate.map_or(100, |gate| gate.open.min(100))
    }

    /// Whether a region's pool is out of service: no other region sends requests to it.
    pub fn is_down(&self, region: &RegionName, model: &ModelName) -> bool {
        self.health(region, model).is_some_and(|health| health.down)
    }

    /// Whether a region's pool serves, as far as is known.
    pub fn serves(&self, region: &RegionName, model: &ModelName) -> bool {
        self.health(region, model).is_none_or(Health::serves)
    }

    /// Whether an operator drains a region's pool.
    pub fn is_drained(&self, region: &RegionName, model: &ModelName) -> bool {
        let health = self.health(region, model);
        health.is_some_and(|health| health.reasons.contains(&Reason::Drained))
    }

    fn health(&self, region: &RegionName, model: &ModelName) -> Option<&Health> {
        self.pools.get(region)?.get(model)
    }
}
