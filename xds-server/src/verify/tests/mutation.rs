//! Random edits of good snapshots: every leak that the simulation finds, the verifier must find.

use super::edit::*;
use super::fleets::{self, EXAMPLE, TWO_PINNED, fleet};
use super::simulation;
use crate::discovery::{join, moving, split};
use crate::history::History;
use crate::name::ROUTER;
use crate::snapshot::{Parts, Snapshot};
use crate::translate::{Translator, translate};
use crate::verify::{Skeleton, moved, verify};
use crate::wire::file;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::rbac::v3::principal::{Authenticated, Identifier};
use envoy_types::pb::envoy::config::rbac::v3::{Permission, Principal, permission};
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterSpecifier, RequestMirrorPolicy,
};
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{Route, WeightedCluster};
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, Secret,
    SubjectAltNameMatcher, UpstreamTlsContext, secret,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use meridian_planner::plan::Plan;
use meridian_policy::country::Country;
use meridian_policy::filter_policy::{Lane, Lease, ModelRule};
use meridian_policy::fleet::Pool;
use meridian_policy::{Fleet, RegionName, ZoneName, headers};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::Cell;

const CASES: u32 = 2000;

/// One edit: its kind, and three numbers that choose place and value.
type Edit = (u8, [usize; 3]);

/// The number of kinds of edits.
const KINDS: u8 = 27;

#[test]
fn whatever_leaks_is_found() {
    let fleets = [fleet(EXAMPLE), fleet(TWO_PINNED)];
    let good: Vec<(&Fleet, &RegionName, Snapshot)> = fleets
        .iter()
        .flat_map(|fleet| {
            fleet
                .regions
                .keys()
                .map(move |home| (fleet, home, translate(fleet, &Plan::default(), home, None)))
        })
        .collect();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let edits = prop::collection::vec((0..KINDS, any::<[usize; 3]>()), 1..=3);
    let leaking = Cell::new(0);
    let run = runner.run(&(any::<prop::sample::Index>(), edits), |(which, edits)| {
        let (fleet, home, good) = which.get(&good);
        let mut snapshot = good.clone();
        for edit in edits {
            apply(fleet, &mut snapshot, edit);
        }
        let leaks = verify(*fleet, home, &snapshot);
        if let Some(leak) = simulation::leak(fleet, home, &snapshot) {
            leaking.set(leaking.get() + 1);
            prop_assert!(!leaks.is_empty(), "at {}: {}", home, leak);
        }
        Ok(())
    });
    run.unwrap();
    let leaking = leaking.get();
    println!("{leaking} of {CASES} leak");
    assert!(leaking * 10 > CASES * 3, "only {leaking} of {CASES} leak");
}

/// The same for what a plan moves: it is all that is verified when a plan follows another one.
#[test]
fn whatever_leaks_by_a_plan_is_found() {
    let fleets = [fleet(EXAMPLE), fleet(TWO_PINNED)];
    let histories: Vec<(&Fleet, History)> =
        fleets.iter().map(|fleet| (fleet, fleet.into())).collect();
    let lease = Lease {
        given: 0,
        runs_ms: 1,
    };
    let plan = Plan::default();
    let mut good = Vec::new();
    for (fleet, history) in &histories {
        let translator = Translator::new(history, &plan);
        for home in fleet.regions.keys() {
            let parts = split(translator.skeleton(home, lease));
            assert_eq!(verify(history, home, &join(&parts).unwrap()), []);
            let skeleton = Skeleton::of(&parts);
            let planned = translate(history, &plan, home, Some(lease));
            let moving = moving(translator.moving(home, lease).unwrap());
            assert_eq!(moved(history, home, &skeleton, &moving), [], "{home}");
            good.push((*fleet, history, home, parts, skeleton, planned));
        }
    }
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let edits = prop::collection::vec((0..KINDS, any::<[usize; 3]>()), 1..=3);
    let leaking = Cell::new(0);
    let run = runner.run(&(any::<prop::sample::Index>(), edits), |(which, edits)| {
        let (fleet, history, home, parts, skeleton, planned) = which.get(&good);
        let mut edited = planned.clone();
        for edit in edits {
            apply(fleet, &mut edited, edit);
        }
        let edited = split(edited);
        let parts_moved = Parts {
            routes: named(&edited.routes, |routes| routes.name == "public"),
            extensions: named(&edited.extensions, |filter| filter.name == ROUTER),
            endpoints: edited.endpoints.clone(),
            ..Parts::default()
        };
        let mut whole = parts.clone();
        replace(&mut whole.routes, &parts_moved.routes, |routes| {
            &routes.name
        });
        replace(&mut whole.extensions, &parts_moved.extensions, |filter| {
            &filter.name
        });
        replace(&mut whole.endpoints, &parts_moved.endpoints, |endpoints| {
            &endpoints.cluster_name
        });
        let Ok(joined) = join(&whole) else {
            return Ok(());
        };
        if let Some(leak) = simulation::leak(fleet, home, &joined) {
            leaking.set(leaking.get() + 1);
            let found = moved(history, home, skeleton, &parts_moved);
            prop_assert!(!found.is_empty(), "at {}: {}", home, leak);
        }
        Ok(())
    });
    run.unwrap();
    let leaking = leaking.get();
    println!("{leaking} of {CASES} leak");
    assert!(leaking * 20 > CASES, "only {leaking} of {CASES} leak");
}

