//! The operators in force: read from their file at the start, and again when it changes.

use super::list::{OperatorEntry, OperatorList};
use crate::clock::Clock;
use crate::serve::report::{ApiReport, ErrorReport};
use crate::serve::settled::Settled;
use anyhow::{Result, anyhow};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::MissedTickBehavior;

/// Interval between two reads.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The operators in force.
#[derive(Debug, Default)]
pub struct Operators {
    in_force: ArcSwap<OperatorList>,
    error: Mutex<Option<ErrorReport>>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

/// The file, and what was read from it.
#[derive(Debug)]
pub struct OperatorsFile {
    path: String,
    settled: Settled<OperatorList>,
    operators: Arc<Operators>,
}

/// Why a caller is none of the operators.
#[derive(Debug, PartialEq, Eq)]
pub enum NoOperator {
    /// There is no such entry.
    Unknown,
    /// The time of the entry with this name is over.
    Expired(String),
}

impl Operators {
    /// The operator of a token.
    ///
    /// # Errors
    ///
    /// There is none, or its time is over.
    pub fn of_token(&self, token: &str, now: SystemTime) -> Result<OperatorEntry, NoOperator> {
        in_time(self.in_force.load().of_token(token), now)
    }

    /// The operator of a certificate with these names.
    ///
    /// # Errors
    ///
    /// There is none, or its time is over.
    pub fn of_certificate(
        &self,
        names: &[String],
        now: SystemTime,
    ) -> Result<OperatorEntry, NoOperator> {
        in_time(self.in_force.load().of_certificate(names), now)
    }

    /// Counts a request that is refused.
    pub fn count_refused(&self, reason: &'static str) {
        *lock(&self.refused).entry(reason).or_default() += 1;
    }

    /// What the report says.
    pub fn report(&self) -> ApiReport {
        let refused = lock(&self.refused);
        let refused = refused
            .iter()
            .map(|(why, count)| ((*why).to_owned(), *count));
        ApiReport {
            operators: self.in_force.load().count(),
            error: lock(&self.error).clone(),
            refused: refused.collect(),
        }
    }
}

fn in_time(entry: Option<&OperatorEntry>, now: SystemTime) -> Result<OperatorEntry, NoOperator> {
    let entry = entry.ok_or(NoOperator::Unknown)?;
    match entry.expires {
        Some(expires) if expires <= now => Err(NoOperator::Expired(entry.name.clone())),
        _ => Ok(entry.clone()),
    }
}

impl OperatorsFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It cannot be read or used. The error names the field of the fleet file.
    pub fn open(path: String) -> Result<Self> {
        let list = read(&path).map_err(|error| anyhow!(error))?;
        let operators = Operators {
            in_force: ArcSwap::from_pointee(list.clone()),
            ..Operators::default()
        };
        Ok(Self {
            path,
            settled: Settled::new(list),
            operators: Arc::new(operators),
        })
    }

    /// The operators in force.
    pub fn operators(&self) -> Arc<Operators> {
        Arc::clone(&self.operators)
    }

    /// Follows the file for as long as the process runs.
    pub async fn watch(mut self, clock: Clock) {
        let mut polls = tokio::time::interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            polls.tick().await;
            let path = self.path.clone();
            // A file system that hangs blocks this task only.
            if let Ok(read) = tokio::task::spawn_blocking(move || read(&path)).await {
                self.poll(read, clock);
            }
        }
    }

    fn poll(&mut self, read: Result<OperatorList, String>, clock: Clock) {
        let Some(judged) = self.settled.poll(read) else {
            return;
        };
        let error = match judged {
            Ok(list) => {
                tracing::info!(
                    operators = list.count(),
                    "the file of operators was replaced"
                );
                self.operators.in_force.store(Arc::new(list));
                None
            }
            Err(message) => {
                tracing::error!(message, "the operators before stay in force");
                let at = clock();
                Some(ErrorReport { at, message })
            }
        };
        *lock(&self.operators.error) = error;
    }
}

fn read(path: &str) -> Result<OperatorList, String> {
    let at = |error: String| format!("control_plane.api.operators: {path}: {error}");
    let text = std::fs::read_to_string(path).map_err(|error| at(error.to_string()))?;
    OperatorList::parse(&text).map_err(at)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
