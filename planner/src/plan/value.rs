//! The plan as a value.

use crate::freshness::Freshness;
use crate::gate::Gate;
use crate::health::Health;
use crate::placement::Placement;
use meridian_policy::{ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The zones and models of one gateway.
pub type Placements = BTreeMap<ZoneName, BTreeMap<ModelName, Placement>>;

/// Where requests go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How the pools are, by region.
    pub pools: BTreeMap<RegionName, BTreeMap<ModelName, Health>>,
    /// What each gateway does with its callers' requests, where it has a choice between regions.
    pub gateways: BTreeMap<RegionName, Placements>,
    /// How much of what batch brings each pool takes; all of it where nothing is said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub batch: BTreeMap<RegionName, BTreeMap<ModelName, Gate>>,
    /// Whose data is too far behind, and whose database serves instead.
    #[serde(default)]
    pub freshness: Freshness,
}

impl Plan {
    /// Sets what a gateway does with the requests of a (zone, model).
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

    /// What a gateway does with the requests of a (zone, model), if it has a choice.
    pub fn placement(
        &self,
        gateway: &RegionName,
        zone: &ZoneName,
        model: &ModelName,
    ) -> Option<&Placement> {
        self.gateways.get(gateway)?.get(zone)?.get(model)
    }

    /// How much of what batch brings a region's pool takes, in percent.
    pub fn batch_gate(&self, region: &RegionName, model: &ModelName) -> u8 {
        if !self.serves(region, model) {
            return 0;
        }
        let gates = self.batch.get(region);
        let gate = gates.and_then(|gates| gates.get(model));
        gate.map_or(100, |gate| gate.open.min(100))
    }

    /// Whether a region's pool serves nobody, so that no other region sends anything there.
    pub fn is_down(&self, region: &RegionName, model: &ModelName) -> bool {
        self.health(region, model).is_some_and(|health| health.down)
    }

    /// Whether a region's pool serves, as far as is view.
    pub fn serves(&self, region: &RegionName, model: &ModelName) -> bool {
        self.health(region, model).is_none_or(Health::serves)
    }

    fn health(&self, region: &RegionName, model: &ModelName) -> Option<&Health> {
        self.pools.get(region)?.get(model)
    }
}
