//! Zone migrations: no intermediate state lacks a route for a caller, or has one that neither fleet allows.

use super::{between, migration_steps};
use crate::serve::publication::{Publication, publication};
use crate::xds::{ResourceType, Resources};
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use meridian_filter_core::classify::classify;
use meridian_planner::plan::Plan;
use meridian_planner::plugins::filter_policy;
use meridian_policy::country::Country;
use meridian_policy::filter_policy::Lease;
use meridian_policy::fleet::{ContentRules, Misdirected, Order, OwnLimits, UnknownZone, Zone};
use meridian_policy::{FallbackName, FilterPolicy, Fleet, RegionName, ZoneName, headers};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

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

/// The old publication, and every step that changes something.
fn way(before: &Fleet, next: &Fleet) -> Vec<Publication> {
    let plan = Plan::default();
    let lease = Lease {
        given: 1,
        runs_ms: 60_000,
    };
    let first = publication(before, &plan, lease, &Publication::new()).unwrap();
    let steps = migration_steps(&first, (before, &plan), (next, &plan), lease).unwrap();
    let mut way: Vec<Publication> = std::iter::once(first).chain(steps).collect();
    way.dedup();
    way
}

fn open<M: Message + Default>(any: &Any) -> M {
    M::decode(any.value.as_slice()).unwrap()
}

fn policy(resources: &Resources) -> FilterPolicy {
    let resource = &resources.of(ResourceType::Extension)["meridian.router"];
    let extension: TypedExtensionConfig = open(&resource.body);
    let wasm: Wasm = open(&extension.typed_config.unwrap());
    let json: StringValue = open(&wasm.config.unwrap().configuration.unwrap());
    serde_json::from_str(&json.value).unwrap()
}

