//! The store in etcd, which replicas share.
//!
//! Whatever changes `plan`, `intents` and `audit` is one transaction that etcd makes only while the leader's key is the one that this
//! replica has created. So nothing of a replica that no longer leads is ever in the store, also if it does not know yet.

mod plans;
mod submit;
mod take_over;
mod term;

pub use submit::NotSubmitted;
pub use take_over::moved_to;
pub use term::{Loaded, Member};

use super::committed::decoded;
use super::error::{StoreError, json};
use super::keys::{AUDIT, INTENTS, LEADER, PLAN, number_of, numbered};
use super::request::{Answer, Pending};
use super::{Entry, Record};
use crate::etcd::{Address, Client, Guard, Step, Transaction};
use crate::serve::saved_state::SavedState;
use meridian_planner::intent::{Intent, Intents};
use meridian_proto::etcd::KeyValue;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How often a change is tried while other writers are sooner.
const TRIES: usize = 20;

/// The store in etcd.
#[derive(Debug)]
pub struct Shared {
    address: Address,
    session: Mutex<Session>,
}

/// The connection, and what this replica may write by it.
#[derive(Clone, Debug, Default)]
struct Session {
    client: Option<Client>,
    /// The revision at which this replica's key of the leader was created; `None` while it does not lead.
    term: Option<i64>,
    /// The number of the last record of a plan, once it is known in this term.
    last_plan: Option<u64>,
}

impl Shared {
    /// A store that is not connected yet.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            session: Mutex::default(),
        }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        // Each change is one assignment.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes by a term from now on, until there is another connection. Who plans says so, once it plans from what the store has: a
    /// term that was won meanwhile is not that of what was planned before.
    pub fn lead(&self, term: i64) {
        let mut session = self.session();
        session.term = Some(term);
        session.last_plan = None;
    }

    /// Takes another connection, or none. This replica does not lead by it.
    pub fn connected(&self, client: Option<Client>) {
        *self.session() = Session {
            client,
            ..Session::default()
        };
    }

    fn client(&self) -> Result<Client, StoreError> {
        self.session().client.clone().ok_or(StoreError::Away)
    }

    /// The connection by which this replica leads, and the guard of all that it writes.
    fn leading(&self) -> Result<(Client, i64, Guard), StoreError> {
        let session = self.session().clone();
        let client = session.client.ok_or(StoreError::Away)?;
        let term = session.term.ok_or(StoreError::NotLeading)?;
        Ok((client, term, Guard::CreatedAt(LEADER.into(), term)))
    }

    /// Changes an intent and records it. The answer to a request is a part of the transaction.
    ///
    /// # Errors
    ///
    /// This replica does not lead, the request was withdrawn, or etcd does not answer: the change may have been made then.
    pub async fn change(
        &self,
        entry: Entry,
        request: Option<&Pending>,
    ) -> Result<Record, StoreError> {
        let (client, _, guard) = self.leading()?;
        for _ in 0..TRIES {
            let (last, before) = last_and(&client, &guard, entry.before).await?;
            let record = Record::after(last.as_ref(), entry.clone(), before)?;
            let place = numbered(AUDIT, record.number);
            let mut guards = vec![guard.clone(), Guard::Absent(place.clone())];
            let mut steps = vec![Step::put(place, serde_json::to_vec(&record)?)];
            if let Some((number, _)) = &record.before {
                guards.push(Guard::Present(numbered(INTENTS, *number)));
                steps.push(Step::Delete(numbered(INTENTS, *number)));
            }
            if let Some(after) = &record.after {
                let key = numbered(INTENTS, record.number);
                steps.push(Step::put(key, serde_json::to_vec(after)?));
            }
            if let Some(request) = request {
                guards.push(Guard::Present(request.key()));
                steps.extend(request.answered(&Answer::Done(Box::new(record.clone())))?);
            }
            if client.transact(guards, steps).await?.succeeded {
                return Ok(record);
            }
            if let Some(request) = request
                && !is_there(&client, &request.key()).await?
            {
                return Err(StoreError::Withdrawn);
            }
        }
        Err(StoreError::Busy)
    }

    /// The plan in force.
    ///
    /// # Errors
    ///
    /// etcd does not answer, or the plan cannot be read.
    pub async fn plan(&self) -> Result<Option<SavedState>, StoreError> {
        let client = self.client()?;
        let read = client.transact([], [Step::read(PLAN)]).await?;
        let plan = read
            .read
            .iter()
            .flatten()
            .next()
            .map(|kv| decoded(&kv.value));
        let unreadable = |error| StoreError::Unreadable(PLAN.into(), error);
        plan.transpose().map_err(unreadable)
    }

    /// What operators have said.
    ///
    /// # Errors
    ///
    /// etcd does not answer.
    pub async fn intents(&self) -> Result<Intents, StoreError> {
        let client = self.client()?;
        let read = client.transact([], [Step::read(INTENTS)]).await?;
        intents_of(read.read.first().map(Vec::as_slice).unwrap_or_default())
    }

    /// Records after a number, at most `limit`, the oldest first.
    ///
    /// # Errors
    ///
    /// etcd does not answer.
    pub async fn audit(&self, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        let client = self.client()?;
        let from = numbered(AUDIT, after.saturating_add(1));
        // `0` follows `/`.
        let records = client.between(&from, "audit0", limit).await?;
        records
            .iter()
            .map(|kv| json("a record", &kv.value))
            .collect()
    }
}

/// The last record, and an intent.
async fn last_and(
    client: &Client,
    guard: &Guard,
    intent: Option<u64>,
) -> Result<(Option<Record>, Option<Intent>), StoreError> {
    let last = Step::Read {
        key: AUDIT.into(),
        limit: 1,
        last: true,
    };
    let intent = intent.map(|number| Step::read(numbered(INTENTS, number)));
    let steps = std::iter::once(last).chain(intent);
    let Transaction {
        succeeded, read, ..
    } = client.transact([guard.clone()], steps).await?;
    if !succeeded {
        return Err(StoreError::NotLeading);
    }
    let mut found = read.iter().map(|found| found.first());
    let record = found.next().flatten();
    let intent = found.next().flatten();
    let record = record.map(|kv| json("a record", &kv.value)).transpose()?;
    let intent = intent.map(|kv| json("an intent", &kv.value)).transpose()?;
    Ok((record, intent))
}

async fn is_there(client: &Client, key: &str) -> Result<bool, StoreError> {
    let found = client.transact([Guard::Present(key.into())], []).await?;
    Ok(found.succeeded)
}

fn intents_of(kvs: &[KeyValue]) -> Result<Intents, StoreError> {
    let mut intents = Intents::default();
    for kv in kvs {
        let key = String::from_utf8_lossy(&kv.key);
        let unreadable = || StoreError::Unreadable(key.to_string(), "no number".into());
        let number = number_of(&key).ok_or_else(unreadable)?;
        intents.0.insert(number, json(&key, &kv.value)?);
    }
    Ok(intents)
}
