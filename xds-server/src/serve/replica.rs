//! One of several control planes on a store in etcd: its session there.
//!
//! ```text
//! etcd --watch--> Session --ReplicaEvent--> ControllerTask --commit--> etcd
//!        lease <--/     \<--Member-------/
//! ```
//!
//! A session has a lease, renewed twice a second. With it end the replica's key and, if it leads, the leader's: another replica takes
//! over. Whatever goes wrong ends the session, and the next one begins anew, with another member of etcd.

mod session;

use super::report::{LeaderReport, ReplicaReport, ReplicasReport};
use super::saved_state::SavedState;
use super::store::{Loaded, Member, Pending, Shared, StoreError};
use crate::clock::{steady_clock, system_time};
use crate::etcd::{Client, EtcdError};
use meridian_planner::intent::Intents;
use session::Session;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;

/// Time between two sessions.
const PAUSE: Duration = Duration::from_millis(200);

/// News from the store, in the order in which they happened.
#[derive(Debug)]
pub enum ReplicaEvent {
    /// The plan in force and its revision, or why it cannot be read.
    Plan(i64, Box<Result<SavedState, String>>),
    /// What operators have said.
    Intents(Intents),
    /// This replica leads from now on. Plan and intents have been sent before.
    Leads,
    /// A request of an operator, for the one that leads.
    Request(Pending),
    /// The state of the session has changed.
    State(Box<ReplicasReport>),
    /// The session has ended: this replica does not lead, and the store may be away.
    Ended,
}

/// The ends of the channels to the task that owns the controller.
pub struct Ends {
    /// The store.
    pub store: Arc<Shared>,
    /// This replica, as others see it.
    pub own: watch::Sender<Member>,
    /// Ends the session, so that another replica may lead.
    pub resign: Arc<Notify>,
    /// News.
    pub events: mpsc::Receiver<ReplicaEvent>,
}

/// News that may wait for the controller. The session waits for it beyond: a controller that stands still leads no longer.
const QUEUE: usize = 64;

/// Starts the sessions of a replica. They end with the receiver of their events.
pub fn start(store: Arc<Shared>, name: String) -> Ends {
    let (events, received) = mpsc::channel(QUEUE);
    let member = Member {
        name: name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..Member::default()
    };
    let (own, own_changes) = watch::channel(member);
    let resign = Arc::new(Notify::new());
    let sessions = Sessions {
        store: Arc::clone(&store),
        events,
        own: own_changes,
        resign: Arc::clone(&resign),
        report: ReplicasReport {
            store: store.address().members.join(","),
            name,
            since: steady_clock(),
            ..ReplicasReport::default()
        },
    };
    tokio::spawn(sessions.run());
    Ends {
        store,
        own,
        resign,
        events: received,
    }
}

/// What all sessions have in common.
struct Sessions {
    store: Arc<Shared>,
    events: mpsc::Sender<ReplicaEvent>,
    own: watch::Receiver<Member>,
    resign: Arc<Notify>,
    report: ReplicasReport,
}

/// Why a session has ended.
#[derive(Debug)]
enum End {
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

impl Sessions {
    async fn run(mut self) {
        let mut lease = None;
        let mut member = 0;
        loop {
            let end = match self.session(member, &mut lease).await {
                Ok(never) => match never {},
                Err(end) => end,
            };
            self.store.connected(None);
            match end {
                End::Gone => return,
                End::Resigned => tracing::warn!("this replica gives up the lead"),
                End::Store(error) => {
                    self.note_away(&error);
                    member += 1;
                }
            }
            let state = ReplicaEvent::State(Box::new(self.report.clone()));
            let told = self.events.send(ReplicaEvent::Ended).await;
            if told.is_err() || self.events.send(state).await.is_err() {
                return;
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = self.events.closed() => return,
            }
        }
    }

    fn note_away(&mut self, error: &StoreError) {
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

    /// One session, until it ends. A lease of the session before is ended first: its keys are of nobody.
    async fn session(
        &mut self,
        member: usize,
        lease: &mut Option<i64>,
    ) -> Result<std::convert::Infallible, End> {
        let client = Client::connect(self.store.address(), member).await?;
        if let Some(lease) = lease.take() {
            // An error means that it has ended, or the next call says what is wrong.
            let _ = client.revoke(lease).await;
        }
        let session = Session::begin(client, self, lease).await?;
        self.report.up = true;
        self.report.error = None;
        self.report.since = steady_clock();
        session.run(self).await
    }

    async fn send(&self, event: ReplicaEvent) -> Result<(), End> {
        self.events.send(event).await.map_err(|_| End::Gone)
    }

    /// Sends how things stand.
    async fn report(&mut self, loaded: &Loaded) -> Result<(), End> {
        self.report.leader = loaded.leader.as_ref().map(|(_, leader)| LeaderReport {
            name: leader.name.clone(),
            since: leader.since,
        });
        self.report.replicas = loaded.replicas.values().map(ReplicaReport::from).collect();
        self.send(ReplicaEvent::State(Box::new(self.report.clone())))
            .await
    }

    /// This replica as others see it, from now on.
    fn own(&mut self) -> Member {
        let own = self.own.borrow_and_update().clone();
        Member {
            since: system_time(),
            ..own
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
            version,
            since,
            regions,
            settled,
            differs,
            unable,
        }
    }
}
