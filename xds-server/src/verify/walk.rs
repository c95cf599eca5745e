//! The state of one verification.

use super::cluster::Clusters;
use super::leak::Leaks;
use super::residency::Definition;
use super::secret::Secrets;
use crate::history::History;
use meridian_policy::{Fleet, RegionName, ZoneId};
use std::collections::{BTreeMap, BTreeSet};

/// Definitions of zones, by ID.
pub type Zones = BTreeSet<ZoneId>;

/// What one verification has read and found so far.
pub struct Walk<'f> {
    /// The fleets whose definitions may be there.
    pub history: &'f History,
    /// The fleet in force.
    pub fleet: &'f Fleet,
    /// All definitions of zones.
    pub definitions: BTreeMap<ZoneId, Definition<'f>>,
    pub home: &'f RegionName,
    pub clusters: Clusters<'f>,
    pub secrets: Secrets<'f>,
    /// Internal listeners that routes lead into, with the zones of these routes.
    pub routed: BTreeMap<String, Zones>,
    /// Internal listeners that carry retrieval.
    pub retrieval: BTreeSet<String>,
    /// Definitions and a cluster into which callers' own requests of them may be led.
    pub sound: BTreeSet<(Zones, String)>,
    pub leaks: Leaks,
}

impl<'f> Walk<'f> {
    /// A walk that has not seen a listener yet.
    pub fn new(
        history: &'f History,
        definitions: BTreeMap<ZoneId, Definition<'f>>,
        home: &'f RegionName,
        clusters: Clusters<'f>,
        secrets: Secrets<'f>,
        leaks: Leaks,
    ) -> Self {
        Self {
            fleet: history.current.fleet(),
            history,
            definitions,
            home,
            clusters,
            secrets,
            routed: BTreeMap::new(),
            retrieval: BTreeSet::new(),
            sound: BTreeSet::new(),
            leaks,
        }
    }

    /// All definitions.
    pub fn every_zone(&self) -> Zones {
        self.definitions.keys().cloned().collect()
    }
}
