//! The state machine of the control plane: events in, effects out. It does no IO and has no clock.

mod beginning;
mod changes;
mod edits;
mod history;
mod lease;
mod replica;
mod report;

#[cfg(test)]
pub use replica::NotAdopted;

use super::edition::{Earlier, Edition};
use super::publication::{Publication, Publisher, Unpublishable};
use super::report::{CountsReport, ErrorReport, FleetReport, SourceReport};
use super::saved_state::SavedState;
use super::store::{PlanEntry, Why};
use crate::collect::Scrape;
use crate::collect::gateway::{GatewayEvent, GatewayReport};
use beginning::Beginning;
use changes::{log_changes, logged_entry};
use lease::{is_due, is_running, lease_after, new_lease};
use meridian_planner::intent::{Action, Intents, Objection, objections};
use meridian_planner::plan::{Plan, carried_over, plan};
use meridian_planner::signal::Millis;
use meridian_planner::state::FleetState;
use meridian_planner::topology::Topology;
use meridian_policy::RegionName;
use meridian_policy::filter_policy::Lease;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Longest time between two plans: sources that fall silent cause no event.
const PLAN_INTERVAL: Duration = Duration::from_secs(1);

/// Shortest time between two plans. The sources of a large fleet have news all the time.
const NEWS_INTERVAL: Duration = Duration::from_millis(200);

/// Time between two ticks, ten of which come in a second, after which the process must have stood still.
const STANDSTILL: Duration = Duration::from_secs(5);

/// An input of the controller.
#[derive(Debug)]
pub enum Event {
    /// A source was read, or failed.
    Scraped(Scrape),
    /// A gateway reported statistics, or its stream ended.
    Gateway(GatewayEvent),
    /// The fleet file has changed: the new edition, or the error.
    Edited(Result<Edition, String>),
    /// The gateways have accepted the last publication.
    Settled,
    /// Time has passed.
    Tick,
}

/// What the caller must do after an event.
#[derive(Debug, Default)]
pub struct Effects {
    /// Publish these resources.
    pub publish: Option<Publication>,
    /// The fleet has changed: update sources, names and regions.
    pub fleet: Option<Arc<Topology>>,
    /// Save this for the next start.
    pub save: Option<SavedState>,
    /// Record what it has moved.
    pub record: Option<PlanEntry>,
}

/// The state of the control plane.
pub struct Controller {
    /// It observes, and publishes what another control plane has planned.
    follows: bool,
    /// What its own fleet file says.
    own: Edition,
    edition: Edition,
    /// The fleet of the edition.
    fleet: Arc<Topology>,
    earlier: Earlier,
    state: FleetState,
    intents: Intents,
    /// Those by which the plan was made.
    intents_before: Intents,
    plan: Plan,
    /// The record of the start.
    begun: PlanEntry,
    lease: Lease,
    /// Since when it is in force, by this clock.
    lease_since: Millis,
    publisher: Publisher,
    published: Publication,
    /// The steps of a handover that are not published yet.
    steps: VecDeque<Publication>,
    /// The state before the edit, while there are any.
    before: Option<Box<SavedState>>,
    /// When the last step was published.
    step_at: Millis,
    /// The last edit that arrived during a handover.
    queued_edit: Option<Edition>,
    /// Whether anything was observed since the last plan.
    has_news: bool,
    planned_at: Millis,
    ticked_at: Millis,
    /// When the process started, went on after a standstill, or began to lead.
    started_at: Millis,
    /// The sources that were read since then.
    read: BTreeSet<(RegionName, String)>,
    sources: BTreeMap<(RegionName, String), SourceReport>,
    file: FleetReport,
    unpublished: Option<ErrorReport>,
    counts: CountsReport,
}