fn named<P: Clone>(parts: &[P], is_it: impl Fn(&P) -> bool) -> Vec<P> {
    parts.iter().filter(|part| is_it(part)).cloned().collect()
}

/// Puts parts in the place of those of the same names.
fn replace<P: Clone>(parts: &mut [P], by: &[P], name: impl Fn(&P) -> &String) {
    for part in parts {
        if let Some(by) = by.iter().find(|by| name(by) == name(part)) {
            *part = by.clone();
        }
    }
}

fn pick<T>(list: &[T], number: usize) -> &T {
    &list[number % list.len()]
}

fn clusters(snapshot: &Snapshot) -> Vec<String> {
    let clusters = snapshot.clusters.iter();
    clusters.map(|cluster| cluster.name.clone()).collect()
}

/// Every address of the fleet, and an unknown one.
fn addresses(fleet: &Fleet) -> Vec<(String, u32)> {
    let mut addresses = vec![("203.0.113.9".to_owned(), 443)];
    for region in fleet.regions.values() {
        addresses.push((region.gateway.address.clone(), region.gateway.port.into()));
        for pool in region.pools.values() {
            match pool {
                Pool::Endpoints(endpoints) => {
                    addresses.extend(
                        endpoints
                            .iter()
                            .map(|e| (e.ip().to_string(), e.port().into())),
                    );
                }
                Pool::Dns { host, port } => addresses.push((host.clone(), (*port).into())),
            }
        }
    }
    for fallback in fleet.fallbacks.values() {
        addresses.push((
            fallback.endpoint.host.clone(),
            fallback.endpoint.port.into(),
        ));
    }
    addresses
}

fn some_members(snapshot: &mut Snapshot, number: usize, edit: impl FnOnce(&mut Vec<String>)) {
    let mut aggregates: Vec<_> = snapshot
        .clusters
        .iter_mut()
        .filter(|c| is_aggregate(c))
        .collect();
    if aggregates.is_empty() {
        return;
    }
    let index = number % aggregates.len();
    members(aggregates[index], edit);
}

fn some_listener(snapshot: &mut Snapshot, number: usize) -> &mut Listener {
    // The public listener has most of the routes.
    let count = snapshot.listeners.len();
    let index = if number.is_multiple_of(2) {
        0
    } else {
        number / 2 % count
    };
    &mut snapshot.listeners[index]
}

fn some_route(
    snapshot: &mut Snapshot,
    [listener, route, _]: [usize; 3],
    edit: impl FnOnce(&mut Route),
) {
    route_list(some_listener(snapshot, listener), |routes| {
        if !routes.is_empty() {
            let index = route % routes.len();
            edit(&mut routes[index]);
        }
    });
}

fn sans(
    common: &mut Option<CommonTlsContext>,
    edit: impl FnOnce(&mut CertificateValidationContext),
) {
    match &mut common.as_mut().unwrap().validation_context_type {
        Some(ValidationContextType::ValidationContext(validation)) => edit(validation),
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            edit(combined.default_validation_context.as_mut().unwrap());
        }
        _ => {}
    }
}

