//! What operators want, from the replica that they have asked to the one that leads.
//!
//! A request is a key, which ends with a lease. The leader removes it in the transaction that makes the change and writes the answer. So
//! it is done once or not at all, whichever replica dies: who has asked either finds the answer, or removes the request, and then it is
//! not done.

use super::Shared;
use crate::etcd::{Client, Guard, Step};
use crate::serve::store::error::{StoreError, json};
use crate::serve::store::keys::ANSWERS;
use crate::serve::store::request::{Answer, Pending};
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use xxhash_rust::xxh3::xxh3_64;

/// How long a request may wait for the leader: longer than it takes until another replica leads.
const PATIENCE: Duration = Duration::from_secs(8);

/// Between two looks for the answer.
const LOOK: Duration = Duration::from_millis(50);

/// How long a request is known by its ID, in seconds: one that is repeated meanwhile gets the answer of the first.
const KNOWN_S: i64 = 300;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotSubmitted {
    /// It was not done, and will not be.
    #[error("{0}")]
    NotDone(StoreError),
    /// No replica leads. It was not done, and will not be.
    #[error("no replica leads")]
    NoLeader,
    /// etcd went away meanwhile: it may have been done.
    #[error("{0}")]
    Unknown(StoreError),
}

impl Shared {
    /// Refuses a request.
    ///
    /// # Errors
    ///
    /// This replica does not lead, or etcd does not answer.
    pub async fn refuse(
        &self,
        request: &Pending,
        why: serde_json::Value,
    ) -> Result<(), StoreError> {
        let (client, _, guard) = self.leading()?;
        let steps = request.answered(&Answer::Refused(why))?;
        let guards = [guard, Guard::Present(request.key())];
        // If the guards do not hold nobody waits for it, or another replica leads and answers.
        client.transact(guards, steps).await?;
        Ok(())
    }

    /// Passes a request to the leader and waits for the answer. A request with the ID of an earlier one gets the answer of that one.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub async fn submit(
        &self,
        id: Option<&str>,
        wanted: &impl Serialize,
    ) -> Result<Answer, NotSubmitted> {
        let prepared = self.prepared(id, wanted).await;
        let request = prepared.map_err(NotSubmitted::NotDone)?;
        let begun = Instant::now();
        let mut is_there = false;
        let mut last = None;
        while begun.elapsed() < PATIENCE {
            match self.look(&request, &mut is_there).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => last = None,
                Err(error) => last = Some(error),
            }
            sleep(LOOK).await;
        }
        match self.withdraw(&request).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(last.map_or(NotSubmitted::NoLeader, NotSubmitted::NotDone)),
            Err(error) => Err(NotSubmitted::Unknown(error)),
        }
    }

    async fn prepared(
        &self,
        id: Option<&str>,
        wanted: &impl Serialize,
    ) -> Result<Pending, StoreError> {
        let lease = self.client()?.grant(KNOWN_S).await?;
        let wanted = serde_json::to_vec(wanted)?;
        // The same key with something else is another request.
        let by_key = |id| format!("key-{id}-{:016x}", xxh3_64(&wanted));
        Ok(Pending {
            // A lease has a number of its own.
            id: id.map_or_else(|| format!("lease-{lease:x}"), by_key),
            lease,
            wanted,
        })
    }

    /// Writes the request if it is not there, and looks for its answer.
    async fn look(
        &self,
        request: &Pending,
        is_there: &mut bool,
    ) -> Result<Option<Answer>, StoreError> {
        let client = self.client()?;
        if !*is_there {
            let answer = format!("{ANSWERS}{}", request.id);
            let guards = [Guard::Absent(request.key()), Guard::Absent(answer)];
            let put = Step::Put {
                key: request.key(),
                value: request.wanted.clone(),
                lease: request.lease,
            };
            // If one of the two is there, an earlier call has written it.
            client.transact(guards, [put]).await?;
            *is_there = true;
        }
        answer_to(&client, request).await
    }

    /// Removes the request, unless it is answered. An error means that it may be there.
    async fn withdraw(&self, request: &Pending) -> Result<Option<Answer>, StoreError> {
        let client = self.client()?;
        client
            .transact(
                [Guard::Present(request.key())],
                [Step::Delete(request.key())],
            )
            .await?;
        let answer = answer_to(&client, request).await?;
        if answer.is_none() {
            // A call that was not answered may still be on its way: without its lease it writes nothing.
            client.revoke(request.lease).await?;
        }
        Ok(answer)
    }
}

async fn answer_to(client: &Client, request: &Pending) -> Result<Option<Answer>, StoreError> {
    let key = format!("{ANSWERS}{}", request.id);
    let read = client.transact([], [Step::read(key)]).await?;
    let Some(kv) = read.read.first().and_then(|found| found.first()) else {
        return Ok(None);
    };
    json("an answer", &kv.value).map(Some)
}