impl Controller {
    /// Starts with an edition, the state that an earlier run saved, and what operators have said. A saved plan whose lease has ended is
    /// dropped, as it was by the gateways; so is one whose lease begins in the future. The edition that was in force then is handed over
    /// from.
    ///
    /// # Errors
    ///
    /// If the configuration of a gateway cannot be published.
    pub fn start(
        edition: Edition,
        file: String,
        saved: Option<SavedState>,
        intents: Intents,
        now: Millis,
    ) -> Result<(Self, Effects), Unpublishable> {
        let files = saved.iter().flat_map(|saved| &saved.files);
        let before: Vec<Edition> = files.filter_map(|text| Edition::parse(text).ok()).collect();
        let left = saved.as_ref().map(|saved| saved.plan.clone());
        let saved = saved.filter(|saved| is_running(saved.lease, now));
        let lease = lease_after(saved.as_ref(), &edition.fleet, now);
        let before_plan = saved.map(|saved| saved.plan).unwrap_or_default();
        let Beginning {
            edition: first,
            earlier,
            plan,
            publisher,
        } = Beginning::after(before, &edition, &before_plan, lease)?;
        let mut controller = Self {
            follows: false,
            own: edition.clone(),
            state: FleetState::default(),
            // The run before has planned by them.
            intents_before: intents.clone(),
            intents,
            begun: PlanEntry::new(now, Why::Start, Vec::new()),
            plan,
            lease,
            lease_since: Millis(lease.given * 1000),
            published: publisher.publication(),
            publisher,
            steps: VecDeque::new(),
            before: None,
            step_at: now,
            queued_edit: None,
            has_news: false,
            planned_at: now,
            ticked_at: now,
            started_at: now,
            read: BTreeSet::new(),
            sources: BTreeMap::new(),
            file: FleetReport {
                file,
                since: now,
                ..Default::default()
            },
            unpublished: None,
            counts: CountsReport {
                publications: 1,
                ..Default::default()
            },
            fleet: first.fleet.clone(),
            edition: first,
            earlier,
        };
        if controller.fleet.fleet() != edition.fleet.fleet() {
            controller.hand_over(edition, now)?;
        }
        controller.begin_history(&left.unwrap_or_default(), now);
        let effects = controller.first();
        Ok((controller, effects))
    }

    /// Handles an event at a time.
    pub fn handle(&mut self, event: Event, now: Millis) -> Effects {
        if let Event::Edited(Ok(edition)) = &event {
            self.own = edition.clone();
        }
        if self.follows {
            return self.observe(event, now);
        }
        match event {
            Event::Scraped(scrape) => self.record_scrape(&scrape),
            Event::Gateway(event) => self.record_gateway(event),
            Event::Edited(Ok(edition)) if self.is_handing_over() => {
                self.queued_edit = Some(edition);
            }
            Event::Edited(Ok(edition)) => return self.apply_edit(edition, now),
            Event::Edited(Err(error)) => self.reject_edit(error, now),
            Event::Settled if self.is_handing_over() => return self.publish_next_step(now),
            Event::Settled => self.earlier.supersede(now),
            Event::Tick
                if self.is_handing_over() && now.since(self.step_at) < self.step_timeout(now) => {}
            Event::Tick if self.is_handing_over() => return self.publish_next_step(now),
            Event::Tick => return self.tick(now),
        }
        Effects::default()
    }

    fn record_scrape(&mut self, scrape: &Scrape) {
        let Scrape {
            region,
            source,
            url,
            outcome,
            ..
        } = scrape;
        let known = self.fleet.regions.get(region);
        // A scrape of a source that an edit has removed may still arrive.
        if !known.is_some_and(|known| known.signals.iter().any(|signal| signal.url == *url)) {
            return;
        }
        let key = (region.clone(), source.clone());
        self.read.insert(key.clone());
        let report = self.sources.entry(key).or_default();
        let was_fine = report.error.is_none();
        report.note(url, outcome);
        if let (true, Some(error)) = (was_fine, &report.error) {
            tracing::warn!(%region, source, url, error, "a source cannot be read");
        } else if !was_fine && report.error.is_none() {
            tracing::info!(%region, source, url, "a source can be read again");
        }
        if let Ok(scraped) = outcome
            && let Some(observation) = &scraped.observation
        {
            report.note_untaken(self.state.apply(&self.fleet, observation));
            self.has_news = true;
        }
    }

