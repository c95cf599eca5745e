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
mod report;
mod retrieval;
mod retry;
mod route;
mod route_tree;

pub use filter::of_the_other_kind;

use crate::history::History;
use crate::snapshot::Snapshot;
use crate::tls;
use egress::Egress;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use meridian_planner::plan::{Plan, carried_over};
use meridian_planner::plugins::egress_policy;
use meridian_planner::topology::Topology;
use meridian_policy::filter_policy::Lease;
use meridian_policy::fleet::{Region, Zone};
use meridian_policy::{FallbackId, FallbackName, RegionName, ZoneId};
use node::Node;
use route::Weights;
use std::collections::{BTreeMap, BTreeSet};

/// Translates fleet and plan for the gateway of a region. An unknown region gets an empty snapshot. Without a lease the
/// plan holds indefinitely. Definitions of earlier fleets are kept beside those of the current one, as they were.
pub fn translate(
    history: impl Into<History>,
    plan: &Plan,
    home: &RegionName,
    lease: Option<Lease>,
) -> Snapshot {
    let history = history.into();
    let translator = Translator::new(&history, plan);
    let view = translator.view(home, lease);
    view.map_or_else(Snapshot::default, |view| view.snapshot(Weights::Planned))
}

/// Translates a plan for one gateway after the other.
pub struct Translator<'t> {
    history: &'t History,
    plan: &'t Plan,
    /// The plan as far as it is one of each earlier fleet.
    earlier: Vec<Plan>,
}

/// What a plan moves in the configuration of a gateway: the rest follows from the fleets alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Moving {
    /// The filter that decides where a request goes, with its policy.
    pub router: HttpFilter,
    /// The routes of the public listener. `None`: as before.
    pub routes: Option<RouteConfiguration>,
    /// Endpoints that a plan marks or chooses. The others are as before.
    pub endpoints: Vec<ClusterLoadAssignment>,
}

impl<'t> Translator<'t> {
    /// A translator of a plan for all fleets of a history.
    pub fn new(history: &'t History, plan: &'t Plan) -> Self {
        let earlier = history.earlier.iter();
        Self {
            history,
            plan,
            earlier: earlier
                .map(|topology| carried_over(topology, plan))
                .collect(),
        }
    }

    /// The configuration of a gateway as a skeleton: each lane leads to every chain that a plan may choose. Empty for an unknown region.
    pub fn skeleton(&self, home: &RegionName, lease: Lease) -> Snapshot {
        let view = self.view(home, Some(lease));
        view.map_or_else(Snapshot::default, |view| view.snapshot(Weights::Every))
    }

    /// What the plan moves in the configuration of a gateway. `None` for an unknown region.
    pub fn moving(&self, home: &RegionName, lease: Lease) -> Option<Moving> {
        self.view(home, Some(lease)).map(|view| view.moving())
    }

    /// What another lease moves, under the same plan. `None` for an unknown region.
    pub fn renewed(&self, home: &RegionName, lease: Lease) -> Option<Moving> {
        let topology = &self.history.current;
        topology.regions.contains_key(home).then(|| Moving {
            router: filter::router(topology, self.plan, home, Some(lease)),
            routes: None,
            endpoints: Vec::new(),
        })
    }

    fn view<'v>(&'v self, home: &'v RegionName, lease: Option<Lease>) -> Option<View<'v>> {
        let current = self.history.current.as_ref();
        let region = current.regions.get(home)?;
        let node = Node::new(current, self.plan, home, lease, &BTreeSet::new());
        let mut known: BTreeSet<&ZoneId> = node.zones.values().map(|(id, _)| *id).collect();
        let mut earlier = Vec::new();
        for (topology, plan) in self.history.earlier.iter().zip(&self.earlier) {
            if topology.regions.contains_key(home) {
                let node = Node::new(topology, plan, home, None, &known);
                known.extend(node.zones.values().map(|(id, _)| *id));
                earlier.push(node);
            }
        }
        Some(View {
            node,
            earlier,
            region,
        })
    }
}

/// What one gateway has of the fleets: of earlier ones without the definitions of those after them.
struct View<'v> {
    node: Node<'v>,
    earlier: Vec<Node<'v>>,
    region: &'v Region,
}

impl View<'_> {
    fn nodes(&self) -> impl Iterator<Item = &Node<'_>> {
        std::iter::once(&self.node).chain(&self.earlier)
    }

    fn snapshot(&self, weights: Weights) -> Snapshot {
        let Self {
            node,
            earlier,
            region,
        } = self;
        let (fleet, home) = (node.topology, node.home);
        let mut translation = Translation::new(node.topology);
        let routes = route::configuration(node, earlier, weights);
        translation.listener(public::listener(node, routes, region));
        translation.listener(peer::listener(node, earlier, region));
        translation.cluster(cluster::nothing(fleet));
        let guard = filter::guard(fleet, home);
        // Other gateways and health checks use all pools, whether a chain does or not.
        for (model, pool) in &region.pools {
            translation.cluster(cluster::pool(fleet, home, model, pool));
            translation.clusters(cluster::dns(fleet, home, model, pool));
        }
        let users = users(self.nodes());
        for node in self.nodes() {
            translation.node(node, &guard, &users);
        }
        if let Some(database) = &region.vector_db {
            for listener in retrieval::listeners(node, region, database) {
                translation.listener(listener);
            }
            translation.clusters(cluster::databases_of(node));
        }
        for secret in tls::secrets(&region.gateway, &region.public) {
            translation.secret(secret);
        }
        translation.snapshot
    }

    fn moving(&self) -> Moving {
        let mut peers = BTreeMap::new();
        for node in self.nodes() {
            for (peer, model) in node.peers() {
                let assignment = cluster::peer_endpoints(node.topology, peer, model, node.plan);
                peers.entry((peer, model)).or_insert(assignment);
            }
        }
        let database = self.region.vector_db.as_ref();
        let database = database.map(|_| cluster::current_database(&self.node));
        let endpoints = peers.into_values().flatten().chain(database.flatten());
        Moving {
            router: filter::router(
                self.node.topology,
                self.node.plan,
                self.node.home,
                self.node.lease,
            ),
            routes: Some(route::configuration(
                &self.node,
                &self.earlier,
                Weights::Planned,
            )),
            endpoints: endpoints.collect(),
        }
    }
}

/// The definitions of zones that may use each definition of a fallback.
type Users<'n> = BTreeMap<&'n FallbackId, BTreeMap<ZoneId, &'n Zone>>;

fn users<'n>(nodes: impl Iterator<Item = &'n Node<'n>>) -> Users<'n> {
    let mut users = Users::new();
    for node in nodes {
        for (zone_id, zone) in node.zones.values() {
            let fallbacks = zone.fallbacks.iter();
            let ids = &node.topology.definitions().fallbacks;
            for id in fallbacks.filter_map(|name| ids.get(name)) {
                let zones = users.entry(id).or_default();
                zones.insert((*zone_id).clone(), zone);
            }
        }
    }
    users
}

/// A snapshot in the making. Of two resources with one name the first one stays: it is of the newer fleet.
struct Translation<'f> {
    /// The fleet in force.
    fleet: &'f Topology,
    snapshot: Snapshot,
    names: BTreeSet<(&'static str, String)>,
}

impl<'f> Translation<'f> {
    fn new(fleet: &'f Topology) -> Self {
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
        let (fleet, home) = (node.topology, node.home);
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
        let fleet = node.topology;
        let fallback = fleet.fallbacks.get(name);
        let id = node.topology.definitions().fallbacks.get(name);
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
