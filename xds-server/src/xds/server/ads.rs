//! The aggregated discovery service: one task for each stream.

use super::inbound::Inbound;
use super::outbound::Outbound;
use super::session::{self, Shared};
use super::variant::{Delta, Sotw, Variant};
use crate::xds::resource_type::ResourceType;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{self, HeaderValue, header::CONTENT_TYPE};
use tonic::server::NamedService;
use tonic::{Request, Status};

/// The gRPC service. It takes the place of the generated one, whose responses are encoded for each stream.
#[derive(Clone)]
pub(super) struct Ads {
    shared: Shared,
}

impl NamedService for Ads {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl Ads {
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// Starts the task of a stream, or refuses a connection without a valid identity.
    fn open<V: Variant>(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Status> {
        let request = Request::from_http(request);
        let remote = request.remote_addr();
        let peer = self.shared.trust.peer(&request).inspect_err(|refused| {
            self.shared.hub.count_refused(refused.reason());
            tracing::warn!(?remote, %refused, "stream refused");
        })?;
        let encoding = request.metadata().get("grpc-encoding");
        if encoding.is_some_and(|encoding| encoding != "identity") {
            return Err(Status::unimplemented("compressed requests are not read"));
        }
        let Ok(place) = Arc::clone(&self.shared.places).try_acquire_owned() else {
            self.shared.hub.count_refused("too_many_streams");
            return Err(Status::resource_exhausted("too many streams"));
        };
        // Room for one response of every type. This bounds the memory that a slow client takes.
        let (sender, receiver) = mpsc::channel(ResourceType::ALL.len());
        let inbound = Inbound::new(request.into_inner());
        let shared = self.shared.clone();
        tokio::spawn(async move {
            session::run::<V>(shared, peer, remote, inbound, sender).await;
            drop(place);
        });
        let mut response = http::Response::new(Body::new(Outbound::new(receiver)));
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(CONTENT_TYPE, grpc);
        Ok(response)
    }
}

impl Service<http::Request<Body>> for Ads {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let method = path.rsplit_once('/').map(|(_, method)| method);
        let response = match method {
            Some("StreamAggregatedResources") => self.open::<Sotw>(request),
            Some("DeltaAggregatedResources") => self.open::<Delta>(request),
            _ => Err(Status::unimplemented("no such method")),
        };
        ready(Ok(response.unwrap_or_else(Status::into_http)))
    }
}
