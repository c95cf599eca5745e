//! Retrieval that leaks.

use super::*;
use crate::translate::translate;
use envoy_types::pb::envoy::config::core::v3::EnvoyInternalAddress;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::envoy_internal_address::AddressNameSpecifier;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac as NetworkRbac;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier as Proxied, TunnelingConfig,
};
use envoy_types::pb::envoy::extensions::filters::network::wasm::v3::Wasm as NetworkWasm;
use envoy_types::pb::google::protobuf::StringValue;
use meridian_planner::freshness::Freshness;
use meridian_planner::plan::Plan;
use meridian_policy::retrieval_policy::RetrievalPolicy;
use meridian_policy::{Fleet, RegionName};

fn network_filter<M: Name + Default>(listener: &mut Listener, edit: impl FnOnce(&mut M)) {
    let mut filters = listener.filter_chains[0].filters.iter_mut();
    let any = filters.find_map(|filter| match &mut filter.config_type {
        Some(filter::ConfigType::TypedConfig(any)) if any.type_url == M::type_url() => Some(any),
        _ => None,
    });
    repack(any.unwrap(), edit);
}

fn proxy(snapshot: &mut Snapshot, name: &str, edit: impl FnOnce(&mut TcpProxy)) {
    network_filter(listener(snapshot, name), edit);
}

fn leads(snapshot: &mut Snapshot, name: &str, to: &str) {
    let to = Proxied::Cluster(to.into());
    proxy(snapshot, name, |proxy| proxy.cluster_specifier = Some(to));
}

fn ends_at(snapshot: &mut Snapshot, name: &str, host: &str, port: u32) {
    endpoints(cluster(snapshot, name)).next().unwrap().address = Some(address(host, port));
}

fn admits(snapshot: &mut Snapshot, edit: impl FnOnce(&mut NetworkRbac)) {
    network_filter(listener(snapshot, "milvus-peer"), edit);
}

fn policy(rbac: &mut NetworkRbac) -> &mut Policy {
    rbac.rules
        .as_mut()
        .unwrap()
        .policies
        .values_mut()
        .next()
        .unwrap()
}

fn gateway(region: &str) -> Principal {
    let name = exactly(&format!("spiffe://meridian/region/{region}"));
    Principal {
        identifier: Some(Identifier::Authenticated(Authenticated {
            principal_name: Some(name),
        })),
    }
}

fn keeps(snapshot: &mut Snapshot, name: &str, edit: impl FnOnce(&mut RetrievalPolicy)) {
    network_filter(listener(snapshot, name), |wasm: &mut NetworkWasm| {
        let config = wasm.config.as_mut().unwrap();
        repack(
            config.configuration.as_mut().unwrap(),
            |text: &mut StringValue| {
                let mut policy = serde_json::from_str(&text.value).unwrap();
                edit(&mut policy);
                text.value = serde_json::to_string(&policy).unwrap();
            },
        );
    });
}

fn reader_tls(snapshot: &mut Snapshot, edit: impl FnOnce(&mut DownstreamTlsContext)) {
    let chain = &mut listener(snapshot, "milvus-peer").filter_chains[0];
    tls(chain.transport_socket.as_mut(), edit);
}

