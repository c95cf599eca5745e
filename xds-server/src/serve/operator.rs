//! What operators say: `/v1` of the status port and of `control_plane.api`, as JSON and by gRPC.

mod access;
mod caller;
mod failure;
pub(super) mod grpc;
pub(super) mod json;
pub mod list;
mod operators;
mod request;
pub mod token;

pub(super) use access::{Access, authenticated};
pub use caller::{Caller, OperatingCaller, Role};
pub use failure::{Failure, Refusal, Refused};
pub(super) use operators::{Operators, OperatorsFile};
pub use request::{Audit, IntentRequest, UndoRequest, Which};

use super::store::{Record, Store, broken_at};
use axum::http::StatusCode;
use meridian_planner::intent::{Action, Intents};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Passes what operators say to the controller's task.
#[derive(Clone)]
pub struct Operator {
    commands: mpsc::Sender<Command>,
    store: Arc<Store>,
}

/// What an operator wants, and where the answer goes.
pub struct Command {
    /// What is wanted.
    pub wanted: Wanted,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Record, Refusal>>,
}

/// What an operator wants.
#[derive(Debug)]
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
#[derive(Debug)]
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
    pub fn new(commands: mpsc::Sender<Command>, store: Arc<Store>) -> Self {
        Self { commands, store }
    }

    /// The store.
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
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
        Ok(self.told(Wanted::Create(new)).await??)
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
    ) -> Result<Record, Failure> {
        let UndoRequest { by, why } = request.checked()?;
        let wanted = Wanted::Undo {
            number,
            by,
            from: caller.from,
            why,
        };
        match self.told(wanted).await? {
            Err(Refusal::NoSuchIntent(number)) if self.was_created(number).await? => {
                let error = format!("intent {number} has ended; `meridian audit` says how");
                Err(Failure::new(StatusCode::GONE, error))
            }
            answer => Ok(answer?),
        }
    }

    /// Whether there ever was an intent of this number.
    async fn was_created(&self, number: u64) -> Result<bool, Failure> {
        let before = number.saturating_sub(1);
        let records = self.read(move |store| store.audit(before, 1)).await?;
        let mut records = records.iter();
        Ok(records.any(|record| record.number == number && record.after.is_some()))
    }

    /// The intents in force.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn intents(&self) -> Result<Intents, Failure> {
        self.read(Store::intents).await
    }

    /// Records of the audit log.
    ///
    /// # Errors
    ///
    /// The request is wrong, or the store cannot be read.
    pub async fn audit(&self, which: Which) -> Result<Audit, Failure> {
        let Which { after, limit } = which.checked()?;
        let audit = move |store: &Store| {
            // With the record before them, to see whether they follow it.
            let begin = after.saturating_sub(1);
            let mut records = store.audit(begin, limit + usize::from(after > 0))?;
            let before = (after > 0 && !records.is_empty()).then(|| records.remove(0));
            let broken_at = broken_at(before.as_ref(), &records);
            Ok(Audit { records, broken_at })
        };
        self.read(audit).await
    }

    /// What the controller's task answers.
    async fn told(&self, wanted: Wanted) -> Result<Result<Record, Refusal>, Failure> {
        let (reply, answer) = oneshot::channel();
        let going_away = || Failure::unavailable("the control plane is going away");
        let sent = self.commands.send(Command { wanted, reply }).await;
        sent.map_err(|_| going_away())?;
        answer.await.map_err(|_| going_away())
    }

    /// Reads the store: the file may be slow.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let store = Arc::clone(&self.store);
        let read = tokio::task::spawn_blocking(move || read(&store)).await;
        let read = read.map_err(anyhow::Error::from).flatten();
        read.map_err(|error| Failure::unavailable(format!("the store cannot be read: {error:#}")))
    }
}

#[cfg(test)]
mod tests;
