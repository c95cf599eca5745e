//! Statistics of gateways, received by Envoy's `MetricsService`.
//!
//! If the sink has no `batch_size`, Envoy flushes every used statistic in one message. This code relies on it: a
//! counter that a message lacks counts as unused. Counters and gauges are totals. Histograms hold the values since the
//! last flush and are added up here.

pub(super) mod family;
mod message;
mod names;
mod tags;
mod totals;

pub use message::{Identify, StreamMetricsMessage};
pub use names::Names;
pub use tags::stats_tags;

use super::refused::Refused;
use crate::clock::Clock;
use arc_swap::ArcSwap;
use envoy_types::pb::envoy::service::metrics::v3::StreamMetricsResponse;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use meridian_planner::signal::{Millis, Observation};
use meridian_policy::RegionName;
use meridian_policy::name::BadName;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use totals::Total;

/// Largest message, in bytes. A gateway with 1,000 clusters sends about 10 MB.
const LARGEST_MESSAGE: usize = 64 << 20;
/// Longest part of a node id that is kept, in bytes.
const LONGEST_NODE: usize = 256;

/// An event of a gateway's stream of statistics.
#[derive(Clone, Debug, PartialEq)]
pub enum GatewayEvent {
    /// A message with statistics.
    Report(GatewayReport),
    /// The stream has ended. A later report of the same source comes from another stream.
    StreamEnded {
        /// The gateway's own region.
        region: RegionName,
        /// The source of the stream, as in [`GatewayReport`].
        source: String,
    },
}

/// One message of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayReport {
    /// The gateway's own region.
    pub region: RegionName,
    /// The gateway's node id. Further streams with the same id get a number: `gw#2`.
    pub source: String,
    /// When the message arrived.
    pub at: Millis,
    /// The accepted values; `None` if there are none.
    pub observation: Option<Observation>,
    /// The refused values.
    pub refused: Vec<Refused>,
    /// When its certificates end: seconds since the Unix epoch, by the name of the secret.
    pub certificates: BTreeMap<String, i64>,
}

/// The metrics service. `I` returns the region that a stream's connection proves. With `Ok(None)` the gateway's
/// `locality.region` counts.
pub struct Gateways<I> {
    identify: Arc<I>,
    streams: Streams,
}

/// State that all streams share.
#[derive(Clone)]
struct Streams {
    names: Arc<ArcSwap<Names>>,
    sender: Sender<GatewayEvent>,
    clock: Clock,
    /// The sources of open streams.
    open: Arc<Mutex<BTreeSet<(RegionName, String)>>>,
}

impl<I: Identify> Gateways<I> {
    /// Names are looked up in `names` for every message. A report that does not fit into `sender` is dropped, as the
    /// next one repeats it. The end of a stream is never dropped.
    pub fn new(
        identify: I,
        names: Arc<ArcSwap<Names>>,
        sender: Sender<GatewayEvent>,
        clock: Clock,
    ) -> Self {
        let streams = Streams {
            names,
            sender,
            clock,
            open: Arc::default(),
        };
        Self {
            identify: Arc::new(identify),
            streams,
        }
    }

    async fn take(
        self,
        request: Request<Streaming<StreamMetricsMessage>>,
    ) -> Result<Response<StreamMetricsResponse>, Status> {
        let known = (self.identify)(&request)?;
        let (streams, stream) = (self.streams, request.into_inner());
        // Dropping this future does not end the task, so the end of the stream is reported even if the client
        // disconnects.
        let task = tokio::spawn(async move { streams.take(known, stream).await });
        task.await
            .map_err(|error| Status::internal(error.to_string()))??;
        Ok(Response::new(StreamMetricsResponse {}))
    }
}

/// The service takes the place of the generated one, which decodes every series of a message.
impl<I> NamedService for Gateways<I> {
    const NAME: &'static str = "envoy.service.metrics.v3.MetricsService";
}

impl<I: Identify> Service<http::Request<Body>> for Gateways<I> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if !request.uri().path().ends_with("/StreamMetrics") {
            let response = Status::unimplemented("no such method").into_http();
            return async { Ok(response) }.boxed();
        }
        let method = Method(self.clone());
        async move {
            let codec = ProstCodec::default();
            let mut grpc =
                Grpc::new(codec).apply_max_message_size_config(Some(LARGEST_MESSAGE), None);
            Ok(grpc.client_streaming(method, request).await)
        }
        .boxed()
    }
}

