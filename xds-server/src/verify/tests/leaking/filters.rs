//! Filters that leak.

use super::*;
use envoy_types::pb::google::protobuf::StringValue;

#[test]
fn filters_that_leak() {
    check(
        EXAMPLE,
        vec![
            case(
                "open on failure",
                EU,
                |s| plugin(s, |w| w.config.as_mut().unwrap().failure_policy = 3),
                "must fail with the filter",
            ),
            case(
                "unspecified on failure",
                EU,
                |s| plugin(s, |w| w.config.as_mut().unwrap().failure_policy = 0),
                "must fail with the filter",
            ),
            #[allow(deprecated)]
            case(
                "open as of old",
                EU,
                |s| plugin(s, |w| w.config.as_mut().unwrap().fail_open = true),
                "`fail_open` of this PluginConfig",
            ),
            case(
                "another root",
                EU,
                |s| plugin(s, |w| w.config.as_mut().unwrap().root_id = "guard".into()),
                "the plugin root `guard`",
            ),
            case(
                "the root that picks servers in the router's place",
                EU,
                |s| {
                    plugin(s, |w| {
                        let plugin = w.config.as_mut().unwrap();
                        plugin.root_id = "pool".into();
                        let policy = StringValue {
                            value: r#"{"pools":{}}"#.into(),
                        };
                        plugin.configuration = Some(pack_any(policy));
                    });
                },
                "a request of the pinned zone `eea` can reach the gateway of `us-west-2`",
            ),
            case(
                "code from elsewhere",
                EU,
                |s| plugin(s, |w| vm(w).code = None),
                "must be the file",
            ),
            case(
                "free to call",
                EU,
                |s| plugin(s, |w| vm(w).capability_restriction_config = None),
                "requests of its own",
            ),
            case(
                "free to call HTTP",
                EU,
                |s| {
                    plugin(s, |w| {
                        let capabilities = &mut vm(w)
                            .capability_restriction_config
                            .as_mut()
                            .unwrap()
                            .allowed_capabilities;
                        capabilities.insert("proxy_http_call".into(), Default::default());
                    })
                },
                "`proxy_http_call`",
            ),
            case(
                "no policy",
                EU,
                |s| plugin(s, |w| w.config.as_mut().unwrap().configuration = None),
                "a missing StringValue",
            ),
            case(
                "Germany is global",
                EU,
                |s| {
                    policy(listener(s, "public"), |p| {
                        p.countries
                            .insert(Country::parse("DE").unwrap(), "global".parse().unwrap());
                    })
                },
                "takes DE for `global`; it belongs to `eea`",
            ),
            case(
                "Germany is nowhere",
                EU,
                |s| {
                    policy(listener(s, "public"), |p| {
                        p.countries.remove(&Country::parse("DE").unwrap());
                    })
                },
                "lacks DE",
            ),
            case(
                "unknown is global",
                EU,
                |s| {
                    policy(listener(s, "public"), |p| {
                        p.unknown_zone =
                            meridian_policy::fleet::UnknownZone::Zone("global".parse().unwrap())
                    })
                },
                "unknown origin elsewhere",
            ),
            case(
                "anyone is trusted",
                EU,
                |s| {
                    policy(listener(s, "public"), |p| {
                        p.sources[0].trust.cidr = vec!["0.0.0.0/0".parse().unwrap()]
                    })
                },
                "trusts others",
            ),
            case(
                "not pinned",
                EU,
                |s| {
                    policy(listener(s, "public"), |p| {
                        p.zones.get_mut("eea").unwrap().pinned = false
                    })
                },
                "whether the zone is pinned",
            ),
            case(
                "not turned away",
                US,
                |s| {
                    policy(listener(s, "public"), |p| {
                        p.zones.get_mut("eea").unwrap().turn_away = None
                    })
                },
                "must be turned away",
            ),
            case(
                "sent to the wrong gateway",
                US,
                |s| {
                    policy(listener(s, "public"), |p| {
                        p.zones.get_mut("eea").unwrap().turn_away =
                            Some(meridian_policy::filter_policy::TurnAway::Refuse(vec![
                                "us-east-1".into(),
                            ]));
                    })
                },
                "callers are sent to `us-east-1`",
            ),
            case(
                "content by URL refused, which the fleet allows",
                EU,
                |s| {
                    policy(listener(s, "public"), |p| {
                        for rule in p.zones.values_mut() {
                            rule.refuse_remote_content = true;
                        }
                    })
                },
                "whether content by URL is refused differs from the fleet",
            ),
            case(
                "another region's policy",
                US,
                |s| policy(listener(s, "public"), |p| p.region = EU.parse().unwrap()),
                "is for `eu-west-1`, not for `us-west-2`",
            ),
        ],
    );
}
