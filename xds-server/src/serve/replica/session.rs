//! One session of a replica in etcd.

use super::link::{End, Link, ReplicaEvent};
use crate::etcd::{Change, Client, Watch};
use crate::serve::store::Loaded;
use futures_util::FutureExt;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How long a lease runs, in seconds. A replica that is dead, stopped or cut off leads no longer after this time. It is the
/// shortest one that outlasts etcd's own election.
const LEASE_S: i64 = 3;

/// Time between two renewals.
const RENEWAL: Duration = Duration::from_millis(500);

/// A session: a lease, and what the store has.
pub struct Session {
    client: Client,
    lease: i64,
    loaded: Loaded,
    watch: Watch,
}

impl Session {
    /// Begins one. `lease`: where its lease is noted as soon as there is one.
    pub async fn begin(
        client: Client,
        of: &mut Link,
        lease: &mut Option<i64>,
    ) -> Result<Self, End> {
        let granted = client.grant(LEASE_S).await?;
        *lease = Some(granted);
        let own = of.own();
        of.store.register(&client, granted, &own).await?;
        let loaded = of.store.load(&client).await?;
        let watch = client.watch(loaded.revision + 1).await?;
        of.store.connected(Some(client.clone()));
        Ok(Self {
            client,
            lease: granted,
            loaded,
            watch,
        })
    }

    pub async fn run(mut self, of: &mut Link) -> Result<Infallible, End> {
        let resign = Arc::clone(&of.resign);
        // What was meant for the session before.
        let _ = resign.notified().now_or_never();
        self.tell(of).await?;
        self.campaign(of).await?;
        let mut renewals = interval(RENEWAL);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changes = self.watch.next() => self.take(changes?, of).await?,
                _ = renewals.tick() => self.client.keep_alive(self.lease).await?,
                () = resign.notified() => return Err(End::Resigned),
                changed = of.own.changed() => {
                    changed.map_err(|_| End::Gone)?;
                    let own = of.own();
                    of.store.register(&self.client, self.lease, &own).await?;
                    self.campaign(of).await?;
                }
            }
        }
    }

    /// Sends what there is.
    async fn tell(&self, of: &mut Link) -> Result<(), End> {
        of.report(&self.loaded, self.lease).await?;
        self.tell_plan(of).await?;
        of.send(ReplicaEvent::Intents(self.loaded.intents.clone()))
            .await
    }

    async fn tell_plan(&self, of: &mut Link) -> Result<(), End> {
        let Some((revision, plan)) = &self.loaded.plan else {
            return Ok(());
        };
        let plan = Box::new(plan.clone());
        of.send(ReplicaEvent::Plan(*revision, plan)).await
    }

    /// Leads, if no replica does.
    async fn campaign(&mut self, of: &mut Link) -> Result<(), End> {
        let own = of.own_as_it_is();
        if self.loaded.leader.is_some() || own.unable {
            return Ok(());
        }
        let won = of.store.campaign(&self.client, self.lease, &own).await?;
        let Some(term) = won else {
            // The watch will say who was sooner.
            return Ok(());
        };
        tracing::info!(term, "this replica leads");
        // The one before cannot write any more: this is what it has left.
        self.loaded = of.store.load(&self.client).await?;
        self.watch = self.client.watch(self.loaded.revision + 1).await?;
        self.tell(of).await?;
        of.send(ReplicaEvent::Leads(term)).await?;
        for request in std::mem::take(&mut self.loaded.requests) {
            of.send(ReplicaEvent::Request(request)).await?;
        }
        Ok(())
    }

    async fn take(&mut self, changes: Vec<Change>, of: &mut Link) -> Result<(), End> {
        let before = self.loaded.plan.as_ref().map(|(revision, _)| *revision);
        let intents = self.loaded.intents.clone();
        let members = (self.loaded.leader.clone(), self.loaded.replicas.clone());
        for change in changes {
            self.loaded.apply(change)?;
        }
        if self.loaded.plan.as_ref().map(|(revision, _)| *revision) != before {
            self.tell_plan(of).await?;
        }
        if self.loaded.intents != intents {
            of.send(ReplicaEvent::Intents(self.loaded.intents.clone()))
                .await?;
        }
        // Each is sent once: one that does not lead leaves them alone, and reads them again when it leads.
        for request in std::mem::take(&mut self.loaded.requests) {
            of.send(ReplicaEvent::Request(request)).await?;
        }
        if (&self.loaded.leader, &self.loaded.replicas) != (&members.0, &members.1) {
            of.report(&self.loaded, self.lease).await?;
        }
        self.campaign(of).await
    }
}
