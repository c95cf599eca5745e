//! Gates: how much of the batch traffic each pool takes. Batch takes what interactive callers leave: it leaves a region before they
//! do, and comes back more slowly.

use crate::placement::Utilization;
use crate::signal::Millis;
use meridian_policy::fleet::Overflow;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a gate closes by where batch is in the way, in percent; a region that is far too full closes it at once.
const CLOSES: u8 = 25;
/// What it opens by.
const OPENS: u8 = 20;
/// It opens where utilization is below this part of what closes it.
const CALM: f64 = 0.85;
/// It opens so many times more slowly than it closes.
const SLOWER: u32 = 3;

/// How much of what batch brings a region's pool takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// In percent.
    pub open: u8,
    /// When that changed.
    pub since: Millis,
}

/// What a gate sees of its pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolLoad {
    /// If known.
    pub utilization: Option<Utilization>,
    /// It has sources that were not heard lately.
    pub silent: bool,
    /// Interactive callers are better off elsewhere.
    pub sick: bool,
    /// Batch is there.
    pub batch: bool,
    /// How long it takes until a change is seen.
    pub settles: Duration,
}

/// The gate that follows one; `None` is an open one. Batch leaves where utilization stays above where interactive callers would come
/// back, so that it has left before they have to.
pub fn next(gate: Option<Gate>, limits: &Overflow, seen: &PoolLoad, now: Millis) -> Option<Gate> {
    let open = gate.map_or(100, |gate| gate.open.min(100));
    let to = |open: u8| (open < 100).then_some(Gate { open, since: now });
    let rests = gate.map(|gate| now.since(gate.since));
    let settled = |times: u32| rests.is_none_or(|rests| rests >= seen.settles * times);
    if seen.sick {
        return if open == 0 { gate } else { to(0) };
    }
    let may_open = open < 100 && !seen.silent && settled(SLOWER);
    let opened = || to((open + OPENS).min(100));
    let Some(utilization) = seen.utilization else {
        // Where nothing measures its load, its health alone decides; what is silent stays as it is.
        return if may_open { opened() } else { gate };
    };
    let yields = limits.back_below;
    if open > 0 && utilization.now > f64::midpoint(limits.above, 1.0) {
        return to(0);
    }
    if open > 0 && utilization.low > yields && settled(1) {
        // Where there is none, nothing has to be done step by step.
        return to(if seen.batch {
            open.saturating_sub(CLOSES)
        } else {
            0
        });
    }
    if may_open && utilization.peak < CALM * yields {
        return opened();
    }
    gate
}
