//! The controller's task where several control planes share a store: it commits plans, or takes over those that others commit.

use super::ControllerTask;
use crate::clock::steady_clock;
use crate::serve::controller::{Effects, Event};
use crate::serve::operator::{Command, Refusal};
use crate::serve::publication::Publication;
use crate::serve::replica::{Ends, ReplicaEvent};
use crate::serve::report::{ReplicaReport, ReplicasReport};
use crate::serve::saved_state::SavedState;
use crate::serve::store::{Answer, Member, NotSubmitted, Pending, Shared, StoreError};
use crate::xds::ResourceType;
use meridian_policy::RegionName;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use xxhash_rust::xxh3::Xxh3;

/// This control plane as one of several.
pub(super) struct Replica {
    store: Arc<Shared>,
    own: watch::Sender<Member>,
    resign: Arc<Notify>,
    leads: bool,
    /// The plan in force by the store, and its revision.
    in_force: Option<(i64, SavedState)>,
    /// Why it cannot be published here.
    unable: Option<String>,
    /// A hash of the versions of what is published.
    published: String,
    report: ReplicasReport,
}

impl Replica {
    pub fn new(ends: &Ends) -> Self {
        Self {
            store: Arc::clone(&ends.store),
            own: ends.own.clone(),
            resign: Arc::clone(&ends.resign),
            leads: false,
            in_force: None,
            unable: None,
            published: String::new(),
            report: ReplicasReport::default(),
        }
    }

    pub fn leads(&self) -> bool {
        self.leads
    }

    /// Takes note of what is published.
    pub fn note_published(&mut self, publication: &Publication) {
        let mut hash = Xxh3::new();
        for (region, resources) in publication {
            hash.update(region.as_str().as_bytes());
            for kind in ResourceType::ALL {
                hash.update(resources.version(kind).as_bytes());
            }
        }
        self.published = format!("{:016x}", hash.digest());
    }

    fn revision(&self) -> i64 {
        self.in_force.as_ref().map_or(0, |(revision, _)| *revision)
    }

    /// What it shows.
    pub fn report(&self) -> ReplicasReport {
        ReplicasReport {
            leads: self.leads,
            revision: self.revision(),
            unable: self.unable.clone(),
            published: self.published.clone(),
            ..self.report.clone()
        }
    }

    /// The other replicas.
    fn others(&self) -> impl Iterator<Item = &ReplicaReport> {
        let replicas = self.report.replicas.iter();
        replicas.filter(|replica| replica.name != self.report.name)
    }

    /// Whether the gateways of all other replicas have accepted the plan in force.
    pub fn others_have_settled(&self) -> bool {
        self.others()
            .all(|replica| replica.settled >= self.revision())
    }

    /// The regions whose gateways are connected to other replicas.
    pub fn regions_of_others(&self) -> BTreeSet<RegionName> {
        self.others()
            .flat_map(|replica| replica.regions.iter().cloned())
            .collect()
    }

    /// Passes an operator's command to the replica that leads.
    pub fn pass_on(&self, command: Command) {
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            let Command { wanted, key, reply } = command;
            let answer = match store.submit(key.as_deref(), &wanted).await {
                Ok(Answer::Done(record)) => Ok(record),
                Ok(Answer::Refused(why)) => Err(Refusal::of_leader(why)),
                Err(NotSubmitted::Unknown(error)) => Err(Refusal::Unknown(error.to_string())),
                Err(error) => Err(Refusal::Store(error.to_string())),
            };
            // An error means that the caller has left.
            let _ = reply.send(answer);
        });
    }
}

impl ControllerTask {
    /// Handles news from the store.
    pub(super) async fn handle_replica(&mut self, event: ReplicaEvent) {
        match event {
            ReplicaEvent::Plan(revision, state) => self.take_plan(revision, *state),
            ReplicaEvent::Intents(intents) if !self.leads() => self.controller.set_intents(intents),
            ReplicaEvent::Intents(_) => {}
            ReplicaEvent::Leads => self.lead().await,
            ReplicaEvent::Request(request) if self.leads() => self.answer(request).await,
            ReplicaEvent::Request(_) => {}
            ReplicaEvent::State(report) => {
                if let Some(replica) = &mut self.replica {
                    replica.report = *report;
                }
            }
            ReplicaEvent::Ended => self.step_down(),
        }
        self.tell_others();
    }

    pub(super) fn leads(&self) -> bool {
        self.replica.as_ref().is_none_or(Replica::leads)
    }

