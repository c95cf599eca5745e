//! What moved a placement.

use super::evidence::{Causes, Evidence, numbers};
use super::value::Cause;
use crate::health::Reason;
use crate::intent::Action;
use crate::placement::Placement;
use meridian_policy::fleet::Order;
use meridian_policy::{ModelName, RegionName, ZoneName};

/// A fall of a region's part in percentage points that is more than the rounding of weights.
const FALL: f64 = 1.0;

/// A gateway, a zone and a model.
type Place<'p> = (&'p RegionName, &'p ZoneName, &'p ModelName);

/// What moved a placement.
pub(super) fn causes(evidence: &Evidence<'_>, place: Place<'_>, causes: &mut Causes) {
    let (gateway, zone, model) = place;
    let transition = evidence.transition;
    let before = transition.before.placement(gateway, zone, model);
    let after = transition.next.placement(gateway, zone, model);
    let choice = transition.topology.choice(zone, model, gateway);
    let (Some(before), Some(after), Some((first, others))) = (before, after, choice) else {
        return;
    };
    let overrides = |action: &Action| action.places(place);
    for number in evidence.ended(overrides) {
        causes.add(Cause::IntentEnded { number });
    }
    // The last one counts.
    let number = numbers(transition.intents, transition.now, overrides).pop();
    if let Some(number) = number {
        causes.add(Cause::Intent { number });
        for region in before.overflow.keys().chain(after.overflow.keys()) {
            evidence.serving(region, model, causes);
        }
        return;
    }
    let order = transition.topology.zones.get(zone).map(|zone| &zone.order);
    if matches!(order, Some(Order::Weighted(_))) {
        for region in std::iter::once(first).chain(others) {
            evidence.serving(region, model, causes);
            drained_or_not(evidence, region, model, causes);
        }
        return;
    }
    if after.home_share < before.home_share {
        home_fell(evidence, first, model, causes);
    }
    for other in others
        .iter()
        .filter(|other| has_fallen(before, after, other))
    {
        other_fell(evidence, other, model, causes);
    }
    if after.home_share > before.home_share && causes.is_empty() {
        home_rose(evidence, before, first, model, causes);
    }
    if before.home_share == 100 && after.home_share == 100 {
        for other in others
            .iter()
            .filter(|other| after.overflow.contains_key(*other))
        {
            if !before.overflow.contains_key(other) {
                other_joined(evidence, other, model, causes);
            }
        }
    }
}

/// Whether a region got less. While nobody leaves home, whether it would get nothing any more.
fn has_fallen(before: &Placement, after: &Placement, region: &RegionName) -> bool {
    if before.home_share == 100 {
        return before.overflow.contains_key(region) && !after.overflow.contains_key(region);
    }
    before.part(region) - after.part(region) > FALL
}

/// The first region sheds: it is drained, without endpoints, unhealthy, or above the limit.
fn home_fell(evidence: &Evidence<'_>, first: &RegionName, model: &ModelName, causes: &mut Causes) {
    let health = evidence.health_of(first, model);
    let leaves = [Reason::Drained, Reason::NoEndpoints];
    if let Some(reason) = leaves.into_iter().find(|of| health.reasons.contains(of)) {
        evidence.breach(first, model, reason, causes);
        return;
    }
    for reason in health.sheds_for() {
        evidence.breach(first, model, reason, causes);
    }
    if !health.sheds() {
        evidence.overload(first, model, causes);
    }
}

/// The first region takes back: it serves again, is drained no longer, or has been calm.
fn home_rose(
    evidence: &Evidence<'_>,
    before: &Placement,
    first: &RegionName,
    model: &ModelName,
    causes: &mut Causes,
) {
    drained_or_not(evidence, first, model, causes);
    let was_evacuated = before.step.is_some_and(|step| step.evacuated);
    if was_evacuated {
        evidence.clearance(first, model, Reason::NoEndpoints, causes);
        return;
    }
    let limit = evidence.transition.topology.overflow.back_below;
    evidence.calm(first, model, limit, causes);
}

/// Another region gets less: it serves no longer, is drained, unhealthy, or above the limit.
fn other_fell(evidence: &Evidence<'_>, other: &RegionName, model: &ModelName, causes: &mut Causes) {
    let health = evidence.health_of(other, model);
    let mut gone = Causes::default();
    evidence.serving(other, model, &mut gone);
    if !gone.is_empty() {
        evidence.serving(other, model, causes);
        return;
    }
    for reason in health.reasons.iter().filter(|of| **of != Reason::Stale) {
        evidence.breach(other, model, *reason, causes);
    }
    evidence.overload(other, model, causes);
}

/// Another region would get some: it serves again, is drained no longer, or has been calm.
fn other_joined(
    evidence: &Evidence<'_>,
    other: &RegionName,
    model: &ModelName,
    causes: &mut Causes,
) {
    evidence.serving(other, model, causes);
    drained_or_not(evidence, other, model, causes);
    let limit = evidence.transition.topology.overflow.back_below;
    evidence.calm(other, model, limit, causes);
}

/// The intent by which a region came to be drained, or is no longer.
fn drained_or_not(
    evidence: &Evidence<'_>,
    region: &RegionName,
    model: &ModelName,
    causes: &mut Causes,
) {
    let transition = evidence.transition;
    let before = transition.before.is_drained(region, model);
    match (before, transition.next.is_drained(region, model)) {
        (false, true) => evidence.breach(region, model, Reason::Drained, causes),
        (true, false) => evidence.clearance(region, model, Reason::Drained, causes),
        _ => {}
    }
}
