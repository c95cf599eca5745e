//! The record of what operators have done. Each record has the hash of the one before it, so that one that is changed or taken out is
//! missed.

use meridian_planner::intent::Intent;
use meridian_planner::signal::Millis;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// What was done with an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was created, perhaps in the place of another one.
    Created,
    /// It was undone.
    Undone,
    /// Its time was over.
    Expired,
}

/// A change of one intent, as its record says it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What was done.
    pub change: Change,
    /// Who did it.
    pub by: String,
    /// From where: the address of the caller, or `meridian` for what it did itself.
    pub from: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: Millis,
    /// The number of the intent that ends, or is replaced.
    pub before: Option<u64>,
    /// The new intent.
    pub after: Option<Intent>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// Its number: 1 for the first one, and no number is left out. That of the intent, if one was created.
    pub number: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// What was done.
    pub change: Change,
    /// Who did it.
    pub by: String,
    /// From where: the address of the caller, or `meridian` for what it did itself.
    pub from: String,
    /// Why.
    pub why: String,
    /// The intent that ended, or was replaced, with its number.
    pub before: Option<(u64, Intent)>,
    /// The intent that is in force since then.
    pub after: Option<Intent>,
    /// The hash of the record before it; empty for the first one.
    pub previous: String,
    /// The SHA-256 of all the above as JSON, in hexadecimal.
    pub hash: String,
}

impl Record {
    /// The record that follows `last`. `before`: the intent of the entry's number.
    pub(super) fn after(
        last: Option<&Self>,
        entry: Entry,
        before: Option<Intent>,
    ) -> serde_json::Result<Self> {
        let mut record = Self {
            number: last.map_or(1, |last| last.number + 1),
            at: entry.at,
            change: entry.change,
            by: entry.by,
            from: entry.from,
            why: entry.why,
            before: entry.before.zip(before),
            after: entry.after,
            previous: last.map(|last| last.hash.clone()).unwrap_or_default(),
            hash: String::new(),
        };
        record.hash = record.expected_hash()?;
        Ok(record)
    }

    fn expected_hash(&self) -> serde_json::Result<String> {
        let without = Self {
            hash: String::new(),
            ..self.clone()
        };
        Ok(hex::encode(Sha256::digest(serde_json::to_vec(&without)?)))
    }
}

/// The first of these records that is not as it was written, or does not follow the one before it. `before`: the record before the first
/// one, if any.
pub fn broken_at(before: Option<&Record>, records: &[Record]) -> Option<u64> {
    let mut last = before;
    for record in records {
        let follows = record.number == last.map_or(1, |last| last.number + 1)
            && record.previous == last.map(|last| last.hash.as_str()).unwrap_or_default();
        if !follows || record.expected_hash().ok().as_ref() != Some(&record.hash) {
            return Some(record.number);
        }
        last = Some(record);
    }
    None
}
