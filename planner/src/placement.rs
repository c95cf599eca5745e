//! Placement: the share of a (zone, model)'s traffic that a gateway's first region keeps, and the regions that take the
//! rest.
//!
//! Shedding is fast and recovery is slow. A settling time follows each change. A further step for an unhealthy region
//! needs a breach newer than the previous step. Shedding stops after steps without effect. Headroom is used nearest
//! region first. Traffic that fits nowhere stays at home.

mod pools;

pub use pools::{Candidate, HomePool, Utilization};

use crate::signal::Millis;
use crate::weights;
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use meridian_policy::fleet::Overflow;
use meridian_policy::name::RegionName;
use pools::{FALLING_MARGIN, MIN_SETTLING_TIME};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Largest decrease of a share in one step, in percentage points.
pub const STEP_DOWN: u8 = 30;
/// Largest increase of a share in one step, in percentage points. The share may rise by more if the first region serves
/// again or an overflow region is lost.
pub const STEP_UP: u8 = 10;

/// After a relapse, recover only if projected utilization stays below this fraction of `back_below`.
const RELAPSE_RECOVERY: f64 = 0.75;

/// Time after a relapse in which a region takes no traffic back.
const RELAPSE_PAUSE: Duration = Duration::from_secs(600);

/// A step is ineffective if utilization falls by less than this fraction of the expected decrease.
const MIN_EFFECT: f64 = 0.25;
/// Number of ineffective steps in a row after which shedding stops.
const MAX_INEFFECTIVE: u8 = 3;
/// Increase of utilization above which shedding resumes after ineffective steps.
const RESUME_INCREASE: f64 = 0.05;
/// Proportions of the overflow weights while the share is 100, nearest region first. They apply as soon as traffic
/// overflows.
const IDLE_PROPORTIONS: [f64; 3] = [50.0, 30.0, 20.0];

/// Distribution of a (zone, model)'s requests at one gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Percent of the requests that the first region keeps.
    pub home_share: u8,
    /// Overflow regions by weight; the weights sum to [`TOTAL_WEIGHT`]. With a share of 100 they are the regions that
    /// would take overflow. Empty if no region can take any.
    pub overflow: BTreeMap<RegionName, u32>,
    /// The last change of the share or of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// The share and weights before that change.
    #[serde(rename = "was", default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousShare>,
    /// Shedding had no effect. It stops until utilization rises further.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_effect: bool,
}

/// An earlier share, with its weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreviousShare {
    /// Percent of the requests that the first region kept.
    pub home_share: u8,
    /// Overflow regions by weight.
    pub overflow: BTreeMap<RegionName, u32>,
}

impl PreviousShare {
    /// Overflow to a region, in percent of all requests.
    pub fn part(&self, region: &RegionName) -> f64 {
        part(self.home_share, &self.overflow, region)
    }
}

fn part(home_share: u8, overflow: &BTreeMap<RegionName, u32>, region: &RegionName) -> f64 {
    let weight = overflow.get(region).copied().unwrap_or_default();
    f64::from(weight) / f64::from(TOTAL_WEIGHT) * f64::from(100 - home_share)
}

/// The last change of a placement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Time of the change.
    pub at: Millis,
    /// Utilization of the first region at that time.
    #[serde(rename = "saw")]
    pub utilization: f64,
    /// Expected utilization after the change.
    pub expected: f64,
    /// Number of ineffective steps in a row before this one.
    #[serde(default, alias = "vain")]
    pub ineffective_steps: u8,
    /// The first region had no endpoints at that time, or had only some of them back.
    #[serde(default, alias = "fled", skip_serializing_if = "std::ops::Not::not")]
    pub evacuated: bool,
    /// The home share increased.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rose: bool,
    /// The first region shed traffic that it had taken back before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relapsed: bool,
}

/// The next state of a placement before overflow is assigned to regions.
struct Draft {
    /// What each candidate keeps of its overflow, in percent of the requests.
    parts: Vec<f64>,
    /// What each candidate can take in addition, in percent of the requests.
    headroom: Vec<f64>,
    /// Traffic that moves to other regions, in percent of the requests.
    moved: f64,
    /// Whether any traffic moves.
    moves: bool,
    without_effect: bool,
}

