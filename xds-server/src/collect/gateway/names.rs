//! Looks up the fleet's names in a gateway's statistics.

use crate::collect::refused::RefusalReason;
use crate::name;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::Region;
use meridian_policy::{FallbackName, Fleet, ModelName, RegionName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};

/// Names that a gateway's statistics may contain. Envoy replaces dots in model names; the fleet check makes sure that
/// the results are distinct.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    zones: BTreeSet<ZoneName>,
    regions: BTreeSet<RegionName>,
    fallbacks: BTreeSet<FallbackName>,
    models: BTreeMap<String, ModelName>,
    /// The clusters of a region's own pools.
    pools: BTreeMap<RegionName, BTreeMap<String, ModelName>>,
    /// The clusters that resolve the names of a region's own pools.
    dns: BTreeMap<RegionName, BTreeMap<String, ModelName>>,
    /// The clusters of peers: the region that each leads to.
    peers: BTreeMap<String, RegionName>,
}

impl From<&Fleet> for Names {
    fn from(fleet: &Fleet) -> Self {
        let model = |model: &ModelName| (name::stat(model.as_str()), model.clone());
        let pools = |(region, of_region): (&RegionName, &Region)| {
            let pool = |model: &ModelName| (name::stat(&name::pool(region, model)), model.clone());
            (region.clone(), of_region.pools.keys().map(pool).collect())
        };
        let dns = |(region, of_region): (&RegionName, &Region)| {
            let dns = |model: &ModelName| (name::stat(&name::dns(region, model)), model.clone());
            (region.clone(), of_region.pools.keys().map(dns).collect())
        };
        let peers = |(region, of_region): (&RegionName, &Region)| {
            let models = of_region.pools.keys();
            let peer = |model| (name::stat(&name::peer(region, model)), region.clone());
            models.map(peer).collect::<Vec<_>>()
        };
        Self {
            dns: fleet.regions.iter().map(dns).collect(),
            peers: fleet.regions.iter().flat_map(peers).collect(),
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

    /// The model of a region's own pool cluster; `None` for any other cluster.
    pub(super) fn pool(&self, region: &RegionName, cluster: &str) -> Option<&ModelName> {
        self.pools.get(region)?.get(cluster)
    }

    /// The model of the cluster that resolves the name of a region's own pool; `None` for any other cluster.
    pub(super) fn dns(&self, region: &RegionName, cluster: &str) -> Option<&ModelName> {
        self.dns.get(region)?.get(cluster)
    }

    /// The region of a peer's cluster; `None` for any other cluster.
    pub(super) fn peer(&self, cluster: &str) -> Option<&RegionName> {
        self.peers.get(cluster)
    }
}

pub(super) fn lane(label: &str) -> Result<Lane, RefusalReason> {
    Lane::ALL
        .into_iter()
        .find(|lane| lane.as_str() == label)
        .ok_or(RefusalReason::UnknownName)
}
