//! Envoy's `MetricsService`. It takes the place of the generated service, which decodes every series of a message: a gateway sends
//! thousands, and few of them are read.

use super::{Gateways, LARGEST_MESSAGE};
use bytes::Bytes;
use envoy_types::pb::envoy::service::metrics::v3::StreamMetricsResponse;
use envoy_types::pb::envoy::service::metrics::v3::stream_metrics_message::Identifier;
use envoy_types::pb::io::prometheus::client::MetricFamily;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use meridian_policy::RegionName;
use prost::{DecodeError, Message};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// `StreamMetricsMessage`, whose families are not decoded yet.
#[derive(Clone, PartialEq, Message)]
pub struct StreamMetricsMessage {
    /// Who sends the stream. In its first message only.
    #[prost(message, optional, tag = "1")]
    pub(super) identifier: Option<Identifier>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) families: Vec<Bytes>,
}

/// The name of a `MetricFamily`, without the rest of it.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
}

/// The families of these names.
pub(super) fn decode(
    families: Vec<Bytes>,
    is_known: impl Fn(&[u8]) -> bool,
) -> Result<Vec<MetricFamily>, DecodeError> {
    let mut known = Vec::new();
    for family in families {
        if is_known(&Named::decode(family.clone())?.name) {
            known.push(MetricFamily::decode(family)?);
        }
    }
    Ok(known)
}

/// What a stream's connection proves.
pub trait Identify:
    Fn(&Request<Streaming<StreamMetricsMessage>>) -> Result<Option<RegionName>, Status>
    + Send
    + Sync
    + 'static
{
}

impl<I> Identify for I where
    I: Fn(&Request<Streaming<StreamMetricsMessage>>) -> Result<Option<RegionName>, Status>
        + Send
        + Sync
        + 'static
{
}

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
