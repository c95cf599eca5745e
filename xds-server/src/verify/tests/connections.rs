//! Random edits of retrieval: every crossing of a border that a simple imitation of Envoy finds, the verifier must
//! find. The imitation connects as every admitted region, follows the connection to every address, and compares with
//! the fleet. It shares no code with the verifier.

use super::edit::{address, endpoints, exactly, is_aggregate, listener, members, repack, tls};
use super::fleets::{RETRIEVAL, fleet};
use crate::snapshot::Snapshot;
use crate::translate::translate;
use crate::verify::verify;
use envoy_types::pb::envoy::config::core::v3::EnvoyInternalAddress;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::envoy_internal_address::AddressNameSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::rbac::v3::principal::{Authenticated, Identifier};
use envoy_types::pb::envoy::config::rbac::v3::{Policy, Principal};
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext,
};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::google::protobuf::Any;
use meridian_planner::plan::Plan;
use meridian_policy::{Fleet, RegionName};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::{Message, Name};
use std::cell::Cell;

const CASES: u32 = 2000;
const KINDS: u8 = 9;

#[test]
fn whatever_crosses_a_border_is_found() {
    let fleet = fleet(RETRIEVAL);
    let good: Vec<(&RegionName, Snapshot)> = fleet
        .regions
        .iter()
        .filter(|(_, region)| region.vector_db.is_some())
        .map(|(home, _)| (home, translate(&fleet, &Plan::default(), home, None)))
        .collect();
    for (home, snapshot) in &good {
        assert_eq!(crosses(&fleet, home, snapshot), None, "{home}");
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
        let (home, good) = which.get(&good);
        let mut snapshot = good.clone();
        for edit in edits {
            apply(&fleet, &mut snapshot, edit);
        }
        if let Some(leak) = crosses(&fleet, home, &snapshot) {
            leaking.set(leaking.get() + 1);
            let leaks = verify(&fleet, home, &snapshot);
            prop_assert!(!leaks.is_empty(), "at {}: {}", home, leak);
        }
        Ok(())
    });
    run.unwrap();
    let leaking = leaking.get();
    println!("{leaking} of {CASES} leak");
    assert!(leaking * 10 > CASES, "only {leaking} of {CASES} leak");
}

/// Every address of the fleet, with the region whose database is there; `None` for other targets.
fn places(fleet: &Fleet) -> Vec<(String, u32, Option<&RegionName>)> {
    let mut places = vec![("203.0.113.9".to_owned(), 443, None)];
    for (name, region) in &fleet.regions {
        let gateway = &region.gateway.address;
        places.push((gateway.clone(), region.gateway.port.into(), None));
        if let Some(database) = &region.vector_db {
            places.push((database.host.clone(), database.port.into(), Some(name)));
            places.push((gateway.clone(), database.gateway_port.into(), Some(name)));
        }
    }
    places
}

fn retrieving(snapshot: &Snapshot) -> Vec<String> {
    let listeners = snapshot.listeners.iter();
    let retrieving = listeners.filter(|each| proxied(&each.filter_chains[0]).is_some());
    retrieving.map(|each| each.name.clone()).collect()
}

fn filter_of<M: Message + Name + Default>(listener: &mut Listener, edit: impl FnOnce(&mut M)) {
    let mut filters = listener.filter_chains[0].filters.iter_mut();
    let any = filters.find_map(|each| match &mut each.config_type {
        Some(filter::ConfigType::TypedConfig(any)) if any.type_url == M::type_url() => Some(any),
        _ => None,
    });
    if let Some(any) = any {
        repack(any, edit);
    }
}

