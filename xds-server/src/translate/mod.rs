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
mod route_tree;

pub use filter::of_the_other_kind;

use crate::history::{Defined, History};
use crate::snapshot::Snapshot;
use crate::tls;
use egress::Egress;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use meridian_planner::plan::{Plan, carried_over};
use meridian_planner::plugins::egress_policy;
use meridian_policy::filter_policy::Lease;
use meridian_policy::fleet::Zone;
use meridian_policy::{FallbackId, FallbackName, Fleet, RegionName, ZoneId};
use node::Node;
use std::collections::{BTreeMap, BTreeSet};

/// Translates fleet and plan for the gateway of a region. An unknown region gets an empty snapshot. Without a lease the
/// plan holds indefinitely. Definitions of earlier fleets are kept beside those of the current one, as they were.
pub fn translate<'f>(
    history: impl Into<History<'f>>,
    plan: &Plan,
    home: &RegionName,
    lease: Option<Lease>,
) -> Snapshot {
    let history = history.into();
    let fleet = history.current.fleet;
    let Some(region) = fleet.regions.get(home) else {
        return Snapshot::default();
    };
    let node = Node::new(&history.current, plan, home, lease);
    let plans: Vec<(&Defined<'_>, Plan)> = history
        .earlier
        .iter()
        .map(|earlier| (earlier, carried_over(earlier.fleet, plan)))
        .collect();
    let earlier = earlier_nodes(&node, &plans);
    let mut translation = Translation::new(fleet);
    translation.listener(public::listener(&node, &earlier, region));
    translation.listener(peer::listener(&node, &earlier, region));
    translation.cluster(cluster::nothing(fleet));
    let guard = filter::guard(fleet, home);
    // Other gateways and health checks use all pools, whether a chain does or not.
    for (model, pool) in &region.pools {
        translation.cluster(cluster::pool(fleet, home, model, pool));
        translation.clusters(cluster::dns(fleet, home, model, pool));
    }
    let users = users(std::iter::once(&node).chain(&earlier));
    for node in std::iter::once(&node).chain(&earlier) {
        translation.node(node, &guard, &users);
    }
    if let Some(database) = &region.vector_db {
        for listener in retrieval::listeners(&node, region, database) {
            translation.listener(listener);
        }
        translation.clusters(cluster::databases_of(&node));
    }
    for secret in tls::secrets(&region.gateway, &region.public) {
        translation.secret(secret);
    }
    translation.snapshot
}

/// The views of earlier fleets, each without the definitions of those after it.
fn earlier_nodes<'f>(node: &Node<'f>, plans: &'f [(&Defined<'f>, Plan)]) -> Vec<Node<'f>> {
    let ids = |node: &Node<'_>| -> Vec<ZoneId> {
        let zones = node.zones.values();
        zones.map(|(id, _)| id.clone()).collect()
    };
    let mut known: BTreeSet<ZoneId> = ids(node).into_iter().collect();
    let mut nodes = Vec::new();
    for (defined, plan) in plans {
        if defined.fleet.regions.contains_key(node.home) {
            let earlier = Node::with_zones(defined, plan, node.home, None, &known);
            known.extend(ids(&earlier));
            nodes.push(earlier);
        }
    }
    nodes
}

/// The definitions of zones that may use each definition of a fallback.
type Users<'n> = BTreeMap<&'n FallbackId, BTreeMap<ZoneId, &'n Zone>>;

fn users<'n>(nodes: impl Iterator<Item = &'n Node<'n>>) -> Users<'n> {
    let mut users = Users::new();
    for node in nodes {
        for (zone_id, zone) in node.zones.values() {
            let fallbacks = zone.fallbacks.iter();
            for id in fallbacks.filter_map(|name| node.definitions.fallbacks.get(name)) {
                users.entry(id).or_default().insert(zone_id.clone(), zone);
            }
        }
    }
    users
}

/// A snapshot in the making. Of two resources with one name the first one stays: it is of the newer fleet.
struct Translation<'f> {
    /// The fleet in force.
    fleet: &'f Fleet,
    snapshot: Snapshot,
    names: BTreeSet<(&'static str, String)>,
}

impl<'f> Translation<'f> {
    fn new(fleet: &'f Fleet) -> Self {
        Self {
            fleet,
            snapshot: Snapshot::default(),
            names: BTreeSet::new(),
        }
    }

    fn listener(&mut self, listener: Listener) {
        if self.names.insert(("listener", listener.name.clone())) {
            self.snapshot.listeners.push(listener);
        }
    }

    fn cluster(&mut self, cluster: Cluster) {
        if self.names.insert(("cluster", cluster.name.clone())) {
            self.snapshot.clusters.push(cluster);
        }
    }

    fn clusters(&mut self, clusters: impl IntoIterator<Item = Cluster>) {
        for cluster in clusters {
            self.cluster(cluster);
        }
    }

    fn secret(&mut self, secret: Secret) {
        if self.names.insert(("secret", secret.name.clone())) {
            self.snapshot.secrets.push(secret);
        }
    }

    /// Adds what the zones of one fleet lead to.
    fn node(&mut self, node: &Node<'_>, guard: &HttpFilter, users: &Users<'_>) {
        let (fleet, home) = (node.fleet, node.home);
        for ((zone, model), members) in node.chains.iter().chain(&node.fallbacks_alone) {
            self.cluster(cluster::chain(node, guard, zone, model, members));
        }
        for ((zone, model), chains) in &node.overflow {
            for (_, members) in chains {
                self.cluster(cluster::chain(node, guard, zone, model, members));
            }
        }
        for (model, pool) in node.pools() {
            self.cluster(cluster::pool(fleet, home, model, pool));
        }
        for (peer, model) in node.peers() {
            let down = node.plan.is_down(peer, model);
            self.clusters(cluster::peer(fleet, home, peer, model, down));
        }
        for name in node.fallbacks() {
            self.fallback(node, name, users);
        }
    }

    fn fallback(&mut self, node: &Node<'_>, name: &FallbackName, users: &Users<'_>) {
        let fleet = node.fleet;
        let fallback = fleet.fallbacks.get(name);
        let id = node.definitions.fallbacks.get(name);
        let (Some(fallback), Some(id)) = (fallback, id) else {
            return;
        };
        let none = BTreeMap::new();
        let zones = users.get(id).unwrap_or(&none);
        let egress = Egress {
            id,
            name,
            fallback,
            policy: egress_policy(fleet, name, fallback, zones),
        };
        self.listener(egress::listener(self.fleet, node.home, &egress));
        self.cluster(cluster::fallback(fleet, id, name));
        self.cluster(cluster::provider(fleet, id, name, fallback));
        if let Some(secret) = egress::secret(id, fallback) {
            self.secret(secret);
        }
    }
}

#[cfg(test)]
mod tests;
