//! Handovers: no step lacks a route for a caller.

use super::handover;
use crate::history::History;
use crate::serve::edition::ids;
use crate::serve::publication::{Publication, Publisher, publication};
use crate::xds::{ResourceType, Resources};
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use meridian_planner::plan::Plan;
use meridian_policy::filter_policy::Lease;
use meridian_policy::{FilterPolicy, Fleet, headers};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const EXAMPLE: &str = include_str!("../../../../envoy/fleet.yaml");

/// One pinned zone and the rest.
const ORIGINAL: &str = "
  eea: { countries: [preset:eea], pinned: true, regions: [eu-west-1], fallbacks: [claude-eu] }
  global: { countries: [preset:rest], regions: [us-west-2, us-east-1, eu-west-1], fallbacks: [claude] }
unknown_zone: eea
";

const RENAMED: &str = "
  europe: { countries: [preset:eea], pinned: true, regions: [eu-west-1], fallbacks: [claude-eu], jurisdictions: [eea] }
  world: { countries: [preset:rest], regions: [us-west-2, us-east-1, eu-west-1], fallbacks: [claude] }
unknown_zone: europe
";

const SPLIT: &str = "
  eea: { countries: [FR, ES], pinned: true, regions: [eu-west-1], fallbacks: [claude-eu] }
  dach: { countries: [DE, AT], pinned: true, regions: [eu-west-1] }
  global: { countries: [preset:rest], regions: [us-west-2, us-east-1, eu-west-1], fallbacks: [claude] }
unknown_zone: eea
";

/// The same zone names with other callers and regions.
const SWAPPED: &str = "
  eea: { countries: [preset:rest], regions: [us-west-2, us-east-1, eu-west-1], fallbacks: [claude] }
  global: { countries: [preset:eea], pinned: true, regions: [eu-west-1], fallbacks: [claude-eu], jurisdictions: [eea] }
unknown_zone: global
";

const WIDENED: &str = "
  eea: { countries: [preset:eea], pinned: true, regions: [eu-west-1, us-east-1], fallbacks: [claude-eu] }
  global: { countries: [preset:rest], regions: [us-west-2, us-east-1, eu-west-1], fallbacks: [claude] }
unknown_zone: eea
";

fn with_zones(zones: &str) -> Fleet {
    let (head, rest) = EXAMPLE.split_once("zones:\n").unwrap();
    let (_, tail) = rest.split_once("unknown_zone: eea\n").unwrap();
    crate::fleet::parse(&format!("{head}zones:{zones}{tail}")).unwrap()
}

/// The old publication, every step, and the next one without what came before.
fn way(before: &Fleet, next: &Fleet) -> Vec<Publication> {
    let plan = Plan::default();
    let lease = Lease {
        given: 1,
        runs_ms: 60_000,
    };
    let first = publication(before, &plan, lease, &Publication::new()).unwrap();
    let publisher = Publisher::new(history(next, before), &plan, lease, &first).unwrap();
    let steps = handover(&first, &before.into(), &publisher);
    let last = publication(next, &plan, lease, &first).unwrap();
    let mut way: Vec<Publication> = std::iter::once(first).chain(steps).chain([last]).collect();
    way.dedup();
    way
}

fn open<M: Message + Default>(any: &Any) -> M {
    M::decode(any.value.as_slice()).unwrap()
}

fn policy(resources: &Resources) -> FilterPolicy {
    let resource = &resources.of(ResourceType::Extension)["meridian.router"];
    let extension: TypedExtensionConfig = open(&resource.body());
    let wasm: Wasm = open(&extension.typed_config.unwrap());
    let json: StringValue = open(&wasm.config.unwrap().configuration.unwrap());
    serde_json::from_str(&json.value).unwrap()
}

