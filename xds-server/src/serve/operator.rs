//! What operators say: `/v1` of the status port and of `control_plane.api`, as JSON and by gRPC.

mod access;
mod caller;
mod failure;
pub(super) mod grpc;
pub(super) mod json;
mod key;
pub mod list;
mod operators;
mod request;
pub mod token;

pub(super) use access::{Access, authenticated};
pub use caller::{Caller, OperatingCaller, Role};
pub use failure::{Failure, Refusal, Refused};
pub(super) use operators::{Operators, OperatorsFile};
pub use request::{Audit, IntentRequest, SOME_PLANS, UndoRequest, Which, WhichPlans};

use super::store::{Record, Store, broken_at};
use axum::http::StatusCode;
use meridian_planner::intent::{Action, Intents};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

/// Passes what operators say to the controller's task.
#[derive(Clone)]
pub struct Operator {
    commands: mpsc::Sender<Command>,
    store: Store,
}

/// What an operator wants, and where the answer goes.
pub struct Command {
    /// What is wanted.
    pub wanted: Wanted,
    /// The caller's key for it: with replicas, a request with the key of an earlier one gets the answer of that one.
    pub key: Option<String>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Record, Refusal>>,
}

/// What an operator wants.
#[derive(Debug, Serialize, Deserialize)]
pub enum Wanted {
    /// A new intent.
    Create(NewIntent),
    /// An intent ends.
    Undo {
        /// Its number.
        number: u64,
        /// Who wants it.
        by: String,
        /// From where.
        from: String,
        /// Why.
        why: String,
    },
}

/// An intent that an operator wants.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewIntent {
    /// What is wanted.
    pub action: Action,
    /// Who wants it.
    pub by: String,
    /// From where.
    pub from: String,
    /// Why.
    pub why: String,
    /// How long, in milliseconds.
    pub lasts_ms: u64,
    /// In spite of objections that allow it.
    pub force: bool,
}

impl Operator {
    /// Passes commands to the controller's task, and reads the store.
    pub fn new(commands: mpsc::Sender<Command>, store: Store) -> Self {
        Self { commands, store }
    }

    /// The store.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Creates an intent.
    ///
    /// # Errors
    ///
    /// The request is wrong, something speaks against it, or the store cannot be written.
    pub async fn create(
        &self,
        caller: OperatingCaller,
        request: IntentRequest,
        key: Option<String>,
    ) -> Result<Record, Failure> {
        let request = request.checked()?;
        let new = NewIntent {
            lasts_ms: u64::try_from(request.lasts.as_millis()).unwrap_or(u64::MAX),
            action: request.action,
            by: request.by,
            from: caller.from,
            why: request.why,
            force: request.force,
        };
        Ok(self.told(Wanted::Create(new), key).await??)
    }

    /// Ends an intent.
    ///
    /// # Errors
    ///
    /// The request is wrong, there is no such intent, or the store cannot be written.
    pub async fn undo(
        &self,
        caller: OperatingCaller,
        number: u64,
        request: UndoRequest,
        key: Option<String>,
    ) -> Result<Record, Failure> {
        let UndoRequest { by, why } = request.checked()?;
        let wanted = Wanted::Undo {
            number,
            by,
            from: caller.from,
            why,
        };
        match self.told(wanted, key).await? {
            Err(refusal) if refusal.is_no_such_intent() && self.was_created(number).await? => {
                let error = format!("intent {number} has ended; `meridian audit` says how");
                Err(Failure::new(StatusCode::GONE, error))
            }
            answer => Ok(answer?),
        }
    }

    /// Whether there ever was an intent of this number.
    async fn was_created(&self, number: u64) -> Result<bool, Failure> {
        let before = number.saturating_sub(1);
        let records = self.store.audit(before, 1).await.map_err(unreadable)?;
        let mut records = records.iter();
        Ok(records.any(|record| record.number == number && record.after.is_some()))
    }

    /// The intents in force.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn intents(&self) -> Result<Intents, Failure> {
        self.store.intents().await.map_err(unreadable)
    }

    /// Records of the audit log.
    ///
    /// # Errors
    ///
    /// The request is wrong, or the store cannot be read.
    pub async fn audit(&self, which: Which) -> Result<Audit, Failure> {
        let Which { after, limit } = which.checked()?;
        // With the record before them, to see whether they follow it.
        let begin = after.saturating_sub(1);
        let records = self
            .store
            .audit(begin, limit + usize::from(after > 0))
            .await;
        let mut records = records.map_err(unreadable)?;
        let before = (after > 0 && !records.is_empty()).then(|| records.remove(0));
        let broken_at = broken_at(before.as_ref(), &records);
        Ok(Audit { records, broken_at })
    }

    /// What the controller's task answers.
    async fn told(
        &self,
        wanted: Wanted,
        key: Option<String>,
    ) -> Result<Result<Record, Refusal>, Failure> {
        let (reply, answer) = oneshot::channel();
        let going_away = || Failure::unavailable("the control plane is going away");
        let sent = self.commands.send(Command { wanted, key, reply }).await;
        sent.map_err(|_| going_away())?;
        answer.await.map_err(|_| going_away())
    }
}

fn unreadable(error: anyhow::Error) -> Failure {
    Failure::unavailable(format!("the store cannot be read: {error:#}"))
}

#[cfg(test)]
mod tests;
