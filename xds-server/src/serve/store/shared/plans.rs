//! Plans in etcd, and the records of what each has moved.

use super::Shared;
use crate::etcd::{Client, Guard, Step};
use crate::serve::saved_state::SavedState;
use crate::serve::store::committed::encoded;
use crate::serve::store::error::{StoreError, json};
use crate::serve::store::keys::{PLAN, PLANS, numbered};
use crate::serve::store::plans::{KEPT, PlanEntry, PlanRecord};
use meridian_proto::etcd::KeyValue;

/// Records that are read at a time: an answer has a few MB at most.
const AT_ONCE: usize = 100;

impl Shared {
    /// Makes a plan the one in force, and records what it has moved in the same transaction. Returns its revision.
    ///
    /// # Errors
    ///
    /// This replica does not lead, or etcd does not answer: the plan may be in force then.
    pub async fn commit(
        &self,
        state: &SavedState,
        entry: Option<PlanEntry>,
    ) -> Result<i64, StoreError> {
        let (client, term, guard) = self.leading()?;
        let mut steps = vec![Step::put(PLAN, encoded(state, term)?)];
        let mut guards = vec![guard];
        let mut number = None;
        if let Some(entry) = entry {
            let known = self.session().last_plan;
            let last = match known {
                Some(last) => last,
                None => last_number(&client).await?,
            };
            let record = entry.numbered(last + 1);
            let key = numbered(PLANS, record.number);
            guards.push(Guard::Absent(key.clone()));
            steps.push(Step::put(key, serde_json::to_vec(&record)?));
            let oldest = record.number.saturating_sub(KEPT);
            steps.push(Step::Delete(numbered(PLANS, oldest)));
            number = Some(record.number);
        }
        let done = client.transact(guards, steps).await?;
        if !done.succeeded {
            return Err(StoreError::NotLeading);
        }
        if number.is_some() {
            self.note_plan(term, number);
        }
        Ok(done.revision)
    }

    /// Notes the number of the last record, for as long as this term.
    fn note_plan(&self, term: i64, number: Option<u64>) {
        let mut session = self.session();
        if session.term == Some(term) {
            session.last_plan = number;
        }
    }

    /// Records of plans, at most `limit`, the oldest first: those after a number, or the last ones.
    ///
    /// # Errors
    ///
    /// etcd does not answer.
    pub async fn plans(
        &self,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<PlanRecord>, StoreError> {
        let client = self.client()?;
        let mut after = match after {
            Some(after) => after,
            None => last_number(&client).await?.saturating_sub(limit as u64),
        };
        let mut records: Vec<PlanRecord> = Vec::new();
        while records.len() < limit {
            let from = numbered(PLANS, after.saturating_add(1));
            let wanted = AT_ONCE.min(limit - records.len());
            // `0` follows `/`.
            let found = client.between(&from, "plans0", wanted).await?;
            let Some(last) = found.last().and_then(number) else {
                break;
            };
            after = last;
            for kv in &found {
                records.push(json("a record of a plan", &kv.value)?);
            }
        }
        Ok(records)
    }
}

/// The number of the last record; 0 if there is none.
async fn last_number(client: &Client) -> Result<u64, StoreError> {
    let last = Step::Read {
        key: PLANS.into(),
        limit: 1,
        last: true,
    };
    let found = client.transact([], [last]).await?.read;
    let last = found.first().and_then(|found| found.first());
    Ok(last.and_then(number).unwrap_or_default())
}

/// The number of a record, by its key.
fn number(kv: &KeyValue) -> Option<u64> {
    let key = str::from_utf8(&kv.key).ok()?;
    key.rsplit('/').next()?.parse().ok()
}
