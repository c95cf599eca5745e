//! Chains: who serves a (zone, model) at a gateway, in which order.

use crate::fleet::{Fleet, Order, Pool};
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

impl Member {
    /// The region whose pool it leads to; a provider has none.
    pub fn region(&self) -> Option<&RegionName> {
        match self {
            Self::Pool(region) | Self::Peer(region) => Some(region),
            Self::Fallback(_) => None,
        }
    }

    /// A region as a gateway sees it.
    fn of(region: &RegionName, home: &RegionName) -> Self {
        if region == home {
            Self::Pool(region.clone())
        } else {
            Self::Peer(region.clone())
        }
    }

    /// How answers name it: `x-meridian-region`, from endpoints' metadata.
    pub fn answers_as(&self) -> String {
        match self {
            Self::Pool(region) | Self::Peer(region) => region.to_string(),
            Self::Fallback(fallback) => format!("fallback/{fallback}"),
        }
    }
}

/// The chain of a zone's requests for a model at the gateway of `home`: home if it may and the other regions by
/// distance, unless the zone has an order of its own, then the fallbacks. Empty if nobody may serve it from here. Unknown
/// names give an empty chain.
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
    let mut regions: Vec<&RegionName> = std::iter::once(home)
        .chain(&region.nearest)
        .filter(serves)
        .collect();
    if let Order::Priority(order) = &zone.order {
        let place = |region: &RegionName| order.iter().position(|other| other == region);
        regions.sort_by_key(|region| place(region).unwrap_or(order.len()));
    }
    let regions = regions.into_iter().map(|region| Member::of(region, home));
    let fallbacks = zone
        .fallbacks
        .iter()
        .map(|fallback| Member::Fallback(fallback.clone()));
    regions.chain(fallbacks).collect()
}

/// The chain of requests that leave the first region for another: that one, the others by distance, the first region, the
/// fallbacks. Empty where `to` is not one of the others.
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

/// Whether a request that one server does not answer has another one to go to: another member, or another server of a
/// pool that is alone, as far as that is known.
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
