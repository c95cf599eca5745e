use super::open::{opened, upstream_filters};
use super::{join, split};
use crate::snapshot::Parts;
use crate::snapshot::Snapshot;
use crate::translate::{of_the_other_kind, translate};
use crate::verify::tests::edit::short;
use crate::verify::verify;
use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilter;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::util::pack_any;
use prost::Name;
use meridian_policy::filter_policy::Lease;
use meridian_policy::fleet::{FilterFiles, FilterKind};
use meridian_planner::freshness::Freshness;
use meridian_planner::health::Health;
use meridian_planner::plan::Plan;
use meridian_policy::{Fleet, RegionName};
use serde_json::Value;

const EXAMPLE: &str = include_str!("../../../envoy/fleet.yaml");

fn fleet() -> Fleet {
    crate::fleet::parse(EXAMPLE).unwrap()
}

fn snapshot(region: &str) -> Snapshot {
    let lease = Lease {
        given: 1,
        runs_ms: 60_000,
    };
    translate(
        &fleet(),
        &Plan::default(),
        &region.parse().unwrap(),
        Some(lease),
    )
}

/// Messages are compared as JSON, because protobuf maps are encoded in any order.
fn said(snapshot: Snapshot) -> Value {
    let Snapshot {
        listeners,
        clusters,
        secrets,
    } = snapshot;
    meridian_proto::to_json(&StaticResources {
        listeners,
        clusters,
        secrets,
    })
    .unwrap()
}

fn said_by<M: prost::Message + Name>(messages: &[M]) -> String {
    let all = messages
        .iter()
        .map(|message| meridian_proto::to_json(message).unwrap().to_string());
    all.collect()
}

#[test]
fn joining_undoes_splitting_on_every_gateway() {
    for region in fleet().regions.keys() {
        let whole = snapshot(region.as_str());
        let joined = join(&split(whole.clone())).unwrap();
        assert_eq!(verify(&fleet(), region, &joined), []);
        assert_eq!(said(joined), said(whole));
    }
}

#[test]
fn a_key_that_comes_by_a_file_of_its_own_comes_by_nothing_else() {
    let fleet = fleet();
    let home = "eu-west-1".parse::<RegionName>().unwrap();
    let whole = translate(&fleet, &Plan::default(), &home, None);
    let parts = split(whole.clone());
    let names: Vec<String> = parts
        .secrets
        .iter()
        .map(|secret| short(&secret.name))
        .collect();
    assert_eq!(names, ["claude", "gateway", "gateway_ca"]);
    assert!(said_by(&parts.listeners).contains("/run/secrets/claude-eu.yaml"));
    let joined = join(&parts).unwrap();
    assert_eq!(verify(&fleet, &home, &joined), []);
    assert_eq!(said(joined), said(whole));
}

#[test]
fn what_moves_is_cut_out() {
    let parts = split(snapshot("us-west-2"));
    fn names(names: Vec<&String>) -> Vec<String> {
        names.into_iter().map(|name| short(name)).collect()
    }
    assert_eq!(
        names(parts.routes.iter().map(|routes| &routes.name).collect()),
        ["public", "peer", "egress/claude"]
    );
    assert_eq!(
        names(parts.extensions.iter().map(|each| &each.name).collect()),
        [
            "meridian.router",
            "meridian.forbidden",
            "meridian.allowed",
            "meridian.pool",
            "meridian.egress/claude",
            "meridian.retrieval",
            "meridian.guard"
        ]
    );
    assert_eq!(
        names(
            parts
                .endpoints
                .iter()
                .map(|each| &each.cluster_name)
                .collect()
        ),
        [
            "pool/us-west-2/llama-3.1-70b",
            "vector_db/us-west-2",
            "database/us-west-2"
        ],
        "names are for Envoy to resolve"
    );
    let listeners = said_by(&parts.listeners);
    assert!(!listeners.contains("route_config\":"), "{listeners}");
    assert!(
        !listeners.contains("runs_ms"),
        "the lease is nowhere but in the policy"
    );
    assert!(listeners.contains("default_config"));
    let allowing_nothing = listeners.matches("\"rules\":{}").count();
    assert_eq!(
        (allowing_nothing, listeners.contains("zone/eea")),
        (2, false),
        "what peers may bring is nowhere but in the rules"
    );
    assert!(said_by(&parts.extensions).contains("runs_ms"));
}

#[test]
fn another_file_of_the_filter_moves_no_cluster() {
    let at = |file: &str| {
        let fleet = Fleet {
            filters: FilterFiles {
                wasm: file.into(),
                native: file.into(),
            },
            ..fleet()
        };
        let home = "us-west-2".parse::<RegionName>().unwrap();
        split(translate(&fleet, &Plan::default(), &home, None))
    };
    let (one, other) = (at("one.wasm"), at("other.wasm"));
    assert_eq!(said_by(&one.clusters), said_by(&other.clusters));
    let named = said_by(&one.extensions).replace("one.wasm", "other.wasm");
    assert_eq!(named, said_by(&other.extensions));
}

