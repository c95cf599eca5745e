//! `meridian serve`: the control plane, live.
//!
//! ```text
//! sources --Collector--> Scrape  \
//! pushers --Signals--> Scrape     \
//! gateways --MetricsService--> Heard  --> Event --Conductor--> Publication --Hub--> Envoys
//! fleet.yaml --FleetFile--> Fleet /          \--> Report --> /status, /metrics
//! ```
//!
//! One task owns the state; everything else hands it events, or shows what it said last.

mod conductor;
mod fleet_file;
mod handover;
mod http;
mod memory;
pub mod metrics;
mod publication;
pub mod report;

pub use publication::{Publication, Unpublishable, publication};

use crate::clock::wall_clock;
use crate::collect::gateway::{Gateways, Heard, Names};
use crate::collect::push::Pushes;
use crate::collect::{Collector, Scrape, WatchedSource};
use crate::fleet::FleetError;
use crate::xds::{self, Hub, Peer, ServeError, Tls, Trust};
use anyhow::{Context, Result, anyhow};
use arc_swap::ArcSwap;
use conductor::{Conductor, Effects, Event};
use fleet_file::FleetFile;
use http::{Pages, pages};
use memory::{Memory, Remembered};
use meridian_policy::Fleet;
use meridian_policy::fleet::ControlPlane;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tonic::service::Routes;
use tonic::{Request, Status};

/// How often it looks whether there is something to plan.
const TICK: Duration = Duration::from_millis(100);

/// How often what is shown is made anew.
const SHOW: Duration = Duration::from_millis(250);

/// Events that wait: looks at sources and words of gateways. What does not fit is said again.
const WAITING: usize = 1024;

/// What `meridian serve` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The fleet file.
    pub fleet: PathBuf,
    /// Where the plan is kept over a restart.
    pub state: Option<PathBuf>,
}

/// Serves until `shutdown` ends; then the streams are ended in good order.
pub async fn serve(options: Options, shutdown: impl Future<Output = ()>) -> Result<()> {
    let mut file = FleetFile::new(options.fleet);
    let shown = file.path().display().to_string();
    let fleet = file
        .read()
        .await
        .context("nothing was read")?
        .map_err(|error| anyhow!("{shown}: {error}"))?;
    let fleet = Arc::new(fleet);
    let control_plane = fleet.control_plane.clone().ok_or_else(|| {
        anyhow!("{shown}: there is no `control_plane`; say where the gateways find it, e.g. `control_plane: {{ address: cp.example.com }}`")
    })?;
    let xds_listener = bind("control_plane.listen", control_plane.listen).await?;
    let status_listener = bind("control_plane.status", control_plane.status).await?;
    let tls = tls(&control_plane)?;

    let memory = Memory::new(options.state);
    let (conductor, effects) =
        Conductor::begin(fleet.clone(), shown, memory.recall(), wall_clock())
            .map_err(|error| anyhow!("nothing can be published: {error}"))?;
    let hub = Arc::new(Hub::default());
    let trust = Arc::new(Trust::new(fleet.trust_domain.clone(), regions(&fleet)));
    let names = Arc::new(ArcSwap::from_pointee(Names::from(fleet.as_ref())));
    let (scrapes, scraped) = mpsc::channel(WAITING);
    let (gateways, heard) = mpsc::channel(WAITING);
    let report = Arc::new(ArcSwap::from_pointee(conductor.report(wall_clock())));
    let sources = Arc::new(ArcSwap::from_pointee(WatchedSource::of(&fleet)));
    let collector = Collector::start(WatchedSource::of(&fleet), scrapes.clone(), wall_clock)?;

    let (edits, edited) = mpsc::channel(1);
    tokio::spawn(file.watch(edits));
    let (remember, told) = watch::channel(None);
    let keeping = tokio::spawn(memory.keep(told));

    let mut task = Task {
        conductor,
        remember,
        hub: hub.clone(),
        trust: trust.clone(),
        names: names.clone(),
        sources: sources.clone(),
        collector,
        report: report.clone(),
    };
    task.follow(effects);

    let identify = {
        let trust = trust.clone();
        move |request: &Request<_>| match trust.peer(request) {
            Ok(Peer::Certified(region)) => Ok(Some(region)),
            Ok(Peer::Local) => Ok(None),
            Err(refused) => Err(Status::permission_denied(refused.to_string())),
        }
    };
    let gateways = Gateways::new(identify, names, gateways, wall_clock).into_service();
    let identify = {
        let trust = trust.clone();
        move |request: &Request<_>| trust.id(request).map_err(Status::from)
    };
    let pushes = Pushes::new(identify, sources, scrapes, wall_clock).into_service();
    let (stop, stopped) = watch::channel(false);
    let xds = xds::serve(
        xds_listener,
        tls,
        hub.clone(),
        trust,
        Routes::new(gateways).add_service(pushes),
        until(stopped.clone()),
    );
    let pages = pages(Pages {
        report,
        hub,
        clock: wall_clock,
    });
    let status = axum::serve(status_listener, pages).with_graceful_shutdown(until(stopped));
    let running = async {
        let serving = async {
            let (xds, status) = tokio::join!(xds, status.into_future());
            xds.map_err(|error: ServeError| anyhow!(error))?;
            status.context("the status port")
        };
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended,
            () = shutdown => tracing::info!("ending"),
        }
        stop.send_replace(true);
        serving.await
    };
    // Of its own, so that whatever keeps it busy does not keep anybody from being answered.
    let mut conducting = tokio::spawn(task.run(scraped, heard, edited));
    let ended = tokio::select! {
        ended = running => ended,
        _ = &mut conducting => Err(anyhow!("the control plane's task has ended")),
    };
    conducting.abort();
    // It ends when the last plan is written and nobody is left to tell it another.
    keeping.await.context("the plan may not be kept")?;
    ended
}

