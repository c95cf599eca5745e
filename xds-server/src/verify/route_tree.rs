//! Trees of routes. What requests a route can match is verified at the route itself, so a tree is as good as the list of its routes: it
//! can only lead to one of them, or to none.

use super::leak::{Leaks, only};
use envoy_types::pb::envoy::config::route::v3::{Route, RouteList};
use envoy_types::pb::envoy::r#type::matcher::v3::HttpRequestHeaderMatchInput;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3::Matcher;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_tree::{MatchMap, TreeType};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::on_match::OnMatch as Target;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{MatcherTree, MatcherType, OnMatch};
use prost::Name;

/// All routes of a tree.
pub fn routes(at: &str, matcher: &Matcher, leaks: &mut Leaks) -> Vec<Route> {
    let supported = only!(Matcher, matcher, [on_no_match, matcher_type]);
    leaks.check_fields(at, matcher, &supported);
    let mut all = Vec::new();
    match &matcher.matcher_type {
        Some(MatcherType::MatcherTree(tree)) => all.extend(of_tree(at, tree, leaks)),
        _ => leaks.unsupported(at, "this kind of matcher"),
    }
    if let Some(on_no_match) = &matcher.on_no_match {
        all.extend(of_match(at, on_no_match, leaks));
    }
    all
}

fn of_tree(at: &str, tree: &MatcherTree, leaks: &mut Leaks) -> Vec<Route> {
    let supported = only!(MatcherTree, tree, [input, tree_type]);
    leaks.check_fields(at, tree, &supported);
    let input = tree.input.as_ref();
    let input = input.and_then(|input| input.typed_config.as_ref());
    if let Some(input) = leaks.unpack_required::<HttpRequestHeaderMatchInput>(at, input) {
        let supported = only!(HttpRequestHeaderMatchInput, input, [header_name]);
        leaks.check_fields(at, &input, &supported);
    }
    let Some(TreeType::ExactMatchMap(map)) = &tree.tree_type else {
        leaks.unsupported(at, "this kind of tree");
        return Vec::new();
    };
    leaks.check_fields(at, map, &only!(MatchMap, map, [map]));
    // In order, so that leaks are.
    let mut branches: Vec<_> = map.map.iter().collect();
    branches.sort_unstable_by_key(|(value, _)| *value);
    let branches = branches.into_iter();
    branches
        .flat_map(|(value, branch)| of_match(&format!("{at}[{value:?}]"), branch, leaks))
        .collect()
}

fn of_match(at: &str, branch: &OnMatch, leaks: &mut Leaks) -> Vec<Route> {
    let supported = only!(OnMatch, branch, [on_match]);
    leaks.check_fields(at, branch, &supported);
    match &branch.on_match {
        Some(Target::Matcher(matcher)) => routes(at, matcher, leaks),
        Some(Target::Action(action)) => of_action(at, action, leaks),
        None => {
            leaks.unsupported(at, "a branch without an action");
            Vec::new()
        }
    }
}

fn of_action(at: &str, action: &TypedExtensionConfig, leaks: &mut Leaks) -> Vec<Route> {
    let supported = only!(TypedExtensionConfig, action, [name, typed_config]);
    leaks.check_fields(at, action, &supported);
    match &action.typed_config {
        Some(any) if any.type_url == RouteList::type_url() => {
            let list: Option<RouteList> = leaks.unpack(at, any);
            let Some(list) = list else {
                return Vec::new();
            };
            leaks.check_fields(at, &list, &only!(RouteList, list, [routes]));
            list.routes
        }
        any => leaks
            .unpack_required::<Route>(at, any.as_ref())
            .into_iter()
            .collect(),
    }
}
