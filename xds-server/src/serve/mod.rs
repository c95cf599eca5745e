//! `meridian serve`: the control plane as a running process.
//!
//! ```text
//! sources    --Collector------> Scrape       \
//! pushers    --Pushes---------> Scrape        \
//! gateways   --MetricsService-> GatewayEvent   --> Event --Controller--> Publication --Hub--> Envoys
//! fleet.yaml --FleetFile------> Fleet         /               \--> Report --> /status, /metrics
//! operators  --/v1, Admin-----> Command --ControllerTask--> Store, Controller
//! ```
//!
//! One task owns the controller and its state. The other tasks send it events or read its latest report.

mod api;
pub mod certificates;
mod controller;
mod decisions;
mod edition;
pub mod explain;
mod fleet_file;
mod handover;
mod http;
pub mod metrics;
pub mod operator;
mod page;
pub mod plans;
mod ports;
mod publication;
mod replica;
pub mod report;
mod saved_state;
mod settled;
pub mod store;
mod task;
mod thread;

#[cfg(test)]
pub(crate) use publication::publication;
pub use publication::{Configurations, Cost, Publication, Publisher, Unpublishable};

use crate::clock::steady_clock;
use crate::collect::gateway::{GatewayEvent, Gateways};
use crate::collect::push::Pushes;
use crate::collect::{Collector, Scrape, WatchedSource};
use crate::decisions::{Kept, Receiver};
use crate::etcd::Address;
use crate::fleet::load_error;
use crate::xds::{self, Peer, Trust};
use anyhow::{Context, Result, anyhow};
use api::OpenApiPort;
use axum::Router;
use certificates::followed;
use controller::Controller;
use edition::Edition;
use explain::Explainer;
use fleet_file::FleetFile;
use http::{Pages, pages};
use meridian_policy::RegionName;
use meridian_policy::fleet::ControlPlane;
use operator::json::Api;
use operator::{Access, Operator};
use page::Page;
use plans::Plans;
use ports::Ports;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use store::{Shared as SharedStore, Store};
use task::{ControllerTask, Inbox, Planner, Shared};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tokio::sync::{mpsc, watch};
use tonic::service::Routes;
use tonic::{Request, Status};

/// Scrapes and gateway events that may wait for the controller. Events beyond this number are dropped; sources and
/// gateways repeat them within seconds.
const QUEUE: usize = 1024;

/// Commands of operators that may wait.
const COMMANDS: usize = 16;

/// The arguments of `meridian serve`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The fleet file.
    pub fleet: PathBuf,
    /// The store: what operators have said, and the plan over a restart. Without one both end with the process.
    pub state: Option<State>,
    /// Where this one listens for the gateways, in the place of `control_plane.listen`.
    pub listen: Option<SocketAddr>,
    /// Where this one listens for operators, in the place of `control_plane.status`.
    pub status: Option<SocketAddr>,
}

/// Where the store is.
#[derive(Clone, Debug)]
pub enum State {
    /// A directory of this control plane.
    Directory(PathBuf),
    /// etcd, for several control planes.
    Etcd(Address),
}

/// Runs the control plane until `shutdown` completes, then ends the streams gracefully.
///
/// # Errors
///
/// If the fleet file, its certificates or its ports cannot be used, or if a server fails.
pub async fn serve(options: Options, shutdown: impl Future<Output = ()>) -> Result<()> {
    let mut file = FleetFile::new(options.fleet);
    let (edition, mut control_plane) = read_fleet(&mut file).await?;
    control_plane.listen = options.listen.unwrap_or(control_plane.listen);
    control_plane.status = options.status.unwrap_or(control_plane.status);
    let fleet = edition.fleet.clone();
    let ports = Ports::open(&control_plane)?;
    let (store, replica) = open_store(options.state, control_plane.listen)?;
    let (saved, intents) = store.left()?;
    let (controller, effects) =
        Controller::start(edition, file.shown(), saved, intents, steady_clock())
            .map_err(|error| anyhow!("nothing can be published: {error}"))?;
    let shared = Shared::new(&fleet, controller.report(steady_clock()));

    let (scrape_sender, scrapes) = mpsc::channel(QUEUE);
    let (gateway_sender, gateway_events) = mpsc::channel(QUEUE);
    let (edit_sender, edits) = mpsc::channel(1);
    let (saver, to_save) = store::to_save();
    let collector = Collector::start(
        WatchedSource::of(&fleet),
        scrape_sender.clone(),
        steady_clock,
    )?;
    tokio::spawn(file.watch(edit_sender));
    let (command_sender, commands) = mpsc::channel(COMMANDS);
    let saving = tokio::spawn(store.clone().save_latest(to_save));
    let operator = Operator::new(command_sender, store.clone());
    let mut task = ControllerTask::new(
        controller,
        shared.clone(),
        collector,
        saver,
        store,
        replica.as_ref(),
    );
    task.begin(effects);
    let (_, nothing) = mpsc::channel(1);

    let decisions = Arc::<Kept>::default();
    let services = services(&shared, scrape_sender, gateway_sender, &decisions);
    let serving = run_servers(ports, shared, operator, (services, decisions), shutdown);
    let planner = Planner::start(
        task,
        Inbox {
            scrapes,
            gateway_events,
            edits,
            commands,
            replica: replica.map_or(nothing, |replica| replica.events),
        },
    )?;
    let ended = tokio::select! {
        ended = serving => ended,
        () = planner.ended => Err(anyhow!("the planner's thread has ended")),
    };
    drop(planner.stop);
    // Ends after the last plan is written: the task that has ended has dropped the sender.
    saving.await.context("the plan may not be saved")?;
    ended
}

