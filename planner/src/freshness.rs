//! Freshness: whose data is too far behind, and whose database serves instead.

use crate::health::CLEAR_OF;
use crate::retrieval::databases;
use meridian_policy::fleet::{Fleet, Region};
use meridian_policy::name::RegionName;
use meridian_policy::retrieval::Role;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How fresh the regions' data is, as a plan has it: what the next one must know of this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// Regions whose data is too far behind.
    pub behind: BTreeSet<RegionName>,
    /// Others, of whose data nothing tells how old it is, or nothing that was heard lately.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown: BTreeSet<RegionName>,
    /// The region whose database serves what is retrieved in a region, where that is not its own.
    pub retrieval: BTreeMap<RegionName, RegionName>,
}

impl Freshness {
    /// The region whose database serves what is retrieved at `home`. Its own, unless the plan names another that the fleet allows.
    pub fn serves<'s>(&'s self, fleet: &Fleet, home: &'s RegionName) -> &'s RegionName {
        let other = self.retrieval.get(home);
        let allowed = other.filter(|other| databases(fleet, home).contains(other));
        allowed.unwrap_or(home)
    }

    /// What follows, by how many seconds each region's data is behind; `None` where nothing fresh is known.
    ///
    /// A region that is too far behind is so until it is well below the limit. One that is not heard of stays what it was, and
    /// nobody is sent there. A primary of which no source tells is not behind.
    #[must_use]
    pub fn next(&self, fleet: &Fleet, lag: impl Fn(&RegionName) -> Option<f64>) -> Self {
        let limit = fleet.unhealthy.replication_lag.as_secs_f64();
        let mut behind = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        for (name, region) in &fleet.regions {
            let before = self.behind.contains(name);
            let limit = if before { limit * CLEAR_OF } else { limit };
            let is_primary = role(region) == Some(Role::Primary);
            match lag(name) {
                Some(lag) if lag <= limit => {}
                None if before && region.reports_lag() => _ = behind.insert(name.clone()),
                None if is_primary && !region.reports_lag() => {}
                Some(_) => _ = behind.insert(name.clone()),
                None => _ = unknown.insert(name.clone()),
            }
        }
        let retrieval = behind
            .iter()
            .filter_map(|home| {
                let other = self.other(fleet, home, &behind, &lag)?;
                Some((home.clone(), other))
            })
            .collect();
        Self {
            behind,
            unknown,
            retrieval,
        }
    }

    /// The database that serves in place of that of `home`: the primary, else the one that does already, else the freshest. None
    /// where all that it may read are behind, or not heard of: then its own is as good as any.
    fn other(
        &self,
        fleet: &Fleet,
        home: &RegionName,
        behind: &BTreeSet<RegionName>,
        lag: &impl Fn(&RegionName) -> Option<f64>,
    ) -> Option<RegionName> {
        let role = |region: &RegionName| role(fleet.regions.get(region)?);
        let mut others = databases(fleet, home);
        others.retain(|other| other != home && !behind.contains(other));
        let primary = others
            .iter()
            .find(|other| role(other) == Some(Role::Primary));
        let before = self
            .retrieval
            .get(home)
            .filter(|before| others.contains(before));
        let known = others.iter().filter_map(|other| Some((lag(other)?, other)));
        // The first of equals is the nearest.
        let freshest = known.min_by(|(one, _), (other, _)| one.total_cmp(other));
        primary
            .or(before)
            .or(freshest.map(|(_, region)| region))
            .cloned()
    }

    /// What of it holds in a fleet that may be another since.
    #[must_use]
    pub fn carried_over(&self, fleet: &Fleet) -> Self {
        let mut kept = self.clone();
        kept.behind
            .retain(|region| fleet.regions.contains_key(region));
        kept.unknown
            .retain(|region| fleet.regions.contains_key(region));
        kept.retrieval
            .retain(|home, other| databases(fleet, home).contains(other));
        kept
    }
}

fn role(region: &Region) -> Option<Role> {
    Some(region.vector_db.as_ref()?.role)
}
