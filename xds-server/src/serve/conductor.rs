//! The one task that owns the fleet's state: it takes events in, plans, and says what is to be published. It does no IO
//! and knows no clock.

mod shown;

use super::handover::handover;
use super::memory::Remembered;
use super::publication::{Publication, Unpublishable, publication};
use super::report::{CountsReport, ErrorReport, FleetReport, SourceReport};
use crate::collect::Scrape;
use crate::collect::gateway::{Heard, Report as GatewayReport};
use meridian_planner::plan::{Plan, carried_over, plan};
use meridian_planner::signal::Millis;
use meridian_planner::state::FleetState;
use meridian_policy::filter_policy::Lease;
use meridian_policy::{Fleet, RegionName};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Silence is noticed after this time at the latest.
const ROUND: Duration = Duration::from_secs(1);

/// A gateway that does not answer keeps the others waiting for the next step of an edit no longer than this.
const STEP: Duration = Duration::from_secs(2);

/// Everything that can happen to it.
#[derive(Debug)]
pub enum Event {
    /// A source was looked at.
    Scraped(Scrape),
    /// A gateway said what it has seen, or went.
    Heard(Heard),
    /// The fleet file says something else: a fleet, or what is wrong with it.
    Edited(Result<Box<Fleet>, String>),
    /// Every connected gateway has accepted what was published last.
    Settled,
    /// Time has passed.
    Tick,
}

/// What follows from an event.
#[derive(Debug, Default)]
pub struct Effects {
    /// Every gateway's resources have changed to these.
    pub publish: Option<Publication>,
    /// The fleet has changed: its sources, names and regions are others.
    pub fleet: Option<Arc<Fleet>>,
    /// What to remember over a restart.
    pub remember: Option<Remembered>,
}

/// The state of the control plane.
pub struct Conductor {
    fleet: Arc<Fleet>,
    state: FleetState,
    plan: Plan,
    lease: Lease,
    published: Publication,
    /// The steps of an edit that are still to be published.
    steps: VecDeque<Publication>,
    stepped: Millis,
    /// An edit that came before the one before it had arrived.
    waiting: Option<Box<Fleet>>,
    /// Something was observed since the last plan.
    observed: bool,
    planned: Millis,
    began: Millis,
    sources: BTreeMap<(RegionName, String), SourceReport>,
    file: FleetReport,
    unpublished: Option<ErrorReport>,
    counts: CountsReport,
}

impl Conductor {
    /// Begins with a fleet, and with what was remembered of the time before. What outlived its lease is forgotten, as the
    /// gateways did; so is what comes from a clock that ran ahead.
    pub fn begin(
        fleet: Arc<Fleet>,
        file: String,
        remembered: Option<Remembered>,
        now: Millis,
    ) -> Result<(Self, Effects), Unpublishable> {
        let remembered = remembered.filter(|remembered| {
            let given = Millis(remembered.lease.given * 1000);
            given <= now && now.since(given) < Duration::from_millis(remembered.lease.runs_ms)
        });
        let remembered_lease = remembered.as_ref().map(|remembered| remembered.lease);
        let before = remembered
            .map(|remembered| remembered.plan)
            .unwrap_or_default();
        let plan = carried_over(&fleet, &before);
        let kept = remembered_lease.filter(|lease| !is_due(&fleet, *lease, now));
        let lease = kept.unwrap_or_else(|| new_lease(&fleet, now));
        let published = publication(&fleet, &plan, lease, &Publication::new())?;
        let conductor = Self {
            state: FleetState::default(),
            plan,
            lease,
            published,
            steps: VecDeque::new(),
            stepped: now,
            waiting: None,
            observed: false,
            planned: now,
            began: now,
            sources: BTreeMap::new(),
            file: FleetReport {
                file,
                since: now,
                error: None,
            },
            unpublished: None,
            counts: CountsReport {
                publications: 1,
                ..Default::default()
            },
            fleet,
        };
        let effects = Effects {
            publish: Some(conductor.published.clone()),
            fleet: Some(conductor.fleet.clone()),
            remember: Some(conductor.remembered()),
        };
        Ok((conductor, effects))
    }

    /// Takes an event in.
    pub fn handle(&mut self, event: Event, now: Millis) -> Effects {
        match event {
            Event::Scraped(scrape) => self.scraped(&scrape),
            Event::Heard(Heard::Report(report)) => self.reported(&report),
            Event::Heard(Heard::Ended { region, source }) => self.gone(region, source),
            Event::Edited(Ok(fleet)) if self.is_handing_over() => self.waiting = Some(fleet),
            Event::Edited(Ok(fleet)) => return self.edited(Arc::new(*fleet), now),
            Event::Edited(Err(error)) => self.bad_edit(error, now),
            Event::Settled => return self.step(now),
            Event::Tick if self.is_handing_over() && now.since(self.stepped) < STEP => {}
            Event::Tick if self.is_handing_over() => return self.step(now),
            Event::Tick => return self.tick(now),
        }
        Effects::default()
    }