    /// Takes over a plan that another replica has committed, or this one in a call whose answer was lost.
    fn take_plan(&mut self, revision: i64, state: Result<SavedState, String>) {
        let Some(replica) = &mut self.replica else {
            return;
        };
        if revision <= replica.revision() {
            return;
        }
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                replica.note_unable(format!("it cannot be read: {error}"));
                return;
            }
        };
        match self.controller.adopt(&state, steady_clock()) {
            Ok(effects) => {
                replica.unable = None;
                replica.in_force = Some((revision, state));
                self.apply(effects);
            }
            Err(error) => replica.note_unable(error.to_string()),
        }
    }

    async fn lead(&mut self) {
        let Some(replica) = &mut self.replica else {
            return;
        };
        if replica.unable.is_some() {
            replica.resign.notify_one();
            return;
        }
        replica.leads = true;
        let is_first = replica.in_force.is_none();
        let effects = self.controller.lead(steady_clock());
        let effects = if is_first {
            self.controller.first()
        } else {
            effects
        };
        self.carry_out(effects).await;
    }

    /// Leads no longer. What is in force by the store is published again, if something else was about to be.
    fn step_down(&mut self) {
        let Some(replica) = &mut self.replica else {
            return;
        };
        self.controller.follow();
        if !std::mem::take(&mut replica.leads) {
            return;
        }
        tracing::warn!("this replica leads no longer");
        let Some((_, state)) = &replica.in_force else {
            return;
        };
        match self.controller.adopt(state, steady_clock()) {
            Ok(effects) => self.apply(effects),
            Err(error) => replica.note_unable(error.to_string()),
        }
    }

    /// Makes a state the one in force, and then carries out the rest. Without success this replica leads no longer.
    pub(super) async fn carry_out(&mut self, effects: Effects) {
        if let (Some(replica), Some(state)) = (&mut self.replica, &effects.save) {
            match replica.store.commit(state).await {
                Ok(revision) => replica.in_force = Some((revision, state.clone())),
                Err(error) => {
                    tracing::warn!(%error, "a plan was not committed");
                    self.give_up();
                    return;
                }
            }
        }
        self.apply(effects);
    }

    /// Gives up the lead: something may be in the store that is not known here.
    fn give_up(&mut self) {
        if let Some(replica) = &self.replica {
            replica.resign.notify_one();
        }
        self.step_down();
    }

    /// Takes note that what an operator wants is not in the store, or perhaps is.
    pub(super) fn note_unchanged(&mut self, error: &StoreError) {
        match error {
            StoreError::Withdrawn | StoreError::Busy | StoreError::Embedded(_) => {}
            _ => self.give_up(),
        }
    }

    /// Does what an operator has asked another replica for, or this one.
    async fn answer(&mut self, request: Pending) {
        let Some(store) = self
            .replica
            .as_ref()
            .map(|replica| Arc::clone(&replica.store))
        else {
            return;
        };
        let refusal = match serde_json::from_slice(&request.wanted) {
            Ok(wanted) => self.obey(wanted, Some(&request)).await.err(),
            Err(error) => Some(Refusal::unreadable(&error)),
        };
        // If the store is away, the request is still there for the one that leads next.
        if let Some(refusal) = refusal.filter(Refusal::is_final)
            && let Err(error) = store.refuse(&request, refusal.into_json()).await
        {
            tracing::warn!(%error, "an operator's request was not answered");
        }
    }

    /// While the store is away the plan in force gets new leases.
    pub(super) fn renew_alone(&mut self) {
        let Some(replica) = &self.replica else {
            return;
        };
        if replica.report.up || replica.in_force.is_none() {
            return;
        }
        let now = steady_clock();
        let away = now.since(replica.report.since);
        if let Some(effects) = self.controller.renew_alone(away, now) {
            self.apply(effects);
        }
    }

    /// Says to other replicas how it stands with this one.
    pub(super) fn tell_others(&mut self) {
        let Some(replica) = &self.replica else {
            return;
        };
        let hub = &self.shared.hub;
        let is_waited_for =
            self.controller.is_handing_over() || self.controller.keeps_definitions_in_use();
        let settled = if is_waited_for && hub.settled() {
            replica.revision()
        } else {
            0
        };
        let regions = hub.connected_regions();
        let (differs, unable) = (self.controller.differs(), replica.unable.is_some());
        replica.own.send_if_modified(|own| {
            let next = Member {
                regions,
                settled,
                differs,
                unable,
                ..own.clone()
            };
            let has_changed = next != *own;
            *own = next;
            has_changed
        });
    }

    /// Whether the gateways of all replicas have accepted what the controller waits for.
    pub(super) fn all_have_settled(&self) -> bool {
        let hub = &self.shared.hub;
        let others = self.replica.as_ref();
        hub.settled() && others.is_none_or(Replica::others_have_settled)
    }

    /// Whether every region with resources has a gateway that is connected to some replica.
    pub(super) fn is_complete(&self) -> bool {
        let others = self.replica.as_ref().map(Replica::regions_of_others);
        let mut connected = self.shared.hub.connected_regions();
        connected.extend(others.unwrap_or_default());
        let published = self.shared.hub.published();
        published.keys().all(|region| connected.contains(region))
    }

    /// A tick of a replica that does not lead.
    pub(super) fn follow_tick(&mut self) -> Event {
        self.renew_alone();
        self.tell_others();
        Event::Tick
    }
}

impl Replica {
    fn note_unable(&mut self, error: String) {
        if self.unable.as_ref() != Some(&error) {
            tracing::error!(
                error,
                "the plan in force cannot be published here; what was published stays"
            );
        }
        self.unable = Some(error);
    }
}
