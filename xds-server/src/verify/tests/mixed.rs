//! Gateways in the middle of an edit: each resource is of the fleet before, of both or of the fleet after, whatever has arrived. A request
//! goes only where the definition that it was decided under lets it go.

use super::edit::configuration;
use super::fleets::{EXAMPLE, fleet};
use super::simulation::Envoy;
use crate::history::History;
use crate::snapshot::Snapshot;
use crate::translate::translate;
use crate::verify::verify;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::{Listener, filter};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::google::protobuf::StringValue;
use envoy_types::util::pack_any;
use meridian_planner::plan::Plan;
use meridian_policy::egress_policy::EgressPolicy;
use meridian_policy::fleet::{Misdirected, UnknownZone, Zone};
use meridian_policy::{FallbackName, FilterPolicy, Fleet, RegionName, ZoneName};
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::Message;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const CASES: u32 = 200;
const REGIONS: [&str; 3] = ["us-west-2", "us-east-1", "eu-west-1"];
const FALLBACKS: [&str; 2] = ["claude", "claude-eu"];
const ZONES: [&str; 3] = ["x", "y", "z"];

/// Arbitrary zones, and fallbacks whose names mean one provider or the other.
fn any_fleet() -> impl Strategy<Value = Fleet> {
    let names =
        |names: &'static [&'static str], least| subsequence(names.to_vec(), least..=names.len());
    let misdirected = prop::sample::select(vec![Misdirected::Refuse, Misdirected::Forward]);
    let tools = prop::sample::select(vec!["mcp", "web_search"]);
    let zone = (
        any::<bool>(),
        misdirected,
        names(&REGIONS, 1),
        names(&FALLBACKS, 0),
        tools,
    );
    let zones = prop::collection::vec(zone, 3);
    (names(&ZONES, 1), zones, any::<bool>()).prop_map(|(names, zones, swapped)| {
        let mut fleet = fleet(EXAMPLE);
        let template = fleet.zones["eea"].clone();
        fleet.zones = names
            .iter()
            .zip(zones)
            .map(|(name, (pinned, misdirected, regions, fallbacks, tool))| {
                let mut zone = Zone {
                    countries: BTreeSet::new(),
                    pinned,
                    misdirected,
                    regions: regions.iter().map(|name| name.parse().unwrap()).collect(),
                    fallbacks: fallbacks.iter().map(|name| name.parse().unwrap()).collect(),
                    ..template.clone()
                };
                zone.content.fallback_tools = [tool.to_owned()].into();
                (name.parse::<ZoneName>().unwrap(), zone)
            })
            .collect();
        fleet.unknown_zone = UnknownZone::Zone(names[0].parse().unwrap());
        if swapped {
            let [one, two] = FALLBACKS.map(|name| name.parse::<FallbackName>().unwrap());
            let (first, second) = (fleet.fallbacks[&one].clone(), fleet.fallbacks[&two].clone());
            fleet.fallbacks.insert(one, second);
            fleet.fallbacks.insert(two, first);
        }
        fleet
    })
}

/// Picks by a seed.
struct Picks(u64);

impl Picks {
    fn one<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        // A linear congruential generator, with Knuth's constants.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        &list[usize::try_from(self.0 >> 33).unwrap() % list.len()]
    }
}

fn manager(listener: &Listener) -> Option<HttpConnectionManager> {
    let filter = listener.filter_chains[0].filters.first()?;
    let Some(filter::ConfigType::TypedConfig(any)) = &filter.config_type else {
        return None;
    };
    HttpConnectionManager::decode(any.value.as_slice()).ok()
}

/// A listener of one state, with routes and filters of others.
fn mixed_listener(versions: &[&Listener], picks: &mut Picks) -> Listener {
    let mut listener = (*picks.one(versions)).clone();
    let managers: Vec<HttpConnectionManager> = versions
        .iter()
        .filter_map(|version| manager(version))
        .collect();
    let Some(mut mixed) = manager(&listener).filter(|_| managers.len() == versions.len()) else {
        return listener;
    };
    mixed.route_specifier = picks.one(&managers).route_specifier.clone();
    for own in &mut mixed.http_filters {
        let filters = managers.iter().flat_map(|manager| &manager.http_filters);
        let same: Vec<_> = filters
            .filter(|filter| filter.name == own.name)
            .cloned()
            .collect();
        *own = picks.one(&same).clone();
    }
    let filter = &mut listener.filter_chains[0].filters[0];
    filter.config_type = Some(filter::ConfigType::TypedConfig(pack_any(mixed)));
    listener
}