/// `StreamMetrics`.
struct Method<I>(Gateways<I>);

impl<I: Identify> Service<Request<Streaming<StreamMetricsMessage>>> for Method<I> {
    type Response = Response<StreamMetricsResponse>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<StreamMetricsMessage>>) -> Self::Future {
        let gateways = self.0.clone();
        async move { gateways.take(request).await }.boxed()
    }
}

impl<I> Clone for Gateways<I> {
    fn clone(&self) -> Self {
        Self {
            identify: Arc::clone(&self.identify),
            streams: self.streams.clone(),
        }
    }
}

impl Streams {
    async fn take(
        &self,
        known: Option<RegionName>,
        mut stream: Streaming<StreamMetricsMessage>,
    ) -> Result<(), Status> {
        let Some(mut first) = stream.message().await? else {
            return Ok(());
        };
        // Only the first message identifies the node.
        let (region, node) = identify(known, &mut first)?;
        let source = self.register(&region, node);
        let taken = self.follow(&region, &source, first, stream).await;
        let ended = GatewayEvent::StreamEnded {
            region: region.clone(),
            source: source.clone(),
        };
        // Sent before another stream can take the name. An error means that there is no receiver.
        let _ = self.sender.send(ended).await;
        self.open().remove(&(region, source));
        taken
    }

    /// A name that no other open stream has. Replicas of a gateway with one bootstrap have the same node id, but
    /// separate counters.
    fn register(&self, region: &RegionName, node: String) -> String {
        let mut open = self.open();
        let mut source = node.clone();
        let mut number = 1;
        while !open.insert((region.clone(), source.clone())) {
            number += 1;
            source = format!("{node}#{number}");
        }
        source
    }

    fn open(&self) -> MutexGuard<'_, BTreeSet<(RegionName, String)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn follow(
        &self,
        region: &RegionName,
        source: &str,
        first: StreamMetricsMessage,
        mut stream: Streaming<StreamMetricsMessage>,
    ) -> Result<(), Status> {
        let mut total = Total::new();
        let mut next = Some(first);
        while let Some(message) = next {
            if !self.names.load().has_region(region) {
                let status = format!("the fleet file has no region `{region}`");
                return Err(Status::failed_precondition(status));
            }
            if let Some(report) = self.report(region, source, message, &mut total)? {
                match self.sender.try_send(GatewayEvent::Report(report)) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => {
                        tracing::debug!(%region, source, "a report is dropped");
                    }
                    Err(TrySendError::Closed(_)) => return Err(Status::unavailable("going away")),
                }
            }
            next = stream.message().await?;
        }
        Ok(())
    }

    fn report(
        &self,
        region: &RegionName,
        source: &str,
        message: StreamMetricsMessage,
        total: &mut Total,
    ) -> Result<Option<GatewayReport>, Status> {
        let at = (self.clock)();
        let names = self.names.load();
        let family::Taken {
            readings,
            refused,
            certificates,
        } = family::read(message.families, region, &names, total)
            .map_err(|error| Status::invalid_argument(format!("a message: {error}")))?;
        if readings.is_empty() && refused.is_empty() && certificates.is_empty() {
            return Ok(None);
        }
        let observation = (!readings.is_empty()).then(|| Observation {
            region: region.clone(),
            source: source.to_owned(),
            at,
            readings,
        });
        Ok(Some(GatewayReport {
            region: region.clone(),
            source: source.to_owned(),
            at,
            observation,
            refused,
            certificates,
        }))
    }
}

/// Region and node id of a stream.
fn identify(
    known: Option<RegionName>,
    message: &mut StreamMetricsMessage,
) -> Result<(RegionName, String), Status> {
    let node = message.identifier.take().and_then(|it| it.node);
    let node = node.unwrap_or_default();
    let claimed = node.locality.map(|locality| locality.region);
    let at = "identifier.node.locality.region of the first message";
    let region = match (known, claimed) {
        (Some(known), _) => known,
        (None, Some(claimed)) if !claimed.is_empty() => {
            let region = claimed.parse();
            region.map_err(|bad: BadName| Status::invalid_argument(format!("{at}: {bad}")))?
        }
        (None, _) => return Err(Status::invalid_argument(format!("{at} is empty"))),
    };
    let mut source = node.id;
    source.truncate(source.floor_char_boundary(LONGEST_NODE));
    if source.is_empty() {
        source = region.to_string();
    }
    Ok((region, source))
}
