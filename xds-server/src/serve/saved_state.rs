//! The plan and its lease, kept over a restart.
//!
//! All other state is observed again within seconds. Without the plan, these seconds would send all traffic to its home
//! region, which may be the overloaded one.

use meridian_planner::placement::Placement;
use meridian_planner::plan::Plan;
use meridian_planner::signal::Millis;
use meridian_policy::filter_policy::{Lease, TOTAL_WEIGHT};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Latest time of a lease, in seconds since the Unix epoch: the end of the year 9999.
const LATEST: u64 = 253_402_300_799;
/// Longest lease, in milliseconds: the longest duration that a fleet file can give.
const LONGEST_LEASE_MS: u64 = 24 * 3600 * 1000;

/// The state that is kept over a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedState {
    /// The plan.
    pub plan: Plan,
    /// The lease that the gateways have.
    pub lease: Lease,
    /// The texts of the fleet files whose definitions the gateways have, the newest first.
    #[serde(default)]
    pub files: Vec<String>,
    /// The state before an edit of which the first step is in force: the routers' policies are still those of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<SavedState>>,
}

impl SavedState {
    /// A state that was saved; `None`, with a warning that names where it was, if it cannot be used.
    pub fn read(bytes: &[u8], shown: &Path) -> Option<Self> {
        let state: Self = serde_json::from_slice(bytes)
            .inspect_err(|error| {
                tracing::warn!(file = %shown.display(), %error, "the saved plan cannot be parsed; starting with home first");
            })
            .ok()?;
        if let Err(error) = state.check() {
            tracing::warn!(file = %shown.display(), error, "the saved plan has a value that cannot be; starting with home first");
            return None;
        }
        Some(state)
    }

