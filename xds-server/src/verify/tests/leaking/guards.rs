//! Upstream filters of chains that leak.

use super::*;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn filters(snapshot: &mut Snapshot, chain: &str, edit: impl FnOnce(&mut Vec<HttpFilter>)) {
    let options = &mut cluster(snapshot, chain).typed_extension_protocol_options;
    repack(
        options.get_mut(OPTIONS).unwrap(),
        |options: &mut HttpProtocolOptions| edit(&mut options.http_filters),
    );
}

fn guard(snapshot: &mut Snapshot, edit: impl FnOnce(&mut Wasm)) {
    filters(snapshot, CHAIN, |filters| {
        repack(configuration(&mut filters[0]).unwrap(), edit);
    });
}

#[test]
fn guards_that_leak() {
    check(
        EXAMPLE,
        vec![
            case(
                "the router's root",
                EU,
                |s| guard(s, |w| w.config.as_mut().unwrap().root_id = "router".into()),
                "the plugin root `router` in place of `guard`",
            ),
            case(
                "a policy that it cannot read",
                EU,
                |s| {
                    guard(s, |w| {
                        let nothing =
                            pack_any(envoy_types::pb::google::protobuf::StringValue::default());
                        w.config.as_mut().unwrap().configuration = Some(nothing);
                    })
                },
                "the filter cannot read its policy",
            ),
            case(
                "free to call",
                EU,
                |s| guard(s, |w| vm(w).capability_restriction_config = None),
                "requests of its own",
            ),
            case(
                "code from elsewhere",
                EU,
                |s| guard(s, |w| vm(w).code = None),
                "must be the file",
            ),
            case(
                "another filter",
                EU,
                |s| {
                    filters(s, CHAIN, |filters| {
                        *configuration(&mut filters[0]).unwrap() = pack_any(Lua::default());
                    })
                },
                "Lua` is not supported by the verifier",
            ),
            case(
                "mirrors of a chain",
                EU,
                |s| {
                    let options = &mut cluster(s, CHAIN).typed_extension_protocol_options;
                    repack(
                        options.get_mut(OPTIONS).unwrap(),
                        |options: &mut HttpProtocolOptions| {
                            options.request_mirror_policies = vec![RequestMirrorPolicy::default()];
                        },
                    );
                },
                "`request_mirror_policies` of this HttpProtocolOptions",
            ),
        ],
    );
}

#[test]
fn overflow_that_leaks() {
    check(
        TWO_PINNED,
        vec![
            case(
                "the US at the end of an overflow chain",
                "eu-1",
                |s| {
                    members(cluster(s, "chain/eea/meta-llama/Llama-3.1:8b/eu-2"), |m| {
                        m.push("peer/us-1/meta-llama/Llama-3.1:8b".into());
                    })
                },
                "a request of the pinned zone `eea` can reach the gateway of `us-1`",
            ),
            case(
                "a share of overflow to the US",
                "eu-1",
                |s| {
                    let to_the_us = whole(s, "chain/global/meta-llama/Llama-3.1:8b/us-1");
                    route(
                        listener(s, "public"),
                        "eea/meta-llama/Llama-3.1:8b/overflow",
                        |r| {
                            let Some(ClusterSpecifier::WeightedClusters(weighted)) =
                                &mut action(r).cluster_specifier
                            else {
                                panic!("no weights");
                            };
                            weighted.clusters[0].name = to_the_us;
                        },
                    );
                },
                "`us-1`",
            ),
            case(
                "batch to the US",
                "eu-1",
                |s| {
                    let to_the_us = whole(s, "chain/global/meta-llama/Llama-3.1:8b/us-1");
                    route(
                        listener(s, "public"),
                        "eea/meta-llama/Llama-3.1:8b/batch",
                        |r| {
                            action(r).cluster_specifier =
                                Some(ClusterSpecifier::Cluster(to_the_us));
                        },
                    );
                },
                "a request of the pinned zone `eea` can reach the gateway of `us-1`",
            ),
        ],
    );
}
