//! The controller's task where several control planes share a store: it commits plans, or takes over those that others commit.

use super::ControllerTask;
use super::replica::Replica;
use crate::clock::steady_clock;
use crate::serve::controller::{Effects, Event};
use crate::serve::operator::Refusal;
use crate::serve::replica::ReplicaEvent;
use crate::serve::saved_state::SavedState;
use crate::serve::store::{Member, Pending, StoreError};
use std::sync::Arc;

impl ControllerTask {
    /// Handles news from the store.
    pub(super) async fn handle_replica(&mut self, event: ReplicaEvent) {
        match event {
            ReplicaEvent::Plan(revision, state) => self.take_plan(revision, *state),
            ReplicaEvent::Intents(intents) if !self.leads() => self.controller.set_intents(intents),
            ReplicaEvent::Intents(_) => {}
            ReplicaEvent::Leads(term) => self.lead(term).await,
            ReplicaEvent::Request(request) if self.leads() => self.answer(request).await,
            ReplicaEvent::Request(_) => {}
            ReplicaEvent::State(report) => {
                if let Some(replica) = &mut self.replica {
                    replica.report = *report;
                }
            }
            ReplicaEvent::Ended => self.end_session(),
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
        let is_known = if std::mem::take(&mut replica.is_new_session) {
            revision == replica.revision()
        } else {
            revision <= replica.revision()
        };
        if is_known {
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

    async fn lead(&mut self, term: i64) {
        let Some(replica) = &mut self.replica else {
            return;
        };
        if replica.unable.is_some() {
            replica.resign.notify_one();
            return;
        }
        replica.leads = true;
        replica.store.lead(term);
        let is_empty = std::mem::take(&mut replica.is_new_session);
        let effects = self.controller.lead(steady_clock());
        let effects = if is_empty {
            self.controller.first()
        } else {
            effects
        };
        self.carry_out(effects).await;
    }

    fn end_session(&mut self) {
        self.step_down();
        if let Some(replica) = &mut self.replica {
            replica.is_new_session = true;
        }
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
            let record = effects.record.clone();
            match replica.store.commit(state, record).await {
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