    /// Whether every value can be.
    ///
    /// # Errors
    ///
    /// The first value that no control plane has written. Nothing else in the state can be trusted then.
    pub fn check(&self) -> Result<(), String> {
        let before = self.before.iter().flat_map(|before| impossible(before));
        match impossible(self).into_iter().chain(before).next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// The first value of a state that no control plane has written. Such a state is not used in part: nothing else in it can be trusted.
fn impossible(state: &SavedState) -> Option<String> {
    // A text that cannot be read as a fleet file is left out later.
    let SavedState {
        plan,
        lease,
        files: _,
        before: _,
    } = state;
    if lease.given > LATEST || lease.runs_ms > LONGEST_LEASE_MS {
        return Some(format!("lease: {lease:?}"));
    }
    // The clocks of the lease and of the plan differ where the system's clock was set.
    let latest = lease.given * 1000 + lease.runs_ms + LONGEST_LEASE_MS;
    for (gateway, zones) in &plan.gateways {
        for (zone, models) in zones {
            for (model, placement) in models {
                if let Some(what) = impossible_placement(placement, latest) {
                    return Some(format!("gateways.{gateway}.{zone}.{model}.{what}"));
                }
            }
        }
    }
    for (region, gates) in &plan.batch {
        for (model, gate) in gates {
            if gate.open > 100 || gate.since.0 > latest {
                return Some(format!("batch.{region}.{model}: {gate:?}"));
            }
        }
    }
    for (region, pools) in &plan.pools {
        for (model, health) in pools {
            if let Some(failed) = health.failed.filter(|failed| failed.0 > latest) {
                return Some(format!("pools.{region}.{model}.failed: {}", failed.0));
            }
        }
    }
    None
}

fn impossible_placement(placement: &Placement, latest: u64) -> Option<String> {
    let before = placement.previous.iter();
    let before = before.map(|previous| (previous.home_share, &previous.overflow));
    for (share, overflow) in before.chain([(placement.home_share, &placement.overflow)]) {
        let weight: u64 = overflow.values().copied().map(u64::from).sum();
        if share > 100 {
            return Some(format!("home_share: {share} is above 100"));
        }
        if weight != u64::from(TOTAL_WEIGHT) && !(weight == 0 && share == 100) {
            return Some(format!("overflow: the weights sum to {weight}"));
        }
    }
    let step = placement.step?;
    let is_ratio = |value: f64| value.is_finite() && value >= 0.0;
    if step.at.0 > latest || !is_ratio(step.utilization) || !is_ratio(step.expected) {
        return Some(format!("step: {step:?}"));
    }
    None
}

/// The state with the lease's time by the system's clock, which may have been set since this process started: the next process
/// begins with that clock. `steady` and `system`: one moment by both.
pub fn by_system_time(mut state: SavedState, steady: Millis, system: Millis) -> SavedState {
    let set_by = system.0.cast_signed() - steady.0.cast_signed();
    // To the nearest second: where the clock was not set, the lease is the one that the gateways have.
    let seconds = (set_by + 500).div_euclid(1000);
    state.lease.given = state.lease.given.saturating_add_signed(seconds);
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(given: u64) -> SavedState {
        SavedState {
            plan: Plan::default(),
            lease: Lease {
                given,
                runs_ms: 60_000,
            },
            files: Vec::new(),
            before: None,
        }
    }

    #[test]
    fn a_lease_is_saved_by_the_system_clock_as_it_was_set() {
        let steady = Millis(1_700_000_000_400);
        let after = |system: u64| {
            let state = by_system_time(saved(1_699_999_990), steady, Millis(system));
            state.lease.given
        };
        for skew in 0..100 {
            assert_eq!(after(steady.0 + 50 - skew), 1_699_999_990, "not set");
        }
        assert_eq!(after(steady.0 + 120_000), 1_699_999_990 + 120);
        assert_eq!(after(steady.0 - 120_000), 1_699_999_990 - 120);
    }

    #[test]
    fn a_state_with_an_impossible_value_is_not_used_at_all() {
        let good = r#"{"plan": {"pools": {"us": {"m": {"down": false, "reasons": ["errors"], "failed": 1700000000000}}},
            "gateways": {"us": {"global": {"m": {"home_share": 60, "overflow": {"eu": 100},
                "step": {"at": 1700000000000, "saw": 0.9, "expected": 0.8},
                "was": {"home_share": 100, "overflow": {}}}}}},
            "batch": {"us": {"m": {"open": 75, "since": 1700000000000}}},
            "freshness": {"behind": [], "retrieval": {}}},
            "lease": {"given": 1700000000, "runs_ms": 60000}}"#;
        let load = |text: &str| SavedState::read(text.as_bytes(), Path::new("plan"));
        assert!(load(good).is_some());
        for (from, to) in [
            ("\"home_share\": 60", "\"home_share\": 200"),
            ("\"home_share\": 60", "\"home_share\": 101"),
            ("\"home_share\": 60", "\"home_share\": 256"),
            ("\"home_share\": 60", "\"home_share\": -1"),
            ("\"home_share\": 100", "\"home_share\": 101"),
            ("\"home_share\": 100", "\"home_share\": 99"),
            ("\"eu\": 100", "\"eu\": 4294967295"),
            ("\"eu\": 100", "\"eu\": 4294967295, \"us\": 4294967295"),
            ("\"eu\": 100", "\"eu\": 99"),
            ("\"eu\": 100", ""),
            ("\"eu\": 100", "\"EU west\": 100"),
            ("\"open\": 75", "\"open\": 101"),
            ("\"since\": 1700000000000", "\"since\": 9700000000000"),
            ("\"at\": 1700000000000", "\"at\": 18446744073709551615"),
            ("\"failed\": 1700000000000", "\"failed\": 9700000000000"),
            ("\"saw\": 0.9", "\"saw\": -1"),
            ("\"saw\": 0.9", "\"saw\": 1e999"),
            ("\"given\": 1700000000", "\"given\": 18446744073709551615"),
            ("\"runs_ms\": 60000", "\"runs_ms\": 18446744073709551615"),
        ] {
            assert!(good.contains(from), "{from}");
            assert_eq!(load(&good.replacen(from, to, 1)), None, "{to}");
        }
        for end in 0..good.len() {
            assert_eq!(load(&good[..end]), None, "{end}");
        }
    }
}
