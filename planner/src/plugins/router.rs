//! The router's policy.

use super::batch::batch_rule;
use super::fresh::fresh_rule;
use crate::chain::{chain, has_another, lane_of, passes_through};
use crate::definition::definitions;
use crate::plan::{Plan, regions_of};
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::{
    FilterPolicy, Lane, Lease, ModelRule, PerTryTimeout, Split, TurnAway, ZoneRule,
};
use meridian_policy::fleet::{Fleet, Limits, Misdirected, Order, Zone};
use meridian_policy::{ModelName, RegionName, ZoneName};
use std::collections::BTreeMap;
use std::time::Duration;

/// The router's policy at the gateway of `home` under a plan.
pub fn filter_policy(
    fleet: &Fleet,
    plan: &Plan,
    home: &RegionName,
    lease: Option<Lease>,
) -> FilterPolicy {
    let definitions = definitions(fleet);
    let zones = fleet
        .zones
        .iter()
        .filter_map(|(name, zone)| {
            let definition = definitions.zones.get(name)?.clone();
            let rule = ZoneRule {
                definition,
                pinned: zone.pinned,
                refuse_remote_content: zone.content.refuse_remote,
                turn_away: (!passes_through(zone, home)).then(|| turn_away(fleet, zone, home)),
                models: model_rules(fleet, plan, name, zone, home),
            };
            Some((name.clone(), rule))
        })
        .collect();
    let countries = fleet
        .zones
        .iter()
        .flat_map(|(name, zone)| {
            zone.countries
                .iter()
                .map(move |country| (*country, name.clone()))
        })
        .collect();
    FilterPolicy {
        region: home.clone(),
        sources: fleet.sources.clone(),
        countries,
        rest_of_world: fleet
            .zones
            .iter()
            .find(|(_, zone)| zone.rest)
            .map(|(name, _)| name.clone()),
        unknown_zone: fleet.unknown_zone.clone(),
        zones,
        batch_keys: fleet.batch_keys.clone(),
        needs_header: fleet.needs_header.clone(),
        pools: fleet.balances(home),
        bodies: Some(fleet.bodies()),
        lease,
    }
}

/// Timeouts of one attempt. The longest is half of the response timeout, which leaves the other half to the next
/// member. Envoy ignores a per-try timeout that is not below the total timeout.
fn per_try_timeout(limits: &Limits) -> PerTryTimeout {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    PerTryTimeout {
        first_token_ms: ms(limits.first_token),
        unstreamed_ms: ms(limits.unstreamed),
        prefill_rate: limits.prefill_rate,
        longest_ms: ms(limits.answer / 2),
    }
}

fn model_rules(
    fleet: &Fleet,
    plan: &Plan,
    name: &ZoneName,
    zone: &Zone,
    home: &RegionName,
) -> BTreeMap<ModelName, ModelRule> {
    let rule = |model: &ModelName| {
        let members = chain(fleet, name, model, home);
        let lane = lane_of(&members)?;
        let per_try_timeout = has_another(fleet, model, &members)
            .then(|| per_try_timeout(&fleet.limits_of(name, model)));
        let placement = plan.placement(home, name, model);
        let split = placement
            .filter(|placement| !placement.overflow.is_empty())
            .zip(regions_of(fleet, name, model, home))
            .map(|(placement, (first, _))| Split {
                first,
                home_share: placement.home_share,
                floor: fleet.overflow.floor_percent(),
                overflow: placement.overflow.clone(),
                fixed: matches!(zone.order, Order::Weighted(_)),
            });
        let regions = || members.iter().filter_map(Member::region);
        let down = regions().filter(|region| !plan.serves(region, model));
        let rule = ModelRule {
            lane,
            regions: regions().cloned().collect(),
            down: down.cloned().collect(),
            has_fallback: lane != Lane::Fallback
                && members
                    .iter()
                    .any(|member| matches!(member, Member::Fallback(_))),
            split,
            fresh: fresh_rule(fleet, plan, name, model, home),
            fresh_unknown: members
                .iter()
                .filter_map(Member::region)
                .any(|region| plan.freshness.unknown.contains(region)),
            batch: batch_rule(fleet, plan, name, model, home),
            per_try_timeout,
        };
        Some((model.clone(), rule))
    };
    fleet.models().into_iter().filter_map(rule).collect()
}

fn turn_away(fleet: &Fleet, zone: &Zone, home: &RegionName) -> TurnAway {
    let nearest = fleet
        .regions
        .get(home)
        .map(|region| region.nearest.as_slice())
        .unwrap_or_default();
    let right = nearest
        .iter()
        .filter(|region| zone.regions.contains(*region));
    let url = |region: &RegionName| {
        fleet
            .regions
            .get(region)
            .and_then(|region| region.public.url.clone())
    };
    match (zone.misdirected, right.clone().find_map(url)) {
        (Misdirected::Redirect, Some(url)) => TurnAway::Redirect(url),
        _ => TurnAway::Refuse(
            right
                .map(|region| url(region).unwrap_or_else(|| region.to_string()))
                .collect(),
        ),
    }
}
