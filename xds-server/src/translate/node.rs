//! The view that one gateway has of the fleet: its chains and their members.

use crate::name;
use meridian_planner::plan::Plan;
use meridian_planner::topology::{Reach, Topology};
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lease;
use meridian_policy::fleet::{Pool, Zone};
use meridian_policy::{FallbackName, ModelName, RegionName, ZoneId, ZoneName};
use std::collections::{BTreeMap, BTreeSet};

/// What the translation of one gateway's configuration reads.
pub struct Node<'f> {
    pub topology: &'f Topology,
    pub plan: &'f Plan,
    pub home: &'f RegionName,
    pub lease: Option<Lease>,
    /// The zones that are translated from this fleet, with the IDs of their definitions.
    pub zones: BTreeMap<&'f ZoneName, (&'f ZoneId, &'f Zone)>,
    pub chains: Chains<'f, &'f [Member]>,
    /// The chains of the overflow lane, nearest first. They exist even while nothing overflows: a plan changes weights only.
    pub overflow: Chains<'f, Vec<OverflowChain<'f>>>,
    /// The fallbacks alone, of chains that begin with a region: for the time when no region is worth a request.
    pub fallbacks_alone: Chains<'f, &'f [Member]>,
}

/// A chain of the overflow lane, and the region that it begins with.
pub type OverflowChain<'f> = (&'f RegionName, Vec<Member>);

/// One value per zone and model.
pub type Chains<'f, C> = BTreeMap<(&'f ZoneName, &'f ModelName), C>;

impl<'f> Node<'f> {
    /// The view of a fleet, for the zones whose definitions are not among the `known` ones.
    pub fn new(
        topology: &'f Topology,
        plan: &'f Plan,
        home: &'f RegionName,
        lease: Option<Lease>,
        known: &BTreeSet<&ZoneId>,
    ) -> Self {
        let zones: BTreeMap<&'f ZoneName, (&'f ZoneId, &'f Zone)> = topology
            .zones
            .iter()
            .filter_map(|(name, zone)| {
                let id = topology.definitions().zones.get(name)?;
                (!known.contains(id)).then_some((name, (id, zone)))
            })
            .collect();
        let mut node = Self {
            topology,
            plan,
            home,
            lease,
            chains: BTreeMap::new(),
            overflow: BTreeMap::new(),
            fallbacks_alone: BTreeMap::new(),
            zones,
        };
        for (zone, model, reach) in topology.reaches_of(home) {
            if !node.zones.contains_key(zone) {
                continue;
            }
            let key = (zone, model);
            node.chains.insert(key, reach.chain());
            let fallbacks = fallbacks_after_regions(reach.chain());
            if !fallbacks.is_empty() {
                node.fallbacks_alone.insert(key, fallbacks);
            }
            if let Some((_, others)) = reach.choice() {
                let chains = others.iter().map(|to| (to, reach.overflow_chain(home, to)));
                node.overflow.insert(key, chains.collect());
            }
        }
        node
    }

    /// The cluster of a chain.
    pub fn chain_name(&self, zone: &ZoneName, model: &ModelName, members: &[Member]) -> String {
        let id = self.zones.get(zone).map(|(id, _)| id);
        id.map_or_else(
            || name::NOTHING.to_owned(),
            |id| name::chain(id, model, members),
        )
    }

    /// The regions that a chain of this gateway uses, by model.
    fn regions(&self) -> impl Iterator<Item = (&'f RegionName, &'f ModelName)> {
        let topology = self.topology;
        let home = self.home;
        let used = self.chains.keys();
        used.flat_map(move |(zone, model)| {
            let reach = topology.reach(zone, model, home).into_iter();
            let regions = reach.flat_map(Reach::all_regions);
            regions.map(move |region| (region, *model))
        })
    }

    /// Pools of this region that a chain of this gateway uses.
    pub fn pools(&self) -> BTreeMap<&'f ModelName, &'f Pool> {
        let region = self.topology.regions.get(self.home);
        let own = self.regions().filter(|(region, _)| *region == self.home);
        own.filter_map(|(_, model)| Some((model, region?.pools.get(model)?)))
            .collect()
    }

    /// Pools of other regions that a chain of this gateway uses.
    pub fn peers(&self) -> BTreeSet<(&'f RegionName, &'f ModelName)> {
        let others = self.regions();
        others.filter(|(region, _)| *region != self.home).collect()
    }

    /// Fallbacks that a chain of this gateway uses.
    pub fn fallbacks(&self) -> BTreeSet<&FallbackName> {
        let fallbacks = self
            .chains
            .values()
            .copied()
            .flatten()
            .filter_map(|member| match member {
                Member::Fallback(fallback) => Some(fallback),
                Member::Pool(_) | Member::Peer(_) => None,
            });
        fallbacks.collect()
    }
}

/// The fallbacks of a chain that begins with a region; none of one that does not.
fn fallbacks_after_regions(members: &[Member]) -> &[Member] {
    let regions = members
        .iter()
        .take_while(|member| member.region().is_some());
    match regions.count() {
        0 => &[],
        regions => &members[regions..],
    }
}
