//! Trees of routes that leak.

use super::*;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction, RouteMatch};
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3::Matcher;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_tree::TreeType;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::on_match::OnMatch;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{MatcherType, OnMatch as Branch};

/// Leads requests that no branch of the tree is for to a cluster, by the route of a branch that is for all requests.
fn lead_others(matcher: &mut Matcher, cluster: &str) {
    let mut route = Route {
        name: "others".into(),
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".into())),
            ..Default::default()
        }),
        ..Default::default()
    };
    route.action = Some(Action::Route(RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.into())),
        ..Default::default()
    }));
    let action = TypedExtensionConfig {
        name: "route".into(),
        typed_config: Some(pack_any(route)),
    };
    *matcher.on_no_match.as_mut().unwrap().as_mut() = Branch {
        on_match: Some(OnMatch::Action(action)),
        ..Default::default()
    };
}

/// The tree of models of a zone's definition.
fn models<'m>(matcher: &'m mut Matcher, zone: &str) -> &'m mut Matcher {
    let id = id(&fleet(EXAMPLE), zone);
    match &mut branches(matcher).get_mut(&id).unwrap().on_match {
        Some(OnMatch::Matcher(models)) => models,
        _ => panic!("no tree"),
    }
}

#[test]
fn trees_that_leak() {
    check(
        EXAMPLE,
        vec![
            case(
                "others to the US",
                EU,
                |s| {
                    tree(listener(s, "public"), |matcher| {
                        lead_others(matcher, "peer/us-west-2/llama")
                    })
                },
                "a request of the pinned zone `eea` can reach the gateway of `us-west-2`",
            ),
            case(
                "models that the zone does not have to the US",
                EU,
                |s| {
                    tree(listener(s, "public"), |matcher| {
                        lead_others(models(matcher, "eea"), "peer/us-west-2/llama")
                    })
                },
                "a request of the pinned zone `eea` can reach the gateway of `us-west-2`",
            ),
            case(
                "a list",
                EU,
                |s| {
                    tree(listener(s, "public"), |matcher| {
                        matcher.matcher_type = Some(MatcherType::MatcherList(Default::default()));
                    })
                },
                "this kind of matcher",
            ),
            case(
                "by prefix",
                EU,
                |s| {
                    tree(listener(s, "public"), |matcher| {
                        as_tree(matcher).tree_type =
                            Some(TreeType::PrefixMatchMap(Default::default()));
                    })
                },
                "this kind of tree",
            ),
            case(
                "by something else",
                EU,
                |s| {
                    tree(listener(s, "public"), |matcher| {
                        let input = as_tree(matcher).input.as_mut().unwrap();
                        input.typed_config = Some(pack_any(Route::default()));
                    })
                },
                "`type.googleapis.com/envoy.config.route.v3.Route` is not supported",
            ),
            case(
                "further on",
                EU,
                |s| {
                    tree(listener(s, "public"), |matcher| {
                        for branch in branches(models(matcher, "eea")).values_mut() {
                            branch.keep_matching = true;
                        }
                    })
                },
                "`keep_matching` of this OnMatch",
            ),
            case(
                "nothing",
                EU,
                |s| {
                    tree(listener(s, "public"), |matcher| {
                        for branch in branches(matcher).values_mut() {
                            branch.on_match = None;
                        }
                    })
                },
                "a branch without an action",
            ),
        ],
    );
}
