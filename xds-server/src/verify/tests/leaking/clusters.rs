//! Clusters that leak.

use super::*;

#[test]
fn clusters_that_leak() {
    check(
        EXAMPLE,
        vec![
            case(
                "US pool in the EU pool",
                EU,
                |s| {
                    endpoints(cluster(s, "pool/eu-west-1/llama"))
                        .next()
                        .unwrap()
                        .address = Some(address("10.0.1.10", 8000));
                },
                "can reach a pool of `us-west-2`, outside the zone",
            ),
            case(
                "US peer in the EU chain",
                EU,
                |s| members(cluster(s, CHAIN), |m| m.push("peer/us-west-2/llama".into())),
                "-> cluster peer/us-west-2/llama -> endpoint gw.us-west-2.example.com:8443: a request of the pinned zone `eea` can reach the gateway of `us-west-2`",
            ),
            case(
                "global fallback in the EU chain",
                EU,
                |s| {
                    let claude = whole(s, "fallback/claude");
                    members(cluster(s, CHAIN), |m| m.push(claude));
                },
                "can reach the provider of the fallback `claude`, outside the zone",
            ),
            case(
                "a chain inside a chain",
                EU,
                |s| {
                    let other = whole(s, "chain/global/llama/eu-west-1");
                    members(cluster(s, CHAIN), |m| m.push(other));
                },
                "can reach the gateway of `us-east-1`",
            ),
            case(
                "a chain that leads back",
                EU,
                |s| {
                    let chain = whole(s, CHAIN);
                    members(cluster(s, CHAIN), |m| m.push(chain));
                },
                "lead back to this one",
            ),
            case(
                "a member that is not there",
                EU,
                |s| members(cluster(s, CHAIN), |m| m.push("nowhere".into())),
                "there is no such cluster",
            ),
            case(
                "a second cluster of a name",
                EU,
                |s| {
                    let twin = cluster(s, CHAIN).clone();
                    s.clusters.push(twin);
                },
                "two clusters of this name",
            ),
            case(
                "the catch-all with an endpoint",
                US,
                |s| cluster(s, "nothing").load_assignment = Some(assignment("10.0.1.10", 8000)),
                "`eea` must not pass through `us-west-2`",
            ),
            case(
                "the catch-all at home of the zone",
                EU,
                |s| cluster(s, "nothing").load_assignment = Some(assignment("10.0.1.10", 8000)),
                "can reach a pool of `us-west-2`",
            ),
            case(
                "nobody's address",
                EU,
                |s| cluster(s, "nothing").load_assignment = Some(assignment("10.9.9.9", 8000)),
                "nobody in the fleet has this address",
            ),
            case(
                "additional addresses",
                EU,
                |s| {
                    let endpoint = endpoints(cluster(s, "pool/eu-west-1/llama"))
                        .next()
                        .unwrap();
                    endpoint.additional_addresses = vec![AdditionalAddress {
                        address: Some(address("10.0.1.10", 8000)),
                    }];
                },
                "`additional_addresses` of this Endpoint is not supported",
            ),
            case(
                "a health check elsewhere",
                EU,
                |s| {
                    let endpoint = endpoints(cluster(s, "pool/eu-west-1/llama"))
                        .next()
                        .unwrap();
                    endpoint.health_check_config = Some(HealthCheckConfig {
                        address: Some(address("10.0.1.10", 1)),
                        ..Default::default()
                    });
                },
                "`address` of this HealthCheckConfig",
            ),
            case(
                "original destination",
                EU,
                |s| {
                    cluster(s, "nothing").cluster_discovery_type = Some(
                        ClusterDiscoveryType::Type(DiscoveryType::OriginalDst.into()),
                    );
                },
                "a cluster of type ORIGINAL_DST is not supported",
            ),
            case(
                "endpoints from elsewhere",
                EU,
                |s| {
                    cluster(s, "nothing").cluster_discovery_type =
                        Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into()));
                },
                "a cluster of type EDS is not supported",
            ),
            case(
                "the provider in the chain itself",
                EU,
                |s| {
                    let provider = whole(s, "provider/claude-eu");
                    members(cluster(s, CHAIN), |m| m.push(provider));
                },
                "may only be reached from an internal listener",
            ),
            case(
                "filters of a cluster",
                EU,
                |s| {
                    for any in cluster(s, "pool/eu-west-1/llama")
                        .typed_extension_protocol_options
                        .values_mut()
                    {
                        repack(any, |o: &mut HttpProtocolOptions| {
                            o.request_mirror_policies = vec![RequestMirrorPolicy {
                                cluster: "peer/us-west-2/llama".into(),
                                ..Default::default()
                            }]
                        });
                    }
                },
                "`request_mirror_policies` of this HttpProtocolOptions",
            ),
            case(
                "a field of a newer Envoy",
                EU,
                |s| {
                    let any = cluster(s, "pool/eu-west-1/llama")
                        .typed_extension_protocol_options
                        .values_mut()
                        .next()
                        .unwrap();
                    any.value.extend([0xfa, 0x7f, 0x00]);
                },
                "the encoding of this HttpProtocolOptions is not supported",
            ),
            case(
                "a gateway without TLS",
                EU,
                |s| cluster(s, "peer/us-west-2/llama").transport_socket = None,
                "only claims to be the gateway of `us-west-2`",
            ),
            case(
                "a gateway that may be another",
                EU,
                |s| {
                    gateway_tls(s, "peer/us-west-2/llama", |t| {
                        validation(&mut t.common_tls_context).match_typed_subject_alt_names[0]
                            .matcher = Some(exactly("spiffe://meridian/region/us-east-1"));
                    })
                },
                "held to the one URI SAN `spiffe://meridian/region/us-west-2`",
            ),
            case(
                "a gateway of any authority",
                EU,
                |s| {
                    gateway_tls(s, "peer/us-west-2/llama", |t| {
                        t.common_tls_context
                            .as_mut()
                            .unwrap()
                            .validation_context_type = None
                    })
                },
                "their own authority",
            ),
            case(
                "an untrusted chain",
                EU,
                |s| {
                    gateway_tls(s, "peer/us-west-2/llama", |t| {
                        validation(&mut t.common_tls_context).trust_chain_verification = 1
                    })
                },
                "`trust_chain_verification` of this CertificateValidationContext",
            ),
            case(
                "a provider that may be anyone",
                EU,
                |s| {
                    gateway_tls(s, "provider/claude-eu", |t| {
                        validation(&mut t.common_tls_context)
                            .match_typed_subject_alt_names
                            .clear();
                    })
                },
                "held to the one SAN `eu.example.com`",
            ),
        ],
    );
}
