//! The residency rule, written for the verifier alone, over the plain data of the fleet.
//!
//! The code that generates configurations states the same rule in its own way. The two share no function, so an error
//! in one of them shows as a difference.

use super::owner::Owner;
use meridian_policy::RegionName;
use meridian_policy::fleet::{Misdirected, Zone};

/// Whether the gateway of a region may carry requests of a zone. A pinned zone uses the gateways of its own regions
/// only, unless it forwards misdirected callers.
pub fn may_transit(zone: &Zone, gateway: &RegionName) -> bool {
    match (zone.pinned, zone.misdirected) {
        (false, _) | (true, Misdirected::Forward) => true,
        (true, Misdirected::Refuse | Misdirected::Redirect) => is_inside(zone, gateway),
    }
}

/// Whether a request of a zone may end at an address of this owner.
pub fn may_end_at(zone: &Zone, owner: Owner<'_>) -> bool {
    if !zone.pinned {
        return true;
    }
    match owner {
        Owner::Pool(region)
        | Owner::Gateway(region)
        | Owner::Database(region)
        | Owner::DatabaseGateway(region) => is_inside(zone, region),
        Owner::Provider(fallback) => zone.fallbacks.iter().any(|listed| listed == fallback),
    }
}

/// Whether a region is one of the zone's own.
pub fn is_inside(zone: &Zone, region: &RegionName) -> bool {
    zone.regions.iter().any(|listed| listed == region)
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_policy::fleet::{ContentRules, Order, OwnLimits};
    use std::collections::BTreeSet;

    fn zone(pinned: bool, misdirected: Misdirected) -> Zone {
        Zone {
            countries: BTreeSet::new(),
            rest: false,
            pinned,
            regions: ["in".parse().unwrap()].into(),
            fallbacks: vec!["listed".parse().unwrap()],
            misdirected,
            order: Order::Nearest,
            limits: OwnLimits::default(),
            content: ContentRules::default(),
        }
    }

    #[test]
    fn a_pinned_zone_transits_its_own_gateways_unless_it_forwards() {
        use Misdirected::{Forward, Redirect, Refuse};
        for (pinned, misdirected, gateway, expect) in [
            (false, Refuse, "in", true),
            (false, Refuse, "out", true),
            (false, Redirect, "out", true),
            (false, Forward, "out", true),
            (true, Refuse, "in", true),
            (true, Refuse, "out", false),
            (true, Redirect, "in", true),
            (true, Redirect, "out", false),
            (true, Forward, "in", true),
            (true, Forward, "out", true),
        ] {
            let found = may_transit(&zone(pinned, misdirected), &gateway.parse().unwrap());
            assert_eq!(found, expect, "{pinned} {misdirected:?} {gateway}");
        }
    }

    #[test]
    fn a_pinned_zone_ends_in_its_regions_and_fallbacks_even_if_it_forwards() {
        let (inside, outside) = ("in".parse().unwrap(), "out".parse().unwrap());
        let (listed, other) = ("listed".parse().unwrap(), "other".parse().unwrap());
        let owners = |region| {
            [
                Owner::Pool(region),
                Owner::Gateway(region),
                Owner::Database(region),
                Owner::DatabaseGateway(region),
            ]
        };
        for misdirected in [
            Misdirected::Refuse,
            Misdirected::Redirect,
            Misdirected::Forward,
        ] {
            let (pinned, free) = (zone(true, misdirected), zone(false, misdirected));
            for owner in owners(&inside)
                .into_iter()
                .chain([Owner::Provider(&listed)])
            {
                assert!(may_end_at(&pinned, owner) && may_end_at(&free, owner));
            }
            for owner in owners(&outside)
                .into_iter()
                .chain([Owner::Provider(&other)])
            {
                assert!(!may_end_at(&pinned, owner), "{owner}");
                assert!(may_end_at(&free, owner), "{owner}");
            }
        }
    }
}
