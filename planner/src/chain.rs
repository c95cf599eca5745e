//! Chains: the ordered list of members that may serve a (zone, model) at a gateway. A fleet's [`Topology`](crate::topology::Topology)
//! has them.

use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::{Fleet, Misdirected, Pool, Zone};
use meridian_policy::{FallbackName, ModelName, RegionName};

/// Whether a request of this zone may pass through a region's gateway.
pub fn passes_through(zone: &Zone, region: &RegionName) -> bool {
    !zone.pinned || zone.regions.contains(region) || zone.misdirected == Misdirected::Forward
}

/// The maximum number of Envoys with an egress path to a fallback: the replicas of every gateway that may use it.
pub fn gateways_of(fleet: &Fleet, fallback: &FallbackName) -> u64 {
    let uses = |home: &RegionName| {
        let mut zones = fleet.zones.values();
        zones.any(|zone| passes_through(zone, home) && zone.fallbacks.contains(fallback))
    };
    let homes = fleet.regions.iter().filter(|(home, _)| uses(home));
    homes
        .map(|(_, region)| u64::from(region.gateway.replicas))
        .sum()
}

/// Whether a request can be retried on another server: another member, or another server of the only pool. A DNS pool
/// counts as several servers.
pub fn has_another(fleet: &Fleet, model: &ModelName, members: &[Member]) -> bool {
    let [Member::Pool(region)] = members else {
        return members.len() > 1;
    };
    let region = fleet.regions.get(region);
    match region.and_then(|region| region.pools.get(model)) {
        Some(Pool::Endpoints(endpoints)) => endpoints.len() > 1,
        Some(Pool::Dns { .. }) => true,
        None => false,
    }
}

/// The lane of a chain; `None` for an empty one.
pub fn lane_of(chain: &[Member]) -> Option<Lane> {
    Some(match chain.first()? {
        Member::Fallback(_) => Lane::Fallback,
        Member::Pool(_) | Member::Peer(_) => Lane::Home,
    })
}