fn apply(fleet: &Fleet, snapshot: &mut Snapshot, (kind, numbers): Edit) {
    let [a, b, c] = numbers;
    let names = clusters(snapshot);
    let cluster_name = pick(&names, c).clone();
    let zones: Vec<&ZoneName> = fleet.zones.keys().collect();
    let zone = (*pick(&zones, c)).clone();
    let definition = fleets::id(fleet, zone.as_str());
    let regions: Vec<&RegionName> = fleet.regions.keys().collect();
    let region: &RegionName = regions[c % regions.len()];
    let id = exactly(&fleet.spiffe_id(region));
    match kind {
        0 => some_members(snapshot, a, |members| {
            let index = b % (members.len() + 1);
            members.insert(index, cluster_name);
        }),
        1 => some_members(snapshot, a, |members| {
            if !members.is_empty() {
                let index = b % members.len();
                members[index] = cluster_name;
            }
        }),
        2 => some_members(snapshot, a, |members| {
            members.pop();
        }),
        3 => {
            let count = snapshot.clusters.len();
            let (host, port) = pick(&addresses(fleet), c).clone();
            if let Some(endpoint) = endpoints(&mut snapshot.clusters[a % count]).next() {
                endpoint.address = Some(address(&host, port));
            }
        }
        4 => {
            let count = snapshot.clusters.len();
            let (host, port) = pick(&addresses(fleet), c).clone();
            let cluster = &mut snapshot.clusters[a % count];
            if !is_aggregate(cluster) {
                cluster.load_assignment = Some(assignment(&host, port));
            }
        }
        5 => some_route(snapshot, numbers, |route| {
            let headers = &mut route.r#match.as_mut().unwrap().headers;
            headers.truncate(c % (headers.len() + 1));
        }),
        6 => some_route(snapshot, numbers, |route| {
            let headers = &mut route.r#match.as_mut().unwrap().headers;
            if !headers.is_empty() {
                let index = c % headers.len();
                headers.remove(index);
            }
        }),
        7 => some_route(snapshot, numbers, |route| {
            let headers = &mut route.r#match.as_mut().unwrap().headers;
            if let Some(matcher) = headers.first_mut() {
                matcher.invert_match = true;
            }
        }),
        8 => some_route(snapshot, numbers, |route| {
            let headers = &mut route.r#match.as_mut().unwrap().headers;
            if let Some(matcher) = headers.first_mut() {
                *matcher = header_is(headers::DEFINITION, &definition);
            }
        }),
        9 | 10 => some_route(snapshot, numbers, |route| {
            action(route).cluster_specifier = Some(ClusterSpecifier::Cluster(cluster_name));
        }),
        11 => some_route(snapshot, numbers, |route| {
            let Some(ClusterSpecifier::Cluster(old)) = action(route).cluster_specifier.clone()
            else {
                return;
            };
            let share = |name: String| ClusterWeight {
                name,
                ..Default::default()
            };
            action(route).cluster_specifier =
                Some(ClusterSpecifier::WeightedClusters(WeightedCluster {
                    clusters: vec![share(old), share(cluster_name)],
                    ..Default::default()
                }));
        }),
        12 => some_route(snapshot, numbers, |route| {
            action(route)
                .request_mirror_policies
                .push(RequestMirrorPolicy {
                    cluster: cluster_name,
                    ..Default::default()
                });
        }),
        13 | 14 => route_list(some_listener(snapshot, a), |routes| {
            if routes.is_empty() {
                return;
            }
            let mut twin = pick(routes, b).clone();
            if let Some(matcher) = twin.r#match.as_mut().unwrap().headers.first_mut() {
                *matcher = header_is(headers::DEFINITION, &definition);
            }
            routes.insert(b / 7 % routes.len(), twin);
        }),
        15 => rbac_of(snapshot, b, |rbac| {
            for policy in rbac
                .rules
                .iter_mut()
                .flat_map(|rules| rules.policies.values_mut())
            {
                policy.permissions.push(Permission {
                    rule: Some(permission::Rule::Header(header_is(
                        headers::DEFINITION,
                        &definition,
                    ))),
                });
            }
        }),
        16 => rbac_of(snapshot, b, |rbac| {
            for policy in rbac
                .rules
                .iter_mut()
                .flat_map(|rules| rules.policies.values_mut())
            {
                let who = Authenticated {
                    principal_name: (a % 4 != 0).then(|| id.clone()),
                };
                policy.principals.push(Principal {
                    identifier: Some(Identifier::Authenticated(who)),
                });
            }
        }),
        17 => rbac_of(snapshot, b, |rbac| match a % 3 {
            0 => rbac.rules = None,
            1 => rbac.rules.iter_mut().for_each(|rules| rules.action = 1),
            _ => rbac
                .rules
                .iter_mut()
                .for_each(|rules| rules.policies.clear()),
        }),
        18 => {
            let mut clusters: Vec<_> = snapshot
                .clusters
                .iter_mut()
                .filter(|cluster| cluster.transport_socket.is_some())
                .collect();
            if clusters.is_empty() {
                return;
            }
            let index = a % clusters.len();
            tls(
                clusters[index].transport_socket.as_mut(),
                |tls: &mut UpstreamTlsContext| {
                    sans(&mut tls.common_tls_context, |validation| {
                        if b % 2 == 0 {
                            validation.match_typed_subject_alt_names.clear();
                        } else {
                            validation.match_typed_subject_alt_names[..]
                                .iter_mut()
                                .for_each(|san| {
                                    san.matcher = Some(id.clone());
                                });
                        }
                    });
                },
            );
        }
        19 => {
            let count = snapshot.clusters.len();
            let other = snapshot.clusters[b % count].name.clone();
            let own = std::mem::replace(&mut snapshot.clusters[a % count].name, other);
            snapshot.clusters[b % count].name = own;
        }
        20 => policy(&mut snapshot.listeners[0], |policy| {
            let countries: Vec<Country> = policy.countries.keys().copied().collect();
            if a % 2 == 0 {
                policy.countries.insert(*pick(&countries, b), zone);
            } else {
                policy.countries.remove(pick(&countries, b));
            }
        }),
        21 => policy(&mut snapshot.listeners[0], |policy| {
            let rule = policy.zones.get_mut(&zone).unwrap();
            rule.turn_away = None;
            rule.models.extend(fleet.models().into_iter().map(|model| {
                (
                    model.clone(),
                    ModelRule {
                        lane: Lane::Home,
                        depth: None,
                        regions: Vec::new(),
                        down: Default::default(),
                        has_fallback: false,
                        split: None,
                        fresh: None,
                        fresh_unknown: false,
                        batch: Default::default(),
                        per_try_timeout: None,
                    },
                )
            }));
        }),
        22 => manager(&mut snapshot.listeners[0], |manager| {
            http_filter(manager, |wasm: &mut Wasm| {
                wasm.config.as_mut().unwrap().failure_policy = 3;
            });
        }),
        26 => of_certificates(&mut snapshot.secrets, a, b, &id),
        25 => policy(&mut snapshot.listeners[0], |policy| {
            let mut rules = policy.zones.values_mut();
            let count = rules.len();
            let rule = rules.nth(a % count).unwrap();
            rule.definition = definition.parse().unwrap();
        }),
        23 => route_list(&mut snapshot.listeners[1], |routes| {
            if routes.is_empty() {
                return;
            }
            let index = a % routes.len();
            let regex = |regex: &str| {
                PathSpecifier::SafeRegex(RegexMatcher {
                    regex: regex.into(),
                    ..Default::default()
                })
            };
            let path = match b % 5 {
                0 => PathSpecifier::Prefix("/".into()),
                1 => PathSpecifier::Prefix("/v1/".into()),
                2 => PathSpecifier::Path("/metrics".into()),
                3 => regex("/v1/chat/completions|.*"),
                _ => regex("/v1/chat/completions|/v1/load_lora_adapter"),
            };
            routes[index].r#match.as_mut().unwrap().path_specifier = Some(path);
        }),
        _ => tls(
            snapshot.listeners[1].filter_chains[0]
                .transport_socket
                .as_mut(),
            |tls: &mut DownstreamTlsContext| match a % 3 {
                0 => tls.require_client_certificate = None,
                1 => sans(&mut tls.common_tls_context, |validation| {
                    validation.match_typed_subject_alt_names.clear();
                }),
                _ => sans(&mut tls.common_tls_context, |validation| {
                    for san in validation.match_typed_subject_alt_names.iter_mut().take(1) {
                        san.matcher = Some(id.clone());
                    }
                }),
            },
        ),
    }
}

