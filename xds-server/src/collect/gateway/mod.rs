//! What the gateways say about themselves: Envoy's `MetricsService`.
//!
//! An Envoy flushes every statistic that it has used as one message, if its sink has no `batch_size`: this relies on
//! it, as a counter that is missing from a message is taken for one that nobody has used. Counters and gauges are
//! totals; histograms hold only what came since the flush before, and are added up here.

mod family;
mod names;
mod tags;
mod totals;

pub use names::Names;
pub use tags::stats_tags;

use super::{Clock, Refused};
use arc_swap::ArcSwap;
use envoy_types::pb::envoy::service::metrics::v3::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use envoy_types::pb::envoy::service::metrics::v3::{StreamMetricsMessage, StreamMetricsResponse};
use meridian_policy::RegionName;
use meridian_policy::signal::{Millis, Observation};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tonic::{Request, Response, Status, Streaming};
use totals::Totals;

/// Largest message, in bytes. A gateway with 1,000 clusters sends about 10 MB.
const LARGEST_MESSAGE: usize = 64 << 20;
/// What is kept of a node id, in bytes.
const LONGEST_NODE: usize = 256;

/// One message of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The gateway's own region.
    pub region: RegionName,
    /// The gateway's node id.
    pub source: String,
    /// When it came.
    pub at: Millis,
    /// What is believed; `None` if that is nothing.
    pub observation: Option<Observation>,
    /// What is not believed.
    pub refused: Vec<Refused>,
}

/// Receives the statistics of gateways. `I` says which region a stream comes from: `Ok(None)` takes the gateway's own
/// word, its node's `locality.region`, for it.
pub struct Gateways<I> {
    identify: I,
    names: Arc<ArcSwap<Names>>,
    sender: Sender<Report>,
    clock: Clock,
    totals: Mutex<Totals>,
}

impl<I> Gateways<I>
where
    I: Fn(&Request<Streaming<StreamMetricsMessage>>) -> Result<Option<RegionName>, Status>
        + Send
        + Sync
        + 'static,
{
    /// What is known of the fleet is looked up in `names` for every message. Reports that `sender` has no room for
    /// are lost: the next one says it again.
    pub fn new(
        identify: I,
        names: Arc<ArcSwap<Names>>,
        sender: Sender<Report>,
        clock: Clock,
    ) -> Self {
        Self {
            identify,
            names,
            sender,
            clock,
            totals: Mutex::default(),
        }
    }

    /// The gRPC service.
    pub fn into_service(self) -> MetricsServiceServer<Self> {
        MetricsServiceServer::new(self).max_decoding_message_size(LARGEST_MESSAGE)
    }

    fn report(
        &self,
        region: &RegionName,
        source: &str,
        message: StreamMetricsMessage,
    ) -> Option<Report> {
        let at = (self.clock)();
        let names = self.names.load();
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let total = totals.of(region, source, at);
        let (readings, refused) = family::read(message.envoy_metrics, region, &names, total);
        if readings.is_empty() && refused.is_empty() {
            return None;
        }
        let observation = (!readings.is_empty()).then(|| Observation {
            region: region.clone(),
            source: source.to_owned(),
            at,
            readings,
        });
        Some(Report {
            region: region.clone(),
            source: source.to_owned(),
            at,
            observation,
            refused,
        })
    }
}

#[tonic::async_trait]
impl<I> MetricsService for Gateways<I>
where
    I: Fn(&Request<Streaming<StreamMetricsMessage>>) -> Result<Option<RegionName>, Status>
        + Send
        + Sync
        + 'static,
{
    async fn stream_metrics(
        &self,
        request: Request<Streaming<StreamMetricsMessage>>,
    ) -> Result<Response<StreamMetricsResponse>, Status> {
        let known = (self.identify)(&request)?;
        let mut stream = request.into_inner();
        let mut who: Option<(RegionName, String)> = None;
        while let Some(mut message) = stream.message().await? {
            let (region, source) = match &who {
                Some(who) => who,
                // Only the first message of a stream says who it is.
                None => who.insert(introduce(known.clone(), &mut message)?),
            };
            if !self.names.load().has_region(region) {
                let status = format!("the fleet file has no region `{region}`");
                return Err(Status::failed_precondition(status));
            }
            let Some(report) = self.report(region, source, message) else {
                continue;
            };
            match self.sender.try_send(report) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => tracing::debug!(%region, source, "a report is lost"),
                Err(TrySendError::Closed(_)) => return Err(Status::unavailable("going away")),
            }
        }
        Ok(Response::new(StreamMetricsResponse {}))
    }
}

/// Region and node id of a stream.
fn introduce(
    known: Option<RegionName>,
    message: &mut StreamMetricsMessage,
) -> Result<(RegionName, String), Status> {
    let node = message.identifier.take().and_then(|it| it.node);
    let node = node.unwrap_or_default();
    let said = node.locality.map(|locality| locality.region);
    let region = known.or(said
        .filter(|region| !region.is_empty())
        .map(RegionName::from));
    let region = region.ok_or_else(|| {
        Status::invalid_argument("identifier.node.locality.region of the first message is empty")
    })?;
    let mut source = node.id;
    source.truncate(source.floor_char_boundary(LONGEST_NODE));
    if source.is_empty() {
        source = region.to_string();
    }
    Ok((region, source))
}
