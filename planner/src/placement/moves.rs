//! The next move of a placement: shed, relieve, rise, or stay.

use super::pools::{FALLING_MARGIN, HomePool, MIN_SETTLING_TIME, Utilization};
use super::share::{Placement, Step};
use crate::signal::Millis;
use meridian_policy::fleet::Overflow;

/// Largest decrease of a share in one step, in percentage points.
pub const STEP_DOWN: u8 = 30;
/// Largest increase of a share in one step, in percentage points. The share may rise by more if the first region serves
/// again or an overflow region is lost.
pub const STEP_UP: u8 = 10;
/// After a relapse, recover only if projected utilization stays below this fraction of `back_below`.
const RELAPSE_RECOVERY: f64 = 0.75;
/// A step is ineffective if utilization falls by less than this fraction of the expected decrease.
const MIN_EFFECT: f64 = 0.25;
/// Number of ineffective steps in a row after which shedding stops.
const MAX_INEFFECTIVE: u8 = 3;
/// Increase of utilization above which shedding resumes after ineffective steps.
const RESUME_INCREASE: f64 = 0.05;

/// The next move of a placement.
pub(super) enum Move {
    Stay,
    /// Sheds this much from the first region, in percent of the requests.
    Shed(u8),
    /// Moves at most this much away from overloaded candidates, to other candidates or home, in percent of the
    /// requests.
    Relieve(f64),
    /// Returns this much to the first region, in percent of the requests.
    Rise(u8),
}

impl Placement {
    /// The next move. `parts` is each candidate's overflow and `headroom` what it can take in addition, in percent of
    /// the requests.
    pub(super) fn next_move(
        &self,
        limits: &Overflow,
        first: &HomePool,
        parts: &[f64],
        headroom: &[f64],
        now: Millis,
        without_effect: &mut bool,
    ) -> Move {
        let settled = self
            .step
            .is_none_or(|step| now.since(step.at) >= first.settling_time());
        let mut candidates = parts.iter().zip(headroom);
        let overloaded =
            settled && candidates.any(|(part, headroom)| *part > 0.0 && *headroom < 0.0);
        let relieve = |most: f64| {
            (overloaded && most >= 1.0).then_some(Move::Relieve(most.min(f64::from(STEP_UP))))
        };
        // If home is unfit, overflow moves only as far as other candidates have headroom.
        let elsewhere: f64 = headroom.iter().map(|headroom| headroom.max(0.0)).sum();
        if first.drained {
            *without_effect = false;
            if !settled {
                return Move::Stay;
            }
            let leave = || self.lowered(0, f64::from(STEP_DOWN));
            return relieve(elsewhere).unwrap_or_else(leave);
        }
        let floor = limits.floor_percent();
        if first.down {
            *without_effect = false;
            return match self.lowered(floor, f64::from(STEP_DOWN)) {
                Move::Stay => relieve(elsewhere).unwrap_or(Move::Stay),
                lower => lower,
            };
        }
        if self.was_evacuated() && self.home_share < first.serving {
            // It serves again and is empty.
            return Move::Rise(first.serving - self.home_share);
        }
        if !settled {
            return Move::Stay;
        }
        if let Some(breach) = first.last_breach {
            *without_effect = false;
            let sheds = || self.leave_unhealthy(limits, first, breach);
            return relieve(elsewhere).unwrap_or_else(sheds);
        }
        relieve(100.0).unwrap_or_else(|| self.by_load(limits, first, now, without_effect))
    }

    /// The next move of a home pool that is unhealthy: a step for each breach that is newer than the step before it.
    fn leave_unhealthy(&self, limits: &Overflow, first: &HomePool, breach: Millis) -> Move {
        let is_new = self
            .step
            .is_none_or(|step| breach.since(step.at) >= MIN_SETTLING_TIME);
        if is_new {
            self.lowered(limits.floor_percent(), f64::from(first.unhealthy_step))
        } else {
            Move::Stay
        }
    }