/// Another authority, another file, a name or a laxer check in a secret, or a secret under another's name.
fn of_certificates(secrets: &mut [Secret], a: usize, b: usize, id: &StringMatcher) {
    let count = secrets.len();
    for secret in secrets.iter_mut() {
        let Some(secret::Type::ValidationContext(validation)) = &mut secret.r#type else {
            continue;
        };
        match a % 5 {
            0 => validation.trusted_ca = file("/etc/ssl/certs/ca-certificates.crt"),
            1 => validation.trusted_ca = None,
            2 => validation.trust_chain_verification = 1,
            3 => validation
                .match_typed_subject_alt_names
                .push(SubjectAltNameMatcher {
                    san_type: 3,
                    matcher: Some(id.clone()),
                    ..Default::default()
                }),
            _ => {
                let name = secrets[b % count].name.clone();
                let own = std::mem::replace(&mut secrets[count - 1].name, name);
                secrets[b % count].name = own;
                return;
            }
        }
    }
}

/// A route of the peer listener, which is the second one.
fn rbac_of(snapshot: &mut Snapshot, number: usize, edit: impl FnOnce(&mut Rbac)) {
    let action = i32::from(number.is_multiple_of(2));
    manager(&mut snapshot.listeners[1], |manager| {
        rbac(manager, action, edit);
    });
}
