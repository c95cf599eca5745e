//! One of several control planes on a store in etcd: its session there.
//!
//! ```text
//! etcd --watch--> Session --ReplicaEvent--> ControllerTask --commit--> etcd
//!        lease <--/     \<--Member-------/
//! ```
//!
//! A session has a lease, renewed twice a second. With it end the replica's key and, if it leads, the leader's: another replica takes
//! over. Whatever goes wrong ends the session, and the next one begins anew, with another member of etcd.

mod link;
mod session;

pub use link::ReplicaEvent;

use super::report::ReplicasReport;
use super::store::{Member, Shared};
use crate::clock::steady_clock;
use crate::etcd::Client;
use link::{End, Link};
use session::Session;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;

/// Time between two sessions.
const PAUSE: Duration = Duration::from_millis(200);

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
    let link = Link {
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
    tokio::spawn(run(link));
    Ends {
        store,
        own,
        resign,
        events: received,
    }
}

/// One session after the other.
async fn run(mut link: Link) {
    let mut lease = None;
    let mut member = 0;
    loop {
        let end = match session(&mut link, member, &mut lease).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        link.store.connected(None);
        match end {
            End::Gone => return,
            End::Resigned => tracing::warn!("this replica gives up the lead"),
            End::Store(error) => {
                link.note_away(&error);
                member += 1;
            }
        }
        if link.ended().await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = link.events.closed() => return,
        }
    }
}

/// One session, until it ends. A lease of the session before is ended first: its keys are of nobody.
async fn session(
    link: &mut Link,
    member: usize,
    lease: &mut Option<i64>,
) -> Result<Infallible, End> {
    let client = Client::connect(link.store.address(), member).await?;
    if let Some(lease) = lease.take() {
        // An error means that it has ended, or the next call says what is wrong.
        let _ = client.revoke(lease).await;
    }
    let session = Session::begin(client, link, lease).await?;
    link.note_up();
    session.run(link).await
}

#[cfg(test)]
mod tests;
