//! What differs where several control planes share a store: a plan is in force once it is committed there, and all publish it.

use super::lease::third_s;
use super::{Controller, Effects, Event};
use crate::serve::edition::{Earlier, Edition};
use crate::serve::handover::with_policies;
use crate::serve::publication::{Publication, Publisher, Unpublishable};
use crate::serve::saved_state::SavedState;
use meridian_planner::plan::{Plan, carried_over};
use meridian_planner::signal::Millis;
use meridian_policy::filter_policy::Lease;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long the plan in force gets new leases while the store is away. Nobody can change it meanwhile, whatever is measured; past this
/// time requests go home first, as if no control plane was there.
const LONGEST_AWAY: Duration = Duration::from_secs(3600);

/// Why a plan that another replica has committed cannot be published here. What was in force stays.
#[derive(Debug, thiserror::Error)]
pub enum NotAdopted {
    /// It was committed without a fleet file.
    #[error("the plan in force has no fleet file")]
    NoFile,
    /// A fleet file of it is wrong for this version.
    #[error("the fleet file in force cannot be read: {0}")]
    File(String),
    /// The gateways have another trust domain.
    #[error("gateways.trust_domain is {0} there; a change takes a restart of `meridian serve`")]
    TrustDomain(String),
    /// A configuration does not verify.
    #[error(transparent)]
    Unpublishable(#[from] Unpublishable),
}

/// The editions of a state, read.
struct Editions {
    newest: Edition,
    earlier: Earlier,
}

impl Editions {
    fn publisher(
        &self,
        plan: &Plan,
        lease: Lease,
        before: &Publication,
    ) -> Result<Publisher, Unpublishable> {
        let history = self.earlier.before(&self.newest.fleet);
        Publisher::new(history, plan, lease, before)
    }
}

impl Controller {
    /// Handles an event of a control plane that does not lead: it observes.
    pub(super) fn observe(&mut self, event: Event, now: Millis) -> Effects {
        match event {
            Event::Edited(Ok(_)) => {
                self.counts.reloads += 1;
                self.file.error = None;
            }
            Event::Tick => self.look_back(now),
            Event::Settled => {}
            Event::Edited(Err(error)) => self.reject_edit(error, now),
            Event::Scraped(scrape) => self.record_scrape(&scrape),
            Event::Gateway(event) => self.record_gateway(event),
        }
        Effects::default()
    }

    fn look_back(&mut self, now: Millis) {
        self.note_tick(now);
        if now.since(self.planned_at) >= super::PLAN_INTERVAL {
            self.planned_at = now;
            self.state.forget(&self.fleet, now);
        }
    }

    /// Whether this control plane's own fleet file is another than the one in force.
    pub fn differs(&self) -> bool {
        self.own.text != self.edition.text && self.own.fleet.fleet() != self.fleet.fleet()
    }

    /// Publishes what is in force by the store. From now on this control plane does not plan.
    ///
    /// # Errors
    ///
    /// It cannot be published here. What was in force stays.
    pub fn adopt(&mut self, state: &SavedState, now: Millis) -> Result<Effects, NotAdopted> {
        self.follows = true;
        let editions = self.editions(&state.files)?;
        let before = match &state.before {
            Some(before) if **before == self.saved() => Some(self.published.clone()),
            Some(before) => {
                let editions = self.editions(&before.files)?;
                let publisher = editions.publisher(&before.plan, before.lease, &self.published)?;
                Some(publisher.publication())
            }
            None => None,
        };
        let has_same_files = self.saved_files() == state.files;
        if has_same_files {
            self.publisher.follow(&state.plan, state.lease)?;
        } else {
            self.publisher = editions.publisher(&state.plan, state.lease, &self.published)?;
        }
        let last = self.publisher.publication();
        let is_new_edition = editions.newest.text != self.edition.text;
        if is_new_edition {
            self.take_edition(editions.newest, now);
        }
        // Whether they are in use is for the one that leads to say: it waits for all the others.
        self.earlier = editions.earlier;
        self.steps = VecDeque::new();
        self.published = last.clone();
        if let Some(before) = before {
            self.published = with_policies(&last, &before);
            self.steps.push_back(last);
        }
        self.before = state.before.clone();
        self.step_at = now;
        self.queued_edit = None;
        super::log_changes(&self.plan, &state.plan);
        self.plan = state.plan.clone();
        self.note_intents(now);
        if self.lease != state.lease {
            self.lease = state.lease;
            self.lease_since = Millis(now.0.min(state.lease.given.saturating_mul(1000)));
        }
        self.unpublished = None;
        self.counts.publications += 1;
        Ok(Effects {
            publish: Some(self.published.clone()),
            fleet: Some(self.fleet.clone()),
            save: None,
            record: None,
        })
    }

