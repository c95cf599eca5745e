//! The state file: the plan and its lease, kept over a restart.
//!
//! All other state is observed again within seconds. Without the plan, these seconds would send all traffic to its home
//! region, which may be the overloaded one.

use crate::clock::{steady_clock, system_time};
use meridian_planner::plan::Plan;
use meridian_planner::signal::Millis;
use meridian_policy::filter_policy::Lease;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// The state that is kept over a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedState {
    /// The plan.
    pub plan: Plan,
    /// The lease that the gateways have.
    pub lease: Lease,
}

/// A file that keeps the last state, or none.
#[derive(Clone, Debug)]
pub struct StateFile {
    file: Option<PathBuf>,
}

impl StateFile {
    /// Keeps state in this file; without a file nothing is kept.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    /// The saved state; `None`, with a warning, if the file cannot be read.
    pub fn load(&self) -> Option<SavedState> {
        let file = self.file.as_ref()?;
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the state file cannot be read; starting with home first");
                return None;
            }
        };
        serde_json::from_slice(&text)
            .inspect_err(|error| {
                tracing::warn!(file = %file.display(), %error, "the state file cannot be parsed; starting with home first");
            })
            .ok()
    }

    /// Saves each new state until the sender is dropped. States that are replaced while the file is written are skipped;
    /// the last one is always written.
    pub async fn save_latest(self, mut states: watch::Receiver<Option<SavedState>>) {
        while states.changed().await.is_ok() {
            let state = states.borrow_and_update().clone();
            let state = state.map(|state| by_system_time(state, steady_clock(), system_time()));
            if let (Some(file), Some(state)) = (&self.file, state)
                && let Err(error) = replace(file, &state).await
            {
                tracing::warn!(file = %file.display(), %error, "the plan cannot be saved; a restart would start with home first");
            }
        }
    }
}

/// The state with the lease's time by the system's clock, which may have been set since this process started: the next process
/// begins with that clock. `steady` and `system`: one moment by both.
fn by_system_time(mut state: SavedState, steady: Millis, system: Millis) -> SavedState {
    let set_by = system.0.cast_signed() - steady.0.cast_signed();
    // To the nearest second: where the clock was not set, the lease is the one that the gateways have.
    let seconds = (set_by + 500).div_euclid(1000);
    state.lease.given = state.lease.given.saturating_add_signed(seconds);
    state
}

/// Replaces the file atomically.
async fn replace(file: &Path, state: &SavedState) -> io::Result<()> {
    let next = file.with_extension("next");
    tokio::fs::write(&next, serde_json::to_vec(state)?).await?;
    tokio::fs::rename(next, file).await
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

    #[tokio::test]
    async fn the_last_state_is_loaded_and_a_broken_file_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plan.json");
        let state_file = StateFile::new(Some(file.clone()));
        assert_eq!(state_file.load(), None);
        let (sender, states) = watch::channel(None);
        let saving = tokio::spawn(state_file.clone().save_latest(states));
        for given in 0..100 {
            sender.send_replace(Some(saved(given)));
            tokio::task::yield_now().await;
        }
        drop(sender);
        saving.await.unwrap();
        assert_eq!(state_file.load(), Some(saved(99)));
        let files = std::fs::read_dir(dir.path()).unwrap();
        assert_eq!(files.count(), 1, "nothing is left over");
        std::fs::write(&file, "{ torn").unwrap();
        assert_eq!(state_file.load(), None);
        assert_eq!(StateFile::new(None).load(), None);
    }
}
