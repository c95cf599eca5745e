//! One placement: how much of a (zone, model)'s traffic a gateway's first region keeps, and where the rest goes.
//!
//! Shedding is quick and recovery slow. A change is followed by a pause, so that it is seen before the next one; a later
//! step needs signs that are newer than the one before it; and where steps are seen to do nothing, shedding stops. Room
//! is taken nearest first, and what fits nowhere stays at home.

mod pools;

pub use pools::{Candidate, HomePool, Utilization};

use crate::signal::Millis;
use crate::weights;
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use meridian_policy::fleet::Overflow;
use meridian_policy::name::RegionName;
use pools::{FALLS, SETTLE};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most that a share falls in one step, in percent.
pub const STEP_DOWN: u8 = 30;
/// The most that it rises in one step, unless it must.
pub const STEP_UP: u8 = 10;

/// Unless all of it together would keep it below this part of where it takes back.
const RELAPSE: f64 = 0.75;

/// So long a region that had to shed again what it had taken back takes nothing back.
const PATIENT: Duration = Duration::from_secs(600);

/// Less than this part of what was expected is no effect.
const EFFECT: f64 = 0.25;
/// After this many steps without effect shedding goes no further.
const MOST_INEFFECTIVE: u8 = 3;
/// Where shedding had no effect, utilization must grow by this before it is tried again.
const WORSE: f64 = 0.05;
/// While nothing leaves, those that would take some at once, the nearest first, in these proportions.
const AT_REST: [f64; 3] = [50.0, 30.0, 20.0];
/// Where a (zone, model)'s requests go first, at one gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Percent of the requests that the first region keeps.
    pub home_share: u8,
    /// The other regions that take the rest, by weight; the weights' sum is [`TOTAL_WEIGHT`]. With a share of 100 it is the
    /// one that would take some. Empty if none can.
    pub overflow: BTreeMap<RegionName, u32>,
    /// When the share last changed, and what was seen and expected then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// What it was before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<PreviousShare>,
    /// Shedding was seen to do nothing; it goes no further until things get worse.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_effect: bool,
}

/// An earlier share, with its weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreviousShare {
    /// Percent of the requests that the first region kept.
    pub home_share: u8,
    /// The regions that took the rest, by weight.
    pub overflow: BTreeMap<RegionName, u32>,
}

impl PreviousShare {
    /// What a region had of all requests, in percent.
    pub fn part(&self, region: &RegionName) -> f64 {
        part(self.home_share, &self.overflow, region)
    }
}

fn part(home_share: u8, overflow: &BTreeMap<RegionName, u32>, region: &RegionName) -> f64 {
    let weight = overflow.get(region).copied().unwrap_or_default();
    f64::from(weight) / f64::from(TOTAL_WEIGHT) * f64::from(100 - home_share)
}

/// The last change of a share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Millis,
    /// The first region's utilization then.
    pub saw: f64,
    /// What it should become.
    pub expected: f64,
    /// How many steps in a row, before this one, had no effect.
    #[serde(default, alias = "vain")]
    pub ineffective_steps: u8,
    /// The first region served nobody then, or a part of it did again.
    #[serde(default, alias = "fled", skip_serializing_if = "std::ops::Not::not")]
    pub evacuated: bool,
    /// It gave the first region more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rose: bool,
    /// The first region had to shed again what it had taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relapsed: bool,
}

/// What is to become of a placement, before it is known what fits where.
struct Draft {
    /// What each region keeps of what it has, in percent of the requests.
    parts: Vec<f64>,
    /// What it can take more.
    room: Vec<f64>,
    /// What goes to other regions than now.
    leaves: f64,
    /// Something does.
    moves: bool,
    without_effect: bool,
}

/// What a settled placement does next.
enum Move {
    Stay,
    /// This much less at home, in percent of all requests.
    Shed(u8),
    /// Away from regions that have too much themselves, to others or back home: this much at most, in percent of all requests.
    Relieve(f64),
    /// Back home.
    Rise(u8),
}

impl Placement {
    /// Everything at home.
    pub fn home() -> Self {
        Self {
            home_share: 100,
            overflow: BTreeMap::new(),
            step: None,
            was: None,
            without_effect: false,
        }
    }

