//! The fleet's names as they stand in a gateway's statistics.

use crate::collect::refused::RefusalReason;
use crate::name;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::Region;
use meridian_policy::{FallbackName, Fleet, ModelName, RegionName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};

/// Names that a gateway's statistics may mention. Those of models have lost their dots, and are looked up: the fleet
/// file has no two that look the same then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    zones: BTreeSet<ZoneName>,
    regions: BTreeSet<RegionName>,
    fallbacks: BTreeSet<FallbackName>,
    models: BTreeMap<String, ModelName>,
    /// Clusters of the pools that are at home in a region.
    pools: BTreeMap<RegionName, BTreeMap<String, ModelName>>,
}

impl From<&Fleet> for Names {
    fn from(fleet: &Fleet) -> Self {
        let model = |model: &ModelName| (name::stat(model.as_str()), model.clone());
        let pools = |(region, of_region): (&RegionName, &Region)| {
            let pool = |model: &ModelName| (name::stat(&name::pool(region, model)), model.clone());
            (region.clone(), of_region.pools.keys().map(pool).collect())
        };
        Self {
            zones: fleet.zones.keys().cloned().collect(),
            regions: fleet.regions.keys().cloned().collect(),
            fallbacks: fleet.fallbacks.keys().cloned().collect(),
            models: fleet.models().into_iter().map(model).collect(),
            pools: fleet.regions.iter().map(pools).collect(),
        }
    }
}

impl Names {
    pub(super) fn has_region(&self, region: &RegionName) -> bool {
        self.regions.contains(region)
    }

    pub(super) fn zone(&self, label: &str) -> Result<ZoneName, RefusalReason> {
        self.zones
            .get(label)
            .cloned()
            .ok_or(RefusalReason::UnknownName)
    }

    pub(super) fn region(&self, label: &str) -> Result<RegionName, RefusalReason> {
        self.regions
            .get(label)
            .cloned()
            .ok_or(RefusalReason::UnknownName)
    }

    pub(super) fn fallback(&self, label: &str) -> Result<FallbackName, RefusalReason> {
        self.fallbacks
            .get(label)
            .cloned()
            .ok_or(RefusalReason::UnknownName)
    }

    pub(super) fn model(&self, label: &str) -> Result<ModelName, RefusalReason> {
        self.models
            .get(label)
            .cloned()
            .ok_or(RefusalReason::UnknownName)
    }

    /// The model whose pool at home this cluster is; `None` for all other clusters.
    pub(super) fn pool(&self, region: &RegionName, cluster: &str) -> Option<&ModelName> {
        self.pools.get(region)?.get(cluster)
    }
}

pub(super) fn lane(label: &str) -> Result<Lane, RefusalReason> {
    Lane::ALL
        .into_iter()
        .find(|lane| lane.as_str() == label)
        .ok_or(RefusalReason::UnknownName)
}
