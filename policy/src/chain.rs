//! Chains: who serves a (zone, model) at a gateway, in which order.

use crate::fleet::Fleet;
use crate::name::{FallbackName, ModelName, RegionName, ZoneName};

/// One link of a chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// The home region's own pool.
    Pool(RegionName),
    /// Another region's gateway, which goes straight to its pool.
    Peer(RegionName),
    /// A hosted provider.
    Fallback(FallbackName),
}

/// The chain of a zone's requests for a model at the gateway of `home`: home if it may, the other regions by
/// distance, then the fallbacks. Empty if nobody may serve it from here. Unknown names give an empty chain.
pub fn chain(fleet: &Fleet, zone: &ZoneName, model: &ModelName, home: &RegionName) -> Vec<Member> {
    let (Some(zone), Some(region)) = (fleet.zones.get(zone), fleet.regions.get(home)) else {
        return Vec::new();
    };
    if !zone.passes_through(home) || !fleet.models().contains(model) {
        return Vec::new();
    }
    let serves = |name: &&RegionName| {
        zone.regions.contains(*name)
            && fleet
                .regions
                .get(*name)
                .is_some_and(|region| region.pools.contains_key(model))
    };
    let own = Some(home)
        .filter(serves)
        .map(|home| Member::Pool(home.clone()));
    let peers = region
        .nearest
        .iter()
        .filter(serves)
        .map(|peer| Member::Peer(peer.clone()));
    let fallbacks = zone
        .fallbacks
        .iter()
        .map(|fallback| Member::Fallback(fallback.clone()));
    own.into_iter().chain(peers).chain(fallbacks).collect()
}