/// The next move of a placement.
enum Move {
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
    /// All requests stay at the first region.
    pub fn home() -> Self {
        Self {
            home_share: 100,
            overflow: BTreeMap::new(),
            step: None,
            previous: None,
            without_effect: false,
        }
    }

    /// Fixed parts for the regions that serve, in proportion to `weights`. `others` does not contain the first region.
    pub fn fixed(
        weights: &BTreeMap<RegionName, u32>,
        first: (&RegionName, &HomePool),
        others: &[Candidate],
    ) -> Self {
        let weight = |region: &RegionName| f64::from(weights.get(region).copied().unwrap_or(0));
        let parts: Vec<f64> = others
            .iter()
            .map(|other| {
                if other.open {
                    weight(&other.region)
                } else {
                    0.0
                }
            })
            .collect();
        let home = if first.1.down { 0.0 } else { weight(first.0) };
        let away = parts.iter().sum::<f64>();
        if away <= 0.0 {
            return Self::home();
        }
        Self {
            home_share: (home / (home + away) * 100.0).round() as u8,
            overflow: to_weights(others, &parts),
            ..Self::home()
        }
    }

    /// Overflow to a region, in percent of all requests.
    pub fn part(&self, region: &RegionName) -> f64 {
        part(self.home_share, &self.overflow, region)
    }

    /// Utilization of the first region per percent of the requests.
    pub fn load(&self, first: &HomePool) -> f64 {
        (first.utilization_or_full() * first.sheddable * first.movable_share).max(0.01)
            / f64::from(self.home_share.max(1))
    }

    /// Traffic that would move to other regions with unlimited headroom, in percent of the requests.
    pub fn wants(
        &self,
        limits: &Overflow,
        first: &HomePool,
        others: &[Candidate],
        now: Millis,
    ) -> f64 {
        self.draft(limits, first, others, now).moved
    }

    /// The placement that follows this one.
    pub fn next(
        &self,
        limits: &Overflow,
        first: &HomePool,
        others: &[Candidate],
        now: Millis,
    ) -> Self {
        let Draft {
            mut parts,
            headroom,
            moved,
            moves,
            mut without_effect,
        } = self.draft(limits, first, others, now);
        // Traffic that fits nowhere stays at home.
        let mut left = moved;
        for (part, headroom) in parts.iter_mut().zip(&headroom) {
            let taken = headroom.clamp(0.0, left.max(0.0));
            *part += taken;
            left -= taken;
        }
        // Whole percents. The epsilon absorbs rounding errors.
        let away = (parts.iter().sum::<f64>() + 1e-6).floor().clamp(0.0, 100.0) as u8;
        let home_share = 100 - away;
        let overflow = if away == 0 {
            self.idle_overflow(limits, others)
        } else if moves {
            to_weights(others, &parts)
        } else {
            self.overflow.clone()
        };
        let (mut step, mut previous) = (self.step, self.previous.clone());
        if home_share != self.home_share || (moves && overflow != self.overflow) {
            step = Some(self.step_to(home_share, first, now));
            previous = Some(PreviousShare {
                home_share: self.home_share,
                overflow: self.overflow.clone(),
            });
        }
        if away == 0 {
            without_effect = false;
            step = step.filter(|step| now.since(step.at) < RELAPSE_PAUSE);
        }
        Self {
            home_share,
            overflow,
            previous: previous.filter(|_| step.is_some()),
            step,
            without_effect,
        }
    }

    fn draft(
        &self,
        limits: &Overflow,
        first: &HomePool,
        others: &[Candidate],
        now: Millis,
    ) -> Draft {
        let load = self.load(first);
        let current = others.iter().map(|other| self.part(&other.region));
        let each = others.iter().zip(current);
        let headroom: Vec<f64> = each
            .clone()
            .map(|(other, current)| other.headroom_percent(first, load, current))
            .collect();
        let mut parts: Vec<f64> = each
            .map(|(other, current)| if other.open { current } else { 0.0 })
            .collect();
        // All overflow to a region out of service moves at once.
        let unserved = f64::from(100 - self.home_share) - parts.iter().sum::<f64>();
        let mut moved = unserved;
        let mut without_effect = self.without_effect;
        match self.next_move(limits, first, &parts, &headroom, now, &mut without_effect) {
            Move::Stay => {}
            Move::Shed(step) => moved += f64::from(step),
            Move::Relieve(most) => {
                // The farthest region gives first.
                let mut relieved = 0.0;
                for (part, headroom) in parts.iter_mut().zip(&headroom).rev() {
                    let gives = (-headroom).clamp(0.0, *part).min(most - relieved);
                    *part -= gives;
                    relieved += gives;
                }
                moved += relieved;
            }
            Move::Rise(step) => {
                let sum: f64 = parts.iter().sum();
                let kept = (1.0 - f64::from(step) / sum).max(0.0);
                parts.iter_mut().for_each(|part| *part *= kept);
            }
        }
        Draft {
            parts,
            headroom,
            moved,
            moves: moved > 1e-6,
            without_effect,
        }
    }

