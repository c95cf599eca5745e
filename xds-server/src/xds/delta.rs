//! Incremental: requests and answers say only what changes.

use super::resources::ResourceType;
use super::stream::Stream;
use super::subscription::{Answer, Subscription, Verdict};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
};

/// What a request says of a push, and the answers to send now.
pub(super) fn request(
    stream: &mut Stream,
    kind: ResourceType,
    request: &DeltaDiscoveryRequest,
) -> (Option<Verdict>, Vec<Answer>) {
    stream.request(kind, |subscription| apply(subscription, request))
}

fn apply(subscription: &mut Subscription, request: &DeltaDiscoveryRequest) -> Option<Verdict> {
    let names = &request.resource_names_subscribe;
    if !subscription.asked() {
        subscription.open_delta(names, request.initial_resource_versions.iter());
        return None;
    }
    let error = request.error_detail.as_ref();
    let error = error.map(|status| status.message.as_str());
    let verdict = subscription.verdict(&request.response_nonce, error);
    // Whatever the nonce: nothing will ever say this again.
    for name in &request.resource_names_unsubscribe {
        subscription.unsubscribe(name);
    }
    subscription.subscribe(names);
    verdict
}

/// The answer on the wire.
pub(super) fn response(answer: Answer) -> DeltaDiscoveryResponse {
    let resources = answer.resources.into_iter();
    DeltaDiscoveryResponse {
        system_version_info: answer.version,
        resources: resources
            .map(|(name, resource)| Resource {
                name,
                version: resource.version.clone(),
                resource: Some(resource.body.clone()),
                ..Default::default()
            })
            .collect(),
        type_url: answer.kind.type_url().to_owned(),
        removed_resources: answer.removed,
        nonce: answer.nonce,
        ..Default::default()
    }
}
