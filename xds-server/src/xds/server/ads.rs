//! The aggregated discovery service: one task for each stream.

use super::session;
use crate::xds::hub::Hub;
use crate::xds::identity::Trust;
use crate::xds::resources::ResourceType;
use crate::xds::status::Wire;
use crate::xds::stream::Stream;
use crate::xds::subscription::{Answer, Verdict};
use crate::xds::{delta, sotw};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::AggregatedDiscoveryService;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

#[derive(Clone)]
pub(super) struct Ads {
    pub hub: Arc<Hub>,
    pub trust: Arc<Trust>,
    /// Becomes true when the server is to stop.
    pub stopped: watch::Receiver<bool>,
}

/// What a task needs to know of the form of its stream.
pub(super) trait Form: Send + 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;
    const WIRE: Wire;

    fn type_url(request: &Self::Request) -> &str;
    fn node(request: &mut Self::Request) -> Option<Node>;
    fn request(
        stream: &mut Stream,
        kind: ResourceType,
        request: &Self::Request,
    ) -> (Option<Verdict>, Vec<Answer>);
    fn response(answer: Answer) -> Self::Response;
}

struct Sotw;

impl Form for Sotw {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;
    const WIRE: Wire = Wire::Sotw;

    fn type_url(request: &DiscoveryRequest) -> &str {
        &request.type_url
    }

    fn node(request: &mut DiscoveryRequest) -> Option<Node> {
        request.node.take()
    }

    fn request(
        stream: &mut Stream,
        kind: ResourceType,
        request: &DiscoveryRequest,
    ) -> (Option<Verdict>, Vec<Answer>) {
        sotw::request(stream, kind, request)
    }

    fn response(answer: Answer) -> DiscoveryResponse {
        sotw::response(answer)
    }
}

struct Delta;

impl Form for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;
    const WIRE: Wire = Wire::Delta;

    fn type_url(request: &DeltaDiscoveryRequest) -> &str {
        &request.type_url
    }

    fn node(request: &mut DeltaDiscoveryRequest) -> Option<Node> {
        request.node.take()
    }

    fn request(
        stream: &mut Stream,
        kind: ResourceType,
        request: &DeltaDiscoveryRequest,
    ) -> (Option<Verdict>, Vec<Answer>) {
        delta::request(stream, kind, request)
    }

    fn response(answer: Answer) -> DeltaDiscoveryResponse {
        delta::response(answer)
    }
}

impl Ads {
    pub fn new(hub: Arc<Hub>, trust: Arc<Trust>, stopped: watch::Receiver<bool>) -> Self {
        Self {
            hub,
            trust,
            stopped,
        }
    }

    /// Starts the task of a stream, unless its connection is one to refuse.
    fn open<F: Form>(
        &self,
        request: Request<Streaming<F::Request>>,
    ) -> Result<Response<Responses<F::Response>>, Status> {
        let peer = self.trust.peer(&request).inspect_err(|refused| {
            self.hub.count_refused(refused.reason());
            tracing::warn!(remote = ?request.remote_addr(), %refused, "stream refused");
        })?;
        let remote = request.remote_addr();
        // All types of one state fit in: the bound on what a slow client costs.
        let (sender, receiver) = mpsc::channel(ResourceType::ALL.len());
        let session = session::run::<F>(self.clone(), peer, remote, request.into_inner(), sender);
        tokio::spawn(session);
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

type Responses<R> = ReceiverStream<Result<R, Status>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Ads {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        self.open::<Sotw>(request)
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        self.open::<Delta>(request)
    }
}
