//! The embedded store, for one control plane: one file in the directory of `--state`.
//!
//! Without a directory the store is in memory: it works the same, and ends with the process. A change of an intent is in the file, and
//! synchronized, before anybody is told that it is accepted.

use super::plans::{KEPT, PlanEntry, PlanRecord};
use super::{Entry, Record, ToSave, earlier};
use crate::clock::{steady_clock, system_time};
use crate::serve::saved_state::{SavedState, by_system_time};
use anyhow::{Context, Result, anyhow, bail};
use meridian_planner::intent::{Intent, Intents};
use redb::backends::InMemoryBackend;
use redb::{
    Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, ReadableTable, TableDefinition,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the file.
const FILE: &str = "meridian.redb";

/// The version of what is in the file. A newer one is not touched.
const VERSION: u64 = 1;

const VERSIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("versions");
const STATES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("states");
const INTENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("intents");
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
const PLANS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("plans");

/// The only version and the only state.
const ONLY: &str = "control plane";

/// The embedded store.
pub struct Embedded {
    database: Database,
    /// The file, for messages.
    shown: PathBuf,
}

impl Embedded {
    /// Whether there is a store in a directory, or a state file of an earlier version in its place.
    pub fn is_in(directory: &Path) -> bool {
        directory.join(FILE).is_file() || directory.is_file()
    }

    /// Opens the store in a directory, which is made if it is missing. A state file of an earlier version in its place is taken over.
    ///
    /// # Errors
    ///
    /// The directory or the file cannot be used. What operators have said is not forgotten silently.
    pub fn open(directory: Option<&Path>) -> Result<Self> {
        let Some(directory) = directory else {
            let database = Database::builder().create_with_backend(InMemoryBackend::new())?;
            let store = Self {
                database,
                shown: "memory".into(),
            };
            store.prepare()?;
            return Ok(store);
        };
        let earlier = earlier::move_away(directory)?;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("--state {}", directory.display()))?;
        let file = directory.join(FILE);
        let shown = file.clone();
        refuse_newer(&file)?;
        let opened = Database::create(&file).map_err(|error| {
            let fix = match error {
                DatabaseError::DatabaseAlreadyOpen => "another `meridian serve` uses it",
                _ => "move it away to start without what operators have said",
            };
            anyhow!(
                "--state: {} cannot be used: {error}; {fix}",
                shown.display()
            )
        });
        let store = Self {
            database: opened?,
            shown,
        };
        store.prepare()?;
        if let Some(state) = earlier {
            store.save(&state, Vec::new())?;
        }
        Ok(store)
    }

    /// Makes the tables, and refuses those of a newer version.
    fn prepare(&self) -> Result<()> {
        let write = self.database.begin_write()?;
        {
            let mut versions = write.open_table(VERSIONS)?;
            let version = versions.get(ONLY)?.map(|version| version.value());
            check_version(version, &self.shown)?;
            if version.is_none() {
                versions.insert(ONLY, VERSION)?;
            }
            write.open_table(STATES)?;
            write.open_table(INTENTS)?;
            write.open_table(AUDIT)?;
            write.open_table(PLANS)?;
        }
        write.commit()?;
        Ok(())
    }

    /// The last plan; `None`, with a warning, if it cannot be read.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn state(&self) -> Result<Option<SavedState>> {
        let read = self.database.begin_read()?;
        let states = read.open_table(STATES)?;
        let Some(bytes) = states.get(ONLY)? else {
            return Ok(None);
        };
        Ok(SavedState::read(bytes.value(), &self.shown))
    }

    /// Saves the plan, and records what it and those before it have moved. Of the records the last [`KEPT`] stay.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn save(&self, state: &SavedState, entries: Vec<PlanEntry>) -> Result<()> {
        let write = self.database.begin_write()?;
        let bytes = serde_json::to_vec(state)?;
        write.open_table(STATES)?.insert(ONLY, &*bytes)?;
        {
            let mut plans = write.open_table(PLANS)?;
            for entry in entries {
                let last = plans.last()?.map_or(0, |(number, _)| number.value());
                let record = entry.numbered(last + 1);
                plans.insert(record.number, &*serde_json::to_vec(&record)?)?;
                plans.remove(record.number.saturating_sub(KEPT))?;
            }
        }
        write.commit()?;
        Ok(())
    }

    /// Saves until the sender is dropped. States that are replaced while one is written are skipped; the last one is always written, and so
    /// is each record.
    pub async fn save_latest(self: Arc<Self>, mut to_save: ToSave) {
        while let Some((state, entries)) = to_save.next().await {
            let state = by_system_time(state, steady_clock(), system_time());
            let (store, unsaved) = (Arc::clone(&self), entries.clone());
            let saved = tokio::task::spawn_blocking(move || store.save(&state, entries)).await;
            if let Err(error) = saved.map_err(anyhow::Error::from).flatten() {
                tracing::warn!(%error, "the plan cannot be saved; a restart would start with home first");
                to_save.put_back(unsaved);
            }
        }
    }

    /// Records of plans, at most `limit`, the oldest first: those after a number, or the last ones.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn plans(&self, after: Option<u64>, limit: usize) -> Result<Vec<PlanRecord>> {
        let read = self.database.begin_read()?;
        let plans = read.open_table(PLANS)?;
        let last = plans.last()?.map_or(0, |(number, _)| number.value());
        let after = after.unwrap_or_else(|| last.saturating_sub(limit as u64));
        let records = plans.range(after.saturating_add(1)..)?.take(limit);
        records
            .map(|entry| Ok(serde_json::from_slice(entry?.1.value())?))
            .collect()
    }

    /// What operators have said.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn intents(&self) -> Result<Intents> {
        let read = self.database.begin_read()?;
        let mut intents = Intents::default();
        for entry in read.open_table(INTENTS)?.iter()? {
            let (number, bytes) = entry?;
            let intent = serde_json::from_slice(bytes.value());
            let intent = intent.with_context(|| {
                format!(
                    "--state: intent {} in {}",
                    number.value(),
                    self.shown.display()
                )
            })?;
            intents.0.insert(number.value(), intent);
        }
        Ok(intents)
    }

    /// Changes an intent and records it, both or neither. Returns the record, whose number is the new intent's.
    ///
    /// # Errors
    ///
    /// The file cannot be written: nothing has changed.
    pub fn change(&self, entry: Entry) -> Result<Record> {
        let write = self.database.begin_write()?;
        let record = {
            let mut intents = write.open_table(INTENTS)?;
            let mut audit = write.open_table(AUDIT)?;
            let before = match entry.before {
                Some(number) => intents.remove(number)?.map(|bytes| bytes.value().to_vec()),
                None => None,
            };
            let before: Option<Intent> = before
                .map(|bytes| serde_json::from_slice(&bytes))
                .transpose()?;
            let last = match audit.last()? {
                Some((_, bytes)) => Some(serde_json::from_slice::<Record>(bytes.value())?),
                None => None,
            };
            let record = Record::after(last.as_ref(), entry, before)?;
            if let Some(after) = &record.after {
                intents.insert(record.number, &*serde_json::to_vec(after)?)?;
            }
            audit.insert(record.number, &*serde_json::to_vec(&record)?)?;
            record
        };
        write.commit()?;
        Ok(record)
    }

    /// Records after a number, at most `limit`, the oldest first.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn audit(&self, after: u64, limit: usize) -> Result<Vec<Record>> {
        let read = self.database.begin_read()?;
        let audit = read.open_table(AUDIT)?;
        let records = audit.range(after.saturating_add(1)..)?.take(limit);
        records
            .map(|entry| Ok(serde_json::from_slice(entry?.1.value())?))
            .collect()
    }
}

/// Refuses a file of a newer version without writing to it: to open it for writing changes it. One whose process was killed is repaired
/// first.
fn refuse_newer(file: &Path) -> Result<()> {
    // What cannot be read is reported by the one that opens it for writing.
    let Ok(database) = ReadOnlyDatabase::open(file) else {
        return Ok(());
    };
    let read = database.begin_read()?;
    let version = match read.open_table(VERSIONS) {
        Ok(versions) => versions.get(ONLY)?.map(|version| version.value()),
        Err(_) => None,
    };
    check_version(version, file)
}

fn check_version(version: Option<u64>, shown: &Path) -> Result<()> {
    match version {
        Some(version) if version > VERSION => bail!(
            "--state: {} is of a newer version of meridian ({version}, this one knows {VERSION})",
            shown.display()
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
