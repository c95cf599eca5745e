//! Egresses that leak.

use super::*;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{ConfigSource, PathConfigSource};
use envoy_types::pb::envoy::extensions::http::injected_credentials::generic::v3::Generic;
use envoy_types::pb::google::protobuf::StringValue;

#[test]
fn egresses_that_leak() {
    const EGRESS: &str = "egress/claude-eu";
    check(
        EXAMPLE,
        vec![
            case(
                "the wrong provider",
                EU,
                |s| {
                    let claude = whole(s, "provider/claude");
                    route(listener(s, EGRESS), "", |r| {
                        action(r).cluster_specifier = Some(ClusterSpecifier::Cluster(claude));
                    });
                },
                "a request of the pinned zone `eea` can reach the provider of the fallback `claude`",
            ),
            case(
                "into the wrong egress",
                EU,
                |s| {
                    let wrong = cluster(s, "fallback/claude").load_assignment.clone();
                    cluster(s, "fallback/claude-eu").load_assignment = wrong;
                },
                "a request of the pinned zone `eea` can reach the provider of the fallback `claude`",
            ),
            case(
                "an inline secret",
                EU,
                |s| {
                    let inline = DataSource {
                        specifier: Some(Specifier::InlineString("k".into())),
                        ..Default::default()
                    };
                    s.secrets[0].r#type = Some(secret::Type::GenericSecret(GenericSecret {
                        secret: Some(inline),
                        ..Default::default()
                    }));
                },
                "the value of a secret must not travel",
            ),
            case(
                "the wrong key",
                EU,
                |s| {
                    let other = s.secrets[1].r#type.clone();
                    s.secrets[0].r#type = other;
                },
                "is not where the fleet keeps the key",
            ),
            case(
                "a key from a file of somebody's",
                EU,
                |s| {
                    manager(listener(s, EGRESS), |m| {
                        http_filter(m, |injector: &mut CredentialInjector| {
                            let extension = injector.credential.as_mut().unwrap();
                            repack(
                                extension.typed_config.as_mut().unwrap(),
                                |generic: &mut Generic| {
                                    let file = PathConfigSource {
                                        path: "/tmp/key.yaml".into(),
                                        ..Default::default()
                                    };
                                    generic.credential.as_mut().unwrap().sds_config =
                                        Some(ConfigSource {
                                            config_source_specifier: Some(
                                                ConfigSourceSpecifier::PathConfigSource(file),
                                            ),
                                            ..Default::default()
                                        });
                                },
                            );
                        })
                    })
                },
                "is not where the fleet keeps the key",
            ),
            case(
                "credentials that stay",
                EU,
                |s| {
                    manager(listener(s, EGRESS), |m| {
                        http_filter(m, |h: &mut HeaderMutation| {
                            h.mutations.as_mut().unwrap().request_mutations.remove(0);
                        })
                    })
                },
                "the caller's `authorization` would go to a provider",
            ),
            case(
                "nothing stripped",
                EU,
                |s| drop_filter(s, EGRESS, &HeaderMutation::type_url()),
                "headers of the prefix `x-meridian-` would go to a provider",
            ),
            case(
                "without the filter's list",
                EU,
                |s| drop_filter(s, EGRESS, &Wasm::type_url()),
                "not on the filter's list",
            ),
            case(
                "another provider's words",
                EU,
                |s| {
                    manager(listener(s, EGRESS), |m| {
                        http_filter(m, |w: &mut Wasm| {
                            let policy = r#"{"fallback":"claude-eu","provider":{"claude":{"host":"vertex","model":"m","max_tokens":1}}}"#;
                            w.config.as_mut().unwrap().configuration =
                                Some(pack_any(StringValue {
                                    value: policy.into(),
                                }));
                        })
                    })
                },
                "the filter's policy is not that of the fallback `claude-eu`",
            ),
            case(
                "the pinned zone's requests as any other's",
                EU,
                |s| {
                    manager(listener(s, EGRESS), |m| {
                        http_filter(m, |w: &mut Wasm| {
                            let configuration = &mut w.config.as_mut().unwrap().configuration;
                            repack(configuration.as_mut().unwrap(), |json: &mut StringValue| {
                                let id = id(&fleet(EXAMPLE), "eea");
                                let pinned = format!(r#""pinned":{{"{id}":[]}}"#);
                                assert!(json.value.contains(&pinned), "{}", json.value);
                                let unpinned = pinned.replace("pinned", "unpinned");
                                json.value = json.value.replace(&pinned, &unpinned);
                            });
                        })
                    })
                },
                "is not the fleet's",
            ),
            case(
                "stripped too late",
                EU,
                |s| manager(listener(s, EGRESS), |m| m.http_filters.swap(1, 2)),
                "the caller's `cookie` would go",
            ),
            case(
                "no key",
                EU,
                |s| drop_filter(s, EGRESS, &CredentialInjector::type_url()),
                "our credential is not injected",
            ),
            case(
                "with or without key",
                EU,
                |s| {
                    manager(listener(s, EGRESS), |m| {
                        http_filter(m, |c: &mut CredentialInjector| {
                            c.allow_request_without_credential = true;
                        })
                    })
                },
                "with our credential or not at all",
            ),
            case(
                "another host",
                EU,
                |s| {
                    route(listener(s, EGRESS), "", |r| {
                        action(r).host_rewrite_specifier = Some(
                            HostRewriteSpecifier::HostRewriteLiteral("us.example.com".into()),
                        );
                    })
                },
                "the host must be rewritten to `eu.example.com`",
            ),
            case(
                "the caller's host",
                EU,
                |s| {
                    route(listener(s, EGRESS), "", |r| {
                        action(r).host_rewrite_specifier = None
                    })
                },
                "the host must be rewritten to `eu.example.com`",
            ),
            case(
                "another path",
                EU,
                |s| {
                    route(listener(s, EGRESS), "", |r| {
                        action(r).prefix_rewrite = "/us/".into()
                    })
                },
                "the path must be rewritten to",
            ),
            case(
                "back to a pool",
                EU,
                |s| {
                    route(listener(s, EGRESS), "", |r| {
                        action(r).cluster_specifier =
                            Some(ClusterSpecifier::Cluster("pool/eu-west-1/llama".into()));
                    })
                },
                "an internal listener leads to a pool",
            ),
            case(
                "no such egress",
                EU,
                |s| s.listeners.retain(|l| short(&l.name) != EGRESS),
                "there is no such internal listener",
            ),
        ],
    );
}
