//! The view that one gateway has of the fleet: its chains and their members.

use crate::history::Defined;
use crate::name;
use meridian_planner::chain::{chain, overflow_chain};
use meridian_planner::plan::{Plan, regions_of};
use meridian_policy::chain::Member;
use meridian_policy::definition::Definitions;
use meridian_policy::filter_policy::Lease;
use meridian_policy::fleet::{Pool, Zone};
use meridian_policy::{FallbackName, Fleet, ModelName, RegionName, ZoneId, ZoneName};
use std::collections::{BTreeMap, BTreeSet};

/// What the translation of one gateway's configuration reads.
pub struct Node<'f> {
    pub fleet: &'f Fleet,
    pub plan: &'f Plan,
    pub home: &'f RegionName,
    pub lease: Option<Lease>,
    pub definitions: Definitions,
    /// The zones that are translated from this fleet, with the IDs of their definitions.
    pub zones: BTreeMap<&'f ZoneName, (ZoneId, &'f Zone)>,
    pub chains: Chains<'f, Vec<Member>>,
    /// The chains of the overflow lane, nearest first. They exist even while nothing overflows: a plan changes weights only.
    pub overflow: Chains<'f, Vec<OverflowChain>>,
    /// The fallbacks alone, of chains that begin with a region: for the time when no region is worth a request.
    pub fallbacks_alone: Chains<'f, Vec<Member>>,
}

/// A chain of the overflow lane, and the region that it begins with.
pub type OverflowChain = (RegionName, Vec<Member>);

/// One value per zone and model.
pub type Chains<'f, C> = BTreeMap<(&'f ZoneName, &'f ModelName), C>;

impl<'f> Node<'f> {
    /// The view of the fleet in force.
    pub fn new(
        defined: &Defined<'f>,
        plan: &'f Plan,
        home: &'f RegionName,
        lease: Option<Lease>,
    ) -> Self {
        Self::with_zones(defined, plan, home, lease, &BTreeSet::new())
    }

    /// The view of a fleet, for the zones whose definitions are not among the `known` ones.
    pub fn with_zones(
        defined: &Defined<'f>,
        plan: &'f Plan,
        home: &'f RegionName,
        lease: Option<Lease>,
        known: &BTreeSet<ZoneId>,
    ) -> Self {
        let (fleet, definitions) = (defined.fleet, defined.ids.clone());
        let zones: BTreeMap<&'f ZoneName, (ZoneId, &'f Zone)> = fleet
            .zones
            .iter()
            .filter_map(|(name, zone)| {
                let id = definitions.zones.get(name)?;
                (!known.contains(id)).then(|| (name, (id.clone(), zone)))
            })
            .collect();
        let models = fleet.models();
        let served = || {
            let zones = zones.keys().copied();
            zones.flat_map(|zone| models.iter().map(move |model| (zone, *model)))
        };
        let chains: Chains<'f, Vec<Member>> = served()
            .map(|(zone, model)| ((zone, model), chain(fleet, zone, model, home)))
            .filter(|(_, members)| !members.is_empty())
            .collect();
        let fallbacks_alone = chains
            .iter()
            .map(|(key, members)| (*key, fallbacks_after_regions(members)))
            .filter(|(_, members)| !members.is_empty())
            .collect();
        let overflow = served().filter_map(|(zone, model)| {
            let (_, others) = regions_of(fleet, zone, model, home)?;
            let chains = others.into_iter().map(|to| {
                let members = overflow_chain(fleet, zone, model, home, &to);
                (to, members)
            });
            Some(((zone, model), chains.collect()))
        });
        Self {
            overflow: overflow.collect(),
            fleet,
            plan,
            home,
            lease,
            definitions,
            zones,
            chains,
            fallbacks_alone,
        }
    }

    /// The cluster of a chain.
    pub fn chain_name(&self, zone: &ZoneName, model: &ModelName, members: &[Member]) -> String {
        let id = self.zones.get(zone).map(|(id, _)| id);
        id.map_or_else(
            || name::NOTHING.to_owned(),
            |id| name::chain(id, model, members),
        )
    }

    /// Pools of this region that a chain of this gateway uses.
    pub fn pools(&self) -> BTreeMap<&'f ModelName, &'f Pool> {
        let used = self.chains.iter().filter(|(_, members)| {
            members
                .iter()
                .any(|member| matches!(member, Member::Pool(_)))
        });
        let region = self.fleet.regions.get(self.home);
        used.filter_map(|((_, model), _)| Some((*model, region?.pools.get(*model)?)))
            .collect()
    }

    /// Pools of other regions that a chain of this gateway uses.
    pub fn peers(&self) -> BTreeSet<(&RegionName, &'f ModelName)> {
        let peers = self.chains.iter().flat_map(|((_, model), members)| {
            members.iter().filter_map(move |member| match member {
                Member::Peer(region) => Some((region, *model)),
                Member::Pool(_) | Member::Fallback(_) => None,
            })
        });
        peers.collect()
    }

    /// Fallbacks that a chain of this gateway uses.
    pub fn fallbacks(&self) -> BTreeSet<&FallbackName> {
        let fallbacks = self
            .chains
            .values()
            .flatten()
            .filter_map(|member| match member {
                Member::Fallback(fallback) => Some(fallback),
                Member::Pool(_) | Member::Peer(_) => None,
            });
        fallbacks.collect()
    }
}

/// The fallbacks of a chain that begins with a region; none of one that does not.
fn fallbacks_after_regions(members: &[Member]) -> Vec<Member> {
    let is_fallback = |member: &&Member| matches!(member, Member::Fallback(_));
    if members.first().is_some_and(|first| is_fallback(&first)) {
        return Vec::new();
    }
    members.iter().filter(is_fallback).cloned().collect()
}