/// The store, and this control plane as one of several that share it.
fn open_store(state: Option<State>, listen: SocketAddr) -> Result<(Store, Option<replica::Ends>)> {
    let address = match state {
        None => return Ok((Store::open(None)?, None)),
        Some(State::Directory(directory)) => return Ok((Store::open(Some(&directory))?, None)),
        Some(State::Etcd(address)) => address,
    };
    let store = Arc::new(SharedStore::new(address));
    let replica = replica::start(Arc::clone(&store), replica_name(listen));
    Ok((Store::Shared(store), Some(replica)))
}

/// The name of a replica: where gateways find it, or its machine if it listens everywhere.
fn replica_name(listen: SocketAddr) -> String {
    if !listen.ip().is_unspecified() {
        return listen.to_string();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    host.map_or_else(|_| listen.to_string(), |host| host.trim().to_owned())
}

/// The first fleet, and where its control plane listens.
async fn read_fleet(file: &mut FleetFile) -> Result<(Edition, ControlPlane)> {
    let shown = file.shown();
    let read = file.read().await.context("nothing was read")?;
    let edition = read.map_err(|error| anyhow!(load_error(file.path(), &error)))?;
    let control_plane = edition.fleet.control_plane.clone().ok_or_else(|| {
        anyhow!("{shown}: there is no `control_plane`; say where the gateways find it, e.g. `control_plane: {{ address: cp.example.com }}`")
    })?;
    Ok((edition, control_plane))
}

/// The gRPC services beside xDS: statistics and decisions of gateways, and signals that are pushed.
fn services(
    shared: &Shared,
    scrapes: Sender<Scrape>,
    gateway_events: Sender<GatewayEvent>,
    decisions: &Arc<Kept>,
) -> Routes {
    let trust = shared.trust.clone();
    let gateway_region = move |request: &Request<_>| region_of(&trust, request);
    let trust = shared.trust.clone();
    let pusher_id = move |request: &Request<_>| trust.id(request).map_err(Status::from);
    let gateways = Gateways::new(
        gateway_region,
        shared.names.clone(),
        gateway_events,
        steady_clock,
    );
    let pushes = Pushes::new(pusher_id, shared.sources.clone(), scrapes, steady_clock);
    let trust = shared.trust.clone();
    let reports = Receiver::new(
        move |request: &Request<_>| region_of(&trust, request),
        shared.topology.clone(),
        Arc::clone(decisions),
        steady_clock,
    );
    Routes::new(gateways)
        .add_service(pushes.into_service())
        .add_service(reports.into_service())
}

/// The region whose gateway sends a request, if the connection proves it.
fn region_of<T>(trust: &Trust, request: &Request<T>) -> Result<Option<RegionName>, Status> {
    match trust.peer(request) {
        Ok(Peer::Certified(region)) => Ok(Some(region)),
        Ok(Peer::Local) => Ok(None),
        Err(refused) => Err(Status::permission_denied(refused.to_string())),
    }
}

/// Runs the xDS server and the status page until `shutdown` completes or one of them fails.
async fn run_servers(
    ports: Ports,
    shared: Shared,
    operator: Operator,
    (services, decisions): (Routes, Arc<Kept>),
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let (stop, stopped) = watch::channel(false);
    let certificates = ports.certificates.map(followed);
    let api_port = ports.api.map(OpenApiPort::follow);
    let in_force = certificates.as_ref().map(|own| Arc::clone(&own.in_force));
    let xds = xds::serve(
        ports.xds,
        in_force,
        Arc::clone(&shared.hub),
        shared.trust,
        services,
        until(stopped.clone()),
    );
    let topology = shared.topology;
    let plans = Plans {
        report: Arc::clone(&shared.report),
        topology: Arc::clone(&topology),
        store: operator.store(),
    };
    let explainer = Explainer {
        hub: Arc::clone(&shared.hub),
        report: Arc::clone(&shared.report),
        topology: Arc::clone(&topology),
        store: operator.store(),
    };
    let shown = Pages {
        report: shared.report,
        hub: Arc::clone(&shared.hub),
        certificates,
        api: api_port.as_ref().map(|port| port.state.clone()),
        clock: steady_clock,
    };
    let api = Api {
        operator,
        pages: shown.clone(),
        explainer,
        decisions,
        plans,
    };
    let page = Page::of(&api, Arc::clone(&topology), stopped.clone());
    tokio::spawn(page.clone().run());
    let routes = api::routes(api.clone(), &page, Access::Loopback);
    let pages = pages(shown).merge(page::files()).merge(routes);
    let status = serve_pages(ports.status, pages, until(stopped.clone()));
    let status = thread::spawn("status", status)?;
    let serving = async {
        let xds = async { Ok(xds.await?) };
        let status = async { status.await.context("the status port's thread has ended")? };
        let api = async {
            match api_port {
                Some(port) => port.serve((api, page), shared.hub, until(stopped)).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(xds, status, api).map(|_| ())
    };
    until_shutdown(serving, shutdown, &stop).await
}

/// Serves until `shutdown` completes or a server fails. The servers end when `stop` says so.
async fn until_shutdown(
    serving: impl Future<Output = Result<()>>,
    shutdown: impl Future<Output = ()>,
    stop: &watch::Sender<bool>,
) -> Result<()> {
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = shutdown => tracing::info!("shutting down"),
    }
    stop.send_replace(true);
    serving.await
}

/// Serves the status port: a thousand gateways that come back at once do not hold up its pages.
async fn serve_pages(
    listener: std::net::TcpListener,
    pages: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let pages = pages.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, pages).with_graceful_shutdown(shutdown);
    serving.await.context("the status port")
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone: stop as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

#[cfg(test)]
mod tests;
