//! Handovers: an edit of the fleet file loses no request.
//!
//! Residency needs no order: whatever carries a promise is named by the ID of a definition, so a gateway whose parts are of different
//! editions refuses what does not fit together. The order is for availability alone. Routes, rules for peers and fallbacks of a new
//! definition come before the first policy that decides by it:
//!
//! | step | the routers' policies | everything else |
//! | --- | --- | --- |
//! | 1 | as before | the definitions of both |
//! | 2 | new | the definitions of both |
//!
//! Step 2 follows when all gateways have accepted step 1, or after a timeout. The definitions before the edit are dropped when the last
//! request that was decided under them has ended ([`Earlier`](super::edition::Earlier)).

use super::edition::ids;
use super::publication::{Publication, Publisher};
use crate::name::{ROUTER, native};
use crate::xds::ResourceType;
use meridian_planner::topology::Topology;
use meridian_policy::ZoneId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The publications that lead from the published one, whose current fleet is `before`, to that of another fleet, in order. It is one if
/// no definition is new, or if those before are not kept.
pub fn handover(
    published: &Publication,
    before: &Topology,
    publisher: &Publisher,
) -> Vec<Publication> {
    let last = publisher.publication();
    let history = publisher.history();
    let before = ids(before);
    let next: BTreeSet<&ZoneId> = history.current.definitions().zones.values().collect();
    let earlier: BTreeSet<&ZoneId> = history
        .earlier
        .iter()
        .flat_map(|earlier| earlier.definitions().zones.values())
        .collect();
    let has_new = next
        .iter()
        .any(|id| !before.contains(*id) && !earlier.contains(id));
    let keeps_all = before
        .iter()
        .all(|id| next.contains(id) || earlier.contains(id));
    if !(has_new && keeps_all) {
        return vec![last];
    }
    // A new region has no policy from before.
    let first = with_policies(&last, published);
    vec![first, last]
}

/// A publication with the routers' policies of another one.
pub fn with_policies(publication: &Publication, of: &Publication) -> Publication {
    let mut publication = publication.clone();
    for (region, resources) in &mut publication {
        let of = of.get(region);
        for router in [ROUTER, &native(ROUTER)] {
            if let Some(policy) = of.and_then(|of| of.get(ResourceType::Extension, router)) {
                let policy = policy.clone();
                Arc::make_mut(resources).share(ResourceType::Extension, policy);
            }
        }
    }
    publication
}

#[cfg(test)]
mod tests;
