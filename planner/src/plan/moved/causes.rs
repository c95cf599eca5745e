//! What moved each kind of thing.

use super::evidence::{Causes, Evidence};
use super::placement;
use super::transition::Transition;
use super::value::{Cause, Condition, Moved, Signal};
use crate::gate::OPEN_BELOW;
use crate::health::{CLEAR_FRACTION, DOWN_ERROR_RATE, Reason};
use meridian_policy::{ModelName, RegionName};

/// What moved something.
pub(super) fn causes(evidence: &Evidence<'_>, moved: &Moved) -> Vec<Cause> {
    let mut causes = Causes::default();
    match moved {
        Moved::Placement {
            gateway,
            zone,
            model,
            ..
        } => placement::causes(evidence, (gateway, zone, model), &mut causes),
        Moved::Health {
            region,
            model,
            before,
            after,
        } => {
            let [before, after] = [before, after].map(|it| it.clone().unwrap_or_default());
            health(evidence, (region, model), &before, &after, &mut causes);
        }
        Moved::BatchGate {
            region,
            model,
            before,
            after,
        } => gate(evidence, (region, model), after > before, &mut causes),
        Moved::Freshness { region, .. } => lag(evidence, region, &mut causes),
        Moved::Retrieval {
            region,
            before,
            after,
        } => {
            for of in [region, before, after] {
                lag(evidence, of, &mut causes);
            }
        }
    }
    if causes.is_empty() && evidence.transition.edited {
        causes.add(Cause::Edit {});
    }
    causes.into_vec()
}

fn health(
    evidence: &Evidence<'_>,
    (region, model): (&RegionName, &ModelName),
    before: &Condition,
    after: &Condition,
    causes: &mut Causes,
) {
    for reason in after.reasons.difference(&before.reasons) {
        evidence.breach(region, model, *reason, causes);
    }
    for reason in before.reasons.difference(&after.reasons) {
        evidence.clearance(region, model, *reason, causes);
    }
    if before.down == after.down {
        return;
    }
    let Some(signals) = evidence.signals(region, model) else {
        return;
    };
    let side = |is_down: bool| {
        if is_down {
            (DOWN_ERROR_RATE, true)
        } else {
            (DOWN_ERROR_RATE * CLEAR_FRACTION, false)
        }
    };
    let (limit, above) = side(after.down);
    evidence.crossing(
        region,
        Some(model),
        Signal::Errors,
        (signals.error_rate, limit),
        above,
        causes,
    );
    // A hard drain takes a pool out once nobody is left.
    if after.down && after.reasons.contains(&Reason::Drained) && causes.is_empty() {
        evidence.breach(region, model, Reason::Drained, causes);
    }
}

fn gate(
    evidence: &Evidence<'_>,
    (region, model): (&RegionName, &ModelName),
    opens: bool,
    causes: &mut Causes,
) {
    let limits = &evidence.transition.topology.overflow;
    evidence.serving(region, model, causes);
    if !causes.is_empty() {
        return;
    }
    if opens {
        evidence.calm(region, model, OPEN_BELOW * limits.back_below, causes);
        return;
    }
    for reason in evidence.health_of(region, model).sheds_for() {
        evidence.breach(region, model, reason, causes);
    }
    let utilization = evidence.utilization(region, model);
    let far_above = f64::midpoint(limits.above, 1.0);
    let figures = utilization.map(|of| [(of.now, far_above), (of.low, limits.back_below)]);
    let passed = figures
        .into_iter()
        .flatten()
        .find(|(value, limit)| value > limit);
    if let (true, Some((value, limit))) = (causes.is_empty(), passed) {
        evidence.crossing(
            region,
            Some(model),
            Signal::Utilization,
            (Some(value), limit),
            true,
            causes,
        );
    }
}

/// The replication lag of a region whose data came to be behind, or is no longer.
fn lag(evidence: &Evidence<'_>, region: &RegionName, causes: &mut Causes) {
    let Transition {
        topology,
        state,
        before,
        next,
        now,
        ..
    } = *evidence.transition;
    let is_behind = next.freshness.behind.contains(region);
    if before.freshness.behind.contains(region) == is_behind {
        return;
    }
    let limit = topology.unhealthy.replication_lag.as_secs_f64();
    let limit = if is_behind {
        limit
    } else {
        limit * CLEAR_FRACTION
    };
    let lag = state.lag(topology, region, now);
    evidence.crossing(
        region,
        None,
        Signal::ReplicationLag,
        (lag, limit),
        is_behind,
        causes,
    );
}
