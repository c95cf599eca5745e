//! What all sessions of a replica have in common: the store, and the channels to the task that owns the controller.

use crate::clock::{steady_clock, system_time};
use crate::etcd::EtcdError;
use crate::serve::report::{LeaderReport, ReplicaReport, ReplicasReport};
use crate::serve::saved_state::SavedState;
use crate::serve::store::{Loaded, Member, Pending, Shared, StoreError, replica_key};
use meridian_planner::intent::Intents;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};

/// News from the store, in the order in which they happened.
#[derive(Debug)]
pub enum ReplicaEvent {
    /// The plan in force and its revision, or why it cannot be read.
    Plan(i64, Box<Result<SavedState, String>>),
    /// What operators have said.
    Intents(Intents),
    /// This replica leads from now on, in this term. Plan and intents have been sent before.
    Leads(i64),
    /// A request of an operator, for the one that leads.
    Request(Pending),
    /// The state of the session has changed.
    State(Box<ReplicasReport>),
    /// The session has ended: this replica does not lead, and the store may be away.
    Ended,
}

/// What all sessions have in common.
pub struct Link {
    pub store: Arc<Shared>,
    pub events: mpsc::Sender<ReplicaEvent>,
    pub own: watch::Receiver<Member>,
    pub resign: Arc<Notify>,
    pub report: ReplicasReport,
}

/// Why a session has ended.
#[derive(Debug)]
pub enum End {
    /// The store.
    Store(StoreError),
    /// This replica gives up the lead.
    Resigned,
    /// Nobody takes the events any more.
    Gone,
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<EtcdError> for End {
    fn from(error: EtcdError) -> Self {
        Self::Store(error.into())
    }
}

impl Link {
    /// Takes note that the store answers.
    pub fn note_up(&mut self) {
        self.report.up = true;
        self.report.error = None;
        self.report.since = steady_clock();
    }

    /// Takes note that it does not.
    pub fn note_away(&mut self, error: &StoreError) {
        let error = error.to_string();
        if self.report.up {
            self.report.since = steady_clock();
        }
        if self.report.error.as_ref() != Some(&error) {
            tracing::warn!(
                error,
                "the store is away; what is in force stays, and nothing new is accepted"
            );
        }
        self.report.up = false;
        self.report.leader = None;
        self.report.error = Some(error);
    }

    /// Sends that the session has ended.
    ///
    /// # Errors
    /// Nobody takes news any more.
    pub async fn ended(&self) -> Result<(), End> {
        self.send(ReplicaEvent::Ended).await?;
        let state = ReplicaEvent::State(Box::new(self.report.clone()));
        self.send(state).await
    }

    /// Sends news.
    ///
    /// # Errors
    /// Nobody takes them any more.
    pub async fn send(&self, event: ReplicaEvent) -> Result<(), End> {
        self.events.send(event).await.map_err(|_| End::Gone)
    }

    /// Sends how things stand. `lease`: that of the session.
    ///
    /// # Errors
    /// Nobody takes news any more.
    pub async fn report(&mut self, loaded: &Loaded, lease: i64) -> Result<(), End> {
        self.report.leader = loaded.leader.as_ref().map(|(_, leader)| LeaderReport {
            name: leader.name.clone(),
            since: leader.since,
        });
        // Names may be the same, as of two replicas on machines with one name.
        let own = replica_key(lease);
        let replicas = loaded.replicas.iter().map(|(key, member)| ReplicaReport {
            own: *key == own,
            ..member.into()
        });
        self.report.replicas = replicas.collect();
        self.send(ReplicaEvent::State(Box::new(self.report.clone())))
            .await
    }

    /// This replica as others are to see it. What comes later is news.
    pub fn own(&mut self) -> Member {
        self.own.mark_unchanged();
        self.own_as_it_is()
    }

    /// The same. What others have not been told yet stays news.
    pub fn own_as_it_is(&self) -> Member {
        Member {
            since: system_time(),
            ..self.own.borrow().clone()
        }
    }
}

impl From<&Member> for ReplicaReport {
    fn from(member: &Member) -> Self {
        let Member {
            name,
            version,
            since,
            regions,
            settled,
            differs,
            unable,
        } = member.clone();
        Self {
            name,
            own: false,
            version,
            since,
            regions,
            settled,
            differs,
            unable,
        }
    }
}
