//! Routes that leak.

use super::*;

#[test]
fn routes_that_leak() {
    check(
        EXAMPLE,
        vec![
            case(
                "a share of the US",
                EU,
                |s| {
                    let share = |name: &str| ClusterWeight {
                        name: name.into(),
                        ..Default::default()
                    };
                    lead(
                        s,
                        "public",
                        ClusterSpecifier::WeightedClusters(WeightedCluster {
                            clusters: vec![share(CHAIN), share("peer/us-west-2/llama")],
                            ..Default::default()
                        }),
                    );
                },
                "can reach the gateway of `us-west-2`",
            ),
            case(
                "a mirror",
                EU,
                |s| {
                    route(listener(s, "public"), EEA, |r| {
                        action(r).request_mirror_policies = vec![RequestMirrorPolicy {
                            cluster: "peer/us-west-2/llama".into(),
                            ..Default::default()
                        }];
                    })
                },
                "`request_mirror_policies` of this RouteAction",
            ),
            case(
                "a mirror for all",
                EU,
                |s| {
                    routes(listener(s, "public"), |r| {
                        r.virtual_hosts[0].request_mirror_policies =
                            vec![RequestMirrorPolicy::default()];
                    })
                },
                "`request_mirror_policies` of this VirtualHost",
            ),
            case(
                "a cluster by header",
                EU,
                |s| {
                    lead(
                        s,
                        "public",
                        ClusterSpecifier::ClusterHeader("x-cluster".into()),
                    )
                },
                "a cluster named by the header `x-cluster`",
            ),
            case(
                "no zone",
                EU,
                |s| {
                    route(listener(s, "public"), "global/llama", |r| {
                        r.r#match.as_mut().unwrap().headers.clear()
                    })
                },
                "a request of the pinned zone `eea` can reach the gateway of `us-west-2`",
            ),
            case(
                "not that zone",
                EU,
                |s| {
                    route(listener(s, "public"), "global/llama", |r| {
                        r.r#match.as_mut().unwrap().headers[0].invert_match = true
                    })
                },
                "a request of the pinned zone `eea` can reach",
            ),
            case(
                "a zone in any case",
                EU,
                |s| {
                    route(listener(s, "public"), "global/llama", |r| {
                        let mut any_case =
                            header_is(headers::DEFINITION, &id(&fleet(EXAMPLE), "global"));
                        if let Some(envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier::StringMatch(m)) = &mut any_case.header_match_specifier { m.ignore_case = true; }
                        r.r#match.as_mut().unwrap().headers[0] = any_case;
                    })
                },
                "a request of the pinned zone `eea` can reach",
            ),
            case(
                "another zone",
                EU,
                |s| {
                    route(listener(s, "public"), "global/llama", |r| {
                        r.r#match.as_mut().unwrap().headers[0] =
                            header_is(headers::DEFINITION, &id(&fleet(EXAMPLE), "eea"))
                    })
                },
                "a request of the pinned zone `eea` can reach",
            ),
            case(
                "an unknown zone",
                EU,
                |s| {
                    route(listener(s, "public"), EEA, |r| {
                        r.r#match.as_mut().unwrap().headers[0] =
                            header_is(headers::DEFINITION, "mars@0000000000000000")
                    })
                },
                "is for the definition `mars@0000000000000000`",
            ),
            case(
                "an internal redirect",
                EU,
                |s| {
                    route(listener(s, "public"), EEA, |r| {
                        action(r).internal_redirect_policy = Some(InternalRedirectPolicy::default())
                    })
                },
                "`internal_redirect_policy` of this RouteAction",
            ),
            case(
                "a redirect",
                EU,
                |s| {
                    route(listener(s, "public"), EEA, |r| {
                        r.action = Some(
                            envoy_types::pb::envoy::config::route::v3::route::Action::Redirect(
                                Default::default(),
                            ),
                        );
                    })
                },
                "this kind of action",
            ),
            case(
                "RBAC off for a route",
                EU,
                |s| {
                    route(listener(s, "peer"), "global/llama", |r| {
                        r.typed_per_filter_config.insert(
                            "envoy.filters.http.rbac".into(),
                            pack_any(RbacPerRoute::default()),
                        );
                    })
                },
                "`typed_per_filter_config` of this Route",
            ),
            case(
                "a host of one's own",
                EU,
                |s| {
                    route(listener(s, "public"), EEA, |r| {
                        action(r).host_rewrite_specifier = Some(
                            HostRewriteSpecifier::HostRewriteLiteral("us.example.com".into()),
                        );
                    })
                },
                "host and path are rewritten for providers only",
            ),
            case(
                "headers by the route",
                EU,
                |s| {
                    route(listener(s, "public"), EEA, |r| {
                        r.request_headers_to_remove = vec![headers::DEFINITION.into()]
                    })
                },
                "in `request_headers_to_remove` of this Route",
            ),
        ],
    );
}
