//! The state of one verification.

use super::cluster::Clusters;
use super::leak::Leaks;
use super::secret::Secrets;
use meridian_policy::{Fleet, RegionName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};

/// Zones by name.
pub type Zones<'f> = BTreeSet<&'f ZoneName>;

/// What one verification has read and found so far.
pub struct Walk<'f> {
    pub fleet: &'f Fleet,
    pub home: &'f RegionName,
    pub clusters: Clusters<'f>,
    pub secrets: Secrets<'f>,
    /// Internal listeners that routes lead into, with the zones of these routes.
    pub routed: BTreeMap<String, Zones<'f>>,
    /// Internal listeners that carry retrieval.
    pub retrieval: BTreeSet<String>,
    pub leaks: Leaks,
}

impl<'f> Walk<'f> {
    /// A walk that has not seen a listener yet.
    pub fn new(
        fleet: &'f Fleet,
        home: &'f RegionName,
        clusters: Clusters<'f>,
        secrets: Secrets<'f>,
        leaks: Leaks,
    ) -> Self {
        Self {
            fleet,
            home,
            clusters,
            secrets,
            routed: BTreeMap::new(),
            retrieval: BTreeSet::new(),
            leaks,
        }
    }

    /// The fleet's zones.
    pub fn every_zone(&self) -> Zones<'f> {
        self.fleet.zones.keys().collect()
    }
}
