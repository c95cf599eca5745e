//! What follows from a fleet alone, computed once: who may serve whom, and in which order.

use crate::chain::passes_through;
use crate::definition::definitions;
use meridian_policy::chain::Member;
use meridian_policy::definition::Definitions;
use meridian_policy::fleet::{Order, Region, Zone};
use meridian_policy::{Fleet, ModelName, RegionName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

/// A fleet, and what follows from it.
#[derive(Clone, Debug)]
pub struct Topology {
    fleet: Arc<Fleet>,
    definitions: Definitions,
    models: Vec<ModelName>,
    /// By model: each zone with the zones of which its regions are a proper subset.
    restricted: BTreeMap<ModelName, BTreeMap<ZoneName, BTreeSet<ZoneName>>>,
    reaches: BTreeMap<RegionName, BTreeMap<ZoneName, BTreeMap<ModelName, Reach>>>,
}

/// The regions and fallbacks that a gateway may use for the requests of a zone for a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    chain: Vec<Member>,
    regions: Vec<RegionName>,
}

impl Topology {
    /// The topology of a fleet.
    pub fn new(fleet: impl Into<Arc<Fleet>>) -> Self {
        let fleet = fleet.into();
        let models: Vec<ModelName> = fleet.models().into_iter().cloned().collect();
        let of_zone = |zone: &Zone, home: &RegionName, region: &Region| {
            let reaches = models.iter().filter_map(|model| {
                let reach = Reach::of(&fleet, zone, model, (home, region));
                (!reach.chain.is_empty()).then(|| (model.clone(), reach))
            });
            reaches.collect()
        };
        let reaches = fleet
            .regions
            .iter()
            .map(|(home, region)| {
                let zones = fleet.zones.iter();
                let zones = zones.filter(|(_, zone)| passes_through(zone, home));
                let of_zones =
                    zones.map(|(name, zone)| (name.clone(), of_zone(zone, home, region)));
                (home.clone(), of_zones.collect())
            })
            .collect();
        let restricted = models.iter();
        Self {
            definitions: definitions(&fleet),
            restricted: restricted
                .map(|model| (model.clone(), restricted_zones(&fleet, model)))
                .collect(),
            models,
            reaches,
            fleet,
        }
    }

    /// The fleet.
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// The IDs of the fleet's definitions.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// The models of all pools, in order.
    pub fn models(&self) -> &[ModelName] {
        &self.models
    }

    /// Whether a zone's regions for a model are a proper subset of another zone's.
    pub fn is_restricted(&self, zone: &ZoneName, to: &ZoneName, model: &ModelName) -> bool {
        let zones = self.restricted.get(model).and_then(|zones| zones.get(zone));
        zones.is_some_and(|supersets| supersets.contains(to))
    }

    /// What the gateway of `home` may use for a (zone, model). `None` if no member may serve it from there, or a name is unknown.
    pub fn reach(&self, zone: &ZoneName, model: &ModelName, home: &RegionName) -> Option<&Reach> {
        self.reaches.get(home)?.get(zone)?.get(model)
    }

    /// Everything that a gateway may use, by zone and model.
    pub fn reaches_of(
        &self,
        home: &RegionName,
    ) -> impl Iterator<Item = (&ZoneName, &ModelName, &Reach)> {
        let zones = self.reaches.get(home).into_iter().flatten();
        zones.flat_map(|(zone, models)| {
            let models = models.iter();
            models.map(move |(model, reach)| (zone, model, reach))
        })
    }

    /// The chain of a (zone, model) at the gateway of `home`. It begins with `home` if `home` may serve the zone. The other regions follow
    /// by distance, or in the zone's own order, as many as the depth of failover allows. The fallbacks come last. Empty if no member may
    /// serve it.
    pub fn chain(&self, zone: &ZoneName, model: &ModelName, home: &RegionName) -> &[Member] {
        self.reach(zone, model, home).map_or(&[], Reach::chain)
    }

    /// The regions between which a gateway can choose: the first, and the others. `None` if there are fewer than two.
    pub fn choice(
        &self,
        zone: &ZoneName,
        model: &ModelName,
        home: &RegionName,
    ) -> Option<(&RegionName, &[RegionName])> {
        self.reach(zone, model, home).and_then(Reach::choice)
    }

    /// Calls `call` for every (gateway, zone, model) with a choice: the first region, and the others.
    pub fn each_choice<'t>(
        &'t self,
        mut call: impl FnMut(
            (&'t RegionName, &'t ZoneName, &'t ModelName),
            (&'t RegionName, &'t [RegionName]),
        ),
    ) {
        for (gateway, zones) in &self.reaches {
            for (zone, models) in zones {
                for (model, reach) in models {
                    if let Some(choice) = reach.choice() {
                        call((gateway, zone, model), choice);
                    }
                }
            }
        }
    }
}

