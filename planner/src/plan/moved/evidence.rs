//! The facts by which the planner decided, as causes.

use super::super::pool_view::PoolView;
use super::transition::Transition;
use super::value::{Cause, Crossing, Pool, Signal};
use crate::health::{CLEAR_FRACTION, Health, Reason, measured};
use crate::intent::{Action, Intents};
use crate::placement::Utilization;
use crate::signal::Millis;
use crate::state::PoolSignals;
use meridian_policy::{ModelName, RegionName};

/// Each cause once, in the order in which they were found.
#[derive(Default)]
pub(super) struct Causes(Vec<Cause>);

impl Causes {
    pub(super) fn add(&mut self, cause: Cause) {
        if !self.0.contains(&cause) {
            self.0.push(cause);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Cause> {
        self.0
    }
}

/// What the planner saw as it made the next plan.
pub(super) struct Evidence<'t> {
    pub(super) transition: &'t Transition<'t>,
    view: PoolView<'t>,
}

impl<'t> Evidence<'t> {
    pub(super) fn of(transition: &'t Transition<'t>) -> Self {
        let Transition {
            topology,
            state,
            intents,
            before,
            now,
            ..
        } = *transition;
        let view = PoolView::of(topology, state, intents, before, now);
        Self { transition, view }
    }

    /// Why a reason holds.
    pub(super) fn breach(
        &self,
        region: &RegionName,
        model: &ModelName,
        reason: Reason,
        causes: &mut Causes,
    ) {
        if reason == Reason::Drained {
            let now = self.transition.now;
            for number in numbers(self.transition.intents, now, |action| {
                action.drains(region, model)
            }) {
                causes.add(Cause::Intent { number });
            }
        }
        if reason == Reason::Stale {
            causes.add(Cause::Silent(pool(region, model)));
        }
        let Some((signal, value, limit)) = self.figure(region, model, reason) else {
            return;
        };
        if signal == Signal::Endpoints {
            self.crossing(region, Some(model), signal, (value, 1.0), false, causes);
            return;
        }
        // A reason that is there already stays until its signal is well below the limit.
        let limit = if value.is_some_and(|value| value > limit) {
            limit
        } else {
            limit * CLEAR_FRACTION
        };
        self.crossing(region, Some(model), signal, (value, limit), true, causes);
    }

    /// Why a reason holds no longer.
    pub(super) fn clearance(
        &self,
        region: &RegionName,
        model: &ModelName,
        reason: Reason,
        causes: &mut Causes,
    ) {
        if reason == Reason::Drained {
            for number in self.ended(|action| action.drains(region, model)) {
                causes.add(Cause::IntentEnded { number });
            }
        }
        if reason == Reason::Stale {
            causes.add(Cause::Reporting(pool(region, model)));
        }
        let Some((signal, value, limit)) = self.figure(region, model, reason) else {
            return;
        };
        if signal == Signal::Endpoints {
            self.crossing(region, Some(model), signal, (value, 0.0), true, causes);
        } else {
            let limit = limit * CLEAR_FRACTION;
            self.crossing(region, Some(model), signal, (value, limit), false, causes);
        }
    }

    /// The signal of a reason with its value, if it is known, and its limit.
    fn figure(
        &self,
        region: &RegionName,
        model: &ModelName,
        reason: Reason,
    ) -> Option<(Signal, Option<f64>, f64)> {
        let signal = Signal::of(reason)?;
        let signals = self.view.signals(region, model)?;
        if signal == Signal::Endpoints {
            let healthy = signals.endpoints.map(|(healthy, _)| healthy as f64);
            return Some((signal, healthy, 1.0));
        }
        let (value, limit) = measured(self.transition.topology, signals, reason)?;
        Some((signal, value, limit))
    }

    /// Whether a pool left, or returned.
    pub(super) fn serving(&self, region: &RegionName, model: &ModelName, causes: &mut Causes) {
        let Transition { before, next, .. } = self.transition;
        match (before.serves(region, model), next.serves(region, model)) {
            (true, false) => causes.add(Cause::PoolLeft(pool(region, model))),
            (false, true) => causes.add(Cause::PoolReturned(pool(region, model))),
            _ => {}
        }
    }

    /// Utilization above the limit at which a pool sheds.
    pub(super) fn overload(&self, region: &RegionName, model: &ModelName, causes: &mut Causes) {
        let limit = self.transition.topology.overflow.above;
        let now = self.utilization(region, model).map(|of| of.now);
        self.crossing(
            region,
            Some(model),
            Signal::Utilization,
            (now, limit),
            true,
            causes,
        );
    }

    /// Utilization that has been below a limit for a while.
    pub(super) fn calm(
        &self,
        region: &RegionName,
        model: &ModelName,
        limit: f64,
        causes: &mut Causes,
    ) {
        let peak = self.utilization(region, model).map(|of| of.peak);
        self.crossing(
            region,
            Some(model),
            Signal::Utilization,
            (peak, limit),
            false,
            causes,
        );
    }

    pub(super) fn utilization(
        &self,
        region: &RegionName,
        model: &ModelName,
    ) -> Option<Utilization> {
        self.signals(region, model)?.utilization
    }

    pub(super) fn signals(&self, region: &RegionName, model: &ModelName) -> Option<&PoolSignals> {
        self.view.signals(region, model)
    }

    /// The health of a pool by the next plan.
    pub(super) fn health_of(&self, region: &RegionName, model: &ModelName) -> Health {
        let pools = self.transition.next.pools.get(region);
        let health = pools.and_then(|pools| pools.get(model));
        health.cloned().unwrap_or_default()
    }

    /// The numbers of intents that were in force at the plan before, and are no longer.
    pub(super) fn ended(&self, concerns: impl Fn(&Action) -> bool) -> Vec<u64> {
        let Transition {
            intents,
            intents_before,
            now,
            ..
        } = *self.transition;
        let before = intents_before.0.iter();
        let before = before.filter(|(_, intent)| concerns(&intent.action));
        let is_active = |number: u64| intents.active(now).any(|(active, _)| active == number);
        let ended = before.filter(|(number, _)| !is_active(**number));
        ended.map(|(number, _)| *number).collect()
    }

    /// Adds a crossing, if the value is known and is past the limit.
    pub(super) fn crossing(
        &self,
        region: &RegionName,
        model: Option<&ModelName>,
        signal: Signal,
        (value, limit): (Option<f64>, f64),
        above: bool,
        causes: &mut Causes,
    ) {
        let Some(value) = value else {
            return;
        };
        let is_past = if above { value > limit } else { value < limit };
        if !is_past {
            return;
        }
        let crossing = Crossing {
            signal,
            region: region.clone(),
            model: model.cloned(),
            value: rounded(value),
            limit: rounded(limit),
        };
        causes.add(if above {
            Cause::Above(crossing)
        } else {
            Cause::Below(crossing)
        });
    }
}

fn pool(region: &RegionName, model: &ModelName) -> Pool {
    Pool {
        region: region.clone(),
        model: model.clone(),
    }
}

/// The numbers of the intents in force that concern something.
pub(super) fn numbers(
    intents: &Intents,
    now: Millis,
    concerns: impl Fn(&Action) -> bool,
) -> Vec<u64> {
    let active = intents.active(now);
    let those = active.filter(|(_, intent)| concerns(&intent.action));
    those.map(|(number, _)| number).collect()
}

/// Four decimals: signals have no more that matter.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
