//! The task that owns the controller: it feeds events to it and carries out their effects.

mod commands;
mod replica;
mod shared;

use super::controller::{Controller, Effects, Event};
use super::edition::Edition;
use super::operator::Command;
use super::replica::{Ends, ReplicaEvent};
use super::report::Report;
use super::store::{Saver, Store};
use super::thread;
use crate::clock::steady_clock;
use crate::collect::gateway::{GatewayEvent, Names};
use crate::collect::{Collector, Scrape, WatchedSource};
use crate::fleet::FleetError;
use crate::xds::{Hub, Trust};
use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use meridian_planner::topology::Topology;
use meridian_policy::{Fleet, RegionName};
use replica::Replica;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Interval at which the controller checks whether a new plan is due.
const TICK: Duration = Duration::from_millis(100);

/// Interval at which the report is renewed.
const REPORT: Duration = Duration::from_millis(500);

/// The thread of the controller's task. Planning and publishing keep a processor busy for as long as they take: scrapes, streams and
/// pages never wait for them.
pub struct Planner {
    /// The task ends when this is dropped.
    pub stop: oneshot::Sender<()>,
    /// Completes when the thread has ended, whatever the reason.
    pub ended: BoxFuture<'static, ()>,
}

impl Planner {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// If there can be no other thread.
    pub fn start(task: ControllerTask, inbox: Inbox) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let ended = thread::spawn("planner", async {
            tokio::select! {
                () = task.run(inbox) => {}
                _ = stopped => {}
            }
        })?;
        Ok(Self {
            stop,
            ended: ended.map(|_| ()).boxed(),
        })
    }
}

/// State that the controller's task writes and the servers read.
#[derive(Clone)]
pub struct Shared {
    pub hub: Arc<Hub>,
    pub trust: Arc<Trust>,
    pub names: Arc<ArcSwap<Names>>,
    pub sources: Arc<ArcSwap<Vec<WatchedSource>>>,
    pub report: Arc<ArcSwap<Report>>,
    pub topology: Arc<ArcSwap<Topology>>,
}

impl Shared {
    /// The shared state for a fleet, before anything is published.
    pub fn new(fleet: &Arc<Topology>, report: Report) -> Self {
        Self {
            hub: Arc::new(Hub::default()),
            trust: Arc::new(Trust::new(fleet.trust_domain.clone(), regions(fleet))),
            names: Arc::new(ArcSwap::from_pointee(Names::from(fleet.fleet().as_ref()))),
            sources: Arc::new(ArcSwap::from_pointee(WatchedSource::of(fleet))),
            report: Arc::new(ArcSwap::from_pointee(report)),
            topology: Arc::new(ArcSwap::new(Arc::clone(fleet))),
        }
    }
}

/// The channels that the task receives from.
pub struct Inbox {
    pub scrapes: mpsc::Receiver<Scrape>,
    pub gateway_events: mpsc::Receiver<GatewayEvent>,
    pub edits: mpsc::Receiver<Result<Edition, FleetError>>,
    pub commands: mpsc::Receiver<Command>,
    /// News from a store that is shared; without one, of a channel that nobody sends to.
    pub replica: mpsc::Receiver<ReplicaEvent>,
}

/// The controller, and what its effects change.
pub struct ControllerTask {
    controller: Controller,
    shared: Shared,
    collector: Collector,
    saver: Saver,
    store: Store,
    /// `None` with an embedded store.
    replica: Option<Replica>,
}

impl ControllerTask {
    /// A task that has not handled an event yet.
    pub fn new(
        controller: Controller,
        shared: Shared,
        collector: Collector,
        saver: Saver,
        store: Store,
        replica: Option<&Ends>,
    ) -> Self {
        Self {
            replica: replica.map(Replica::new),
            controller,
            shared,
            collector,
            saver,
            store,
        }
    }

    /// Carries out what a start has to. With a shared store nothing is published before the plan in force is known.
    pub fn begin(&mut self, effects: Effects) {
        if self.replica.is_some() {
            self.controller.follow();
        } else {
            self.apply(effects);
        }
    }