#[test]
fn retrieval_that_leaks() {
    check(
        RETRIEVAL,
        vec![
            case(
                "European retrieval to the primary in the US, at its address",
                "eu-1",
                |s| ends_at(s, "database/eu-2", "10.1.0.3", 19530),
                "retrieval is led to the vector database of `us-1`",
            ),
            case(
                "the same by the gateway there",
                "eu-1",
                |s| ends_at(s, "database/eu-2", "10.1.0.1", 8444),
                "across the border of the pinned zone `eea`",
            ),
            case(
                "to the region's own database, which is somebody else's",
                "eu-1",
                |s| ends_at(s, "database/eu-1", "10.1.0.3", 19530),
                "retrieval is led to the vector database of `us-1`",
            ),
            case(
                "American retrieval from the EU",
                "us-1",
                |s| ends_at(s, "database/us-2", "10.3.0.1", 8444),
                "across the border of the pinned zone `eea`",
            ),
            case(
                "to nobody",
                "eu-1",
                |s| ends_at(s, "database/eu-1", "203.0.113.9", 19530),
                "nobody in the fleet has this address",
            ),
            case(
                "another region's database past its gateway",
                "eu-1",
                |s| {
                    ends_at(s, "database/eu-2", "10.4.0.3", 19530);
                    cluster(s, "database/eu-2").transport_socket = None;
                },
                "retrieval is led to the vector database of `eu-2`",
            ),
            case(
                "a gateway that proves nothing",
                "eu-1",
                |s| cluster(s, "database/eu-2").transport_socket = None,
                "without TLS that proves it",
            ),
            case(
                "another gateway's proof",
                "eu-1",
                |s| {
                    gateway_tls(s, "database/eu-2", |t| {
                        validation(&mut t.common_tls_context).match_typed_subject_alt_names[0]
                            .matcher = Some(exactly("spiffe://meridian/region/us-1"));
                    })
                },
                "held to the one URI SAN `spiffe://meridian/region/eu-2`",
            ),
            case(
                "to a pool",
                "eu-1",
                |s| leads(s, "retrieval/eu-1", "pool/eu-1/m"),
                "retrieval is led to a pool of `eu-1`",
            ),
            case(
                "to a gateway's listener for requests",
                "eu-1",
                |s| leads(s, "milvus", "peer/eu-2/m"),
                "retrieval is led to the gateway of `eu-2`",
            ),
            case(
                "in a circle",
                "eu-1",
                |s| leads(s, "retrieval/eu-1", "vector_db/eu-1"),
                "retrieval goes into one listener and no further",
            ),
            case(
                "into a listener that is not there",
                "eu-1",
                |s| {
                    let internal = EnvoyInternalAddress {
                        address_name_specifier: Some(AddressNameSpecifier::ServerListenerName(
                            "retrieval/mars".into(),
                        )),
                        ..Default::default()
                    };
                    endpoints(cluster(s, "vector_db/eu-1"))
                        .next()
                        .unwrap()
                        .address
                        .as_mut()
                        .unwrap()
                        .address = Some(AddressKind::EnvoyInternalAddress(internal));
                },
                "there is no such internal listener",
            ),
            case(
                "requests into retrieval",
                "eu-1",
                |s| {
                    route(listener(s, "public"), "eea/m", |route| {
                        action(route).cluster_specifier =
                            Some(ClusterSpecifier::Cluster("vector_db/eu-1".into()));
                    })
                },
                "requests are led into a listener for retrieval",
            ),
            case(
                "requests to a database",
                "eu-1",
                |s| {
                    route(listener(s, "public"), "eea/m", |route| {
                        action(route).cluster_specifier =
                            Some(ClusterSpecifier::Cluster("database/eu-2".into()));
                    })
                },
                "only retrieval goes there",
            ),
            case(
                "by weight",
                "eu-1",
                |s| {
                    proxy(s, "milvus", |proxy| {
                        proxy.cluster_specifier =
                            Some(Proxied::WeightedClusters(Default::default()))
                    })
                },
                "this way to name a cluster",
            ),
            case(
                "through a tunnel",
                "eu-1",
                |s| {
                    proxy(s, "milvus", |proxy| {
                        proxy.tunneling_config = Some(TunnelingConfig {
                            hostname: "10.1.0.3:19530".into(),
                            ..Default::default()
                        })
                    })
                },
                "`tunneling_config` of this TcpProxy",
            ),
            case(
                "a filter more",
                "eu-1",
                |s| {
                    let filters = &mut listener(s, "milvus").filter_chains[0].filters;
                    let again = filters[0].clone();
                    filters.extend([again.clone(), again]);
                },
                "a chain for connections that is not RBAC, if anything, the plugin `retrieval`, and a TCP proxy",
            ),
        ],
    );
}