/// Each zone with the zones of which its regions for the model are a proper subset.
fn restricted_zones(fleet: &Fleet, model: &ModelName) -> BTreeMap<ZoneName, BTreeSet<ZoneName>> {
    let regions = |zone: &Zone| -> BTreeSet<RegionName> {
        let has = |name: &&RegionName| {
            let region = fleet.regions.get(*name);
            region.is_some_and(|region| region.pools.contains_key(model))
        };
        zone.regions.iter().filter(has).cloned().collect()
    };
    let zones = fleet.zones.iter();
    let zones: Vec<_> = zones.map(|(name, zone)| (name, regions(zone))).collect();
    let supersets = |regions: &BTreeSet<RegionName>| {
        let supersets = zones
            .iter()
            .filter(|(_, others)| regions.len() < others.len() && regions.is_subset(others));
        supersets.map(|(name, _)| (*name).clone()).collect()
    };
    let each = zones.iter();
    each.map(|(name, regions)| ((*name).clone(), supersets(regions)))
        .collect()
}

/// A topology is its fleet, and more.
impl Deref for Topology {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl From<Fleet> for Topology {
    fn from(fleet: Fleet) -> Self {
        Self::new(fleet)
    }
}

impl From<&Fleet> for Topology {
    fn from(fleet: &Fleet) -> Self {
        Self::new(fleet.clone())
    }
}

impl Reach {
    fn of(
        fleet: &Fleet,
        zone: &Zone,
        model: &ModelName,
        (home, region): (&RegionName, &Region),
    ) -> Self {
        let has_pool = |name: &RegionName| {
            let region = fleet.regions.get(name);
            region.is_some_and(|region| region.pools.contains_key(model))
        };
        let mut regions: Vec<&RegionName> = std::iter::once(home)
            .chain(&region.nearest)
            .filter(|name| zone.regions.contains(*name) && has_pool(name))
            .collect();
        if let Order::Priority(order) = &zone.order {
            let rank = |region: &RegionName| order.iter().position(|other| other == region);
            regions.sort_by_key(|region| rank(region).unwrap_or(order.len()));
        }
        let depth = zone.failover.unwrap_or(fleet.failover).regions.max(1);
        let members = regions
            .iter()
            .take(depth)
            .map(|region| Member::of(region, home));
        let fallbacks = zone.fallbacks.iter().cloned().map(Member::Fallback);
        let chain = members.chain(fallbacks).collect();
        let weight = |region: &RegionName| match &zone.order {
            Order::Weighted(weights) => weights.get(region).copied().unwrap_or(0),
            Order::Nearest | Order::Priority(_) => 0,
        };
        let chosen = regions.into_iter().enumerate();
        let chosen =
            chosen.filter(|(at, region)| *at <= fleet.overflow.regions || weight(region) > 0);
        Self {
            chain,
            regions: chosen.map(|(_, region)| region.clone()).collect(),
        }
    }

    /// The chain: regions, then fallbacks.
    pub fn chain(&self) -> &[Member] {
        &self.chain
    }

    /// The number of regions in the chain.
    pub fn depth(&self) -> usize {
        let is_region = |member: &&Member| member.region().is_some();
        self.chain.iter().take_while(is_region).count()
    }

    /// The regions in which a request may be first: the first of the chain, and those among which overflow chooses. Nearest first, or in
    /// the zone's own order.
    pub fn regions(&self) -> &[RegionName] {
        &self.regions
    }

    /// The first region, and the others among which overflow chooses. `None` without others.
    pub fn choice(&self) -> Option<(&RegionName, &[RegionName])> {
        let (first, others) = self.regions.split_first()?;
        (!others.is_empty()).then_some((first, others))
    }

    /// The regions that a request may come to at all: those in which it may be first, and those of the chain.
    pub fn all_regions(&self) -> impl Iterator<Item = &RegionName> {
        let chain = self.chain.iter().filter_map(Member::region);
        let further = chain.filter(|region| !self.regions.contains(region));
        self.regions.iter().chain(further)
    }

