//! Zone migrations: edits of zones are published in steps, make before break.
//!
//! The filter's policy names a caller's zone and the routes match on that name. The two change at different times, at
//! each gateway and across gateways. The steps make sure that no intermediate state lacks a route, or has one that
//! neither fleet allows. A step follows when all connected gateways have accepted the previous one, or after a timeout:
//!
//! | step | policy | everything else |
//! | --- | --- | --- |
//! | 1 | old | zones of both fleets |
//! | 2 | new | zones of both fleets |
//! | 3 | new | new |

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

/// The publications that lead the gateways from one fleet and plan to the next, in order. The last one is the next
/// fleet's own; it is the only one if the zones' routes do not change. Steps may be equal.
///
/// # Errors
///
/// If a step does not verify.
pub fn migration_steps(
    published: &Publication,
    before: (&Fleet, &Plan),
    next: (&Fleet, &Plan),
    lease: Lease,
) -> Result<Vec<Publication>, Unpublishable> {
    let Some(fleet) = between(before.0, next.0) else {
        let last = publication(next.0, next.1, lease, published)?;
        return Ok(vec![last]);
    };
    let plan = carried_over(&fleet, &merged(before.1, next.1));
    let both = publication(&fleet, &plan, lease, published)?;
    let last = publication(next.0, next.1, lease, &both)?;
    let second = with_policies(&both, &last);
    // A new region has no old policy.
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

/// The next fleet with the zones of both, for the time in which either policy may be in force at a gateway. `None` if the
/// routes of all zones stay the same.
fn between(before: &Fleet, next: &Fleet) -> Option<Fleet> {
    let same_callers = classification(before) == classification(next);
    let mut zones = next.zones.clone();
    for (name, old) in &before.zones {
        let is_gone = !zones.contains_key(name);
        let zone = zones.entry(name.clone()).or_insert_with(|| Zone {
            countries: BTreeSet::new(),
            rest: false,
            ..old.clone()
        });
        // The two policies may place different callers in this zone: it leads only where both fleets allow.
        if is_gone || (old.pinned && !same_callers) {
            restrict(zone, old, before, next);
        }
    }
    let same = routing(&zones) == routing(&before.zones) && routing(&zones) == routing(&next.zones);
    (!same).then(|| {
        let fleet = Fleet {
            zones,
            ..next.clone()
        };
        separate_databases(fleet, before, next)
    })
}

/// Removes the vector databases of regions that could read each other's data only in the intermediate fleet: a zone that
/// is restricted during the migration has fewer regions, so fewer borders between regions.
fn separate_databases(mut fleet: Fleet, before: &Fleet, next: &Fleet) -> Fleet {
    let allowed = |home: &RegionName, other: &RegionName| {
        may_read(next, home, other) || may_read(before, home, other)
    };
    let separated = fleet.regions.keys().filter(|home| {
        let databases = databases(&fleet, home);
        databases.iter().any(|other| !allowed(home, other))
    });
    let separated: Vec<RegionName> = separated.cloned().collect();
    let regions = fleet.regions.iter_mut();
    for (_, region) in regions.filter(|(name, _)| separated.contains(name)) {
        region.vector_db = None;
    }
    fleet
}

/// The fields of zones that routes depend on.
fn routing(zones: &BTreeMap<ZoneName, Zone>) -> impl PartialEq + '_ {
    let fields = zones.iter().map(|(name, zone)| {
        let Zone {
            countries: _,
            rest: _,
            pinned,
            regions,
            fallbacks,
            misdirected,
            order: _,
            limits: _,
            content: _,
        } = zone;
        (name, pinned, regions, fallbacks, misdirected)
    });
    fields.collect::<Vec<_>>()
}

/// The fields of a fleet that decide the zone of a caller.
fn classification(fleet: &Fleet) -> impl PartialEq + '_ {
    let zones = fleet.zones.iter();
    let zones = zones.map(|(name, zone)| (name, &zone.countries, zone.rest, zone.pinned));
    (
        &fleet.sources,
        &fleet.unknown_zone,
        zones.collect::<Vec<_>>(),
    )
}

/// Removes from a zone what it did not have in the old fleet. A fallback counts as the same only if nothing of it has
/// changed, e.g. its address or jurisdiction.
fn restrict(zone: &mut Zone, old: &Zone, before: &Fleet, next: &Fleet) {
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

/// The next plan, plus the old plan's entries for zones that the next one lacks.
fn merged(before: &Plan, next: &Plan) -> Plan {
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
