//! The store: what operators have said, the record of it, the last plan, and what each plan has moved. Embedded for one control plane, or in etcd for several.
//!
//! A change of an intent is in the store, and synchronized, before anybody is told that it is accepted.

mod audit;
mod committed;
mod earlier;
mod embedded;
mod error;
mod keys;
mod plans;
mod request;
mod saving;
mod shared;

pub use audit::{Change, Entry, Record, broken_at};
pub use embedded::Embedded;
pub use error::StoreError;
pub use keys::replica_key;
pub use plans::{PlanEntry, PlanRecord, Why};
pub use request::{Answer, Pending};
pub use saving::{Saver, ToSave, to_save};
pub use shared::{Loaded, Member, NotSubmitted, Shared, moved_to};

use super::saved_state::SavedState;
use anyhow::Result;
use meridian_planner::intent::Intents;
use std::path::Path;
use std::sync::Arc;

/// The store.
#[derive(Clone)]
pub enum Store {
    /// One file, or memory.
    Embedded(Arc<Embedded>),
    /// etcd.
    Shared(Arc<Shared>),
}

impl Store {
    /// Opens the embedded store in a directory, or in memory.
    ///
    /// # Errors
    ///
    /// The directory or the file cannot be used.
    pub fn open(directory: Option<&Path>) -> Result<Self> {
        Ok(Self::Embedded(Arc::new(Embedded::open(directory)?)))
    }

    /// What one process has left for the next one: the plan, and what operators have said. In etcd it comes by the watch.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn left(&self) -> Result<(Option<SavedState>, Intents)> {
        match self {
            Self::Embedded(store) => Ok((store.state()?, store.intents()?)),
            Self::Shared(_) => Ok((None, Intents::default())),
        }
    }

    /// Saves until the sender is dropped. In etcd a plan is committed before it is in force.
    pub async fn save_latest(self, to_save: ToSave) {
        if let Self::Embedded(store) = self {
            store.save_latest(to_save).await;
        }
    }

    /// The last plan, with the fleet files that belong to it.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn state(&self) -> Result<Option<SavedState>> {
        match self {
            Self::Embedded(store) => {
                let store = Arc::clone(store);
                tokio::task::spawn_blocking(move || store.state()).await?
            }
            Self::Shared(store) => Ok(store.plan().await?),
        }
    }

    /// What operators have said.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn intents(&self) -> Result<Intents> {
        match self {
            Self::Embedded(store) => {
                let store = Arc::clone(store);
                tokio::task::spawn_blocking(move || store.intents()).await?
            }
            Self::Shared(store) => Ok(store.intents().await?),
        }
    }

    /// Records after a number, at most `limit`, the oldest first.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn audit(&self, after: u64, limit: usize) -> Result<Vec<Record>> {
        match self {
            Self::Embedded(store) => {
                let store = Arc::clone(store);
                tokio::task::spawn_blocking(move || store.audit(after, limit)).await?
            }
            Self::Shared(store) => Ok(store.audit(after, limit).await?),
        }
    }

    /// Records of plans, at most `limit`, the oldest first: those after a number, or the last ones.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn plans(&self, after: Option<u64>, limit: usize) -> Result<Vec<PlanRecord>> {
        match self {
            Self::Embedded(store) => {
                let store = Arc::clone(store);
                tokio::task::spawn_blocking(move || store.plans(after, limit)).await?
            }
            Self::Shared(store) => Ok(store.plans(after, limit).await?),
        }
    }

    /// Changes an intent and records it, both or neither. Returns the record, whose number is the new intent's. In etcd the answer to a
    /// request is a part of the same transaction.
    ///
    /// # Errors
    ///
    /// The store cannot be written: nothing has changed. In etcd the change may have been made all the same if there is no answer.
    pub async fn change(
        &self,
        entry: Entry,
        request: Option<&Pending>,
    ) -> Result<Record, StoreError> {
        match self {
            Self::Embedded(store) => Ok(store.change(entry)?),
            Self::Shared(store) => store.change(entry, request).await,
        }
    }
}

#[cfg(test)]
mod tests;