    fn record_gateway(&mut self, event: GatewayEvent) {
        match event {
            GatewayEvent::Report(report) => self.record_report(&report),
            GatewayEvent::StreamEnded { region, source } => self.remove_gateway(region, source),
        }
    }

    fn record_report(&mut self, report: &GatewayReport) {
        let key = (report.region.clone(), report.source.clone());
        let source = self.sources.entry(key).or_default();
        source.note_refused(&report.refused);
        source.certificates.clone_from(&report.certificates);
        if let Some(observation) = &report.observation {
            source.heard = Some(report.at);
            source.note_untaken(self.state.apply(&self.fleet, observation));
            self.has_news = true;
        }
    }

    fn remove_gateway(&mut self, region: RegionName, source: String) {
        self.state.gone(&region, &source);
        self.sources.remove(&(region, source));
        self.has_news = true;
    }

    /// Notes times at which nothing could be planned.
    pub fn note_skipped(&mut self, ticks: u64) {
        self.counts.skipped += ticks;
    }

    /// Notes how long an event has taken.
    pub fn note_busy(&mut self, time: Duration) {
        self.counts.planning_seconds += time.as_secs_f64();
    }

    /// Whether a handover is under way. Nothing else is published until it ends.
    pub fn is_handing_over(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Whether earlier definitions are kept by which some gateway may still decide.
    pub fn keeps_definitions_in_use(&self) -> bool {
        self.earlier.in_use()
    }

    fn publish_next_step(&mut self, now: Millis) -> Effects {
        let Some(next) = self.steps.pop_front() else {
            return Effects::default();
        };
        self.step_at = now;
        self.published = next;
        self.counts.publications += 1;
        if !self.is_handing_over() {
            self.before = None;
        }
        Effects {
            publish: Some(self.published.clone()),
            save: Some(self.saved()),
            ..Default::default()
        }
    }

    fn note_tick(&mut self, now: Millis) {
        if now.since(self.ticked_at) > STANDSTILL {
            self.started_at = now;
            self.read.clear();
        }
        self.ticked_at = now;
    }

    fn tick(&mut self, now: Millis) -> Effects {
        self.note_tick(now);
        if let Some(edition) = self.queued_edit.take() {
            return self.apply_edit(edition, now);
        }
        let due = is_due(&self.fleet, self.lease, self.lease_since, now);
        let retired = self.earlier.retire(now);
        let interval = if self.has_news {
            NEWS_INTERVAL
        } else {
            PLAN_INTERVAL
        };
        if !(due || retired || now.since(self.planned_at) >= interval) {
            return Effects::default();
        }
        self.has_news = false;
        self.planned_at = now;
        self.state.forget(&self.fleet, now);
        let next = self.next_plan(&self.fleet, now);
        let lease = if due {
            new_lease(&self.fleet, now)
        } else {
            self.lease
        };
        if next == self.plan && !due && !retired {
            self.note_intents(now);
            self.unpublished = None;
            return Effects::default();
        }
        let made = if retired {
            let history = self.earlier.before(&self.fleet);
            let made = Publisher::new(history, &next, lease, &self.published);
            made.map(|publisher| self.publisher = publisher)
        } else {
            self.publisher.follow(&next, lease)
        };
        self.publish_plan(next, lease, made, now)
    }

    /// Publishes what the publisher has made of a plan. If it could not, the previous plan stays in force and gets the new lease.
    pub(super) fn publish_plan(
        &mut self,
        next: Plan,
        lease: Lease,
        made: Result<(), Unpublishable>,
        now: Millis,
    ) -> Effects {
        match made {
            Ok(()) => {
                let moves = self.moves(&self.fleet, &next, false, now);
                self.unpublished = None;
                let steps = vec![self.publisher.publication()];
                Effects {
                    record: logged_entry(moves, now),
                    ..self.publish(next, lease, steps, now)
                }
            }
            Err(error) => {
                self.record_unpublished(&error, now);
                if lease == self.lease {
                    return Effects::default();
                }
                let plan = self.plan.clone();
                match self.publisher.follow(&plan, lease) {
                    Ok(()) => self.publish(plan, lease, vec![self.publisher.publication()], now),
                    // The error is logged and reported already.
                    Err(_) => Effects::default(),
                }
            }
        }
    }

    /// Counts a plan that could not be published. Logs each error once, not at every attempt.
    fn record_unpublished(&mut self, error: &Unpublishable, now: Millis) {
        self.counts.unpublished += 1;
        let message = error.to_string();
        let last = self.unpublished.as_ref().map(|last| &last.message);
        if last != Some(&message) {
            tracing::error!(%error, "the plan cannot be published; the previous one stays in force");
            self.unpublished = Some(ErrorReport { at: now, message });
        }
    }

    fn next_plan(&self, fleet: &Topology, now: Millis) -> Plan {
        if self.all_sources_answered(now) {
            plan(fleet, &self.state, &self.intents, &self.plan, now)
        } else {
            carried_over(fleet, &self.plan)
        }
    }

    /// Whether every source was read since the start or a standstill, or had `signal_ttl` to answer. A plan made from the first
    /// answers alone would move traffic to the regions that answered first.
    fn all_sources_answered(&self, now: Millis) -> bool {
        let known = |region: &RegionName, index: usize| {
            let key = (region.clone(), format!("signals[{index}]"));
            self.read.contains(&key)
        };
        now.since(self.started_at) >= self.fleet.unhealthy.signal_ttl
            || self
                .fleet
                .regions
                .iter()
                .all(|(name, region)| (0..region.signals.len()).all(|index| known(name, index)))
    }

    fn publish(
        &mut self,
        plan: Plan,
        lease: Lease,
        mut steps: Vec<Publication>,
        now: Millis,
    ) -> Effects {
        self.plan = plan;
        self.note_intents(now);
        if lease != self.lease {
            self.lease = lease;
            self.lease_since = now;
        }
        self.planned_at = now;
        // Leave out steps that change nothing.
        steps.insert(0, self.published.clone());
        steps.dedup();
        self.steps = steps.into_iter().skip(1).collect();
        if self.steps.len() < 2 {
            self.before = None;
        }
        let next = self.publish_next_step(now);
        Effects {
            save: Some(self.saved()),
            ..next
        }
    }

    fn saved(&self) -> SavedState {
        SavedState {
            plan: self.plan.clone(),
            lease: self.lease,
            files: std::iter::once(&self.edition)
                .chain(self.earlier.editions())
                .map(|edition| edition.text.to_string())
                .collect(),
            before: self.before.clone(),
        }
    }

    /// What operators have said.
    pub fn intents(&self) -> &Intents {
        &self.intents
    }

    /// Replaces what operators have said. The next plan follows it.
    pub fn set_intents(&mut self, intents: Intents) {
        self.intents = intents;
        self.has_news = true;
    }

    /// What speaks against an intent, beside those in force but one that it replaces.
    pub fn objections(
        &self,
        action: &Action,
        replaces: Option<u64>,
        now: Millis,
    ) -> Vec<Objection> {
        let mut others = self.intents.clone();
        others.0.retain(|number, _| Some(*number) != replaces);
        objections(&self.fleet, &self.state, &others, &self.plan, action, now)
    }

    /// The fleet in force.
    pub fn fleet(&self) -> &Topology {
        &self.fleet
    }
}
