//! Edits of nested messages in a snapshot.

use crate::snapshot::Snapshot;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::ClusterDiscoveryType;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress, TransportSocket, transport_socket};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::config::listener::v3::{Listener, filter};
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, Route, RouteAction, RouteConfiguration, RouteList, VirtualHost,
};
use envoy_types::pb::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, http_filter,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use envoy_types::pb::xds::r#type::matcher::v3::Matcher;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::OnMatch as Branch;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{MatcherTree, MatcherType};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_tree::TreeType;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::on_match::OnMatch;
use envoy_types::util::pack_any;
use meridian_policy::FilterPolicy;
use prost::{Message, Name};
use std::collections::{BTreeMap, HashMap};

/// A name without the hash of the definition in it.
pub fn short(name: &str) -> String {
    let Some((before, after)) = name.split_once('@') else {
        return name.to_owned();
    };
    format!("{before}{}", &after[16..])
}

/// The listener with this short name.
pub fn listener<'s>(snapshot: &'s mut Snapshot, name: &str) -> &'s mut Listener {
    let mut listeners = snapshot.listeners.iter_mut();
    listeners
        .find(|listener| short(&listener.name) == name)
        .unwrap()
}

/// The cluster with this short name.
pub fn cluster<'s>(snapshot: &'s mut Snapshot, name: &str) -> &'s mut Cluster {
    let mut clusters = snapshot.clusters.iter_mut();
    clusters
        .find(|cluster| short(&cluster.name) == name)
        .unwrap()
}

/// The whole name of the cluster with this short name.
pub fn whole(snapshot: &mut Snapshot, name: &str) -> String {
    cluster(snapshot, name).name.clone()
}

/// Unpacks, edits and packs again.
pub fn repack<M: Message + Name + Default>(any: &mut Any, edit: impl FnOnce(&mut M)) {
    assert_eq!(any.type_url, M::type_url());
    let mut message = M::decode(any.value.as_slice()).unwrap();
    edit(&mut message);
    *any = pack_any(message);
}

pub fn manager(listener: &mut Listener, edit: impl FnOnce(&mut HttpConnectionManager)) {
    let filter = &mut listener.filter_chains[0].filters[0];
    let Some(filter::ConfigType::TypedConfig(any)) = &mut filter.config_type else {
        panic!("no configuration")
    };
    repack(any, edit);
}

pub fn routes(listener: &mut Listener, edit: impl FnOnce(&mut RouteConfiguration)) {
    manager(listener, |manager| {
        let Some(RouteSpecifier::RouteConfig(routes)) = &mut manager.route_specifier else {
            panic!("no routes")
        };
        edit(routes);
    });
}

/// Edits the routes as a list, which stands in the place of their tree from then on.
pub fn route_list(listener: &mut Listener, edit: impl FnOnce(&mut Vec<Route>)) {
    routes(listener, |routes| {
        let host = &mut routes.virtual_hosts[0];
        host.routes = all_routes(host);
        host.matcher = None;
        edit(&mut host.routes);
    });
}

/// Edits the tree of routes.
pub fn tree(listener: &mut Listener, edit: impl FnOnce(&mut Matcher)) {
    routes(listener, |routes| {
        edit(routes.virtual_hosts[0].matcher.as_mut().unwrap());
    });
}

/// A matcher that is a tree.
pub fn as_tree(matcher: &mut Matcher) -> &mut MatcherTree {
    match &mut matcher.matcher_type {
        Some(MatcherType::MatcherTree(tree)) => tree,
        _ => panic!("no tree"),
    }
}

/// The branches of a tree by their values.
pub fn branches(matcher: &mut Matcher) -> &mut HashMap<String, Branch> {
    match &mut as_tree(matcher).tree_type {
        Some(TreeType::ExactMatchMap(map)) => &mut map.map,
        _ => panic!("no map"),
    }
}

