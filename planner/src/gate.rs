//! Batch gates: how much of the batch traffic each pool accepts. Batch traffic uses the capacity that interactive
//! traffic leaves. It leaves a loaded region before interactive traffic does, and returns more slowly.

use crate::placement::Utilization;
use crate::signal::Millis;
use meridian_policy::fleet::Overflow;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Step by which a gate closes, in percentage points. A region far above its limit closes its gate completely at once.
const CLOSE_STEP: u8 = 25;
/// Step by which a gate opens, in percentage points.
const OPEN_STEP: u8 = 20;
/// A gate opens while peak utilization is below this fraction of the closing threshold.
pub(crate) const OPEN_BELOW: f64 = 0.85;
/// Settling times before an opening step. A closing step waits for one.
const OPEN_SETTLING_TIMES: u32 = 3;

/// How much of the batch traffic a region's pool accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Accepted batch traffic, in percent.
    pub open: u8,
    /// Time of the last change.
    pub since: Millis,
}

/// The load of a pool, as input of its gate.
#[derive(Clone, Copy, Debug)]
pub struct PoolLoad {
    /// Utilization, if known.
    pub utilization: Option<Utilization>,
    /// Some of its sources have not reported within the signal TTL.
    pub silent: bool,
    /// It is unhealthy and sheds interactive traffic.
    pub unhealthy: bool,
    /// It receives batch traffic.
    pub receives_batch: bool,
    /// Time until a change shows in the utilization.
    pub settling_time: Duration,
}

/// The gate's next state; `None` is a fully open gate. A gate closes above `back_below`, the utilization under which
/// interactive traffic returns. Batch traffic has therefore left before interactive traffic sheds.
pub fn next(gate: Option<Gate>, limits: &Overflow, load: &PoolLoad, now: Millis) -> Option<Gate> {
    let open = gate.map_or(100, |gate| gate.open.min(100));
    let to = |open: u8| (open < 100).then_some(Gate { open, since: now });
    let age = gate.map(|gate| now.since(gate.since));
    let settled = |times: u32| age.is_none_or(|age| age >= load.settling_time * times);
    if load.unhealthy {
        return if open == 0 { gate } else { to(0) };
    }
    let may_open = open < 100 && !load.silent && settled(OPEN_SETTLING_TIMES);
    let opened = || to((open + OPEN_STEP).min(100));
    let Some(utilization) = load.utilization else {
        // Without a utilization signal, health alone decides. The gate of a silent pool does not change.
        return if may_open { opened() } else { gate };
    };
    let threshold = limits.back_below;
    if open > 0 && utilization.now > f64::midpoint(limits.above, 1.0) {
        return to(0);
    }
    if open > 0 && utilization.low > threshold && settled(1) {
        // Without batch traffic there is no reason for small steps.
        return to(if load.receives_batch {
            open.saturating_sub(CLOSE_STEP)
        } else {
            0
        });
    }
    if may_open && utilization.peak < OPEN_BELOW * threshold {
        return opened();
    }
    gate
}