    /// The chain of requests that overflow from the first region to `to`: `to`, the nearest others, the first region, the fallbacks. It has
    /// as many regions as the chain. Empty if overflow does not choose `to`.
    pub fn overflow_chain(&self, home: &RegionName, to: &RegionName) -> Vec<Member> {
        let others = self.choice().map_or(&[][..], |(_, others)| others);
        if !others.contains(to) {
            return Vec::new();
        }
        let depth = self.depth();
        let (regions, fallbacks) = self.chain.split_at(depth);
        let target = Member::of(to, home);
        let between = regions.iter().skip(1).filter(|member| **member != target);
        let mut members = vec![target.clone()];
        members.extend(between.take(depth.saturating_sub(2)).cloned());
        members.extend(regions.first().filter(|_| depth > 1).cloned());
        members.extend_from_slice(fallbacks);
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_fixtures::any_fleet::fleets;
    use meridian_fixtures::fleets::{fallback, fleet, region, zone};
    use meridian_policy::fleet::Failover;
    use proptest::prelude::*;

    /// Six regions in a row, `r0` to `r5`, with one model, one zone and one fallback.
    fn row(change: impl FnOnce(&mut Fleet, &mut Zone)) -> Topology {
        let names: Vec<RegionName> = (0..6).map(|at| format!("r{at}").parse().unwrap()).collect();
        let mut fleet = fleet();
        for (at, name) in names.iter().enumerate() {
            let mut nearest: Vec<RegionName> = names.clone();
            nearest.remove(at);
            nearest.sort_by_key(|other| {
                let other = names.iter().position(|name| name == other).unwrap();
                other.abs_diff(at)
            });
            fleet
                .regions
                .insert(name.clone(), region(nearest, ["m"], None));
        }
        fleet
            .fallbacks
            .insert("claude".parse().unwrap(), fallback("global"));
        let mut zone = zone();
        zone.regions = names.into_iter().collect();
        zone.fallbacks = vec!["claude".parse().unwrap()];
        change(&mut fleet, &mut zone);
        fleet.zones.insert("all".parse().unwrap(), zone);
        fleet.into()
    }

    fn labels(members: &[Member]) -> Vec<String> {
        members.iter().map(Member::label).collect()
    }

    fn reach<'t>(topology: &'t Topology, home: &str) -> &'t Reach {
        let zone = "all".parse().unwrap();
        let model = "m".parse().unwrap();
        topology
            .reach(&zone, &model, &home.parse().unwrap())
            .unwrap()
    }

    #[test]
    fn a_chain_has_the_nearest_regions_up_to_its_depth() {
        for (fleet_depth, zone_depth, chain) in [
            (4, None, &["r0", "r1", "r2", "r3", "fallback/claude"][..]),
            (1, None, &["r0", "fallback/claude"]),
            (1, Some(2), &["r0", "r1", "fallback/claude"]),
            (
                9,
                Some(9),
                &["r0", "r1", "r2", "r3", "r4", "r5", "fallback/claude"],
            ),
        ] {
            let topology = row(|fleet, zone| {
                fleet.failover = Failover {
                    regions: fleet_depth,
                };
                zone.failover = zone_depth.map(|regions| Failover { regions });
            });
            let reach = reach(&topology, "r0");
            assert_eq!(labels(reach.chain()), chain);
        }
    }

    #[test]
    fn an_overflow_chain_is_as_deep_as_the_chain_and_ends_at_the_first_region() {
        let home: RegionName = "r0".parse().unwrap();
        for (depth, to, chain) in [
            (4, "r1", &["r1", "r2", "r3", "r0", "fallback/claude"][..]),
            (4, "r5", &["r5", "r1", "r2", "r0", "fallback/claude"]),
            (2, "r5", &["r5", "r0", "fallback/claude"]),
            (1, "r5", &["r5", "fallback/claude"]),
            (4, "r0", &[]),
            (4, "mars", &[]),
        ] {
            let topology = row(|fleet, _| fleet.failover = Failover { regions: depth });
            let members = reach(&topology, "r0").overflow_chain(&home, &to.parse().unwrap());
            assert_eq!(labels(&members), chain, "{depth} {to}");
        }
    }

    #[test]
    fn overflow_chooses_among_the_nearest_and_those_with_weights() {
        let names = |reach: &Reach| -> Vec<String> {
            reach.regions().iter().map(ToString::to_string).collect()
        };
        let few = row(|fleet, _| fleet.overflow.regions = 2);
        assert_eq!(names(reach(&few, "r0")), ["r0", "r1", "r2"]);
        let all: Vec<_> = reach(&few, "r0").all_regions().collect();
        assert_eq!(all.len(), 4, "the chain is deeper: {all:?}");
        let weighted = row(|fleet, zone| {
            fleet.overflow.regions = 1;
            let weights =
                [("r4", 1), ("r5", 0)].map(|(name, weight)| (name.parse().unwrap(), weight));
            zone.order = Order::Weighted(weights.into());
        });
        assert_eq!(names(reach(&weighted, "r0")), ["r0", "r1", "r4"]);
    }

    proptest! {
        #[test]
        fn every_chain_is_bounded_and_has_nothing_twice(fleet in fleets(), depth in 1..5usize, choice in 1..5usize) {
            let mut fleet = fleet;
            fleet.failover = Failover { regions: depth };
            fleet.overflow.regions = choice;
            let topology = Topology::new(fleet);
            for home in topology.regions.keys() {
                for (_, _, reach) in topology.reaches_of(home) {
                    let overflow = reach.regions().iter().skip(1).map(|to| reach.overflow_chain(home, to));
                    for members in overflow.chain([reach.chain().to_vec()]) {
                        let regions: Vec<_> = members.iter().filter_map(Member::region).collect();
                        prop_assert!(regions.len() <= depth, "{members:?}");
                        let distinct: BTreeSet<_> = regions.iter().collect();
                        prop_assert_eq!(distinct.len(), regions.len());
                        prop_assert_eq!(members.iter().collect::<BTreeSet<_>>().len(), members.len());
                    }
                }
            }
        }
    }
}