fn apply(fleet: &Fleet, snapshot: &mut Snapshot, (kind, [a, b, c]): (u8, [usize; 3])) {
    let regions: Vec<&RegionName> = fleet.regions.keys().collect();
    let id = exactly(&fleet.spiffe_id(regions[c % regions.len()]));
    let names = retrieving(snapshot);
    let some = names[a % names.len()].clone();
    let clusters: Vec<String> = snapshot
        .clusters
        .iter()
        .map(|each| each.name.clone())
        .collect();
    let databases: Vec<usize> = (0..clusters.len())
        .filter(|index| {
            clusters[*index].contains("database/") || clusters[*index].contains("vector_db/")
        })
        .collect();
    let database = databases[a % databases.len()];
    let readers = snapshot
        .listeners
        .iter()
        .any(|each| each.name == "milvus-peer");
    match kind {
        0 | 1 => {
            let places = places(fleet);
            let (host, port, _) = &places[c % places.len()];
            for endpoint in endpoints(&mut snapshot.clusters[database]) {
                endpoint.address = Some(address(host, *port));
            }
        }
        2 => filter_of(listener(snapshot, &some), |proxy: &mut TcpProxy| {
            let to = clusters[c % clusters.len()].clone();
            proxy.cluster_specifier = Some(ClusterSpecifier::Cluster(to));
        }),
        3 => {
            let chains = snapshot.clusters.iter_mut();
            let mut chains: Vec<_> = chains.filter(|each| is_aggregate(each)).collect();
            let index = a % chains.len();
            members(chains[index], |members| {
                members.push(clusters[c % clusters.len()].clone());
            });
        }
        4 => {
            let to = names[c % names.len()].clone();
            let internal = EnvoyInternalAddress {
                address_name_specifier: Some(AddressNameSpecifier::ServerListenerName(to)),
                ..Default::default()
            };
            for endpoint in endpoints(&mut snapshot.clusters[database]) {
                let address = endpoint.address.as_mut().unwrap();
                address.address = Some(AddressKind::EnvoyInternalAddress(internal.clone()));
            }
        }
        5 if readers => filter_of(listener(snapshot, "milvus-peer"), |rbac: &mut Rbac| {
            let rules = rbac.rules.as_mut().unwrap();
            let who = match b % 3 {
                0 => Identifier::Any(true),
                _ => Identifier::Authenticated(Authenticated {
                    principal_name: Some(id),
                }),
            };
            for policy in rules.policies.values_mut() {
                policy.principals.push(Principal {
                    identifier: Some(who.clone()),
                });
            }
            rules.action = i32::from(b % 7 == 0);
        }),
        6 if readers => {
            let socket = listener(snapshot, "milvus-peer").filter_chains[0]
                .transport_socket
                .as_mut();
            tls(socket, |tls: &mut DownstreamTlsContext| {
                let common = tls.common_tls_context.as_mut().unwrap();
                let validation = held_to(common);
                match b % 3 {
                    0 => validation.match_typed_subject_alt_names.clear(),
                    1 => tls.require_client_certificate = None,
                    _ => {
                        let sans = &mut validation.match_typed_subject_alt_names;
                        if let Some(mut another) = sans.first().cloned() {
                            another.matcher = Some(id);
                            sans.push(another);
                        }
                    }
                }
            });
        }
        7 if readers && b % 4 == 0 => {
            let chain = &mut listener(snapshot, "milvus-peer").filter_chains[0];
            if chain.filters.len() > 1 {
                chain.filters.remove(0);
            }
        }
        8 => as_of(fleet, snapshot, regions[c % regions.len()]),
        _ => {}
    }
}

/// A cluster to another region's database that is correct except for its target.
fn as_of(fleet: &Fleet, snapshot: &mut Snapshot, region: &RegionName) {
    let to = &fleet.regions[region];
    let mut clusters = snapshot.clusters.iter_mut();
    let Some(cluster) =
        clusters.find(|each| each.name.starts_with("database/") && each.transport_socket.is_some())
    else {
        return;
    };
    let port = to
        .vector_db
        .as_ref()
        .map_or(1, |database| database.gateway_port);
    for endpoint in endpoints(cluster) {
        endpoint.address = Some(address(&to.gateway.address, port.into()));
    }
    tls(
        cluster.transport_socket.as_mut(),
        |tls: &mut UpstreamTlsContext| {
            tls.sni.clear();
            let common = tls.common_tls_context.as_mut().unwrap();
            let validation = held_to(common);
            validation.match_typed_subject_alt_names[0].matcher =
                Some(exactly(&fleet.spiffe_id(region)));
        },
    );
}

/// The names that the other end is held to.
fn held_to(common: &mut CommonTlsContext) -> &mut CertificateValidationContext {
    let Some(ValidationContextType::CombinedValidationContext(combined)) =
        &mut common.validation_context_type
    else {
        panic!("no validation")
    };
    combined.default_validation_context.as_mut().unwrap()
}

fn open<M: Message + Name + Default>(any: &Any) -> Option<M> {
    (any.type_url == M::type_url()).then(|| M::decode(any.value.as_slice()).unwrap())
}

fn filters<M: Message + Name + Default>(chain: &FilterChain) -> Option<M> {
    chain
        .filters
        .iter()
        .find_map(|each| match &each.config_type {
            Some(filter::ConfigType::TypedConfig(any)) => open(any),
            _ => None,
        })
}

/// The cluster that a filter chain proxies to.
fn proxied(chain: &FilterChain) -> Option<String> {
    match filters::<TcpProxy>(chain)?.cluster_specifier {
        Some(ClusterSpecifier::Cluster(cluster)) => Some(cluster),
        _ => None,
    }
}