#[test]
fn a_guard_that_differs_stays_with_its_chain() {
    let mut whole = snapshot("us-west-2");
    let chain = whole
        .clusters
        .iter_mut()
        .rev()
        .find(|each| each.name.starts_with("chain/"));
    upstream_filters(chain.unwrap(), |filter| {
        if let Some(ConfigType::TypedConfig(any)) = &mut filter.config_type
            && let Some(mut wasm) = opened::<Wasm>(Some(any))
        {
            wasm.config.as_mut().unwrap().name = "another".into();
            *any = pack_any(wasm);
        }
    });
    assert_eq!(said(join(&split(whole.clone())).unwrap()), said(whole));
}

#[test]
fn a_lease_moves_nothing_but_the_policy() {
    let home = "us-west-2".parse::<RegionName>().unwrap();
    let at = |given| {
        let lease = Lease {
            given,
            runs_ms: 60_000,
        };
        split(translate(&fleet(), &Plan::default(), &home, Some(lease)))
    };
    let (one, other) = (at(1), at(2));
    assert_eq!(said_by(&one.listeners), said_by(&other.listeners));
    assert_eq!(said_by(&one.clusters), said_by(&other.clusters));
    assert_eq!(said_by(&one.routes), said_by(&other.routes));
    assert_ne!(said_by(&one.extensions), said_by(&other.extensions));
}

#[test]
fn a_region_that_is_down_moves_its_endpoints_and_no_cluster() {
    let by_address = EXAMPLE.replace("gw.us-east-1.example.com", "10.9.0.1");
    for (text, marked) in [(EXAMPLE, false), (by_address.as_str(), true)] {
        let fleet = crate::fleet::parse(text).unwrap();
        let parts = |down| {
            let health = Health {
                down,
                ..Default::default()
            };
            let pools = [("llama-3.1-70b".parse().unwrap(), health)].into();
            let plan = Plan {
                pools: [("us-east-1".parse().unwrap(), pools)].into(),
                ..Default::default()
            };
            split(translate(
                &fleet,
                &plan,
                &"us-west-2".parse().unwrap(),
                None,
            ))
        };
        let (up, down) = (parts(false), parts(true));
        assert_eq!(said_by(&up.clusters), said_by(&down.clusters));
        let moved = said_by(&up.endpoints) != said_by(&down.endpoints);
        assert_eq!(moved, marked, "{text}");
    }
}

#[test]
fn a_plan_that_moves_retrieval_moves_one_endpoint_and_nothing_else() {
    let parts = |freshness: Freshness| {
        let plan = Plan {
            freshness,
            ..Default::default()
        };
        split(translate(
            &fleet(),
            &plan,
            &"us-west-2".parse().unwrap(),
            None,
        ))
    };
    let at_home = parts(Freshness::default());
    // The lag matters for requests that need fresh data only: policy and weights change, no endpoints.
    let away = parts(Freshness {
        retrieval: [("us-west-2".parse().unwrap(), "us-east-1".parse().unwrap())].into(),
        ..Freshness::default()
    });
    assert_eq!(said_by(&at_home.clusters), said_by(&away.clusters));
    assert_eq!(said_by(&at_home.listeners), said_by(&away.listeners));
    assert_eq!(said_by(&at_home.routes), said_by(&away.routes));
    assert_eq!(said_by(&at_home.extensions), said_by(&away.extensions));
    let both = at_home.endpoints.iter().zip(&away.endpoints);
    let moved: Vec<&str> = both
        .filter(|(one, other)| one != other)
        .map(|(one, _)| one.cluster_name.as_str())
        .collect();
    assert_eq!(moved, ["vector_db/us-west-2"]);
}

#[test]
fn a_part_that_is_missing_or_too_many_is_an_error() {
    type Damage = fn(&mut Parts);
    let damages: [(Damage, &str); 4] = [
        (
            |parts| drop(parts.routes.remove(0)),
            "refers to the routes `public`",
        ),
        (
            |parts| drop(parts.endpoints.remove(0)),
            "refers to the endpoints",
        ),
        (
            |parts| parts.extensions.clear(),
            "refers to the filter configuration `meridian.router`",
        ),
        (
            |parts| parts.routes.push(Default::default()),
            "the rest of the resources",
        ),
    ];
    for (damage, says) in damages {
        let mut parts = split(snapshot("eu-west-1"));
        damage(&mut parts);
        let error = join(&parts).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_plugin_of_the_other_kind_is_what_a_fleet_of_that_kind_has() {
    let home: RegionName = "us-west-2".parse().unwrap();
    let of = |kind: FilterKind| {
        let mut fleet = fleet();
        fleet.regions.get_mut(&home).unwrap().gateway.filter = kind;
        let parts = split(translate(&fleet, &Plan::default(), &home, None));
        let mut extensions = parts.extensions;
        extensions.retain(|extension| {
            let any = extension.typed_config.as_ref().unwrap();
            [Wasm::type_url(), DynamicModuleFilter::type_url()].contains(&any.type_url)
        });
        let others = of_the_other_kind(&fleet, &extensions);
        (said_by(&extensions), said_by(&others))
    };
    let ((wasm, native), (own, other)) = (of(FilterKind::Wasm), of(FilterKind::Native));
    assert!(wasm.contains("meridian.egress/") && wasm.contains("meridian.guard"));
    assert_eq!((wasm, native), (other, own));
}
