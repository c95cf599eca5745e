//! Properties of every fleet, every gateway and every request.

use super::decisions::context;
use super::requests::{Request, requests};
use crate::answer::Answer;
use crate::classify::{classify, untrusted};
use crate::header_map::HeaderMap;
use crate::router::Admission;
use crate::router::Router;
use meridian_fixtures::any_fleet::{MODELS, fleets, keep_residency};
use meridian_fixtures::fleets::source;
use meridian_planner::plan::Plan;
use meridian_planner::plugins::filter_policy;
use meridian_planner::topology::Topology;
use meridian_policy::chain::Member;
use meridian_policy::country::Country;
use meridian_policy::filter_policy::{FilterPolicy, Lane};
use meridian_policy::fleet::{Fleet, Misdirected, Order, Zone, ZoneSourceKind};
use meridian_policy::{ModelName, RegionName, ZoneName};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// All combinations of zones, models and gateways of a fleet, with one of each that does not exist.
fn combinations(fleet: &Fleet) -> Vec<(ZoneName, ModelName, RegionName)> {
    let zones = fleet
        .zones
        .keys()
        .cloned()
        .chain(["nowhere".parse().unwrap()]);
    let regions: Vec<RegionName> = fleet
        .regions
        .keys()
        .cloned()
        .chain(["nowhere".parse().unwrap()])
        .collect();
    let mut all = Vec::new();
    for zone in zones {
        for region in &regions {
            for model in MODELS.into_iter().chain(["unheard-of"]) {
                all.push((zone.clone(), model.parse().unwrap(), region.clone()));
            }
        }
    }
    all
}

/// Whether requests of a zone must not pass through a gateway.
fn is_outside(zone: &Zone, home: &RegionName) -> bool {
    zone.pinned && !zone.regions.contains(home) && zone.misdirected != Misdirected::Forward
}

/// The own pools, the peers and the number of fallbacks of a chain.
fn parts(chain: &[Member]) -> (Vec<&RegionName>, Vec<&RegionName>, usize) {
    let mut parts = (Vec::new(), Vec::new(), 0);
    for member in chain {
        match member {
            Member::Pool(region) => parts.0.push(region),
            Member::Peer(region) => parts.1.push(region),
            Member::Fallback(_) => parts.2 += 1,
        }
    }
    parts
}