    /// The next move of a healthy home pool, by its utilization.
    fn by_load(
        &self,
        limits: &Overflow,
        first: &HomePool,
        now: Millis,
        without_effect: &mut bool,
    ) -> Move {
        let Some(utilization) = first.utilization else {
            // Without a utilization signal, health alone decides. While sources are silent nothing moves.
            return if first.silent {
                Move::Stay
            } else {
                self.raised(f64::from(STEP_UP))
            };
        };
        if utilization.now > limits.above {
            return self.above_limit(limits, first, utilization, without_effect);
        }
        if utilization.peak < limits.back_below && !first.silent {
            *without_effect = false;
            return self.take_back(limits, first, utilization, now);
        }
        Move::Stay
    }

    /// The next move above the limit. The first step far above the limit is immediate. Every other step needs a
    /// utilization that stays above the limit and does not fall.
    fn above_limit(
        &self,
        limits: &Overflow,
        first: &HomePool,
        utilization: Utilization,
        without_effect: &mut bool,
    ) -> Move {
        let sustained =
            utilization.low > limits.above && utilization.now > utilization.peak - FALLING_MARGIN;
        let far_above = utilization.now > f64::midpoint(limits.above, 1.0);
        if first.receives_batch && !far_above {
            return Move::Stay;
        }
        if sustained || (far_above && self.home_share == 100) {
            self.shed_load(limits, first, utilization, without_effect)
        } else {
            Move::Stay
        }
    }

    /// Returns only as much traffic as keeps the home pool below its target utilization.
    fn take_back(
        &self,
        limits: &Overflow,
        first: &HomePool,
        utilization: Utilization,
        now: Millis,
    ) -> Move {
        // After a relapse recovery pauses, unless the projected utilization is low.
        let away = f64::from(100 - self.home_share) / f64::from(self.home_share.max(1));
        let growth = 1.0 + first.elasticity * first.sheddable * away;
        let relapsed = |step: Step| step.relapsed && !step.rose;
        if self.recent_step(now).is_some_and(relapsed)
            && utilization.peak * growth > RELAPSE_RECOVERY * limits.back_below
        {
            return Move::Stay;
        }
        if utilization.peak > 0.0 && first.sheddable > 0.0 {
            let headroom = limits.target() / utilization.peak - 1.0;
            let share = f64::from(self.home_share.max(1));
            self.raised(share * headroom / first.sheddable / first.elasticity)
        } else {
            self.raised(f64::from(STEP_UP))
        }
    }

    fn shed_load(
        &self,
        limits: &Overflow,
        first: &HomePool,
        utilization: Utilization,
        without_effect: &mut bool,
    ) -> Move {
        if let Some(step) = self.step.filter(|_| self.home_share < 100) {
            let resumes = first.is_full() || utilization.now >= step.utilization + RESUME_INCREASE;
            *without_effect =
                !resumes && (*without_effect || self.ineffective_steps(first) >= MAX_INEFFECTIVE);
        }
        if *without_effect {
            return Move::Stay;
        }
        let surplus = (1.0 - limits.target() / utilization.now) / first.elasticity;
        let part = if first.sheddable > 0.0 {
            (surplus / first.sheddable).min(1.0)
        } else {
            0.0
        };
        self.lowered(limits.floor_percent(), f64::from(self.home_share) * part)
    }

    /// Number of ineffective steps in a row, including the last step.
    pub(super) fn ineffective_steps(&self, first: &HomePool) -> u8 {
        let (Some(step), Some(utilization)) = (self.step, first.utilization) else {
            return 0;
        };
        let expected_decrease = step.utilization - step.expected;
        if expected_decrease > 0.0
            && !first.is_full()
            && step.utilization - utilization.now < MIN_EFFECT * expected_decrease
        {
            step.ineffective_steps.saturating_add(1)
        } else {
            0
        }
    }

    /// Sheds `step` percent, limited by [`STEP_DOWN`] and a floor, in percent.
    fn lowered(&self, floor: u8, step: f64) -> Move {
        let above_floor = self.home_share.saturating_sub(floor);
        match (step.ceil().clamp(0.0, f64::from(STEP_DOWN)) as u8).min(above_floor) {
            0 => Move::Stay,
            step => Move::Shed(step),
        }
    }

    /// Returns `step` percent to the first region: at least 1, at most [`STEP_UP`].
    fn raised(&self, step: f64) -> Move {
        match 100 - self.home_share {
            0 => Move::Stay,
            away => Move::Rise((step.clamp(1.0, f64::from(STEP_UP)) as u8).min(away)),
        }
    }
}
