//! The two variants of the protocol, as the task of a stream uses them.

use crate::xds::resource_type::ResourceType;
use crate::xds::status::Wire;
use crate::xds::stream::Stream;
use crate::xds::subscription::{Push, Verdict};
use crate::xds::{delta, sotw};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use prost::Message;

/// One of the two variants of the protocol, SotW or Delta.
pub(super) trait Variant: Send + 'static {
    type Request: Message + Default + 'static;
    const WIRE: Wire;

    fn type_url(request: &Self::Request) -> &str;
    fn node(request: &mut Self::Request) -> Option<Node>;
    fn request(
        stream: &mut Stream,
        kind: ResourceType,
        request: &Self::Request,
    ) -> (Option<Verdict>, Vec<Push>);
}

/// State of the world.
pub(super) struct Sotw;

impl Variant for Sotw {
    type Request = DiscoveryRequest;
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
    ) -> (Option<Verdict>, Vec<Push>) {
        sotw::request(stream, kind, request)
    }
}

/// Incremental.
pub(super) struct Delta;

impl Variant for Delta {
    type Request = DeltaDiscoveryRequest;
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
    ) -> (Option<Verdict>, Vec<Push>) {
        delta::request(stream, kind, request)
    }
}
