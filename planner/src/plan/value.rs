//! The plan as a value.

use crate::freshness::Freshness;
use crate::gate::Gate;
use crate::health::Health;
use crate::placement::Placement;
use meridian_policy::{ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

    fn health(&self, region: &RegionName, model: &ModelName) -> Option<&Health> {
        self.pools.get(region)?.get(model)
    }
}