    fn scraped(&mut self, scrape: &Scrape) {
        let Scrape {
            region,
            source,
            url,
            outcome,
            ..
        } = scrape;
        let known = self.fleet.regions.get(region);
        // A look at a source that an edit has removed since may still come.
        if !known.is_some_and(|known| known.signals.iter().any(|signal| signal.url == *url)) {
            return;
        }
        let report = self
            .sources
            .entry((region.clone(), source.clone()))
            .or_default();
        let was_fine = report.error.is_none();
        report.note(url, outcome);
        if let (true, Some(error)) = (was_fine, &report.error) {
            tracing::warn!(%region, source, url, error, "a source is not understood");
        } else if !was_fine && report.error.is_none() {
            tracing::info!(%region, source, url, "a source is understood again");
        }
        if let Ok(scraped) = outcome
            && let Some(observation) = &scraped.observation
        {
            report.note_untaken(self.state.apply(&self.fleet, observation));
            self.observed = true;
        }
    }

    fn reported(&mut self, report: &GatewayReport) {
        let key = (report.region.clone(), report.source.clone());
        let source = self.sources.entry(key).or_default();
        source.note_refused(&report.refused);
        if let Some(observation) = &report.observation {
            source.heard = Some(report.at);
            source.note_untaken(self.state.apply(&self.fleet, observation));
            self.observed = true;
        }
    }

    fn gone(&mut self, region: RegionName, source: String) {
        self.state.gone(&region, &source);
        self.sources.remove(&(region, source));
        self.observed = true;
    }

    /// Whether an edit is on its way: nothing else is published before it has arrived.
    pub fn is_handing_over(&self) -> bool {
        !self.steps.is_empty()
    }

    fn step(&mut self, now: Millis) -> Effects {
        let Some(next) = self.steps.pop_front() else {
            return Effects::default();
        };
        self.stepped = now;
        self.published = next;
        self.counts.publications += 1;
        Effects {
            publish: Some(self.published.clone()),
            ..Default::default()
        }
    }

    fn tick(&mut self, now: Millis) -> Effects {
        if let Some(fleet) = self.waiting.take() {
            return self.edited(Arc::new(*fleet), now);
        }
        let due = is_due(&self.fleet, self.lease, now);
        if !(due || self.observed || now.since(self.planned) >= ROUND) {
            return Effects::default();
        }
        self.observed = false;
        self.planned = now;
        self.state.forget(&self.fleet, now);
        let next = self.next_plan(&self.fleet, now);
        let lease = if due {
            new_lease(&self.fleet, now)
        } else {
            self.lease
        };
        if next == self.plan && !due {
            self.unpublished = None;
            return Effects::default();
        }
        let made = publication(&self.fleet, &next, lease, &self.published);
        self.take(next, lease, made, now)
    }

    /// Publishes what was made of a plan. If that is nothing, the plan before it stays and has the lease: the gateways keep
    /// what worked.
    pub(super) fn take(
        &mut self,
        next: Plan,
        lease: Lease,
        made: Result<Publication, Unpublishable>,
        now: Millis,
    ) -> Effects {
        match made {
            Ok(made) => {
                say_what_moves(&self.plan, &next);
                self.unpublished = None;
                self.publish(self.fleet.clone(), next, lease, vec![made], now)
            }
            Err(error) => {
                self.not_published(&error, now);
                if lease == self.lease {
                    return Effects::default();
                }
                let plan = self.plan.clone();
                match publication(&self.fleet, &plan, lease, &self.published) {
                    Ok(again) => self.publish(self.fleet.clone(), plan, lease, vec![again], now),
                    // It was fine when it was published; that something is wrong is said already.
                    Err(_) => Effects::default(),
                }
            }
        }
    }

    /// Said once, not at every try.
    fn not_published(&mut self, error: &Unpublishable, now: Millis) {
        self.counts.unpublished += 1;
        let message = error.to_string();
        let last = self.unpublished.as_ref().map(|last| &last.message);
        if last != Some(&message) {
            tracing::error!(%error, "not published; what was published before stays");
            self.unpublished = Some(ErrorReport { at: now, message });
        }
    }

    fn next_plan(&self, fleet: &Fleet, now: Millis) -> Plan {
        if self.has_looked_round(now) {
            plan(fleet, &self.state, &self.plan, now)
        } else {
            carried_over(fleet, &self.plan)
        }
    }