proptest! {
    #[test]
    fn a_chain_has_members_of_its_zone_only(fleet in fleets()) {
        let topology = Topology::from(&fleet);
        for (zone_name, model, home) in combinations(&fleet) {
            let chain = topology.chain(&zone_name, &model, &home);
            let Some(zone) = fleet.zones.get(&zone_name) else {
                prop_assert!(chain.is_empty());
                continue;
            };
            for member in chain {
                match member {
                    Member::Pool(region) | Member::Peer(region) => {
                        prop_assert!(zone.regions.contains(region), "{member:?} is not of {zone_name}");
                        prop_assert!(fleet.regions[region].pools.contains_key(&model));
                        prop_assert_eq!(matches!(member, Member::Pool(_)), *region == home);
                    }
                    Member::Fallback(fallback) => {
                        prop_assert!(zone.fallbacks.contains(fallback));
                        let jurisdiction = &fleet.fallbacks[fallback].jurisdiction;
                        let own = jurisdiction.iter().all(|name| *name == zone_name.as_str());
                        prop_assert!(!zone.pinned || own);
                    }
                }
            }
        }
    }

    #[test]
    fn the_order_of_a_chain(fleet in fleets()) {
        let topology = Topology::from(&fleet);
        for (zone_name, model, home) in combinations(&fleet) {
            let chain = topology.chain(&zone_name, &model, &home);
            let (Some(zone), Some(region)) = (fleet.zones.get(&zone_name), fleet.regions.get(&home)) else {
                continue;
            };
            if is_outside(zone, &home) || !fleet.models().contains(&model) {
                prop_assert!(chain.is_empty(), "{chain:?}");
                continue;
            }
            let members: BTreeSet<&Member> = chain.iter().collect();
            prop_assert_eq!(members.len(), chain.len(), "twice in a chain: {:?}", chain);
            let distance = |peer: &RegionName| region.nearest.iter().position(|other| other == peer);
            let place = |region: &RegionName| match &zone.order {
                Order::Priority(order) => order.iter().position(|other| other == region).unwrap_or(order.len()),
                Order::Nearest | Order::Weighted(_) => 0,
            };
            // A region that is not among the others is home.
            prop_assert!(chain.is_sorted_by_key(|member| match member {
                Member::Pool(region) | Member::Peer(region) => (0, place(region), distance(region)),
                Member::Fallback(_) => (1, 0, None),
            }), "{chain:?}");

            let (own, peers, fallbacks) = parts(chain);
            let has_it = zone.regions.iter().filter(|name| fleet.regions[*name].pools.contains_key(&model));
            let most = has_it.count().min(fleet.failover.regions);
            prop_assert_eq!(own.len() + peers.len(), most, "no region is left out");
            prop_assert_eq!(fallbacks, zone.fallbacks.len());
            let order: Vec<Member> = zone.fallbacks.iter().cloned().map(Member::Fallback).collect();
            prop_assert!(chain.ends_with(&order), "in the zone's own order");
        }
    }

    #[test]
    fn a_pinned_zone_has_no_chain_at_gateways_outside(fleet in fleets()) {
        let topology = Topology::from(&fleet);
        for (zone_name, model, home) in combinations(&fleet) {
            let Some(zone) = fleet.zones.get(&zone_name) else { continue };
            let outside = is_outside(zone, &home);
            if outside {
                prop_assert!(topology.chain(&zone_name, &model, &home).is_empty());
            }
            if fleet.regions.contains_key(&home) {
                let policy = filter_policy(&topology, &Plan::default(), &home, None);
                let rule = &policy.zones[&zone_name];
                prop_assert_eq!(rule.turn_away.is_some(), outside);
                prop_assert!(!outside || rule.models.is_empty());
                prop_assert_eq!(rule.pinned, zone.pinned);
            }
        }
    }

    #[test]
    fn a_policy_survives_its_json(fleet in fleets()) {
        for region in fleet.regions.keys() {
            let policy = filter_policy(&Topology::from(&fleet), &Plan::default(), region, None);
            let text = serde_json::to_string(&policy).unwrap();
            prop_assert_eq!(&serde_json::from_str::<FilterPolicy>(&text).unwrap(), &policy);

            let mut whole: Value = serde_json::from_str(&text).unwrap();
            let mut places = vec![String::new()];
            for index in 0..policy.sources.len() {
                places.extend([format!("/sources/{index}"), format!("/sources/{index}/trust")]);
            }
            places.extend(policy.zones.keys().map(|zone| format!("/zones/{zone}")));
            for place in places {
                whole.pointer_mut(&place).unwrap()["restriction"] = json!(true);
                let error = serde_json::from_value::<FilterPolicy>(whole.clone()).unwrap_err();
                prop_assert!(error.to_string().contains("unknown field `restriction`"), "{}: {}", place, error);
                whole.pointer_mut(&place).unwrap().as_object_mut().unwrap().remove("restriction");
            }
        }
    }

    #[test]
    fn every_request_gets_a_response_or_a_decision_with_a_route(fleet in fleets(), request in requests()) {
        for home in fleet.regions.keys() {
            let policy = filter_policy(&Topology::from(&fleet), &Plan::default(), home, None);
            let admitted = match Router::new(policy.clone()).admit(&request.head()) {
                Admission::Answer(answer) => {
                    is_well_formed(&answer)?;
                    continue;
                }
                Admission::ReadBody(admitted) => admitted,
            };
            match Router::new(policy.clone()).decide(&admitted, &request.body, &context()) {
                Err(answer) => is_well_formed(&answer)?,
                Ok(decision) => {
                    let zone = &decision.caller.zone;
                    let topology = Topology::from(&fleet);
                    let chain = topology.chain(zone, &decision.model, home);
                    let lane = match chain.first() {
                        Some(Member::Fallback(_)) => Lane::Fallback,
                        _ => Lane::Home,
                    };
                    prop_assert!(!chain.is_empty());
                    prop_assert_eq!(lane, decision.lane);
                    let classified = classify(&policy, request.source, &request.headers);
                    prop_assert_eq!(Some(&decision.caller), classified.as_ref());
                }
            }
        }
    }

    #[test]
    fn own_and_forged_headers_are_removed(fleet in fleets(), request in requests()) {
        for home in fleet.regions.keys() {
            let policy = filter_policy(&Topology::from(&fleet), &Plan::default(), home, None);
            let listed = untrusted(&policy.sources, request.source, &request.headers);
            for (name, _) in request.headers.iter() {
                let ours = name.to_lowercase().starts_with("x-meridian-");
                let forged = fleet.sources.iter().any(|source| {
                    let trusted = request.source.is_some_and(|ip| {
                        source.trust.cidr.iter().any(|network| network.contains(&ip.to_canonical()))
                    });
                    source.header == name.to_lowercase() && !trusted
                });
                prop_assert_eq!(listed.contains(&name), ours || forged, "{}", name);
            }
            // Removing these headers does not change the classification.
            let left: HeaderMap = request
                .headers
                .iter()
                .filter(|(name, _)| !listed.contains(name))
                .collect();
            prop_assert_eq!(
                classify(&policy, request.source, &left),
                classify(&policy, request.source, &request.headers)
            );
        }
    }

    #[test]
    fn a_pinned_caller_stays_in_its_zone(fleet in fleets(), request in requests(), at in 0..4usize) {
        let (fleet, request) = from_germany(fleet, request, at);
        let place = fleet.sources.iter().position(|source| source.header == EDGE_COUNTRY).unwrap();
        for home in fleet.regions.keys() {
            let policy = filter_policy(&Topology::from(&fleet), &Plan::default(), home, None);
            let caller = classify(&policy, request.source, &request.headers).unwrap();
            let by = fleet.sources.iter().position(|source| source.header == caller.by).unwrap();
            if caller.zone.as_str() != "eea" {
                prop_assert!(fleet.zones[&caller.zone].pinned && by < place, "{caller:?}");
                continue;
            }
            let Admission::ReadBody(admitted) = Router::new(policy.clone()).admit(&request.head()) else { continue };
            let Ok(decision) = Router::new(policy.clone()).decide(&admitted, &request.body, &context()) else { continue };
            prop_assert_eq!(decision.caller.zone.as_str(), "eea");
            prop_assert_eq!(&decision.route_headers()[0].1, "eea");
            let topology = Topology::from(&fleet);
            for member in topology.chain(&decision.caller.zone, &decision.model, home) {
                match member {
                    Member::Pool(region) | Member::Peer(region) => {
                        prop_assert!(fleet.zones["eea"].regions.contains(region));
                    }
                    Member::Fallback(name) => {
                        prop_assert!(fleet.fallbacks[name].jurisdiction.contains("eea"));
                    }
                }
            }
        }
    }

    #[test]
    fn a_redirect_keeps_the_path_and_leads_into_the_zone(fleet in fleets(), request in requests()) {
        for (home, region) in &fleet.regions {
            let policy = filter_policy(&Topology::from(&fleet), &Plan::default(), home, None);
            let Admission::Answer(answer) = Router::new(policy.clone()).admit(&request.head()) else { continue };
            let Some((_, location)) = answer.headers.iter().find(|(name, _)| *name == "location") else { continue };
            let zone = &fleet.zones[&classify(&policy, request.source, &request.headers).unwrap().zone];
            let right = region.nearest.iter().filter(|other| zone.regions.contains(*other));
            let url = right.filter_map(|other| fleet.regions[other].public.url.as_ref()).next().unwrap();
            prop_assert_eq!(location, &format!("{url}{}", request.path));
        }
    }
}