/// A connection that reaches a target that it must not.
fn crosses(fleet: &Fleet, home: &RegionName, snapshot: &Snapshot) -> Option<String> {
    let sockets = snapshot
        .listeners
        .iter()
        .filter(|each| each.address.is_some());
    for each in sockets {
        let chain = &each.filter_chains[0];
        let Some(cluster) = proxied(chain) else {
            continue;
        };
        for region in entering(fleet, home, chain) {
            if let Some(leak) = follow(fleet, region, snapshot, &cluster, 0) {
                return Some(format!("{}: {leak}", each.name));
            }
        }
    }
    None
}

/// The regions that can connect: by certificate, or any.
fn entering<'f>(
    fleet: &'f Fleet,
    home: &'f RegionName,
    chain: &FilterChain,
) -> Vec<&'f RegionName> {
    let tls: Option<DownstreamTlsContext> = chain.transport_socket.as_ref().and_then(|socket| {
        let Some(transport_socket::ConfigType::TypedConfig(any)) = &socket.config_type else {
            panic!("no configuration")
        };
        open(any)
    });
    let Some(tls) = tls else {
        return vec![home];
    };
    let rbac: Option<Rbac> = filters(chain);
    let proves = tls
        .require_client_certificate
        .is_some_and(|proves| proves.value);
    let sans: Vec<String> = match tls.common_tls_context.unwrap().validation_context_type {
        Some(ValidationContextType::CombinedValidationContext(combined)) => combined
            .default_validation_context
            .iter()
            .flat_map(|names| &names.match_typed_subject_alt_names)
            .filter_map(|san| match san.matcher.as_ref()?.match_pattern.as_ref()? {
                MatchPattern::Exact(text) => Some(text.clone()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let mut regions: Vec<&RegionName> = fleet.regions.keys().collect();
    regions.retain(|region| {
        let id = fleet.spiffe_id(region);
        let by_tls = !proves || sans.is_empty() || sans.contains(&id);
        let by_rbac = rbac
            .as_ref()
            .and_then(|rbac| rbac.rules.as_ref())
            .is_none_or(|rules| {
                let named = rules.policies.values().any(|policy| names(policy, &id));
                named == (rules.action == 0)
            });
        by_tls && by_rbac && *region != home
    });
    regions
}

fn names(policy: &Policy, id: &str) -> bool {
    policy.principals.iter().any(|who| match &who.identifier {
        Some(Identifier::Any(any)) => *any,
        Some(Identifier::Authenticated(who)) => who
            .principal_name
            .as_ref()
            .is_none_or(|name| *name == exactly(id)),
        _ => false,
    })
}

fn follow(
    fleet: &Fleet,
    from: &RegionName,
    snapshot: &Snapshot,
    cluster: &str,
    depth: usize,
) -> Option<String> {
    let mut found = snapshot
        .clusters
        .iter()
        .find(|each| each.name == cluster)?
        .clone();
    if depth > 6 {
        return None;
    }
    if is_aggregate(&found) {
        let mut all = Vec::new();
        members(&mut found, |members| all.clone_from(members));
        return all
            .iter()
            .find_map(|member| follow(fleet, from, snapshot, member, depth + 1));
    }
    let kinds: Vec<AddressKind> = endpoints(&mut found)
        .filter_map(|endpoint| endpoint.address.clone()?.address)
        .collect();
    kinds.into_iter().find_map(|kind| match kind {
        AddressKind::EnvoyInternalAddress(internal) => {
            let Some(AddressNameSpecifier::ServerListenerName(name)) =
                internal.address_name_specifier
            else {
                return None;
            };
            let to = snapshot.listeners.iter().find(|each| each.name == name)?;
            let cluster = proxied(&to.filter_chains[0])?;
            follow(fleet, from, snapshot, &cluster, depth + 1)
        }
        AddressKind::SocketAddress(socket) => {
            let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else {
                return None;
            };
            let places = places(fleet);
            let place = places
                .iter()
                .find(|(host, at, _)| *host == socket.address && *at == port);
            let Some((_, _, Some(region))) = place else {
                return Some(format!(
                    "{from} to {}:{port}, which is no database",
                    socket.address
                ));
            };
            let mut pinned = fleet.zones.values().filter(|zone| zone.pinned);
            let border =
                pinned.any(|zone| zone.regions.contains(from) != zone.regions.contains(*region));
            border.then(|| format!("{from} reads the database of {region}"))
        }
        _ => None,
    })
}
