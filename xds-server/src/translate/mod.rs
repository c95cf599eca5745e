//! From the fleet and the plan to one gateway's Envoy configuration. Pure: the same of both give the same messages.
//!
//! Every choice here that is not self-evident was measured on Envoy 1.40; ARCHITECTURE.md lists the facts.

mod answer;
mod cluster;
mod egress;
mod filter;
pub mod name;
mod peer;
mod public;
mod retrieval;
mod route;
pub(crate) mod tls;
pub(crate) mod wire;

pub use filter::ROUTER;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use meridian_policy::chain::{Member, chain, overflow_chain};
use meridian_policy::filter_policy::Lease;
use meridian_policy::plan::{Plan, regions_of};
use meridian_policy::{FallbackName, Fleet, ModelName, RegionName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that one Envoy is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Listeners, with their routes.
    pub listeners: Vec<Listener>,
    /// Clusters, with their endpoints.
    pub clusters: Vec<Cluster>,
    /// References to secrets on the gateway; never their values.
    pub secrets: Vec<Secret>,
}

/// One gateway's view of the fleet: its chains, and what they are made of.
struct Node<'f> {
    fleet: &'f Fleet,
    plan: &'f Plan,
    home: &'f RegionName,
    lease: Option<Lease>,
    chains: Chains<'f, Vec<Member>>,
    /// The chains of the overflow lane, nearest first, each with the region that it begins with. They are there whether
    /// anything overflows or not: only weights move.
    overflow: Chains<'f, Vec<(RegionName, Vec<Member>)>>,
}

type Chains<'f, C> = BTreeMap<(&'f ZoneName, &'f ModelName), C>;

impl<'f> Node<'f> {
    fn new(fleet: &'f Fleet, plan: &'f Plan, home: &'f RegionName, lease: Option<Lease>) -> Self {
        let models = fleet.models();
        let served = || {
            let zones = fleet.zones.keys();
            zones.flat_map(|zone| models.iter().map(move |model| (zone, *model)))
        };
        let chains = served()
            .map(|(zone, model)| ((zone, model), chain(fleet, zone, model, home)))
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
            fleet,
            plan,
            home,
            lease,
            chains,
            overflow: overflow.collect(),
        }
    }

    /// Other regions' pools that some chain here leads to.
    fn peers(&self) -> BTreeSet<(&RegionName, &'f ModelName)> {
        let peers = self.chains.iter().flat_map(|((_, model), members)| {
            members.iter().filter_map(move |member| match member {
                Member::Peer(region) => Some((region, *model)),
                Member::Pool(_) | Member::Fallback(_) => None,
            })
        });
        peers.collect()
    }

    /// Fallbacks that some chain here ends in.
    fn fallbacks(&self) -> BTreeSet<&FallbackName> {
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

/// Translates fleet and plan for the gateway of a region; an unknown region gets nothing that serves. Without a lease
/// what the plan says holds for ever.
pub fn translate(fleet: &Fleet, plan: &Plan, home: &RegionName, lease: Option<Lease>) -> Snapshot {
    let node = Node::new(fleet, plan, home, lease);
    let Some(region) = fleet.regions.get(home) else {
        return Snapshot::default();
    };
    let mut listeners = vec![
        public::listener(&node, region),
        peer::listener(&node, region),
    ];
    let mut clusters = vec![cluster::nothing(fleet)];
    let mut secrets = Vec::new();
    let guard = filter::guard(fleet, home);
    for ((zone, model), members) in &node.chains {
        clusters.push(cluster::chain(fleet, &guard, zone, model, members));
    }
    for ((zone, model), chains) in &node.overflow {
        for (_, members) in chains {
            clusters.push(cluster::chain(fleet, &guard, zone, model, members));
        }
    }
    for (model, pool) in &region.pools {
        clusters.push(cluster::pool(fleet, home, model, pool));
    }
    for (peer, model) in node.peers() {
        let down = plan.is_down(peer, model);
        clusters.extend(cluster::peer(fleet, home, peer, model, down));
    }
    for name in node.fallbacks() {
        let Some(fallback) = fleet.fallbacks.get(name) else {
            continue;
        };
        listeners.push(egress::listener(fleet, home, name, fallback));
        clusters.push(cluster::fallback(fleet, name));
        clusters.push(cluster::provider(fleet, name, fallback));
        secrets.extend(egress::secret(name, fallback));
    }
    if let Some(database) = &region.vector_db {
        listeners.extend(retrieval::listeners(&node, region, database));
        clusters.extend(cluster::databases_of(&node));
    }
    Snapshot {
        listeners,
        clusters,
        secrets,
    }
}

#[cfg(test)]
mod tests;