    /// A fixed part to each region that may be asked, and nothing else. The first one is not among the others.
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
        let own = if first.1.down { 0.0 } else { weight(first.0) };
        let away = parts.iter().sum::<f64>();
        if away <= 0.0 {
            return Self::home();
        }
        Self {
            home_share: (own / (own + away) * 100.0).round() as u8,
            overflow: to_weights(others, &parts),
            ..Self::home()
        }
    }

    /// What a region has of all requests, in percent.
    pub fn part(&self, region: &RegionName) -> f64 {
        part(self.home_share, &self.overflow, region)
    }

    /// One percent of the requests is this much of the first region's utilization.
    pub fn load(&self, first: &HomePool) -> f64 {
        (first.saw() * first.sheddable * first.own).max(0.01) / f64::from(self.home_share.max(1))
    }

    /// What it would send to other regions than now, in percent of the requests, were there room for all of it.
    pub fn wants(
        &self,
        limits: &Overflow,
        first: &HomePool,
        others: &[Candidate],
        now: Millis,
    ) -> f64 {
        self.draft(limits, first, others, now).leaves
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
            room,
            leaves,
            moves,
            mut without_effect,
        } = self.draft(limits, first, others, now);
        // What fits nowhere stays at home.
        let mut left = leaves;
        for (part, room) in parts.iter_mut().zip(&room) {
            let fits = room.clamp(0.0, left.max(0.0));
            *part += fits;
            left -= fits;
        }
        // Whole percents; a hair is rounding.
        let away = (parts.iter().sum::<f64>() + 1e-6).floor().clamp(0.0, 100.0) as u8;
        let home_share = 100 - away;
        let overflow = if away == 0 {
            self.at_rest(limits, others)
        } else if moves {
            to_weights(others, &parts)
        } else {
            self.overflow.clone()
        };
        let (mut step, mut was) = (self.step, self.was.clone());
        if home_share != self.home_share || (moves && overflow != self.overflow) {
            step = Some(self.step_to(home_share, first, now));
            was = Some(PreviousShare {
                home_share: self.home_share,
                overflow: self.overflow.clone(),
            });
        }
        if away == 0 {
            without_effect = false;
            step = step.filter(|step| now.since(step.at) < PATIENT);
        }
        Self {
            home_share,
            overflow,
            was: was.filter(|_| step.is_some()),
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
        let had = others.iter().map(|other| self.part(&other.region));
        let each = others.iter().zip(had);
        let room: Vec<f64> = each
            .clone()
            .map(|(other, had)| other.fits(first, load, had))
            .collect();
        let mut parts: Vec<f64> = each
            .map(|(other, had)| if other.open { had } else { 0.0 })
            .collect();
        // Of a region that serves nobody any more, all of it leaves, at once.
        let lost = f64::from(100 - self.home_share) - parts.iter().sum::<f64>();
        let mut leaves = lost;
        let mut without_effect = self.without_effect;
        match self.next_move(limits, first, &parts, &room, now, &mut without_effect) {
            Move::Stay => {}
            Move::Shed(step) => leaves += f64::from(step),
            Move::Relieve(most) => {
                // The farthest first.
                let mut relieved = 0.0;
                for (part, room) in parts.iter_mut().zip(&room).rev() {
                    let gives = (-room).clamp(0.0, *part).min(most - relieved);
                    *part -= gives;
                    relieved += gives;
                }
                leaves += relieved;
            }
            Move::Rise(step) => {
                let sum: f64 = parts.iter().sum();
                let kept = (1.0 - f64::from(step) / sum).max(0.0);
                parts.iter_mut().for_each(|part| *part *= kept);
            }
        }
        Draft {
            parts,
            room,
            leaves,
            moves: leaves > 1e-6,
            without_effect,
        }
    }

    fn step_to(&self, home_share: u8, first: &HomePool, now: Millis) -> Step {
        let saw = first.saw();
        let rose = home_share > self.home_share;
        let kept = f64::from(home_share) / f64::from(self.home_share.max(1));
        let expected = saw * (1.0 - first.sheddable * (1.0 - kept));
        // Three digits are all that is known, and what is stored reads back as it was.
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        Step {
            at: now,
            saw: rounded(saw),
            expected: rounded(expected),
            ineffective_steps: self.ineffective_steps(first),
            // Until all of it serves: it takes back as much as does.
            evacuated: first.down || (rose && self.was_evacuated() && first.serving < 100),
            rose,
            relapsed: self
                .lately(now)
                .is_some_and(|step| step.relapsed || (step.rose && home_share < self.home_share)),
        }
    }

    /// The first region served nobody at the last step, or was on its way back.
    fn was_evacuated(&self) -> bool {
        self.step.is_some_and(|step| step.evacuated)
    }

    /// The last step, if it is not long ago.
    fn lately(&self, now: Millis) -> Option<Step> {
        self.step.filter(|step| now.since(step.at) < PATIENT)
    }

    /// What the placement does next. `parts`: what each candidate has, in percent of the requests; `room`: what it can take more.
    fn next_move(
        &self,
        limits: &Overflow,
        first: &HomePool,
        parts: &[f64],
        room: &[f64],
        now: Millis,
        without_effect: &mut bool,
    ) -> Move {
        let settled = self
            .step
            .is_none_or(|step| now.since(step.at) >= first.settles());
        let mut both = parts.iter().zip(room);
        let too_many = settled && both.any(|(part, room)| *part > 0.0 && *room < 0.0);
        let relieve = |most: f64| {
            (too_many && most >= 1.0).then_some(Move::Relieve(most.min(f64::from(STEP_UP))))
        };
        // If home is no better, only as far as others have room.
        let elsewhere: f64 = room.iter().map(|room| room.max(0.0)).sum();
        if first.down {
            *without_effect = false;
            return match self.lowered(limits, f64::from(STEP_DOWN)) {
                Move::Stay => relieve(elsewhere).unwrap_or(Move::Stay),
                lower => lower,
            };
        }
        if self.was_evacuated() && self.home_share < first.serving {
            // It serves again, and is empty.
            return Move::Rise(first.serving - self.home_share);
        }
        if !settled {
            return Move::Stay;
        }
        if let Some(breach) = first.unhealthy {
            *without_effect = false;
            let sheds = || self.leave_unhealthy(limits, first, breach);
            return relieve(elsewhere).unwrap_or_else(sheds);
        }
        relieve(100.0).unwrap_or_else(|| self.by_load(limits, first, now, without_effect))
    }

    /// The next move of a home pool that is unhealthy: a step for each breach that is newer than the step before it.
    fn leave_unhealthy(&self, limits: &Overflow, first: &HomePool, breach: Millis) -> Move {
        let is_new = self.step.is_none_or(|step| breach.since(step.at) >= SETTLE);
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
            // If nothing measures its load, its health alone decides. While its sources are silent nothing moves.
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

    /// A utilization that is far too high is shed at once. The rest, and further steps, are for one that lasts and does not fall.
    fn above_limit(
        &self,
        limits: &Overflow,
        first: &HomePool,
        utilization: Utilization,
        without_effect: &mut bool,
    ) -> Move {
        let lasts = utilization.low > limits.above && utilization.now > utilization.peak - FALLS;
        let much = utilization.now > f64::midpoint(limits.above, 1.0);
        if first.batch && !much {
            return Move::Stay;
        }
        if lasts || (much && self.home_share == 100) {
            self.shed_load(limits, first, utilization, without_effect)
        } else {
            Move::Stay
        }
    }

    /// Takes back as much as keeps the home pool below where it would shed again.
    fn take_back(
        &self,
        limits: &Overflow,
        first: &HomePool,
        utilization: Utilization,
        now: Millis,
    ) -> Move {
        // After a relapse it waits, unless there is room for all of it.
        let away = f64::from(100 - self.home_share) / f64::from(self.home_share.max(1));
        let grows = 1.0 + first.elasticity * first.sheddable * away;
        let relapsed = |step: Step| step.relapsed && !step.rose;
        if self.lately(now).is_some_and(relapsed)
            && utilization.peak * grows > RELAPSE * limits.back_below
        {
            return Move::Stay;
        }
        if utilization.peak > 0.0 && first.sheddable > 0.0 {
            let room = limits.target() / utilization.peak - 1.0;
            let share = f64::from(self.home_share.max(1));
            self.raised(share * room / first.sheddable / first.elasticity)
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
            let worse = first.is_full() || utilization.now >= step.saw + WORSE;
            *without_effect =
                !worse && (*without_effect || self.ineffective_steps(first) >= MOST_INEFFECTIVE);
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

    /// How many steps in a row had no effect, now that the last one is seen.
    fn ineffective_steps(&self, first: &HomePool) -> u8 {
        let (Some(step), Some(utilization)) = (self.step, first.utilization) else {
            return 0;
        };
        let wanted = step.saw - step.expected;
        if wanted > 0.0 && !first.is_full() && step.saw - utilization.now < EFFECT * wanted {
            step.ineffective_steps.saturating_add(1)
        } else {
            0
        }
    }

    /// This much less, but not below the floor.
    fn lowered(&self, limits: &Overflow, step: f64) -> Move {
        let above_floor = self.home_share.saturating_sub(limits.floor_percent());
        match (step.ceil().clamp(0.0, f64::from(STEP_DOWN)) as u8).min(above_floor) {
            0 => Move::Stay,
            step => Move::Shed(step),
        }
    }

    fn raised(&self, step: f64) -> Move {
        match 100 - self.home_share {
            0 => Move::Stay,
            away => Move::Rise((step.clamp(1.0, f64::from(STEP_UP)) as u8).min(away)),
        }
    }

    /// Who would take some: the nearest that has room. The one that it was stays while it is not too full, so that noise
    /// changes nothing.
    fn at_rest(&self, limits: &Overflow, others: &[Candidate]) -> BTreeMap<RegionName, u32> {
        let calm = limits.target() - limits.back_below;
        let may = |other: &&Candidate| {
            other.open
                && other.room >= 0.0
                && (self.overflow.contains_key(&other.region)
                    || (other.room > calm && !other.silent))
        };
        let mut rest: Vec<&Candidate> = others.iter().filter(may).take(AT_REST.len()).collect();
        if rest.is_empty() {
            rest.extend(others.iter().find(|other| other.open && other.silent));
        }
        let parts: Vec<f64> = others
            .iter()
            .map(|other| {
                let rank = rest.iter().position(|chosen| chosen.region == other.region);
                rank.and_then(|rank| AT_REST.get(rank))
                    .copied()
                    .unwrap_or_default()
            })
            .collect();
        to_weights(others, &parts)
    }
}

fn to_weights(others: &[Candidate], parts: &[f64]) -> BTreeMap<RegionName, u32> {
    let regions = others.iter().map(|other| &other.region);
    weights::whole(regions.zip(parts.iter().copied()))
}
