//! The residency rule, written for the verifier alone, over the plain data of the fleet.
//!
//! The code that generates configurations states the same rule in its own way. The two share no function, so an error
//! in one of them shows as a difference.

use super::owner::Owner;
use super::provider::{Provider, same_provider};
use meridian_policy::fleet::{Misdirected, Zone};
use meridian_policy::{Fleet, RegionName, ZoneName};

/// One definition of a zone: what a fleet says of it.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'f> {
    /// The fleet.
    pub fleet: &'f Fleet,
    /// The zone's name in it.
    pub name: &'f ZoneName,
    /// What it says.
    pub zone: &'f Zone,
}

impl Definition<'_> {
    /// Whether a provider is one of the zone's fallbacks, as this definition has them.
    pub fn lists(&self, provider: &Provider<'_>) -> bool {
        let listed = self.zone.fallbacks.iter().any(|name| name == provider.name);
        listed && self.defines(provider)
    }

    /// Whether the definition's fleet has this provider, for whatever zone.
    pub fn defines(&self, provider: &Provider<'_>) -> bool {
        let own = self.fleet.fallbacks.get(provider.name);
        own.is_some_and(|own| same_provider(own, provider.fallback))
    }

    /// Whether two definitions promise the same.
    pub fn promises_the_same(&self, other: &Self) -> bool {
        let forwards = |zone: &Zone| zone.misdirected == Misdirected::Forward;
        let (one, two) = (self.zone, other.zone);
        one.pinned == two.pinned
            && one.regions == two.regions
            && one.fallbacks == two.fallbacks
            && forwards(one) == forwards(two)
            && one.content == two.content
            && one.fallbacks.iter().all(|name| {
                let one = self.fleet.fallbacks.get(name);
                let two = other.fleet.fallbacks.get(name);
                one.zip(two)
                    .is_some_and(|(one, two)| same_provider(one, two))
            })
    }
}

/// Whether the gateway of a region may carry requests of a zone. A pinned zone uses the gateways of its own regions
/// only, unless it forwards misdirected callers.
pub fn may_transit(zone: &Zone, gateway: &RegionName) -> bool {
    match (zone.pinned, zone.misdirected) {
        (false, _) | (true, Misdirected::Forward) => true,
        (true, Misdirected::Refuse | Misdirected::Redirect) => is_inside(zone, gateway),
    }
}

/// Whether a request of a definition may end at an address of this owner.
pub fn may_end_at(definition: &Definition<'_>, owner: &Owner<'_>) -> bool {
    if !definition.zone.pinned {
        return true;
    }
    match owner {
        Owner::Pool(region)
        | Owner::Gateway(region)
        | Owner::Database(region)
        | Owner::DatabaseGateway(region) => is_inside(definition.zone, region),
        Owner::Provider(provider) => definition.lists(provider),
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
            failover: None,
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

    const EXAMPLE: &str = include_str!("../../../envoy/fleet.yaml");

    #[test]
    fn a_pinned_zone_ends_in_its_regions_and_fallbacks_even_if_it_forwards() {
        let (inside, outside) = ("in".parse().unwrap(), "out".parse().unwrap());
        let mut fleet = crate::fleet::parse(EXAMPLE).unwrap();
        let claude = fleet.fallbacks["claude-eu"].clone();
        fleet
            .fallbacks
            .insert("listed".parse().unwrap(), claude.clone());
        let mut moved = claude.clone();
        moved.jurisdiction = ["us".into()].into();
        let (listed, other) = ("listed".parse().unwrap(), "other".parse().unwrap());
        let provider = |name, fallback| {
            Owner::Provider(Provider {
                age: 0,
                fleet: &fleet,
                name,
                fallback,
            })
        };
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
            let zones = [true, false].map(|pinned| zone(pinned, misdirected));
            let name = "eea".parse().unwrap();
            let [pinned, free] = zones.each_ref().map(|zone| Definition {
                fleet: &fleet,
                name: &name,
                zone,
            });
            let right = owners(&inside).into_iter();
            for owner in right.chain([provider(&listed, &claude)]) {
                assert!(may_end_at(&pinned, &owner) && may_end_at(&free, &owner));
            }
            let wrong = owners(&outside).into_iter();
            // Also a fallback of the listed name that is another one.
            for owner in wrong.chain([provider(&other, &claude), provider(&listed, &moved)]) {
                assert!(!may_end_at(&pinned, &owner), "{owner}");
                assert!(may_end_at(&free, &owner), "{owner}");
            }
        }
    }
}
