//! The router's policy.

use super::batch::batch_rule;
use super::fresh::fresh_rule;
use crate::chain::{has_another, lane_of, passes_through};
use crate::plan::Plan;
use crate::topology::Topology;
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
    topology: &Topology,
    plan: &Plan,
    home: &RegionName,
    lease: Option<Lease>,
) -> FilterPolicy {
    let definitions = topology.definitions();
    let zones = topology
        .zones
        .iter()
        .filter_map(|(name, zone)| {
            let definition = definitions.zones.get(name)?.clone();
            let rule = ZoneRule {
                definition,
                pinned: zone.pinned,
                refuse_remote_content: zone.content.refuse_remote,
                turn_away: (!passes_through(zone, home)).then(|| turn_away(topology, zone, home)),
                models: model_rules(topology, plan, name, zone, home),
            };
            Some((name.clone(), rule))
        })
        .collect();
    let countries = topology
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
        sources: topology.sources.clone(),
        countries,
        rest_of_world: topology
            .zones
            .iter()
            .find(|(_, zone)| zone.rest)
            .map(|(name, _)| name.clone()),
        unknown_zone: topology.unknown_zone.clone(),
        zones,
        batch_keys: topology.batch_keys.clone(),
        needs_header: topology.needs_header.clone(),
        pools: topology.balances(home),
        bodies: Some(topology.bodies()),
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
    topology: &Topology,
    plan: &Plan,
    name: &ZoneName,
    zone: &Zone,
    home: &RegionName,
) -> BTreeMap<ModelName, ModelRule> {
    let rule = |model: &ModelName| {
        let reach = topology.reach(name, model, home)?;
        let members = reach.chain();
        let lane = lane_of(members)?;
        let per_try_timeout = has_another(topology, model, members)
            .then(|| per_try_timeout(&topology.limits_of(name, model)));
        let placement = plan.placement(home, name, model);
        let split = placement
            .filter(|placement| !placement.overflow.is_empty())
            .zip(reach.choice())
            .map(|(placement, (first, _))| Split {
                first: first.clone(),
                home_share: placement.home_share,
                floor: topology.overflow.floor_percent(),
                overflow: placement.overflow.clone(),
                fixed: matches!(zone.order, Order::Weighted(_)),
                drains: plan.is_drained(first, model),
            });
        let regions = reach.regions().iter();
        let down = regions.clone().filter(|region| !plan.serves(region, model));
        let rule = ModelRule {
            lane,
            regions: reach.regions().to_vec(),
            depth: Some(reach.depth()).filter(|depth| *depth < reach.regions().len()),
            down: down.cloned().collect(),
            has_fallback: lane != Lane::Fallback
                && members
                    .iter()
                    .any(|member| matches!(member, Member::Fallback(_))),
            split,
            fresh: fresh_rule(topology, plan, name, model, home),
            fresh_unknown: regions
                .clone()
                .any(|region| plan.freshness.unknown.contains(region)),
            batch: batch_rule(topology, plan, name, model, home),
            per_try_timeout,
        };
        Some((model.clone(), rule))
    };
    topology.models().iter().filter_map(rule).collect()
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