/// The header with the country of [`from_germany`]'s callers.
const EDGE_COUNTRY: &str = "cdn-country";

/// A fleet with Germany in a pinned zone `eea`, and a request from there. The fleet has a trusted source of the country at any
/// position. The request may have any other headers.
fn from_germany(mut fleet: Fleet, mut request: Request, at: usize) -> (Fleet, Request) {
    let germany = Country::parse("DE").unwrap();
    for zone in fleet.zones.values_mut() {
        zone.countries.remove(&germany);
    }
    let eea = fleet.zones.get_mut("eea").unwrap();
    eea.pinned = true;
    eea.countries.insert(germany);
    keep_residency(&mut fleet);
    let country = source(
        EDGE_COUNTRY,
        ZoneSourceKind::Country,
        &["192.0.2.7/32", "10.0.0.0/8"],
    );
    fleet.sources.insert(at.min(fleet.sources.len()), country);
    let mut headers: Vec<(&str, &str)> = request.headers.iter().collect();
    headers.insert(at.min(headers.len()), (EDGE_COUNTRY, "DE"));
    request.headers = headers.into_iter().collect();
    request.source = Some([10, 1, 2, 3].into());
    (fleet, request)
}

fn is_well_formed(answer: &Answer) -> Result<(), TestCaseError> {
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let decision = answer
        .headers
        .iter()
        .find(|(name, _)| *name == "x-meridian-decision");
    let (_, decision) = decision.unwrap();
    prop_assert!(
        decision.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{decision:?}"
    );
    match answer.status {
        200 => prop_assert!(decision.starts_with("answered=models zone=")),
        307 | 400 | 403 | 404 | 405 | 415 | 421 => {
            prop_assert!(decision.starts_with("refused="));
            let message = body["error"]["message"].as_str().unwrap();
            prop_assert!(!message.is_empty());
        }
        other => prop_assert!(false, "status {other}"),
    }
    Ok(())
}