/// All routes, of a list or a tree, in an order in which the first one that matches is the one that Envoy takes.
pub fn all_routes(host: &VirtualHost) -> Vec<Route> {
    let of_tree = host.matcher.iter().flat_map(route_lists);
    let mut of_tree: Vec<Route> = of_tree.flat_map(|list| list.routes).collect();
    // Each list ends with the route for everything else.
    of_tree.sort_by_key(|route| route.r#match.as_ref().unwrap().headers.is_empty());
    of_tree.dedup();
    host.routes.iter().cloned().chain(of_tree).collect()
}

/// The lists of a tree, by the values of its headers.
fn route_lists(matcher: &Matcher) -> Vec<RouteList> {
    let Some(MatcherType::MatcherTree(tree)) = &matcher.matcher_type else {
        panic!("no tree")
    };
    let Some(TreeType::ExactMatchMap(map)) = &tree.tree_type else {
        panic!("no map")
    };
    let values: BTreeMap<_, _> = map.map.iter().collect();
    let branches = values.into_values().chain(matcher.on_no_match.as_deref());
    branches
        .flat_map(|branch| match branch.on_match.as_ref().unwrap() {
            OnMatch::Matcher(matcher) => route_lists(matcher),
            OnMatch::Action(action) => vec![list_of(action.typed_config.as_ref().unwrap())],
        })
        .collect()
}

fn list_of(any: &Any) -> RouteList {
    if any.type_url == RouteList::type_url() {
        return RouteList::decode(any.value.as_slice()).unwrap();
    }
    let route = Route::decode(any.value.as_slice()).unwrap();
    RouteList {
        routes: vec![route],
    }
}

/// The first route whose name begins so.
pub fn route(listener: &mut Listener, name: &str, edit: impl FnOnce(&mut Route)) {
    route_list(listener, |routes| {
        edit(
            routes
                .iter_mut()
                .find(|route| route.name.starts_with(name))
                .unwrap(),
        );
    });
}

pub fn action(route: &mut Route) -> &mut RouteAction {
    match &mut route.action {
        Some(Action::Route(action)) => action,
        _ => panic!("no route action"),
    }
}

pub fn http_filter<M: Message + Name + Default>(
    manager: &mut HttpConnectionManager,
    edit: impl FnOnce(&mut M),
) {
    let any = manager
        .http_filters
        .iter_mut()
        .filter_map(configuration)
        .find(|any| any.type_url == M::type_url());
    repack(any.unwrap(), edit);
}

pub fn configuration(filter: &mut HttpFilter) -> Option<&mut Any> {
    match &mut filter.config_type {
        Some(http_filter::ConfigType::TypedConfig(any)) => Some(any),
        _ => None,
    }
}

/// The RBAC filter of this action.
pub fn rbac(manager: &mut HttpConnectionManager, action: i32, edit: impl FnOnce(&mut Rbac)) {
    let mut anys = manager.http_filters.iter_mut().filter_map(configuration);
    let found = anys.find(|any| {
        any.type_url == Rbac::type_url()
            && Rbac::decode(any.value.as_slice())
                .unwrap()
                .rules
                .is_some_and(|rules| rules.action == action)
    });
    if let Some(any) = found {
        repack(any, edit);
    }
}

/// A filter of this type at the head of the list.
pub fn insert_filter<M: Message + Name>(manager: &mut HttpConnectionManager, message: M) {
    let filter = HttpFilter {
        name: "inserted".into(),
        config_type: Some(http_filter::ConfigType::TypedConfig(pack_any(message))),
        ..Default::default()
    };
    manager.http_filters.insert(0, filter);
}

pub fn policy(listener: &mut Listener, edit: impl FnOnce(&mut FilterPolicy)) {
    manager(listener, |manager| {
        http_filter(manager, |wasm: &mut Wasm| {
            let plugin = wasm.config.as_mut().unwrap();
            repack(
                plugin.configuration.as_mut().unwrap(),
                |json: &mut StringValue| {
                    let mut policy = serde_json::from_str(&json.value).unwrap();
                    edit(&mut policy);
                    json.value = serde_json::to_string(&policy).unwrap();
                },
            );
        });
    });
}

/// The members of an aggregate.
pub fn members(cluster: &mut Cluster, edit: impl FnOnce(&mut Vec<String>)) {
    let Some(ClusterDiscoveryType::ClusterType(custom)) = &mut cluster.cluster_discovery_type
    else {
        panic!("{} is no aggregate", cluster.name)
    };
    repack(
        custom.typed_config.as_mut().unwrap(),
        |config: &mut ClusterConfig| {
            edit(&mut config.clusters);
        },
    );
}

pub fn is_aggregate(cluster: &Cluster) -> bool {
    matches!(
        cluster.cluster_discovery_type,
        Some(ClusterDiscoveryType::ClusterType(_))
    )
}

pub fn tls<M: Message + Name + Default>(
    socket: Option<&mut TransportSocket>,
    edit: impl FnOnce(&mut M),
) {
    let Some(transport_socket::ConfigType::TypedConfig(any)) = &mut socket.unwrap().config_type
    else {
        panic!("no configuration")
    };
    repack(any, edit);
}

pub fn endpoints(cluster: &mut Cluster) -> impl Iterator<Item = &mut Endpoint> {
    let assignment = cluster.load_assignment.iter_mut();
    assignment
        .flat_map(|assignment| &mut assignment.endpoints)
        .flat_map(|locality| &mut locality.lb_endpoints)
        .filter_map(|endpoint| match &mut endpoint.host_identifier {
            Some(HostIdentifier::Endpoint(endpoint)) => Some(endpoint),
            _ => None,
        })
}

pub fn address(host: &str, port: u32) -> Address {
    Address {
        address: Some(AddressKind::SocketAddress(SocketAddress {
            address: host.into(),
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..Default::default()
        })),
    }
}

pub fn assignment(host: &str, port: u32) -> ClusterLoadAssignment {
    let endpoint = Endpoint {
        address: Some(address(host, port)),
        ..Default::default()
    };
    ClusterLoadAssignment {
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: vec![LbEndpoint {
                host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn exactly(text: &str) -> StringMatcher {
    StringMatcher {
        match_pattern: Some(MatchPattern::Exact(text.into())),
        ..Default::default()
    }
}

pub fn header_is(name: &str, value: &str) -> HeaderMatcher {
    HeaderMatcher {
        name: name.into(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(exactly(value))),
        ..Default::default()
    }
}