    fn saved_files(&self) -> Vec<String> {
        let editions = std::iter::once(&self.edition).chain(self.earlier.editions());
        editions.map(|edition| edition.text.to_string()).collect()
    }

    /// Reads fleet files. Those that are known already are not read again.
    fn editions(&self, files: &[String]) -> Result<Editions, NotAdopted> {
        let known = [&self.edition, &self.own].into_iter();
        let known: Vec<&Edition> = known.chain(self.earlier.editions()).collect();
        let read = |text: &String| match known.iter().find(|edition| *edition.text == **text) {
            Some(edition) => Ok(Edition::clone(edition)),
            None => Edition::parse(text).map_err(|error| NotAdopted::File(error.to_string())),
        };
        let mut editions = files
            .iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        let newest = editions.next().ok_or(NotAdopted::NoFile)?;
        if newest.fleet.trust_domain != self.fleet.trust_domain {
            return Err(NotAdopted::TrustDomain(newest.fleet.trust_domain.clone()));
        }
        Ok(Editions {
            newest,
            earlier: Earlier::saved(editions.collect()),
        })
    }

    /// Leads from now on: it plans from the plan in force, ends a handover that is under way, and its own fleet file counts.
    pub fn lead(&mut self, now: Millis) -> Effects {
        self.follows = false;
        self.step_at = now;
        // The gateways of the one that led before are on their way to others.
        self.started_at = now;
        self.has_news = true;
        let runs = Duration::from_millis(self.lease.runs_ms);
        if now.since(self.lease_since) > LONGEST_AWAY.saturating_add(runs) {
            // The gateways have long sent everybody home first.
            self.plan = carried_over(&self.fleet, &Plan::default());
        }
        if !self.differs() {
            return Effects::default();
        }
        let own = self.own.clone();
        if self.is_handing_over() {
            self.queued_edit = Some(own);
            return Effects::default();
        }
        self.apply_edit(own, now)
    }

    /// Follows from now on.
    pub fn follow(&mut self) {
        self.follows = true;
    }

    /// What a start publishes, if no other control plane has planned yet.
    pub fn first(&self) -> Effects {
        Effects {
            publish: Some(self.published.clone()),
            fleet: Some(Arc::clone(&self.fleet)),
            save: Some(self.saved()),
            record: Some(self.begun.clone()),
        }
    }

    /// Renews the lease of the plan in force while the store is away, if it is due. Each replica gives the same leases, whatever its
    /// clock says: a third of the length after the one before.
    pub fn renew_alone(&mut self, away: Duration, now: Millis) -> Option<Effects> {
        let third = third_s(self.lease);
        let is_due = now.since(self.lease_since) >= Duration::from_secs(third);
        if !is_due || away > LONGEST_AWAY {
            return None;
        }
        let mut state = self.saved();
        state.lease.given += third;
        if let Some(before) = &mut state.before {
            before.lease = state.lease;
        }
        let effects = self.adopt(&state, now);
        self.lease_since = now;
        effects.ok()
    }
}
