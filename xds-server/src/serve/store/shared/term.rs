//! Sessions of replicas: what they read first, and who leads.

use super::Shared;
use crate::etcd::{Change, Client, Guard, Step};
use crate::serve::saved_state::SavedState;
use crate::serve::store::committed::decoded;
use crate::serve::store::error::{StoreError, json};
use crate::serve::store::keys::{
    INTENTS, LEADER, PLAN, REPLICAS, REQUESTS, VERSION, number_of, replica_key,
};
use crate::serve::store::request::Pending;
use meridian_planner::intent::{Intent, Intents};
use meridian_planner::signal::Millis;
use meridian_policy::RegionName;
use meridian_proto::etcd::KeyValue;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The version of the keys. A newer one is not touched.
const KNOWN: u64 = 1;

/// A running replica, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The version of `meridian`.
    pub version: String,
    /// Since when it has been connected to the store, or has led, in milliseconds since the Unix epoch.
    pub since: Millis,
    /// The regions whose gateways are connected to it.
    #[serde(default)]
    pub regions: BTreeSet<RegionName>,
    /// The revision of the plan that all gateways connected to it have accepted, while the leader waits for that.
    #[serde(default)]
    pub settled: i64,
    /// Its fleet file is not the one in force.
    #[serde(default)]
    pub differs: bool,
    /// It cannot publish what is in force, so it does not lead.
    #[serde(default)]
    pub unable: bool,
}

/// What the store has, and what has changed since.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The revision of all of it.
    pub revision: i64,
    /// The plan in force with its revision, or why it cannot be read.
    pub plan: Option<(i64, Result<SavedState, String>)>,
    /// What operators have said.
    pub intents: Intents,
    /// Who leads, and the revision at which it began.
    pub leader: Option<(i64, Member)>,
    /// The replicas, by their keys.
    pub replicas: BTreeMap<String, Member>,
    /// Requests without an answer.
    pub requests: Vec<Pending>,
}

impl Loaded {
    /// Takes over one change.
    ///
    /// # Errors
    ///
    /// The value of an intent cannot be read.
    pub fn apply(&mut self, change: Change) -> Result<(), StoreError> {
        let Change {
            key,
            value,
            revision,
            created,
            lease,
        } = change;
        if key == PLAN {
            self.plan = value.map(|value| (revision, decoded(&value)));
        } else if key == LEADER {
            self.leader = value.map(|value| (created, member(&value)));
        } else if let Some(number) = number_of(&key) {
            match value {
                Some(value) => {
                    let intent: Intent = json(&key, &value)?;
                    self.intents.0.insert(number, intent);
                }
                None => {
                    self.intents.0.remove(&number);
                }
            }
        } else if key.starts_with(REPLICAS) {
            match value {
                Some(value) => self.replicas.insert(key, member(&value)),
                None => self.replicas.remove(&key),
            };
        } else if let Some(id) = key.strip_prefix(REQUESTS) {
            self.requests.retain(|request| request.id != id);
            self.requests.extend(value.map(|wanted| Pending {
                id: id.to_owned(),
                lease,
                wanted,
            }));
        }
        Ok(())
    }

    fn of(revision: i64, read: Vec<Vec<KeyValue>>) -> Result<Self, StoreError> {
        let mut loaded = Self {
            revision,
            ..Self::default()
        };
        for kv in read.into_iter().flatten() {
            loaded.apply(Change {
                key: String::from_utf8_lossy(&kv.key).into_owned(),
                value: Some(kv.value),
                revision: kv.mod_revision,
                created: kv.create_revision,
                lease: kv.lease,
            })?;
        }
        Ok(loaded)
    }
}

/// A replica of another version may say less.
fn member(value: &[u8]) -> Member {
    serde_json::from_slice(value).unwrap_or_default()
}

impl Shared {
    /// Reads everything but the records.
    ///
    /// # Errors
    ///
    /// etcd does not answer, or what is there cannot be read.
    pub async fn load(&self, client: &Client) -> Result<Loaded, StoreError> {
        let version = client
            .transact(
                [Guard::Absent(VERSION.into())],
                [Step::put(VERSION, KNOWN.to_string())],
            )
            .await?;
        if !version.succeeded {
            let read = client.transact([], [Step::read(VERSION)]).await?;
            let found = read.read.iter().flatten().next();
            let found: u64 = found
                .map(|kv| json(VERSION, &kv.value))
                .transpose()?
                .unwrap_or(KNOWN);
            if found > KNOWN {
                return Err(StoreError::Newer(found, KNOWN));
            }
        }
        let all = [PLAN, LEADER, INTENTS, REPLICAS, REQUESTS].map(Step::read);
        let read = client.transact([], all).await?;
        Loaded::of(read.revision, read.read)
    }

    /// Says that this replica runs, for as long as its lease.
    ///
    /// # Errors
    ///
    /// etcd does not answer, or the lease has ended.
    pub async fn register(
        &self,
        client: &Client,
        lease: i64,
        member: &Member,
    ) -> Result<(), StoreError> {
        let put = Step::Put {
            key: replica_key(lease),
            value: serde_json::to_vec(member)?,
            lease,
        };
        client.transact([], [put]).await?;
        Ok(())
    }

    /// Becomes the leader, unless another replica is. Returns the term: the revision since which this one leads. It writes nothing before
    /// [`Shared::lead`].
    ///
    /// # Errors
    ///
    /// etcd does not answer, or the lease has ended.
    pub async fn campaign(
        &self,
        client: &Client,
        lease: i64,
        member: &Member,
    ) -> Result<Option<i64>, StoreError> {
        let put = Step::Put {
            key: LEADER.into(),
            value: serde_json::to_vec(member)?,
            lease,
        };
        let won = client
            .transact([Guard::Absent(LEADER.into())], [put])
            .await?;
        if !won.succeeded {
            return Ok(None);
        }
        Ok(Some(won.revision))
    }
}
