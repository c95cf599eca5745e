//! Placement: the share of a (zone, model)'s traffic that a gateway's first region keeps, and the regions that take the
//! rest.
//!
//! Shedding is fast and recovery is slow. A settling time follows each change. A further step for an unhealthy region
//! needs a breach newer than the previous step. Shedding stops after steps without effect. Headroom is used nearest
//! region first. Traffic that fits nowhere stays at home.

mod moves;
mod pools;
mod share;

pub use moves::{STEP_DOWN, STEP_UP};
pub use pools::{Candidate, HomePool, Utilization};
pub use share::{Placement, PreviousShare, Step};

use crate::signal::Millis;
use crate::weights;
use meridian_policy::fleet::Overflow;
use meridian_policy::name::RegionName;
use moves::Move;
use share::RELAPSE_PAUSE;
use std::collections::BTreeMap;

/// Proportions of the overflow weights while the share is 100, nearest region first. They apply as soon as traffic
/// overflows.
const IDLE_PROPORTIONS: [f64; 3] = [50.0, 30.0, 20.0];

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

impl Placement {
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
                if other.open && !other.drained {
                    weight(&other.region)
                } else {
                    0.0
                }
            })
            .collect();
        let is_left = first.1.down || first.1.drained;
        let home = if is_left { 0.0 } else { weight(first.0) };
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
            self.idle_overflow(limits, first, others)
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

    /// The overflow weights while the share is 100: the nearest candidates with headroom. A current candidate stays
    /// until it is overloaded, so that noise changes nothing. Where no region has headroom, all that serve: gateways see at request
    /// time whose queue is shorter.
    fn idle_overflow(
        &self,
        limits: &Overflow,
        first: &HomePool,
        others: &[Candidate],
    ) -> BTreeMap<RegionName, u32> {
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
            let takes = |other: &&Candidate| other.open && other.silent && !other.drained;
            idle.extend(others.iter().find(takes));
        }
        if idle.is_empty() && first.is_overloaded(limits) {
            let open = others.iter().filter(|other| other.open && !other.drained);
            idle.extend(open.take(IDLE_PROPORTIONS.len()));
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
