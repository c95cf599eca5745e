//! Routes of the public listener: they match the headers that the filter sets, and lead to chains only.

use super::node::{Node, OverflowChain};
use super::retry;
use super::route_tree::RouteTree;
use crate::name;
use crate::wire::{duration, header_is, number, seconds};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::hash_policy::{
    Header as HashHeader, PolicySpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, HashPolicy};
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::{
    ClusterWeight, RandomValueSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, HedgePolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
    WeightedCluster,
};
use envoy_types::pb::google::protobuf::{BoolValue, UInt64Value};
use meridian_planner::batch::batch;
use meridian_planner::chain::{has_another, lane_of};
use meridian_planner::plugins::fresh_rule;
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use meridian_policy::fleet::Limits;
use meridian_policy::{ModelName, RegionName, ZoneName, headers};

/// Response headers that send a client to another place, or make it keep something. No inference API has them.
const FOR_BROWSERS: [&str; 6] = [
    "alt-svc",
    "content-location",
    "link",
    "location",
    "refresh",
    "set-cookie",
];

/// The weights of the chains of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// As planned: chains without a weight are left out.
    Planned,
    /// Every chain that a plan may choose has one.
    Every,
}

/// The routes of the public listener, in a tree by definition and model, and the catch-all. Per definition and model: two for each lane with
/// weights, two for the fallbacks alone, and two for any other lane. The routes of a lane exist even while the plan sends nothing there.
pub fn configuration(
    node: &Node<'_>,
    earlier: &[Node<'_>],
    weights: Weights,
) -> RouteConfiguration {
    let mut tree = RouteTree::default();
    for node in std::iter::once(node).chain(earlier) {
        add_routes(node, weights, &mut tree);
    }
    let virtual_host = VirtualHost {
        name: "inference".into(),
        domains: vec!["*".into()],
        matcher: Some(tree.matcher(Some(catch_all(&node.topology.limits)))),
        include_request_attempt_count: true,
        include_attempt_count_in_response: true,
        response_headers_to_remove: [headers::RETRY, headers::FINAL]
            .into_iter()
            .chain(FOR_BROWSERS)
            .map(str::to_owned)
            .collect(),
        ..Default::default()
    };
    RouteConfiguration {
        name: "public".into(),
        virtual_hosts: vec![virtual_host],
        ..Default::default()
    }
}

/// Adds the routes of the definitions of one fleet.
fn add_routes<'n>(node: &'n Node<'n>, weights: Weights, tree: &mut RouteTree<'n>) {
    let mut add = |zone: &ZoneName, model: &'n ModelName, routes: Vec<Route>| {
        if let Some((definition, _)) = node.zones.get(zone) {
            tree.add(definition, model, routes);
        }
    };
    for ((zone, model), chains) in &node.overflow {
        add(
            zone,
            model,
            lane_routes(node, zone, model, (chains, weights)),
        );
    }
    let on = |zone, model, lane, members: &[Member]| {
        let to = ClusterSpecifier::Cluster(node.chain_name(zone, model, members));
        let of = |stream| route(node, zone, model, lane, members, to.clone(), stream);
        [true, false].map(of).into()
    };
    for ((zone, model), members) in &node.fallbacks_alone {
        add(zone, model, on(zone, model, Some(Lane::Fallback), members));
    }
    // For any other lane: filter policy and routes change at different times, and a request may use a lane whose routes are
    // not there yet.
    for ((zone, model), members) in &node.chains {
        add(zone, model, on(zone, model, None, members));
    }
}

/// The routes of a zone and model on the lanes with weights: overflow, fresh and batch.
fn lane_routes(
    node: &Node<'_>,
    zone: &ZoneName,
    model: &ModelName,
    (chains, weights): (&[OverflowChain<'_>], Weights),
) -> Vec<Route> {
    let Some((_, members)) = chains.first() else {
        return Vec::new();
    };
    let planned = node.plan.placement(node.home, zone, model);
    let fresh = fresh_rule(node.topology, node.plan, zone, model, node.home);
    let batch = batch(node.topology, node.plan, zone, model, node.home);
    // The batch lane alone may use the home region as well.
    let with_home: Vec<OverflowChain<'_>> = home_chain(node, zone, model)
        .into_iter()
        .chain(chains.iter().cloned())
        .collect();
    let lanes = [
        (
            Lane::Overflow,
            chains,
            planned.map(|placement| &placement.overflow),
        ),
        (
            Lane::Fresh,
            chains,
            fresh.as_ref().map(|fresh| &fresh.others),
        ),
        (
            Lane::Batch,
            &with_home,
            batch.as_ref().map(|batch| &batch.weights),
        ),
    ];
    let mut routes = Vec::new();
    for (lane, chains, planned) in lanes {
        let weight = |(index, to): (usize, &RegionName)| match (weights, planned) {
            (Weights::Every, _) => 1,
            (Weights::Planned, Some(planned)) if !planned.is_empty() => {
                planned.get(to).copied().unwrap_or(0)
            }
            (Weights::Planned, _) if index == 0 => TOTAL_WEIGHT,
            (Weights::Planned, _) => 0,
        };
        let to = by_weight(node, zone, model, chains, weight);
        for stream in [true, false] {
            let to = ClusterSpecifier::WeightedClusters(to.clone());
            routes.push(spread(route(
                node,
                zone,
                model,
                Some(lane),
                members,
                to,
                stream,
            )));
        }
    }
    routes
}

/// The chain that begins at home, if the home region has the model.
fn home_chain<'n>(
    node: &'n Node<'_>,
    zone: &ZoneName,
    model: &ModelName,
) -> Option<OverflowChain<'n>> {
    let members = node.chains.get(&(zone, model))?;
    Some((members.first()?.region()?, members.to_vec()))
}

