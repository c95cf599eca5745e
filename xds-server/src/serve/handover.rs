//! From one fleet to the next: make before break.
//!
//! The policy names a caller's zone and the routes match on it, and they change one after the other, at every gateway and
//! between gateways. So that no state on the way lacks a route, or has one that neither fleet allows, an edit of zones
//! is published in steps, each when the connected gateways have accepted the one before or have had their time:
//!
//! | step | policy | everything else |
//! | --- | --- | --- |
//! | 1 | before | zones of both fleets |
//! | 2 | next | zones of both fleets |
//! | 3 | next | next |

use super::publication::{Publication, Unpublishable, publication};
use crate::name::ROUTER;
use crate::xds::ResourceType;
use meridian_planner::plan::{Plan, carried_over};
use meridian_planner::retrieval::{databases, may_read};
use meridian_policy::filter_policy::Lease;
use meridian_policy::fleet::{Misdirected, Zone};
use meridian_policy::{Fleet, RegionName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is to be published for the gateways to come from one fleet and plan to the next, step by step; the last one is
/// the next fleet's own, and the only one where routes show no difference. Steps may be equal.
pub fn handover(
    published: &Publication,
    before: (&Fleet, &Plan),
    next: (&Fleet, &Plan),
    lease: Lease,
) -> Result<Vec<Publication>, Unpublishable> {
    let Some(fleet) = between(before.0, next.0) else {
        let last = publication(next.0, next.1, lease, published)?;
        return Ok(vec![last]);
    };
    let plan = carried_over(&fleet, &of_both(before.1, next.1));
    let both = publication(&fleet, &plan, lease, published)?;
    let last = publication(next.0, next.1, lease, &both)?;
    let second = with_policies(&both, &last);
    // A region that is new has no policy from before.
    let first = with_policies(&second, published);
    Ok(vec![first, second, last])
}

fn with_policies(publication: &Publication, of: &Publication) -> Publication {
    let mut publication = publication.clone();
    for (region, resources) in &mut publication {
        let of = of.get(region);
        if let Some(policy) = of.and_then(|of| of.get(ResourceType::Extension, ROUTER)) {
            let policy = policy.clone();
            Arc::make_mut(resources).share(ResourceType::Extension, ROUTER, policy);
        }
    }
    publication
}

/// The next fleet with the zones of both, for as long as either policy may be in force at a gateway. `None` where zones
/// differ in nothing that routes show.
fn between(before: &Fleet, next: &Fleet) -> Option<Fleet> {
    let same_callers = placing(before) == placing(next);
    let mut zones = next.zones.clone();
    for (name, old) in &before.zones {
        let is_gone = !zones.contains_key(name);
        let zone = zones.entry(name.clone()).or_insert_with(|| Zone {
            countries: BTreeSet::new(),
            rest: false,
            ..old.clone()
        });
        // By the old policy its callers may be others than by the next: it leads where both let them.
        if is_gone || (old.pinned && !same_callers) {
            narrow(zone, old, before, next);
        }
    }
    let same = shown(&zones) == shown(&before.zones) && shown(&zones) == shown(&next.zones);
    (!same).then(|| {
        let fleet = Fleet {
            zones,
            ..next.clone()
        };
        kept_apart(fleet, before, next)
    })
}

/// A zone that is narrowed on the way has fewer regions inside of its border: those that could read each other's databases for that
/// reason alone, by neither fleet, have none meanwhile.
fn kept_apart(mut fleet: Fleet, before: &Fleet, next: &Fleet) -> Fleet {
    let one_lets = |home: &RegionName, other: &RegionName| {
        may_read(next, home, other) || may_read(before, home, other)
    };
    let torn = fleet.regions.keys().filter(|home| {
        let databases = databases(&fleet, home);
        databases.iter().any(|other| !one_lets(home, other))
    });
    let torn: Vec<RegionName> = torn.cloned().collect();
    let regions = fleet.regions.iter_mut();
    for (_, region) in regions.filter(|(name, _)| torn.contains(name)) {
        region.vector_db = None;
    }
    fleet
}

/// All of zones that routes show.
fn shown(zones: &BTreeMap<ZoneName, Zone>) -> impl PartialEq + '_ {
    let shown = zones.iter().map(|(name, zone)| {
        let Zone {
            countries: _,
            rest: _,
            pinned,
            regions,
            fallbacks,
            misdirected,
            order: _,
            limits: _,
        } = zone;
        (name, pinned, regions, fallbacks, misdirected)
    });
    shown.collect::<Vec<_>>()
}

/// All that places a caller in a zone.
fn placing(fleet: &Fleet) -> impl PartialEq + '_ {
    let zones = fleet.zones.iter();
    let zones = zones.map(|(name, zone)| (name, &zone.countries, zone.rest, zone.pinned));
    (
        &fleet.sources,
        &fleet.unknown_zone,
        zones.collect::<Vec<_>>(),
    )
}

/// Leaves a zone what it had before as well. A fallback that has another address or jurisdiction is another one.
fn narrow(zone: &mut Zone, old: &Zone, before: &Fleet, next: &Fleet) {
    zone.pinned |= old.pinned;
    zone.regions
        .retain(|name| old.regions.contains(name) && next.regions.contains_key(name));
    zone.fallbacks.retain(|name| {
        old.fallbacks.contains(name) && before.fallbacks.get(name) == next.fallbacks.get(name)
    });
    if zone.misdirected == Misdirected::Forward {
        zone.misdirected = old.misdirected;
    }
}

/// What the next plan says, and of zones that it does not have what the one before says.
fn of_both(before: &Plan, next: &Plan) -> Plan {
    let mut gateways = before.gateways.clone();
    for (gateway, zones) in &next.gateways {
        gateways
            .entry(gateway.clone())
            .or_default()
            .extend(zones.clone());
    }
    Plan {
        gateways,
        ..next.clone()
    }
}

#[cfg(test)]
mod tests;
