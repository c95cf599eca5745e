//! One placement: how much of a (zone, model)'s traffic a gateway's first region keeps, and where the rest goes.
//!
//! Shedding is quick and recovery slow. A change is followed by a pause, so that it is seen before the next one; where it
//! is seen to do nothing, shedding stops. Room is taken nearest first; what fits nowhere goes to the nearest.

use crate::fleet::Overflow;
use crate::name::RegionName;
use crate::signal::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The sum of a placement's weights.
pub const TOTAL_WEIGHT: u32 = 100;

/// The most that a share falls in one step, in percent.
const STEP_DOWN: u8 = 30;
/// The most that it rises in one step.
const STEP_UP: u8 = 10;
/// What an unhealthy region sheds in one step.
const STEP_UNHEALTHY: u8 = 25;

/// A change is seen in the signals after this time at the earliest.
const SETTLE: Duration = Duration::from_secs(2);

/// Less than this part of what was expected is no effect.
const EFFECT: f64 = 0.25;
/// Where shedding had no effect, utilization must grow by this before it is tried again.
const WORSE: f64 = 0.05;

/// Where a (zone, model)'s requests go first, at one gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Percent of the requests that the first region keeps.
    pub home_share: u8,
    /// The other regions that take the rest, by weight; the weights' sum is [`TOTAL_WEIGHT`]. Empty if none can.
    pub overflow: BTreeMap<RegionName, u32>,
    /// When the share last changed, and what was seen and expected then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// Shedding was seen to do nothing; it goes no further until things get worse.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_effect: bool,
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
}

/// The first region, as far as a placement needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct First {
    /// Its utilization, if known.
    pub utilization: Option<f64>,
    /// The highest of the last seconds.
    pub peak: Option<f64>,
    /// Its callers are better off elsewhere.
    pub unhealthy: bool,
    /// It has sources, and none of them was heard lately.
    pub silent: bool,
    /// The part of its load that can be shed at all, 0 to 1: the rest belongs to zones that have nowhere else to go.
    pub sheddable: f64,
    /// The longest time between two looks at it.
    pub every: Duration,
}

/// Another region that could take some: nearest first in a list of these.
#[derive(Clone, Debug)]
pub struct Other {
    /// Which.
    pub region: RegionName,
    /// What it can take more, in utilization; below nothing if it has too much already.
    pub room: f64,
    /// Whether it may be asked at all.
    pub open: bool,
    /// Whether its load is known.
    pub known: bool,
}

impl Placement {
    /// Everything at home.
    pub fn home() -> Self {
        Self {
            home_share: 100,
            overflow: BTreeMap::new(),
            step: None,
            without_effect: false,
        }
    }

    /// The placement that follows this one.
    pub fn next(&self, limits: &Overflow, first: &First, others: &[Other], now: Millis) -> Self {
        let share = self.share(limits, first, others, now);
        let mut next = Self {
            home_share: share.percent,
            overflow: self.weights(share.percent, first, others),
            step: self.step,
            without_effect: share.without_effect,
        };
        if next.home_share != self.home_share {
            let saw = first.utilization.unwrap_or_default();
            let kept = f64::from(next.home_share) / f64::from(self.home_share);
            let expected = saw * (1.0 - first.sheddable * (1.0 - kept));
            // Three digits are all that is known, and what is stored reads back as it was.
            let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
            next.step = Some(Step {
                at: now,
                saw: rounded(saw),
                expected: rounded(expected),
            });
        }
        if next.home_share == 100 {
            next.step = next
                .step
                .filter(|step| now.since(step.at) < SETTLE + first.every * 2);
        }
        next
    }

    fn share(&self, limits: &Overflow, first: &First, others: &[Other], now: Millis) -> Share {
        let stay = Share {
            percent: self.home_share,
            without_effect: self.without_effect,
        };
        if !others.iter().any(|other| other.open) {
            // Nobody else may have them.
            return Share {
                percent: 100,
                without_effect: false,
            };
        }
        let settled = self
            .step
            .is_none_or(|step| now.since(step.at) >= SETTLE + first.every);
        if !settled {
            return stay;
        }
        let room: f64 = others
            .iter()
            .filter(|other| other.open)
            .map(|other| other.room)
            .sum();
        if room < 0.0 && self.home_share < 100 {
            return Share {
                percent: self.raised(STEP_UP),
                ..stay
            };
        }
        let over = first
            .utilization
            .filter(|utilization| *utilization > limits.above);
        // Where nothing measures its load, its health alone decides; what is silent is left as it is.
        let calm = match first.peak {
            Some(peak) => peak < limits.back_below,
            None => !first.silent,
        };
        match over {
            _ if first.unhealthy => Share {
                percent: self.lowered(limits, STEP_UNHEALTHY, first, room),
                without_effect: false,
            },
            Some(utilization) => self.shed_load(limits, first, utilization, room),
            None if calm => Share {
                percent: self.raised(self.rise(limits, first)),
                without_effect: false,
            },
            None => stay,
        }
    }

