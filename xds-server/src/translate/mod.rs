//! Translates fleet and plan into the Envoy configuration of one gateway. A pure function: equal inputs give equal
//! messages.
//!
//! Choices that are not obvious were measured on Envoy 1.40; ARCHITECTURE.md lists the facts.

mod access_log;
mod cluster;
mod egress;
mod filter;
mod local_reply;
mod node;
mod peer;
mod public;
mod retrieval;
mod retry;
mod route;

use crate::snapshot::Snapshot;
use meridian_planner::plan::Plan;
use meridian_policy::filter_policy::Lease;
use meridian_policy::{Fleet, RegionName};
use node::Node;

/// Translates fleet and plan for the gateway of a region. An unknown region gets an empty snapshot. Without a lease the
/// plan holds indefinitely.
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
    for ((zone, model), members) in node.chains.iter().chain(&node.fallbacks_alone) {
        clusters.push(cluster::chain(fleet, &guard, zone, model, members));
    }
    for ((zone, model), chains) in &node.overflow {
        for (_, members) in chains {
            clusters.push(cluster::chain(fleet, &guard, zone, model, members));
        }
    }
    for (model, pool) in &region.pools {
        clusters.push(cluster::pool(fleet, home, model, pool));
        clusters.extend(cluster::dns(fleet, home, model, pool));
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
