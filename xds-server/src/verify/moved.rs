//! What a plan moves, held against a configuration that was verified whole.
//!
//! A verified configuration (the [`Skeleton`]) stays verified if what replaces a part of it can carry no request to another place. Three
//! things may differ, and nothing else:
//!
//! * the weights of a route's clusters, among those that the verified route has;
//! * the health that an endpoint is said to have, at the verified addresses;
//! * the policy of the router, which is read anew, as a whole.
//!
//! Anything else is a leak here. The caller then has the whole configuration verified.

use super::agreement;
use super::leak::{Leak, Leaks, only};
use super::plugin::Plugin;
use super::route_tree;
use crate::history::History;
use crate::snapshot::Parts;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration};
use meridian_policy::RegionName;
use meridian_proto::canonical;
use prost::{Message, Name};
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_128;

/// What a verified configuration says in the parts that a plan may move.
#[derive(Clone, Debug)]
pub struct Skeleton {
    routes: BTreeMap<String, Routes>,
    endpoints: BTreeMap<String, u128>,
    /// Names of the extensions that are routers.
    routers: BTreeSet<String>,
}

/// A verified route configuration.
#[derive(Clone, Debug)]
struct Routes {
    /// Everything but the routes.
    rest: u128,
    /// The clusters of each route, by everything else of it.
    clusters: BTreeMap<u128, BTreeSet<String>>,
}

impl Skeleton {
    /// The skeleton of a configuration. Only of one that was verified whole.
    pub fn of(parts: &Parts) -> Self {
        let mut leaks = Leaks::default();
        let routes = parts.routes.iter();
        let routes = routes.map(|routes| {
            let (rest, each) = opened(routes, &mut leaks);
            let mut clusters: BTreeMap<u128, BTreeSet<String>> = BTreeMap::new();
            for route in each {
                let (rest, of_route) = without_weights(route, &mut leaks);
                clusters.entry(rest).or_default().extend(of_route);
            }
            (routes.name.clone(), Routes { rest, clusters })
        });
        let endpoints = parts.endpoints.iter();
        let routers = parts.extensions.iter();
        Self {
            routes: routes.collect(),
            endpoints: endpoints
                .map(|endpoints| {
                    let hash = without_health(endpoints, &mut leaks);
                    (endpoints.cluster_name.clone(), hash)
                })
                .collect(),
            routers: routers
                .filter(|extension| {
                    let any = extension.typed_config.as_ref();
                    let mut leaks = Leaks::default();
                    let plugin = any.filter(|any| Plugin::is(any));
                    let plugin = plugin.and_then(|any| Plugin::of("", any, &mut leaks));
                    plugin.is_some_and(|plugin| plugin.is_router())
                })
                .map(|extension| extension.name.clone())
                .collect(),
        }
    }
}

impl Skeleton {
    /// The number of different routes.
    pub fn routes(&self) -> usize {
        let all = self.routes.values();
        all.map(|routes| routes.clusters.len()).sum()
    }
}

/// The leaks of parts that replace those of the same names in a verified configuration; empty if residency still holds.
pub fn moved(
    history: &History,
    home: &RegionName,
    skeleton: &Skeleton,
    parts: &Parts,
) -> Vec<Leak> {
    // Without `..`: a new kind of part does not compile until it is verified.
    let Parts {
        listeners,
        clusters,
        endpoints,
        routes,
        extensions,
        secrets,
    } = parts;
    let mut leaks = Leaks::default();
    if !(listeners.is_empty() && clusters.is_empty() && secrets.is_empty()) {
        leaks.add("plan", "moves more than routes, endpoints and policies");
    }
    for configuration in routes {
        let at = format!("routes.{}", configuration.name);
        match skeleton.routes.get(&configuration.name) {
            Some(verified) => moved_routes(&at, verified, configuration, &mut leaks),
            None => leaks.add(&at, "was not there when the configuration was verified"),
        }
    }
    for endpoints in endpoints {
        let verified = skeleton.endpoints.get(&endpoints.cluster_name);
        if verified != Some(&without_health(endpoints, &mut leaks)) {
            let at = format!("endpoints.{}", endpoints.cluster_name);
            leaks.add(&at, "differ from the verified ones in more than health");
        }
    }
    for extension in extensions {
        moved_policy(history, home, skeleton, extension, &mut leaks);
    }
    leaks.into_vec()
}