/// A gateway whose resources are of several states.
fn mixed(states: &[Snapshot], picks: &mut Picks) -> Snapshot {
    let mut listeners: BTreeMap<&str, Vec<&Listener>> = BTreeMap::new();
    let mut clusters: BTreeMap<&str, Vec<&Cluster>> = BTreeMap::new();
    for state in states {
        for listener in &state.listeners {
            listeners.entry(&listener.name).or_default().push(listener);
        }
        for cluster in &state.clusters {
            clusters.entry(&cluster.name).or_default().push(cluster);
        }
    }
    let clusters = clusters.into_values().map(|versions| {
        let endpoints = picks.one(&versions).load_assignment.clone();
        Cluster {
            load_assignment: endpoints,
            ..(*picks.one(&versions)).clone()
        }
    });
    let clusters = clusters.collect();
    let listeners = listeners
        .into_values()
        .map(|versions| mixed_listener(&versions, picks));
    Snapshot {
        listeners: listeners.collect(),
        clusters,
        // They are of the fleet file alone, and no edit here is about them.
        secrets: states
            .iter()
            .flat_map(|state| state.secrets.clone())
            .collect(),
    }
}

/// The policies of a listener's plugins.
fn policies<P: serde::de::DeserializeOwned>(listener: &Listener) -> Vec<P> {
    let mut manager = manager(listener).unwrap();
    let wasm = manager.http_filters.iter_mut().filter_map(|filter| {
        let any = configuration(filter)?;
        Wasm::decode(any.value.as_slice())
            .ok()?
            .config?
            .configuration
    });
    wasm.filter_map(|any| {
        let json = StringValue::decode(any.value.as_slice()).unwrap();
        serde_json::from_str(&json.value).ok()
    })
    .collect()
}

/// A place that a request reaches, and that its definition does not let it reach.
fn leak(fleets: [&Fleet; 2], gateways: &BTreeMap<RegionName, Snapshot>) -> Option<String> {
    for (home, snapshot) in gateways {
        let public = snapshot
            .listeners
            .iter()
            .find(|listener| listener.name == "public")
            .unwrap();
        let policy: FilterPolicy = policies(public).remove(0);
        for (name, rule) in policy
            .zones
            .iter()
            .filter(|(_, rule)| rule.turn_away.is_none())
        {
            let id = rule.definition.as_str();
            // The fleet that the policy is of: it has a zone with this ID.
            let of = fleets.iter().find(|fleet| {
                fleet.zones.contains_key(name) && super::fleets::id(fleet, name.as_str()) == id
            });
            let fleet = of.expect("a policy of one of the fleets");
            let zone = &fleet.zones[name];
            if !zone.pinned {
                continue;
            }
            let envoy = |home, snapshot| Envoy {
                fleet,
                home,
                snapshot,
            };
            if let Some(leak) = envoy(home, snapshot).decided(name.as_str(), zone, id) {
                return Some(format!("at {home}: {leak}"));
            }
            for (peer, there) in gateways.iter().filter(|(peer, _)| *peer != home) {
                let sender = fleet.spiffe_id(home);
                if let Some(leak) = envoy(peer, there).sent(&sender, name.as_str(), zone, id) {
                    return Some(format!("from {home} at {peer}: {leak}"));
                }
            }
            for listener in snapshot
                .listeners
                .iter()
                .filter(|listener| listener.name.starts_with("egress/"))
            {
                let policy: EgressPolicy = policies(listener).remove(0);
                let tools = policy.pinned.get(id);
                if policy.unpinned.contains_key(id)
                    || tools.is_some_and(|tools| *tools != zone.content.fallback_tools)
                {
                    return Some(format!("{} takes {id} for another", listener.name));
                }
            }
        }
    }
    None
}

#[test]
fn no_mixture_of_before_and_after_leads_where_a_request_s_definition_does_not() {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let pinned = Cell::new(0);
    let run = runner.run(
        &(any_fleet(), any_fleet(), any::<u64>()),
        |(old, new, seed)| {
            let plan = Plan::default();
            let mut picks = Picks(seed);
            let both = History {
                current: Arc::new((&new).into()),
                earlier: vec![Arc::new((&old).into())],
            };
            let gateways = new.regions.keys().map(|home| {
                let states = [
                    translate(&old, &plan, home, None),
                    translate(&both, &plan, home, None),
                    translate(&new, &plan, home, None),
                ];
                assert_eq!(verify(&both, home, &states[1]), []);
                (home.clone(), mixed(&states, &mut picks))
            });
            let gateways: BTreeMap<RegionName, Snapshot> = gateways.collect();
            let has_pinned = |fleet: &Fleet| fleet.zones.values().any(|zone| zone.pinned);
            pinned.set(pinned.get() + u32::from(has_pinned(&old) && old.zones != new.zones));
            prop_assert_eq!(leak([&old, &new], &gateways), None);
            Ok(())
        },
    );
    run.unwrap();
    println!("{} of {CASES} edits of pinned zones", pinned.get());
    assert!(pinned.get() * 2 > CASES);
}
