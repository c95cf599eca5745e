//! Peers that leak.

use super::*;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher;

fn pool_plugin(snapshot: &mut Snapshot, edit: impl FnOnce(&mut Wasm)) {
    manager(listener(snapshot, "peer"), |manager| {
        http_filter(manager, edit)
    });
}

fn path(snapshot: &mut Snapshot, path: PathSpecifier) {
    route(listener(snapshot, "peer"), "global/llama", |route| {
        route.r#match.as_mut().unwrap().path_specifier = Some(path);
    });
}

#[test]
fn peers_that_leak() {
    check(
        EXAMPLE,
        vec![
            case(
                "no client certificate",
                EU,
                |s| peer_tls(s, |t| t.require_client_certificate = None),
                "no client certificate is required",
            ),
            case(
                "any client certificate",
                EU,
                |s| {
                    peer_tls(s, |t| {
                        validation(&mut t.common_tls_context)
                            .match_typed_subject_alt_names
                            .clear()
                    })
                },
                "must be held to URI SANs of other regions' gateways",
            ),
            case(
                "a stranger's certificate",
                EU,
                |s| {
                    peer_tls(s, |t| {
                        validation(&mut t.common_tls_context).match_typed_subject_alt_names[0]
                            .matcher = Some(exactly("spiffe://meridian/region/mars"));
                    })
                },
                "must be held to URI SANs of other regions' gateways",
            ),
            case(
                "any authority",
                EU,
                |s| {
                    peer_tls(s, |t| {
                        authority(&mut t.common_tls_context).name = "public".into()
                    })
                },
                "their own authority",
            ),
            case(
                "no TLS",
                EU,
                |s| listener(s, "peer").filter_chains[0].transport_socket = None,
                "RBAC without TLS",
            ),
            case(
                "no RBAC",
                EU,
                |s| drop_filter(s, "peer", &Rbac::type_url()),
                "no RBAC limits their zones",
            ),
            case(
                "RBAC without rules",
                EU,
                |s| allowing(s, |r| r.rules = None),
                "RBAC without rules refuses nobody",
            ),
            case(
                "RBAC that denies",
                EU,
                |s| allowing(s, |r| r.rules.as_mut().unwrap().action = 1),
                "RBAC that does not refuse",
            ),
            case(
                "no denial",
                EU,
                |s| denying(s, |r| r.rules.as_mut().unwrap().policies.clear()),
                "nothing denies the pinned zone `eea`",
            ),
            case(
                "a denial with a gap",
                EU,
                |s| {
                    denying(s, |r| {
                        let us = zone_policy(&id(&fleet(EXAMPLE), "eea"), US)
                            .principals
                            .remove(0);
                        let spared = Identifier::NotId(Box::new(us));
                        for policy in r.rules.as_mut().unwrap().policies.values_mut() {
                            policy.principals[0].identifier = Some(spared.clone());
                        }
                    });
                },
                "nothing denies the pinned zone `eea`",
            ),
            case(
                "any zone",
                EU,
                |s| {
                    allowing(s, |r| {
                        let policy = r
                            .rules
                            .as_mut()
                            .unwrap()
                            .policies
                            .values_mut()
                            .next()
                            .unwrap();
                        policy.permissions = vec![Permission {
                            rule: Some(permission::Rule::Any(true)),
                        }];
                    })
                },
                "a permission that is not one definition, to the letter,",
            ),
            case(
                "any client",
                EU,
                |s| {
                    allowing(s, |r| {
                        let policy = r
                            .rules
                            .as_mut()
                            .unwrap()
                            .policies
                            .values_mut()
                            .next()
                            .unwrap();
                        policy.principals = vec![Principal {
                            identifier: Some(Identifier::Any(true)),
                        }];
                    })
                },
                "a principal that is not one client certificate",
            ),
            case(
                "a pinned zone on a US listener",
                US,
                |s| {
                    allowing(s, |r| {
                        r.rules
                            .as_mut()
                            .unwrap()
                            .policies
                            .insert("p".into(), zone_policy(&id(&fleet(EXAMPLE), "eea"), EU));
                    })
                },
                "admits the pinned zone `eea`, which `us-west-2` may not serve",
            ),
            case(
                "a pinned zone from the US",
                EU,
                |s| {
                    allowing(s, |r| {
                        r.rules
                            .as_mut()
                            .unwrap()
                            .policies
                            .insert("p".into(), zone_policy(&id(&fleet(EXAMPLE), "eea"), US));
                    })
                },
                "admits the pinned zone `eea` from `us-west-2`, which it may not pass through",
            ),
            case(
                "another root than the one that picks servers",
                EU,
                |s| pool_plugin(s, |w| w.config.as_mut().unwrap().root_id = "router".into()),
                "the filter cannot read its policy",
            ),
            case(
                "servers picked by code from elsewhere",
                EU,
                |s| pool_plugin(s, |w| vm(w).code = None),
                "must be the file",
            ),
            case(
                "servers picked by who is free to call",
                EU,
                |s| pool_plugin(s, |w| vm(w).capability_restriction_config = None),
                "requests of its own",
            ),
            case(
                "any path of a pool's servers",
                EU,
                |s| path(s, PathSpecifier::Prefix("/".into())),
                "could reach more of a pool's servers than the paths of inference",
            ),
            case(
                "one path more",
                EU,
                |s| {
                    let regex = "/v1/chat/completions|/metrics".into();
                    let more = RegexMatcher {
                        regex,
                        ..Default::default()
                    };
                    path(s, PathSpecifier::SafeRegex(more));
                },
                "could reach more of a pool's servers than the paths of inference",
            ),
            case(
                "on to another peer",
                EU,
                |s| {
                    route(listener(s, "peer"), "global/llama", |r| {
                        action(r).cluster_specifier =
                            Some(ClusterSpecifier::Cluster("peer/us-west-2/llama".into()));
                    })
                },
                "another gateway's request is sent on to the gateway of `us-west-2`",
            ),
            case(
                "on to a fallback",
                EU,
                |s| {
                    let claude = whole(s, "fallback/claude");
                    route(listener(s, "peer"), "global/llama", |r| {
                        action(r).cluster_specifier = Some(ClusterSpecifier::Cluster(claude));
                    });
                },
                "only callers' own requests may be sent on",
            ),
        ],
    );
    check(
        TWO_PINNED,
        vec![case(
            "a UK request on an EU listener",
            "eu-1",
            |s| {
                allowing(s, |r| {
                    r.rules.as_mut().unwrap().policies.insert(
                        "p".into(),
                        zone_policy(&id(&fleet(TWO_PINNED), "uk"), "uk-1"),
                    );
                })
            },
            "admits the pinned zone `uk`, which `eu-1` may not serve",
        )],
    );
}