/// The definitions that the routes match.
fn routed(resources: &Resources, name: &str) -> BTreeSet<String> {
    let resource = &resources.of(ResourceType::Route)[name];
    let configuration: RouteConfiguration = open(&resource.body());
    let trees = configuration
        .virtual_hosts
        .into_iter()
        .filter_map(|host| host.matcher);
    trees
        .flat_map(|tree| {
            let tree = meridian_proto::to_json(&tree).unwrap();
            let by = &tree["matcher_tree"];
            assert_eq!(
                by["input"]["typed_config"]["header_name"],
                headers::DEFINITION
            );
            let map = by["exact_match_map"]["map"].as_object().unwrap().clone();
            map.into_iter().map(|(definition, _)| definition)
        })
        .collect()
}

/// The definitions that the policy of one step decides by and the routes of another lack.
fn lacks(policies: &Publication, routes: &Publication, fleets: [&Fleet; 2]) -> Vec<String> {
    let mut lacks = Vec::new();
    for (at, resources) in policies {
        let policy = policy(resources);
        let admitted = policy.zones.iter();
        for (zone, rule) in admitted.filter(|(_, rule)| rule.turn_away.is_none()) {
            let id = rule.definition.as_str();
            if !routed(&routes[at], "public").contains(id) {
                lacks.push(format!("{id} at {at}"));
            }
            let fleet = fleets.iter().find(|fleet| {
                let ids = ids(&(**fleet).into());
                ids.contains(id)
            });
            let regions = &fleet.unwrap().zones[zone].regions;
            for peer in policies.keys().filter(|peer| *peer != at) {
                if regions.contains(peer) && !routed(&routes[peer], "peer").contains(id) {
                    lacks.push(format!("{id} from {at} at {peer}"));
                }
            }
        }
    }
    lacks
}

#[test]
fn a_policy_never_meets_a_gateway_without_the_routes_for_it() {
    for before in [ORIGINAL, RENAMED, SPLIT, SWAPPED, WIDENED] {
        for next in [ORIGINAL, RENAMED, SPLIT, SWAPPED, WIDENED] {
            let fleets = [&with_zones(before), &with_zones(next)];
            let way = way(fleets[0], fleets[1]);
            // Each gateway may have the policy of one step and the routes of a neighbouring step. What came before is dropped only
            // once nobody decides by it.
            let (last, handed_over) = way.split_last().unwrap();
            assert_eq!(lacks(last, last, fleets), [""; 0], "{before}{next}");
            for pair in handed_over.windows(2) {
                for (policies, routes) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let lacks = lacks(&pair[policies], &pair[routes], fleets);
                    assert_eq!(lacks, [""; 0], "{before}{next}");
                }
            }
        }
    }
}

#[test]
fn only_a_new_definition_takes_two_steps() {
    let steps = |before: &str, next: &str| {
        let (before, next) = (with_zones(before), with_zones(next));
        let plan = Plan::default();
        let lease = Lease {
            given: 1,
            runs_ms: 60_000,
        };
        let first = publication(&before, &plan, lease, &Publication::new()).unwrap();
        let publisher = Publisher::new(history(&next, &before), &plan, lease, &first).unwrap();
        let steps = handover(&first, &(&before).into(), &publisher);
        steps.len()
    };
    assert_eq!(steps(ORIGINAL, ORIGINAL), 1);
    assert_eq!(steps(ORIGINAL, &ORIGINAL.replace("preset:eea", "DE")), 1);
    assert_eq!(steps(SPLIT, ORIGINAL), 1, "nothing comes");
    for next in [RENAMED, SPLIT, SWAPPED, WIDENED] {
        assert_eq!(steps(ORIGINAL, next), 2, "{next}");
    }
}

#[test]
fn an_edit_of_one_zone_renames_nothing_of_another() {
    let way = way(&with_zones(ORIGINAL), &with_zones(WIDENED));
    let (first, last) = (&way[0], way.last().unwrap());
    let is_others = |name: &str| name.contains('@') && !name.contains("/eea@");
    for (region, resources) in first {
        for kind in [ResourceType::Cluster, ResourceType::Listener] {
            for name in resources.of(kind).keys().filter(|name| is_others(name)) {
                assert!(last[region].get(kind, name).is_some(), "{region} {name}");
            }
        }
    }
    // What goes again is as it was.
    let back = self::way(&with_zones(WIDENED), &with_zones(ORIGINAL));
    let names = |publication: &Publication| -> Vec<Vec<String>> {
        let clusters = publication.values().map(|of| of.of(ResourceType::Cluster));
        clusters
            .map(|of| of.keys().map(ToString::to_string).collect())
            .collect()
    };
    assert_eq!(names(back.last().unwrap()), names(first));
}