    /// Handles events until all senders are gone.
    pub async fn run(mut self, mut inbox: Inbox) {
        let mut ticks = interval(TICK);
        let mut reports = interval(REPORT);
        loop {
            let event = tokio::select! {
                Some(event) = inbox.replica.recv() => {
                    self.handle_replica(event).await;
                    continue;
                }
                Some(scrape) = inbox.scrapes.recv() => Event::Scraped(scrape),
                Some(event) = inbox.gateway_events.recv() => Event::Gateway(event),
                Some(edit) = inbox.edits.recv() => Event::Edited(match edit {
                    Ok(edition) => self.check_edit(edition),
                    Err(error) => Err(error.to_string()),
                }),
                Some(command) = inbox.commands.recv() => {
                    self.take_command(command).await;
                    continue;
                }
                due = ticks.tick() => {
                    let late = due.elapsed().div_duration_f64(TICK);
                    self.controller.note_skipped(late as u64);
                    self.drain(&mut inbox).await;
                    self.next_tick().await
                }
                _ = reports.tick() => {
                    self.report();
                    continue;
                }
                else => return,
            };
            self.handle(event).await;
        }
    }

    async fn take_command(&mut self, command: Command) {
        match &self.replica {
            Some(replica) => replica.pass_on(command),
            None => {
                let answer = self.obey(command.wanted, None).await;
                // An error means that the caller has left. What was said counts.
                let _ = command.reply.send(answer);
            }
        }
    }

    /// The event of a tick.
    async fn next_tick(&mut self) -> Event {
        if !self.leads() {
            return self.follow_tick();
        }
        self.end_expired().await;
        self.tell_others();
        if self.has_settled() {
            Event::Settled
        } else {
            Event::Tick
        }
    }

    fn report(&self) {
        let mut report = self.controller.report(steady_clock());
        report.replicas = self.replica.as_ref().map(Replica::report);
        self.shared.report.store(Arc::new(report));
    }

    /// Whether the gateways have accepted what the controller waits for. A gateway that is away for a moment holds up a handover, for a
    /// while, but not the end of earlier definitions.
    fn has_settled(&self) -> bool {
        if self.controller.is_handing_over() {
            self.all_have_settled() && self.is_complete()
        } else {
            self.controller.keeps_definitions_in_use() && self.all_have_settled()
        }
    }

    /// Handles all events that wait now, before a plan is made: planning a large fleet takes longer than the time between
    /// two observations.
    async fn drain(&mut self, inbox: &mut Inbox) {
        // Only as many as wait now: events that arrive during the loop have their turn later.
        for _ in 0..inbox.scrapes.len() {
            if let Ok(scrape) = inbox.scrapes.try_recv() {
                self.handle(Event::Scraped(scrape)).await;
            }
        }
        for _ in 0..inbox.gateway_events.len() {
            if let Ok(event) = inbox.gateway_events.try_recv() {
                self.handle(Event::Gateway(event)).await;
            }
        }
    }

    async fn handle(&mut self, event: Event) {
        let begun = Instant::now();
        let effects = self.controller.handle(event, steady_clock());
        self.controller.note_busy(begun.elapsed());
        self.carry_out(effects).await;
    }

    /// Refuses edits of fields that cannot change while the process runs.
    fn check_edit(&self, edition: Edition) -> Result<Edition, String> {
        let (fleet, running) = (&edition.fleet, self.controller.fleet());
        let restart = "takes a restart of `meridian serve`; put it back, or restart";
        let Some(new) = &fleet.control_plane else {
            return Err(format!("control_plane: removing it {restart}"));
        };
        let old = running.control_plane.as_ref();
        let fixed = old.map(|old| (old.listen, old.status, &old.tls, &old.api));
        if fixed != Some((new.listen, new.status, &new.tls, &new.api)) {
            return Err(format!(
                "control_plane: a change of `listen`, `status`, `tls` or `api` {restart}"
            ));
        }
        if fleet.trust_domain != running.trust_domain {
            return Err(format!("gateways.trust_domain: a change {restart}"));
        }
        Ok(edition)
    }

    /// Carries out the effects of an event.
    pub fn apply(&mut self, effects: Effects) {
        let Effects {
            publish,
            fleet,
            save,
            record,
        } = effects;
        if let Some(fleet) = fleet {
            let sources = WatchedSource::of(&fleet);
            self.shared.trust.set_regions(regions(&fleet));
            self.shared
                .names
                .store(Arc::new(Names::from(fleet.fleet().as_ref())));
            self.shared.sources.store(Arc::new(sources.clone()));
            self.shared.topology.store(fleet);
            self.collector.replace(sources);
        }
        if let Some(publication) = publish {
            if let Some(replica) = &mut self.replica {
                replica.note_published(&publication);
            }
            self.shared.hub.publish(publication);
        }
        // A shared store has both already.
        if let (Some(state), None) = (save, &self.replica) {
            self.saver.save(state, record);
        }
    }
}

fn interval(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

fn regions(fleet: &Fleet) -> BTreeSet<RegionName> {
    fleet.regions.keys().cloned().collect()
}
