//! Requests and responses, independent of the protocol variant.

use super::Content;
use crate::xds::resource_type::ResourceType;
use crate::xds::status::Wire;
use crate::xds::stream::Stream;
use crate::xds::subscription::Push;
use crate::xds::tests::client::{decoded, read};
use crate::xds::{delta, sotw};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status;

/// A request of either variant.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub kind: Option<ResourceType>,
    /// SotW: all names. Delta: names to subscribe to.
    pub names: Vec<String>,
    /// Delta.
    pub less: Vec<String>,
    /// SotW.
    pub version: String,
    /// The resources of that version; not sent.
    pub versioned: Content,
    /// Delta.
    pub initial: Content,
    pub nonce: String,
    pub refuses: bool,
}

/// A response of either variant.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub kind: ResourceType,
    pub nonce: String,
    pub version: String,
    pub resources: Vec<(String, String)>,
    pub removed: Vec<String>,
}

pub(super) fn say(stream: &mut Stream, wire: Wire, request: &Request) -> Vec<Push> {
    let kind = request.kind.unwrap();
    let error_detail = request.refuses.then(Status::default);
    match wire {
        Wire::Sotw => {
            let request = DiscoveryRequest {
                type_url: kind.type_url().to_owned(),
                resource_names: request.names.clone(),
                version_info: request.version.clone(),
                response_nonce: request.nonce.clone(),
                error_detail,
                ..Default::default()
            };
            sotw::request(stream, kind, &request).1
        }
        Wire::Delta => {
            let request = DeltaDiscoveryRequest {
                type_url: kind.type_url().to_owned(),
                resource_names_subscribe: request.names.clone(),
                resource_names_unsubscribe: request.less.clone(),
                initial_resource_versions: request.initial.clone().into_iter().collect(),
                response_nonce: request.nonce.clone(),
                error_detail,
                ..Default::default()
            };
            delta::request(stream, kind, &request).1
        }
    }
}

pub(super) fn wire_form(wire: Wire, answer: Push) -> Response {
    let kind = answer.kind;
    match wire {
        Wire::Sotw => {
            let response: DiscoveryResponse = decoded(&answer, wire);
            let bodies = response.resources.iter().map(read);
            let resources = bodies.map(|text| {
                let (name, version) = text.split_once('@').unwrap();
                (name.to_owned(), version.to_owned())
            });
            Response {
                kind,
                nonce: response.nonce,
                version: response.version_info,
                resources: resources.collect(),
                removed: Vec::new(),
            }
        }
        Wire::Delta => {
            let response: DeltaDiscoveryResponse = decoded(&answer, wire);
            let resources = response.resources.into_iter();
            Response {
                kind,
                nonce: response.nonce,
                version: response.system_version_info,
                resources: resources.map(|each| (each.name, each.version)).collect(),
                removed: response.removed_resources,
            }
        }
    }
}