/// 30 regions with 10 models each, and three zones, one of which may serve these.
fn large(regions_of_eea: usize) -> Fleet {
    let region = |index: usize| {
        let pools =
            (0..10).map(|model| format!("m{model}: {{ endpoints: [10.{index}.1.{model}:8000] }}"));
        let pools: Vec<String> = pools.collect();
        format!(
            "  r{index:02}: {{ gateway: {{ address: 10.{index}.0.1, port: 8443 }}, pools: {{ {} }} }}\n",
            pools.join(", ")
        )
    };
    let names = |count: usize| -> String {
        let names: Vec<String> = (0..count).map(|index| format!("r{index:02}")).collect();
        names.join(", ")
    };
    let regions: String = (0..30).map(region).collect();
    let text = format!(
        "zones:\n  eea: {{ countries: [preset:eea], pinned: true, regions: [{}] }}\n  uk: {{ countries: [preset:uk], pinned: true, regions: [r10, r11] }}\n  \
         global: {{ countries: [preset:rest], regions: [{}] }}\nunknown_zone: eea\nclassify:\n  - {{ header: cf-ipcountry, gives: country, \
         trust: {{ cidr: [10.0.0.0/8] }} }}\nregions:\n{regions}",
        names(regions_of_eea),
        names(30),
    );
    crate::fleet::parse(&text).unwrap()
}

/// Resources of one gateway by type and name, with their sizes in bytes.
fn history(current: &Fleet, earlier: &Fleet) -> History {
    History {
        current: Arc::new(current.into()),
        earlier: vec![Arc::new(earlier.into())],
    }
}

fn sizes(history: History) -> BTreeMap<String, usize> {
    let home = "r00".parse().unwrap();
    let parts = crate::discovery::split(crate::translate::translate(
        history,
        &Plan::default(),
        &home,
        None,
    ));
    let resources =
        crate::discovery::with(Resources::default(), parts, &Resources::default()).unwrap();
    let all = ResourceType::ALL.into_iter().flat_map(|kind| {
        let of_kind = resources.of(kind).iter();
        of_kind.map(move |(name, resource)| {
            (
                format!("{} {name}", kind.label()),
                resource.body().value.len(),
            )
        })
    });
    all.collect()
}

#[test]
fn an_edit_of_one_zone_of_a_large_fleet_costs_its_own_resources_twice_and_no_other() {
    let (before, next) = (large(9), large(8));
    let (first, both, last) = (
        sizes((&before).into()),
        sizes(history(&next, &before)),
        sizes((&next).into()),
    );
    let total = |sizes: &BTreeMap<String, usize>| (sizes.len(), sizes.values().sum::<usize>());
    println!(
        "before {:?}, meanwhile {:?}, after {:?}",
        total(&first),
        total(&both),
        total(&last)
    );
    let new: Vec<&String> = both
        .keys()
        .filter(|name| !first.contains_key(*name))
        .collect();
    assert!(new.iter().all(|name| name.contains("/eea@")), "{new:?}");
    assert_eq!(
        new.len(),
        last.keys().filter(|name| name.contains("/eea@")).count()
    );
    assert!(
        first.keys().all(|name| both.contains_key(name)),
        "nothing goes before its time"
    );
    let others = |sizes: &BTreeMap<String, usize>| -> BTreeSet<String> {
        sizes
            .keys()
            .filter(|name| !name.contains("/eea@"))
            .cloned()
            .collect()
    };
    assert_eq!(
        others(&first),
        others(&last),
        "an edit elsewhere renames nothing"
    );
}