/// The zones that the routes match.
fn routed(resources: &Resources, name: &str) -> BTreeSet<String> {
    let resource = &resources.of(ResourceType::Route)[name];
    let configuration: RouteConfiguration = open(&resource.body);
    let routes = configuration.virtual_hosts.into_iter();
    let routes = routes.flat_map(|host| host.routes);
    let matchers = routes.flat_map(|route| route.r#match.unwrap().headers);
    matchers
        .filter(|header| header.name == headers::ZONE)
        .map(|header| {
            let header = meridian_proto::to_json(&header).unwrap();
            header["string_match"]["exact"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// The zones and models that the policy of one step uses and the routes of another lack.
fn lacks(policies: &Publication, routes: &Publication, fleets: [&Fleet; 2]) -> Vec<String> {
    let mut lacks = Vec::new();
    for (at, resources) in policies {
        let policy = policy(resources);
        let admitted = policy.zones.iter();
        for (zone, _) in admitted.filter(|(_, rule)| rule.turn_away.is_none()) {
            if !routed(&routes[at], "public").contains(zone.as_str()) {
                lacks.push(format!("{zone} at {at}"));
            }
            for peer in policies.keys().filter(|peer| *peer != at) {
                let serves = |fleet: &&Fleet| {
                    let zone = fleet.zones.get(zone);
                    zone.is_none_or(|zone| zone.regions.contains(peer))
                };
                if fleets.iter().all(serves)
                    && !routed(&routes[peer], "peer").contains(zone.as_str())
                {
                    lacks.push(format!("{zone} from {at} at {peer}"));
                }
            }
        }
    }
    lacks
}

/// Each gateway may have the policy of one step and the routes of a neighbouring step.
fn nothing_lacks(before: &str, next: &str) {
    let fleets = [&with_zones(before), &with_zones(next)];
    for pair in way(fleets[0], fleets[1]).windows(2) {
        for (policies, routes) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let lacks = lacks(&pair[policies], &pair[routes], fleets);
            assert_eq!(lacks, [""; 0], "{before}{next}");
        }
    }
}

#[test]
fn a_policy_never_meets_a_gateway_without_the_routes_for_it() {
    for before in [ORIGINAL, RENAMED, SPLIT] {
        for next in [ORIGINAL, RENAMED, SPLIT] {
            nothing_lacks(before, next);
        }
    }
    nothing_lacks(ORIGINAL, WIDENED);
}

#[test]
fn only_what_a_route_shows_takes_steps() {
    let steps = |before: &str, next: &str| way(&with_zones(before), &with_zones(next)).len() - 1;
    assert_eq!(steps(ORIGINAL, ORIGINAL), 0);
    assert_eq!(steps(ORIGINAL, &ORIGINAL.replace("preset:eea", "DE")), 1);
    assert_eq!(steps(ORIGINAL, RENAMED), 3);
    assert_eq!(steps(SPLIT, ORIGINAL), 2, "nothing comes");
    assert_eq!(steps(ORIGINAL, SPLIT), 2, "nothing goes");
    assert_eq!(steps(ORIGINAL, WIDENED), 2, "nothing goes");
}

#[test]
fn a_region_that_a_zone_loses_is_lost_with_the_first_step() {
    let way = way(&with_zones(WIDENED), &with_zones(ORIGINAL));
    let serves = |step: &Publication| routed(&step["us-east-1"], "public").contains("eea");
    assert!(serves(&way[0]) && !serves(&way[1]));
}

#[test]
fn a_region_and_a_fallback_that_are_others_are_not_kept() {
    let old = with_zones(ORIGINAL);
    let mut new = with_zones(RENAMED);
    let elsewhere = new.fallbacks["claude"].clone();
    new.fallbacks
        .insert("claude-eu".parse().unwrap(), elsewhere);
    let zone = &between(&old, &new).unwrap().zones["eea"];
    assert_eq!((zone.regions.len(), zone.fallbacks.len()), (1, 0));
    new.regions.remove("eu-west-1");
    let zone = &between(&old, &new).unwrap().zones["eea"];
    assert_eq!(zone.regions.len(), 0);
}

#[test]
fn regions_that_neither_fleet_lets_read_each_other_do_not_on_the_way() {
    let zones = |countries: &str, with: &str| {
        with_zones(&format!(
            "
  eea: {{ countries: [{countries}], pinned: true, regions: [eu-west-1, {with}], fallbacks: [claude-eu] }}
  global: {{ countries: [preset:rest], regions: [us-west-2, us-east-1], fallbacks: [claude] }}
unknown_zone: eea
"
        ))
    };
    let before = zones("preset:eea", "us-west-2");
    let next = zones("preset:eea, preset:uk", "us-east-1");
    let on_the_way = between(&before, &next).unwrap();
    assert_eq!(
        on_the_way.zones["eea"].regions,
        ["eu-west-1".parse().unwrap()].into()
    );
    let has = |region: &str| on_the_way.regions[region].vector_db.is_some();
    assert_eq!(
        ["us-west-2", "us-east-1", "eu-west-1"].map(has),
        [false, false, true]
    );
    // Other edits do not change routes.
    let renamed = between(&with_zones(ORIGINAL), &with_zones(RENAMED)).unwrap();
    let mut regions = renamed.regions.values();
    assert!(regions.all(|region| region.vector_db.is_some()));
}

#[test]
fn a_name_that_means_something_else_leads_where_both_let_it() {
    let fleet = between(&with_zones(ORIGINAL), &with_zones(SWAPPED)).unwrap();
    let eea = &fleet.zones["eea"];
    assert!(eea.pinned && eea.regions == BTreeSet::from(["eu-west-1".parse().unwrap()]));
    assert_eq!(eea.fallbacks.len(), 0);
    way(&with_zones(ORIGINAL), &with_zones(SWAPPED));
}

const COUNTRIES: [&str; 3] = ["DE", "FR", "US"];
const ZONES: [&str; 3] = ["x", "y", "z"];

/// Arbitrary zones: the zone of each country, of each tenant, and of unknown callers.
fn any_fleet() -> impl Strategy<Value = Fleet> {
    let regions = subsequence(vec!["us-west-2", "us-east-1", "eu-west-1"], 1..=3);
    let fallbacks = subsequence(vec!["claude", "claude-eu"], 0..=2);
    let zone = (any::<bool>(), any::<bool>(), regions, fallbacks);
    let names = subsequence(ZONES.to_vec(), 1..=3);
    let places = vec(any::<Index>(), COUNTRIES.len() + 2);
    (names, vec(zone, 3), places, any::<bool>()).prop_map(|(names, zones, places, moved)| {
        let mut fleet = with_zones(ORIGINAL);
        let pick = |place: &Index| *place.get(&names);
        fleet.zones = names
            .iter()
            .zip(zones)
            .map(|(name, (pinned, forward, regions, fallbacks))| {
                let countries = COUNTRIES.iter().zip(&places);
                let own = countries.filter(|(_, place)| pick(place) == *name);
                let zone = Zone {
                    countries: own.filter_map(|(code, _)| Country::parse(code)).collect(),
                    rest: pick(&places[3]) == *name,
                    pinned,
                    regions: regions
                        .into_iter()
                        .map(|name| name.parse().unwrap())
                        .collect(),
                    fallbacks: fallbacks
                        .into_iter()
                        .map(|name| name.parse().unwrap())
                        .collect(),
                    misdirected: if forward {
                        Misdirected::Forward
                    } else {
                        Misdirected::Refuse
                    },
                    order: Order::Nearest,
                    limits: OwnLimits::default(),
                    content: ContentRules::default(),
                };
                (name.parse::<ZoneName>().unwrap(), zone)
            })
            .collect::<BTreeMap<_, _>>();
        fleet.unknown_zone = UnknownZone::Zone(pick(&places[4]).parse().unwrap());
        if moved {
            fleet.fallbacks.get_mut("claude").unwrap().endpoint.port = 8443;
        }
        fleet
    })
}

fn policy_of(fleet: &Fleet) -> FilterPolicy {
    filter_policy(fleet, &Plan::default(), &"eu-west-1".parse().unwrap(), None)
}

/// Whether a fleet allows a zone's request to use this path. A fallback must be unchanged.
fn allows(fleet: &Fleet, zone: &ZoneName, way: &Way, now: &Fleet) -> bool {
    let zone = &fleet.zones[zone];
    match way {
        Way::Region(name) => !zone.pinned || zone.regions.contains(name),
        Way::Through(name) => carries(zone, name),
        Way::Fallback(name) => {
            let same = fleet.fallbacks[name] == now.fallbacks[name];
            !zone.pinned || (same && zone.fallbacks.contains(name))
        }
    }
}

/// Whether a region's gateway may carry a zone's requests.
fn carries(zone: &Zone, gateway: &RegionName) -> bool {
    !zone.pinned || zone.misdirected == Misdirected::Forward || zone.regions.contains(gateway)
}

#[derive(Debug)]
enum Way {
    Region(RegionName),
    Fallback(FallbackName),
    Through(RegionName),
}

fn ways(fleet: &Fleet, zone: &Zone) -> Vec<Way> {
    let regions = zone.regions.iter().cloned().map(Way::Region);
    let fallbacks = zone.fallbacks.iter().cloned().map(Way::Fallback);
    let through = fleet.regions.keys().filter(|name| carries(zone, name));
    let through = through.cloned().map(Way::Through);
    regions.chain(fallbacks).chain(through).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_between_nobody_goes_where_neither_fleet_lets_them(old in any_fleet(), new in any_fleet()) {
        let Some(now) = between(&old, &new) else { return Ok(()) };
        let policies = [policy_of(&old), policy_of(&new)];
        let edge = "10.0.0.1".parse().ok();
        for country in ["DE", "FR", "US", "JP", "XX"] {
            for tenant in ["", "x", "y", "z"] {
                let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
                let mut caller = vec![header("cf-ipcountry", country)];
                caller.extend((!tenant.is_empty()).then(|| header("x-tenant-zone", tenant)));
                let zones = policies.each_ref().map(|policy| classify(policy, edge, &caller).unwrap().zone);
                for way in zones.iter().flat_map(|zone| ways(&now, &now.zones[zone])) {
                    let allowed = allows(&old, &zones[0], &way, &now) || allows(&new, &zones[1], &way, &now);
                    prop_assert!(allowed, "{:?}, {:?}: {:?}", caller, zones, way);
                }
            }
        }
    }
}