    /// Whether every source was looked at since the start: the first ones that are heard are not the only ones there are.
    fn has_looked_round(&self, now: Millis) -> bool {
        let known = |region: &RegionName, index: usize| {
            let key = (region.clone(), format!("signals[{index}]"));
            self.sources.contains_key(&key)
        };
        now.since(self.began) >= self.fleet.unhealthy.signal_ttl
            || self
                .fleet
                .regions
                .iter()
                .all(|(name, region)| (0..region.signals.len()).all(|index| known(name, index)))
    }

    fn edited(&mut self, fleet: Arc<Fleet>, now: Millis) -> Effects {
        let next = self.next_plan(&fleet, now);
        let before = (self.fleet.as_ref(), &self.plan);
        match handover(&self.published, before, (&fleet, &next), self.lease) {
            Ok(steps) => {
                tracing::info!(file = self.file.file, "the edited fleet file is taken");
                self.counts.reloads += 1;
                self.file.since = now;
                self.file.error = None;
                self.unpublished = None;
                self.sources.retain(|(region, source), report| {
                    let region = fleet.regions.get(region);
                    let is_gateway = report.url.is_empty();
                    region.is_some_and(|region| {
                        let mut places =
                            (0..region.signals.len()).map(|index| format!("signals[{index}]"));
                        is_gateway || places.any(|place| place == *source)
                    })
                });
                Effects {
                    fleet: Some(fleet.clone()),
                    ..self.publish(fleet, next, self.lease, steps, now)
                }
            }
            Err(error) => {
                self.bad_edit(error.to_string(), now);
                Effects::default()
            }
        }
    }

    fn bad_edit(&mut self, message: String, now: Millis) {
        tracing::error!(
            file = self.file.file,
            error = message,
            "the edited fleet file is not taken; the fleet before it stays in force"
        );
        self.waiting = None;
        self.counts.bad_edits += 1;
        self.file.error = Some(ErrorReport { at: now, message });
    }

    fn publish(
        &mut self,
        fleet: Arc<Fleet>,
        plan: Plan,
        lease: Lease,
        mut steps: Vec<Publication>,
        now: Millis,
    ) -> Effects {
        if self.fleet != fleet {
            self.state.edited(now);
        }
        self.fleet = fleet;
        self.plan = plan;
        self.lease = lease;
        self.planned = now;
        // What is published already is no step, nor is one that changes nothing.
        steps.insert(0, self.published.clone());
        steps.dedup();
        self.steps = steps.into_iter().skip(1).collect();
        Effects {
            remember: Some(self.remembered()),
            ..self.step(now)
        }
    }

    fn remembered(&self) -> Remembered {
        Remembered {
            plan: self.plan.clone(),
            lease: self.lease,
        }
    }

    /// The fleet that is in force.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }
}

/// The length of a lease, in milliseconds.
fn runs_ms(fleet: &Fleet) -> u64 {
    let length = fleet
        .control_plane
        .as_ref()
        .map(|control_plane| control_plane.lease);
    length.map_or(u64::MAX, |length| {
        u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
    })
}

fn new_lease(fleet: &Fleet, now: Millis) -> Lease {
    Lease {
        given: now.0 / 1000,
        runs_ms: runs_ms(fleet),
    }
}

/// A lease is renewed after a third of it, so that two renewals may be lost.
fn is_due(fleet: &Fleet, lease: Lease, now: Millis) -> bool {
    let third = Duration::from_millis(runs_ms(fleet) / 3);
    lease.runs_ms != runs_ms(fleet) || now.since(Millis(lease.given * 1000)) >= third
}

fn say_what_moves(before: &Plan, next: &Plan) {
    for (gateway, zones) in &next.gateways {
        for (zone, models) in zones {
            for (model, placement) in models {
                let old = before.placement(gateway, zone, model);
                let (share, weights) = (placement.home_share, &placement.overflow);
                if old.is_none_or(|old| old.home_share != share || old.overflow != *weights) {
                    let weights: Vec<String> = weights
                        .iter()
                        .map(|(region, weight)| format!("{region}={weight}"))
                        .collect();
                    tracing::info!(%gateway, %zone, %model, home_share = share, overflow = weights.join(" "), "placement");
                }
            }
        }
    }
    for region in next.pools.keys() {
        let old = before.freshness.retrieval.get(region).unwrap_or(region);
        let serves = next.freshness.retrieval.get(region).unwrap_or(region);
        if old != serves {
            tracing::info!(%region, %serves, "retrieval");
        }
    }
    for (region, pools) in &next.pools {
        for (model, health) in pools {
            let old = before.pools.get(region).and_then(|pools| pools.get(model));
            if old.is_none_or(|old| (old.down, &old.reasons) != (health.down, &health.reasons)) {
                let reasons: Vec<String> = health.reasons.iter().map(ToString::to_string).collect();
                tracing::info!(%region, %model, down = health.down, reasons = reasons.join(", "), "health");
            }
        }
    }
}
