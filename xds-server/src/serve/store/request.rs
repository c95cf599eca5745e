//! What an operator wants, on its way from the replica that was asked to the one that leads, and the answer.

use super::Record;
use super::error::StoreError;
use super::keys::{ANSWERS, REQUESTS};
use crate::etcd::Step;
use serde::{Deserialize, Serialize};

/// A request that waits for the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its ID.
    pub id: String,
    /// Its lease.
    pub lease: i64,
    /// What is wanted, as JSON.
    pub wanted: Vec<u8>,
}

/// The leader's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was done.
    Done(Box<Record>),
    /// It was not, for a reason of the leader's.
    Refused(serde_json::Value),
}

impl Pending {
    pub(super) fn key(&self) -> String {
        format!("{REQUESTS}{}", self.id)
    }

    /// The steps that answer it.
    pub(super) fn answered(&self, answer: &Answer) -> Result<[Step; 2], StoreError> {
        let put = Step::Put {
            key: format!("{ANSWERS}{}", self.id),
            value: serde_json::to_vec(answer)?,
            lease: self.lease,
        };
        Ok([Step::Delete(self.key()), put])
    }
}