fn moved_routes(
    at: &str,
    verified: &Routes,
    configuration: &RouteConfiguration,
    leaks: &mut Leaks,
) {
    let (rest, routes) = opened(configuration, leaks);
    if rest != verified.rest {
        leaks.add(at, "differs from the verified one in more than its routes");
    }
    for route in routes {
        let at = format!("{at}.routes[{:?}]", route.name);
        let (rest, clusters) = without_weights(route, leaks);
        match verified.clusters.get(&rest) {
            Some(verified) => {
                for cluster in clusters.difference(verified) {
                    let message = format!("leads to `{cluster}`, where the verified one does not");
                    leaks.add(&at, message);
                }
            }
            None => leaks.add(&at, "differs from each verified one in more than weights"),
        }
    }
}

fn moved_policy(
    history: &History,
    home: &RegionName,
    skeleton: &Skeleton,
    extension: &TypedExtensionConfig,
    leaks: &mut Leaks,
) {
    let at = format!("extensions.{}", extension.name);
    let any = extension.typed_config.as_ref();
    let plugin = any.filter(|any| Plugin::is(any));
    let plugin = plugin.and_then(|any| Plugin::of(&at, any, leaks));
    match plugin.filter(|_| skeleton.routers.contains(&extension.name)) {
        Some(plugin) => agreement::router(history, home, &at, &plugin, leaks),
        None => leaks.add(&at, "is no router of the verified configuration"),
    }
}

/// A hash of a configuration without its routes, and the routes.
fn opened(configuration: &RouteConfiguration, leaks: &mut Leaks) -> (u128, Vec<Route>) {
    let mut rest = configuration.clone();
    let mut routes = Vec::new();
    for host in &mut rest.virtual_hosts {
        routes.append(&mut host.routes);
        if let Some(tree) = host.matcher.take() {
            routes.extend(route_tree::routes(&configuration.name, &tree, leaks));
        }
    }
    let rest = hash(&rest, leaks);
    (rest, routes)
}

/// A hash of a route without its weighted clusters, and their names.
fn without_weights(mut route: Route, leaks: &mut Leaks) -> (u128, BTreeSet<String>) {
    let mut names = BTreeSet::new();
    if let Some(Action::Route(action)) = &mut route.action
        && let Some(ClusterSpecifier::WeightedClusters(weighted)) = &mut action.cluster_specifier
    {
        for cluster in std::mem::take(&mut weighted.clusters) {
            let supported = only!(ClusterWeight, cluster, [name, weight]);
            leaks.check_fields(&route.name, &cluster, &supported);
            names.insert(cluster.name);
        }
    }
    (hash(&route, leaks), names)
}

/// A hash of endpoints without what their health is said to be.
fn without_health(endpoints: &ClusterLoadAssignment, leaks: &mut Leaks) -> u128 {
    let mut endpoints = endpoints.clone();
    for locality in &mut endpoints.endpoints {
        for endpoint in &mut locality.lb_endpoints {
            endpoint.health_status = 0;
        }
    }
    hash(&endpoints, leaks)
}

/// Equal hashes: equal content. What has no canonical encoding is a leak.
fn hash<M: Message + Name>(message: &M, leaks: &mut Leaks) -> u128 {
    let encoded = canonical(message);
    if let Err(error) = &encoded {
        leaks.add(M::NAME, error.to_string());
    }
    xxh3_128(&encoded.unwrap_or_default())
}