    fn step_to(&self, home_share: u8, first: &HomePool, now: Millis) -> Step {
        let utilization = first.utilization_or_full();
        let rose = home_share > self.home_share;
        let kept = f64::from(home_share) / f64::from(self.home_share.max(1));
        let expected = utilization * (1.0 - first.sheddable * (1.0 - kept));
        // Signals have at most three significant decimals. Rounded values are equal after serialization.
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        Step {
            at: now,
            utilization: rounded(utilization),
            expected: rounded(expected),
            ineffective_steps: self.ineffective_steps(first),
            // Until all endpoints serve, the share follows the fraction that does.
            evacuated: first.down || (rose && self.was_evacuated() && first.serving < 100),
            rose,
            relapsed: self
                .recent_step(now)
                .is_some_and(|step| step.relapsed || (step.rose && home_share < self.home_share)),
        }
    }

    /// Whether the first region had no endpoints at the last step, or had only some of them back.
    fn was_evacuated(&self) -> bool {
        self.step.is_some_and(|step| step.evacuated)
    }

    /// The last step, if it is younger than [`RELAPSE_PAUSE`].
    fn recent_step(&self, now: Millis) -> Option<Step> {
        self.step.filter(|step| now.since(step.at) < RELAPSE_PAUSE)
    }

    /// The next move. `parts` is each candidate's overflow and `headroom` what it can take in addition, in percent of
    /// the requests.
    fn next_move(
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
        if first.down {
            *without_effect = false;
            return match self.lowered(limits, f64::from(STEP_DOWN)) {
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
            self.lowered(limits, f64::from(first.unhealthy_step))
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
        self.lowered(limits, f64::from(self.home_share) * part)
    }

    /// Number of ineffective steps in a row, including the last step.
    fn ineffective_steps(&self, first: &HomePool) -> u8 {
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

    /// Sheds `step` percent, limited by [`STEP_DOWN`] and the floor.
    fn lowered(&self, limits: &Overflow, step: f64) -> Move {
        let above_floor = self.home_share.saturating_sub(limits.floor_percent());
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

    /// The overflow weights while the share is 100: the nearest candidates with headroom. A current candidate stays
    /// until it is overloaded, so that noise changes nothing.
    fn idle_overflow(&self, limits: &Overflow, others: &[Candidate]) -> BTreeMap<RegionName, u32> {
        let hysteresis = limits.target() - limits.back_below;
        let eligible = |other: &&Candidate| {
            other.open
                && other.headroom >= 0.0
                && (self.overflow.contains_key(&other.region)
                    || (other.headroom > hysteresis && !other.silent))
        };
        let mut idle: Vec<&Candidate> = others
            .iter()
            .filter(eligible)
            .take(IDLE_PROPORTIONS.len())
            .collect();
        if idle.is_empty() {
            idle.extend(others.iter().find(|other| other.open && other.silent));
        }
        let parts: Vec<f64> = others
            .iter()
            .map(|other| {
                let rank = idle.iter().position(|chosen| chosen.region == other.region);
                rank.and_then(|rank| IDLE_PROPORTIONS.get(rank))
                    .copied()
                    .unwrap_or_default()
            })
            .collect();
        to_weights(others, &parts)
    }
}

fn to_weights(others: &[Candidate], parts: &[f64]) -> BTreeMap<RegionName, u32> {
    let regions = others.iter().map(|other| &other.region);
    weights::proportional(regions.zip(parts.iter().copied()))
}
