//! The aggregated discovery service: one task for each stream.

use super::session::{self, Shared};
use super::variant::{Delta, Sotw, Variant};
use crate::xds::hub::Hub;
use crate::xds::identity::Trust;
use crate::xds::resources::ResourceType;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::AggregatedDiscoveryService;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The gRPC service.
pub(super) struct Ads {
    shared: Shared,
}

impl Ads {
    pub fn new(hub: Arc<Hub>, trust: Arc<Trust>, stopped: watch::Receiver<bool>) -> Self {
        Self {
            shared: Shared {
                hub,
                trust,
                stopped,
            },
        }
    }

    /// Starts the task of a stream, or refuses a connection without a valid identity.
    fn open<V: Variant>(
        &self,
        request: Request<Streaming<V::Request>>,
    ) -> Result<Response<Responses<V::Response>>, Status> {
        let peer = self.shared.trust.peer(&request).inspect_err(|refused| {
            self.shared.hub.count_refused(refused.reason());
            tracing::warn!(remote = ?request.remote_addr(), %refused, "stream refused");
        })?;
        let remote = request.remote_addr();
        // Room for one response of every type. This bounds the memory that a slow client takes.
        let (sender, receiver) = mpsc::channel(ResourceType::ALL.len());
        let session = session::run::<V>(
            self.shared.clone(),
            peer,
            remote,
            request.into_inner(),
            sender,
        );
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