/// Matches every request until the filter has read the body. It carries the limit of the body: a request that matches no
/// route gets 413 for a long prompt.
fn catch_all(limits: &Limits) -> Route {
    Route {
        name: name::NOTHING.into(),
        r#match: Some(matching(Vec::new())),
        action: Some(Action::Route(RouteAction {
            timeout: duration(limits.answer),
            cluster_specifier: Some(ClusterSpecifier::Cluster(name::NOTHING.into())),
            ..Default::default()
        })),
        ..with_body_limit(limits)
    }
}

/// The chains of a lane by the weight of each one's position and first region; those of weight 0 are left out.
fn by_weight(
    node: &Node<'_>,
    zone: &ZoneName,
    model: &ModelName,
    chains: &[OverflowChain<'_>],
    weight: impl Fn((usize, &RegionName)) -> u32,
) -> WeightedCluster {
    let clusters = chains
        .iter()
        .enumerate()
        .map(|(index, (to, members))| ClusterWeight {
            name: node.chain_name(zone, model, members),
            weight: number(weight((index, to))),
            ..Default::default()
        });
    WeightedCluster {
        clusters: clusters
            .filter(|cluster| cluster.weight != number(0))
            .collect(),
        random_value_specifier: Some(RandomValueSpecifier::UseHashPolicy(BoolValue {
            value: true,
        })),
        ..Default::default()
    }
}

/// Picks the chain by a hash that the filter sets, so that a conversation stays in one region.
fn spread(mut route: Route) -> Route {
    if let Some(Action::Route(action)) = &mut route.action {
        // The slot header picks the server in the pool. The route removes the spread header before that.
        let spread = by_header(headers::SPREAD)
            .into_iter()
            .map(|policy| HashPolicy {
                terminal: true,
                ..policy
            });
        action.hash_policy = spread.chain(by_header(headers::SLOT)).collect();
    }
    route
}

/// Hashes a request header, for consistent hashing.
pub fn by_header(name: &str) -> Vec<HashPolicy> {
    let header = HashHeader {
        header_name: name.into(),
        ..Default::default()
    };
    vec![HashPolicy {
        policy_specifier: Some(PolicySpecifier::Header(header)),
        ..Default::default()
    }]
}

/// A route from the filter's headers to one chain, or to several by weight. Without a lane it matches all lanes.
fn route(
    node: &Node<'_>,
    zone: &ZoneName,
    model: &ModelName,
    lane: Option<Lane>,
    members: &[Member],
    to: ClusterSpecifier,
    stream: bool,
) -> Route {
    let limits = node.topology.limits_of(zone, model);
    let (label, flag) = if stream {
        ("stream", "1")
    } else {
        ("whole", "0")
    };
    let definition = node.zones.get(zone).map_or("", |(id, _)| id.as_str());
    let definition = header_is(headers::DEFINITION, definition);
    // Envoy compares in this order. Routes beside each other differ in lane and stream; the tree has found the model.
    let mut matched = vec![definition];
    matched.extend(lane.map(|lane| header_is(headers::LANE, lane.as_str())));
    matched.push(header_is(headers::STREAM, flag));
    matched.push(header_is(headers::MODEL, model.as_str()));
    let lane = lane.or(lane_of(members)).map_or("", |lane| lane.as_str());
    let action = RouteAction {
        cluster_specifier: Some(to),
        hash_policy: by_header(headers::SLOT),
        timeout: duration(limits.answer),
        // Envoy's idle timeout counts from the request on, so it would end requests that wait for a first token. The guard
        // ends streams that stall later. A response that is not streamed sends nothing until it is complete.
        idle_timeout: seconds(0),
        flush_timeout: duration(limits.stream_idle_timeout),
        retry_policy: Some(retry::policy(node, &limits, model, members, stream)),
        // After the per-try timeout the next member is tried as well, and the first response wins. A region that hangs
        // costs one timeout, and a fleet that is slow everywhere still responds. A single server is not asked twice at a time.
        hedge_policy: has_another(node.topology, model, members).then(|| HedgePolicy {
            hedge_on_per_try_timeout: true,
            ..Default::default()
        }),
        ..Default::default()
    };
    Route {
        name: format!("{zone}/{model}/{lane}/{label}"),
        r#match: Some(matching(matched)),
        // Only this gateway uses it.
        request_headers_to_remove: vec![headers::SPREAD.into()],
        action: Some(Action::Route(action)),
        ..with_body_limit(&limits)
    }
}

fn matching(headers: Vec<HeaderMatcher>) -> RouteMatch {
    RouteMatch {
        headers,
        path_specifier: Some(PathSpecifier::Prefix("/".into())),
        ..Default::default()
    }
}

/// A route that lets the filter buffer a body up to the fleet's limit.
pub fn with_body_limit(limits: &Limits) -> Route {
    Route {
        request_body_buffer_limit: Some(UInt64Value {
            value: limits.body.into(),
        }),
        ..Default::default()
    }
}
