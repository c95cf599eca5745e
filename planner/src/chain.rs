//! Chains: the ordered list of members that may serve a (zone, model) at a gateway.

use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::{Fleet, Misdirected, Order, Pool, Zone};
use meridian_policy::{FallbackName, ModelName, RegionName, ZoneName};

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

/// The chain of a zone's requests for a model at the gateway of `home`. It starts with `home` if `home` may serve the
/// zone. The other regions follow by distance, or in the zone's own order. The fallbacks come last. The chain is empty
/// if no member may serve the request from here or if a name is unknown.
pub fn chain(fleet: &Fleet, zone: &ZoneName, model: &ModelName, home: &RegionName) -> Vec<Member> {
    let (Some(zone), Some(region)) = (fleet.zones.get(zone), fleet.regions.get(home)) else {
        return Vec::new();
    };
    if !passes_through(zone, home) || !fleet.models().contains(model) {
        return Vec::new();
    }
    let serves = |name: &&RegionName| {
        zone.regions.contains(*name)
            && fleet
                .regions
                .get(*name)
                .is_some_and(|region| region.pools.contains_key(model))
    };
    let mut regions: Vec<&RegionName> = std::iter::once(home)
        .chain(&region.nearest)
        .filter(serves)
        .collect();
    if let Order::Priority(order) = &zone.order {
        let rank = |region: &RegionName| order.iter().position(|other| other == region);
        regions.sort_by_key(|region| rank(region).unwrap_or(order.len()));
    }
    let regions = regions.into_iter().map(|region| Member::of(region, home));
    let fallbacks = zone
        .fallbacks
        .iter()
        .map(|fallback| Member::Fallback(fallback.clone()));
    regions.chain(fallbacks).collect()
}

/// The chain of requests that overflow from the first region to `to`: `to`, the other regions by distance, the first
/// region, the fallbacks. Empty if `to` is not one of the other regions.
pub fn overflow_chain(
    fleet: &Fleet,
    zone: &ZoneName,
    model: &ModelName,
    home: &RegionName,
    to: &RegionName,
) -> Vec<Member> {
    let (fallbacks, mut regions): (Vec<Member>, Vec<Member>) = chain(fleet, zone, model, home)
        .into_iter()
        .partition(|member| matches!(member, Member::Fallback(_)));
    let target = Member::of(to, home);
    if !regions.iter().skip(1).any(|member| *member == target) {
        return Vec::new();
    }
    let first = regions.remove(0);
    regions.retain(|member| *member != target);
    regions.insert(0, target);
    regions.push(first);
    regions.extend(fallbacks);
    regions
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
