//! Freshness: whose data is too far behind, and whose database serves instead.

use crate::fleet::Fleet;
use crate::health::CLEAR_OF;
use crate::name::RegionName;
use crate::plan::{Alarm, Plan};
use crate::retrieval::{Role, databases};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How fresh the regions' data is, as a plan has it: what the next one must know of this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// Regions whose data is too far behind.
    pub behind: BTreeSet<RegionName>,
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
    /// nobody is sent there.
    #[must_use]
    pub fn next(&self, fleet: &Fleet, lag: impl Fn(&RegionName) -> Option<f64>) -> Self {
        let limit = fleet.unhealthy.replication_lag.as_secs_f64();
        let is_behind = |region: &&RegionName| {
            let before = self.behind.contains(*region);
            let limit = if before { limit * CLEAR_OF } else { limit };
            lag(region).map_or(before, |lag| lag > limit)
        };
        let behind: BTreeSet<RegionName> =
            fleet.regions.keys().filter(is_behind).cloned().collect();
        let retrieval = behind
            .iter()
            .filter_map(|home| {
                let other = self.other(fleet, home, &behind, &lag)?;
                Some((home.clone(), other))
            })
            .collect();
        Self { behind, retrieval }
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
        let role = |region: &RegionName| Some(fleet.regions.get(region)?.vector_db.as_ref()?.role);
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
        kept.retrieval
            .retain(|home, other| databases(fleet, home).contains(other));
        kept
    }
}

/// Retrieval that nobody can serve with fresh data.
pub fn alarms(fleet: &Fleet, plan: &Plan) -> Vec<Alarm> {
    let freshness = &plan.freshness;
    let stuck = freshness.behind.iter().filter(|home| {
        !databases(fleet, home).is_empty() && freshness.serves(fleet, home) == *home
    });
    stuck
        .map(|home| Alarm {
            region: home.clone(),
            message: "its vector database is behind, and of those that it may read instead none is known to be fresh: what is \
                      retrieved there is old"
                .into(),
        })
        .collect()
}