    fn shed_load(&self, limits: &Overflow, first: &First, utilization: f64, room: f64) -> Share {
        let no_effect = self.home_share < 100
            && self.step.is_some_and(|step| {
                let wanted = step.saw - step.expected;
                if self.without_effect {
                    utilization < step.saw + WORSE
                } else {
                    wanted > 0.0
                        && step.saw - utilization < EFFECT * wanted
                        && utilization < step.saw + WORSE
                }
            });
        if no_effect {
            return Share {
                percent: self.home_share,
                without_effect: true,
            };
        }
        // Back to the middle between the two limits, where neither is near.
        let target = f64::midpoint(limits.above, limits.back_below);
        let surplus = 1.0 - target / utilization;
        let part = if first.sheddable > 0.0 {
            (surplus / first.sheddable).min(1.0)
        } else {
            0.0
        };
        let step = (f64::from(self.home_share) * part)
            .ceil()
            .min(f64::from(STEP_DOWN));
        Share {
            percent: self.lowered(limits, step as u8, first, room),
            without_effect: false,
        }
    }

    /// A lower share: by this much, but never below the floor, and never more than the others have room for.
    fn lowered(&self, limits: &Overflow, step: u8, first: &First, room: f64) -> u8 {
        let share = f64::from(self.home_share);
        // One percent of the share is this much of the first region's utilization; unknown is taken for full.
        let load = first.utilization.unwrap_or(1.0) * first.sheddable.max(0.01) / share;
        let fits = (room / load).floor().clamp(0.0, 100.0);
        let floor = (limits.floor * 100.0).ceil();
        (share - f64::from(step).min(fits)).max(floor.min(share)) as u8
    }

    fn raised(&self, step: u8) -> u8 {
        self.home_share.saturating_add(step).min(100)
    }

    /// As much as keeps the first region below where it would shed again.
    fn rise(&self, limits: &Overflow, first: &First) -> u8 {
        let target = f64::midpoint(limits.above, limits.back_below);
        let fits = match first.peak {
            Some(peak) if peak > 0.0 && first.sheddable > 0.0 => {
                f64::from(self.home_share) * (target / peak - 1.0) / first.sheddable
            }
            _ => f64::from(STEP_UP),
        };
        fits.clamp(1.0, f64::from(STEP_UP)) as u8
    }

    /// Weights of the others: what each has already, and what is new to the nearest that has room. Only regions that may
    /// be asked have any.
    fn weights(&self, share: u8, first: &First, others: &[Other]) -> BTreeMap<RegionName, u32> {
        let open = || others.iter().filter(|other| other.open);
        let lost = |region: &RegionName| !open().any(|other| other.region == *region);
        let stays = !self.overflow.is_empty() && !self.overflow.keys().any(lost);
        let best = open().find(|other| other.known && other.room > 0.0);
        // What nobody hears of is no reason to change anything.
        let Some(nearest) = best.or_else(|| open().next()) else {
            return BTreeMap::new();
        };
        if stays && (best.is_none() || (share < 100 && share >= self.home_share)) {
            return self.overflow.clone();
        }
        if share == 100 {
            return BTreeMap::from([(nearest.region.clone(), TOTAL_WEIGHT)]);
        }
        // In percent of all requests.
        let shed = |share: u8| f64::from(100 - share);
        let load = first.utilization.unwrap_or(1.0) * first.sheddable.max(0.01)
            / f64::from(self.home_share);
        let mut left = shed(share);
        let mut parts: Vec<(&RegionName, f64)> = Vec::new();
        for other in open() {
            let weight = self
                .overflow
                .get(&other.region)
                .copied()
                .unwrap_or_default();
            let kept = f64::from(weight) / f64::from(TOTAL_WEIGHT) * shed(self.home_share);
            let part = kept.min(left);
            left -= part;
            parts.push((&other.region, part));
        }
        for (other, (_, part)) in open().zip(&mut parts) {
            let fits = (other.room / load).max(0.0).min(left);
            *part += fits;
            left -= fits;
        }
        if left > 0.0
            && let Some((_, part)) = parts
                .iter_mut()
                .find(|(region, _)| **region == nearest.region)
        {
            *part += left;
        }
        to_weights(&parts)
    }
}

struct Share {
    percent: u8,
    without_effect: bool,
}

/// Whole weights in proportion, none of them nothing; what rounding leaves goes to the largest.
fn to_weights(parts: &[(&RegionName, f64)]) -> BTreeMap<RegionName, u32> {
    let sum: f64 = parts.iter().map(|(_, part)| part).sum();
    let whole = |part: f64| (part / sum * f64::from(TOTAL_WEIGHT)).round() as u32;
    let mut weights: BTreeMap<RegionName, u32> = parts
        .iter()
        .map(|(region, part)| ((*region).clone(), whole(*part)))
        .filter(|(_, weight)| *weight > 0)
        .collect();
    let given: u32 = weights.values().sum();
    if let Some(largest) = weights.values_mut().max() {
        *largest = (*largest + TOTAL_WEIGHT).saturating_sub(given);
    }
    weights
}
