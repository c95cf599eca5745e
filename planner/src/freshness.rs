//! Freshness: regions whose data is too far behind, and the databases that serve in their place.

use crate::health::CLEAR_FRACTION;
use crate::retrieval::databases;
use meridian_policy::fleet::{Fleet, Region};
use meridian_policy::name::RegionName;
use meridian_policy::retrieval::Role;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Freshness of the regions' data in one plan. The next plan depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// Regions whose replication lag is above the limit.
    pub behind: BTreeSet<RegionName>,
    /// Regions outside of `behind` with an unknown replication lag: no source reports it, or its last report has
    /// expired.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown: BTreeSet<RegionName>,
    /// The region whose database serves retrieval at a region, where it is not the region's own.
    pub retrieval: BTreeMap<RegionName, RegionName>,
}

impl Freshness {
    /// The region whose database serves retrieval at `home`: its own, unless the plan names another that the fleet
    /// allows.
    pub fn serves<'s>(&'s self, fleet: &Fleet, home: &'s RegionName) -> &'s RegionName {
        let other = self.retrieval.get(home);
        let allowed = other.filter(|other| databases(fleet, home).contains(other));
        allowed.unwrap_or(home)
    }

    /// The next freshness. `lag` is a region's replication lag in seconds; `None` if no fresh value exists.
    ///
    /// A region that is behind recovers only well below the limit ([`CLEAR_FRACTION`]). A silent region keeps its state, and
    /// no other region's retrieval moves there. A primary without a source for its lag is not behind.
    #[must_use]
    pub fn next(&self, fleet: &Fleet, lag: impl Fn(&RegionName) -> Option<f64>) -> Self {
        let limit = fleet.unhealthy.replication_lag.as_secs_f64();
        let mut behind = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        for (name, region) in &fleet.regions {
            let before = self.behind.contains(name);
            let limit = if before {
                limit * CLEAR_FRACTION
            } else {
                limit
            };
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
                let other = self.substitute(fleet, home, &behind, &lag)?;
                Some((home.clone(), other))
            })
            .collect();
        Self {
            behind,
            unknown,
            retrieval,
        }
    }

    /// The database that serves in place of that of `home`: the primary, else the current substitute, else the freshest
    /// one. `None` if every readable database is behind or of unknown lag. The region's own database is then no worse.
    fn substitute(
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
        // `min_by` returns the first of equal values: the nearest region.
        let freshest = known.min_by(|(one, _), (other, _)| one.total_cmp(other));
        primary
            .or(before)
            .or(freshest.map(|(_, region)| region))
            .cloned()
    }

    /// The part of this freshness that is still valid in an edited fleet.
    #[must_use]
    pub fn carried_over(&self, fleet: &Fleet) -> Self {
        let mut valid = self.clone();
        valid
            .behind
            .retain(|region| fleet.regions.contains_key(region));
        valid
            .unknown
            .retain(|region| fleet.regions.contains_key(region));
        valid
            .retrieval
            .retain(|home, other| databases(fleet, home).contains(other));
        valid
    }
}

fn role(region: &Region) -> Option<Role> {
    Some(region.vector_db.as_ref()?.role)
}