async fn bind(what: &str, address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{what}: cannot listen on {address}"))
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // Without a sender there is nothing to wait for any more.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn regions(fleet: &Fleet) -> BTreeSet<meridian_policy::RegionName> {
    fleet.regions.keys().cloned().collect()
}

fn tls(control_plane: &ControlPlane) -> Result<Option<Tls>> {
    let Some(tls) = &control_plane.tls else {
        return Ok(None);
    };
    let read = |what: &str, path: &str| {
        std::fs::read(path).with_context(|| format!("control_plane.tls.{what}: {path}"))
    };
    Ok(Some(Tls {
        certificate: read("certificate", &tls.identity.certificate)?,
        key: read("key", &tls.identity.key)?,
        ca: read("ca", &tls.ca)?,
    }))
}

/// The conductor, and everything that its effects reach.
struct Task {
    conductor: Conductor,
    remember: watch::Sender<Option<Remembered>>,
    hub: Arc<Hub>,
    trust: Arc<Trust>,
    names: Arc<ArcSwap<Names>>,
    sources: Arc<ArcSwap<Vec<WatchedSource>>>,
    collector: Collector,
    report: Arc<ArcSwap<report::Report>>,
}

impl Task {
    async fn run(
        mut self,
        mut scraped: mpsc::Receiver<Scrape>,
        mut heard: mpsc::Receiver<Heard>,
        mut edited: mpsc::Receiver<Result<Fleet, FleetError>>,
    ) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut shows = tokio::time::interval(SHOW);
        shows.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let event = tokio::select! {
                Some(scrape) = scraped.recv() => Event::Scraped(scrape),
                Some(heard) = heard.recv() => Event::Heard(heard),
                Some(edit) = edited.recv() => Event::Edited(match edit {
                    Ok(fleet) => self.checked(fleet),
                    Err(error) => Err(error.to_string()),
                }),
                _ = ticks.tick() => {
                    self.take_in(&mut scraped, &mut heard);
                    let arrived = self.conductor.is_handing_over() && self.hub.settled();
                    if arrived { Event::Settled } else { Event::Tick }
                }
                _ = shows.tick() => {
                    let report = self.conductor.report(wall_clock());
                    self.report.store(Arc::new(report));
                    continue;
                }
                else => return,
            };
            let now = wall_clock();
            let effects = self.conductor.handle(event, now);
            self.follow(effects);
        }
    }

    /// Whatever has come by now, before it is planned for: a plan of a large fleet takes longer than the next observation.
    fn take_in(&mut self, scraped: &mut mpsc::Receiver<Scrape>, heard: &mut mpsc::Receiver<Heard>) {
        // As many as there are: what comes meanwhile has its turn later.
        let (scrapes, hearings) = (scraped.len(), heard.len());
        let scraped = std::iter::from_fn(|| scraped.try_recv().ok()).take(scrapes);
        let heard = std::iter::from_fn(|| heard.try_recv().ok()).take(hearings);
        for event in scraped.map(Event::Scraped).chain(heard.map(Event::Heard)) {
            let effects = self.conductor.handle(event, wall_clock());
            self.follow(effects);
        }
    }

    /// What cannot be changed while it runs.
    fn checked(&self, fleet: Fleet) -> Result<Box<Fleet>, String> {
        let running = self.conductor.fleet().control_plane.as_ref();
        let restart = "takes a restart of `meridian serve`; put it back, or restart";
        let Some(new) = &fleet.control_plane else {
            return Err(format!("control_plane: removing it {restart}"));
        };
        let fixed = running.map(|old| (old.listen, old.status, &old.tls));
        if fixed != Some((new.listen, new.status, &new.tls)) {
            return Err(format!(
                "control_plane: a change of `listen`, `status` or `tls` {restart}"
            ));
        }
        if fleet.trust_domain != self.conductor.fleet().trust_domain {
            return Err(format!("gateways.trust_domain: a change {restart}"));
        }
        Ok(Box::new(fleet))
    }

    fn follow(&mut self, effects: Effects) {
        let Effects {
            publish,
            fleet,
            remember,
        } = effects;
        if let Some(fleet) = fleet {
            self.trust.set_regions(regions(&fleet));
            self.names.store(Arc::new(Names::from(fleet.as_ref())));
            let sources = WatchedSource::of(&fleet);
            self.sources.store(Arc::new(sources.clone()));
            self.collector.replace(sources);
        }
        if let Some(publication) = publish {
            self.hub.publish(publication);
        }
        if remember.is_some() {
            self.remember.send_replace(remember);
        }
    }
}

#[cfg(test)]
mod tests;