#[test]
fn readers_that_leak() {
    check(
        RETRIEVAL,
        vec![
            case(
                "a gateway in the US",
                "eu-1",
                |s| admits(s, |rbac| policy(rbac).principals.push(gateway("us-1"))),
                "admits `us-1`, which may not read this database",
            ),
            case(
                "a gateway of a region that has no database",
                "us-1",
                |s| admits(s, |rbac| policy(rbac).principals.push(gateway("eu-3"))),
                "admits `eu-3`, which may not read this database",
            ),
            case(
                "anybody",
                "eu-1",
                |s| {
                    admits(s, |rbac| {
                        policy(rbac).principals[0].identifier = Some(Identifier::Any(true));
                    })
                },
                "a principal that is not one client certificate",
            ),
            case(
                "a permission that is about something else",
                "eu-1",
                |s| {
                    admits(s, |rbac| {
                        policy(rbac).permissions[0].rule =
                            Some(permission::Rule::DestinationPort(1));
                    })
                },
                "a permission that is about more than who connects",
            ),
            case(
                "RBAC that denies",
                "eu-1",
                |s| admits(s, |rbac| rbac.rules.as_mut().unwrap().action = 1),
                "RBAC that does not refuse",
            ),
            case(
                "RBAC without rules",
                "eu-1",
                |s| admits(s, |rbac| rbac.rules = None),
                "RBAC without rules refuses nobody",
            ),
            case(
                "RBAC that only looks on",
                "eu-1",
                |s| admits(s, |rbac| rbac.shadow_rules = rbac.rules.clone()),
                "`shadow_rules` of this RBAC",
            ),
            case(
                "no RBAC",
                "eu-1",
                |s| {
                    drop(
                        listener(s, "milvus-peer").filter_chains[0]
                            .filters
                            .remove(0),
                    )
                },
                "client certificates are asked for, and no RBAC",
            ),
            case(
                "a gateway's connections that nothing closes",
                "eu-1",
                |s| {
                    drop(
                        listener(s, "milvus-peer").filter_chains[0]
                            .filters
                            .remove(1),
                    )
                },
                "milvus-peer: nothing closes connections that the fleet no longer allows",
            ),
            case(
                "the region's connections that nothing closes",
                "eu-1",
                |s| {
                    drop(
                        listener(s, "retrieval/eu-2").filter_chains[0]
                            .filters
                            .remove(0),
                    )
                },
                "retrieval/eu-2: nothing closes connections that the fleet no longer allows",
            ),
            case(
                "connections of a region in the US are kept",
                "eu-1",
                |s| {
                    keeps(s, "milvus-peer", |policy| {
                        let reader = "spiffe://meridian/region/us-1";
                        policy.readers.insert(reader.into());
                    })
                },
                "keeps connections of `spiffe://meridian/region/us-1`",
            ),
            case(
                "connections to a database in the US are kept",
                "eu-1",
                |s| {
                    keeps(s, "retrieval/eu-1", |policy| {
                        policy.databases.insert(RegionName::from_static("us-1"));
                    })
                },
                "keeps connections to the database of `us-1`",
            ),
            case(
                "the plugin has no policy",
                "eu-1",
                |s| {
                    network_filter(listener(s, "milvus-peer"), |wasm: &mut NetworkWasm| {
                        wasm.config.as_mut().unwrap().configuration = None;
                    })
                },
                "a missing StringValue",
            ),
            case(
                "another plugin in its place",
                "eu-1",
                |s| {
                    network_filter(listener(s, "milvus-peer"), |wasm: &mut NetworkWasm| {
                        wasm.config.as_mut().unwrap().root_id = "pool".into();
                    })
                },
                "the plugin root `pool` in place of `retrieval`",
            ),
            case(
                "nobody proves anything",
                "eu-1",
                |s| {
                    let chain = &mut listener(s, "milvus-peer").filter_chains[0];
                    chain.filters.remove(0);
                    chain.transport_socket = None;
                },
                "anybody can retrieve here",
            ),
            case(
                "no TLS",
                "eu-1",
                |s| listener(s, "milvus-peer").filter_chains[0].transport_socket = None,
                "RBAC without TLS",
            ),
            case(
                "no client certificate",
                "eu-1",
                |s| reader_tls(s, |t| t.require_client_certificate = None),
                "no client certificate is required",
            ),
            case(
                "the certificate of a region in the US",
                "eu-1",
                |s| {
                    reader_tls(s, |t| {
                        validation(&mut t.common_tls_context).match_typed_subject_alt_names[0]
                            .matcher = Some(exactly("spiffe://meridian/region/us-1"));
                    })
                },
                "must be held to URI SANs of other regions' gateways",
            ),
            case(
                "on to another region",
                "eu-1",
                |s| leads(s, "milvus-peer", "retrieval/eu-1"),
                "another gateway's retrieval is sent on to the vector database of `eu-2`",
            ),
            case(
                "on to a pool",
                "eu-1",
                |s| leads(s, "milvus-peer", "pool/eu-1/m"),
                "another gateway's retrieval is sent on to a pool of `eu-1`",
            ),
        ],
    );
}

/// For any plan, translate uses only targets that the fleet allows, and the verifier agrees.
#[test]
fn no_plan_leads_retrieval_across_a_border() {
    let fleet: Fleet = fleet(RETRIEVAL);
    let regions: Vec<&RegionName> = fleet.regions.keys().collect();
    for home in &regions {
        for other in &regions {
            let freshness = Freshness {
                behind: [(*home).clone()].into(),
                retrieval: [((*home).clone(), (*other).clone())].into(),
                ..Freshness::default()
            };
            let plan = Plan {
                freshness,
                ..Plan::default()
            };
            let snapshot = translate(&fleet, &plan, home, None);
            assert_eq!(verify(&fleet, home, &snapshot), [], "{home} at {other}");
            let serving = snapshot.clusters.into_iter();
            let serving = serving
                .filter(|cluster| cluster.name.starts_with("vector_db/"))
                .flat_map(|cluster| cluster.load_assignment.unwrap().endpoints)
                .map(|locality| locality.locality.unwrap().region);
            let serving: Vec<String> = serving.collect();
            let same_side = home.as_str()[..2] == other.as_str()[..2];
            let expected = match (home.as_str(), other.as_str()) {
                ("eu-3", _) => vec![],
                (home, "eu-3") => vec![home.to_owned()],
                (_, other) if same_side => vec![other.to_owned()],
                (home, _) => vec![home.to_owned()],
            };
            assert_eq!(serving, expected, "{home} at {other}");
        }
    }
}
