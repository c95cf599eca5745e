//! Incremental xDS: requests and responses contain changes only.

use super::resources::ResourceType;
use super::stream::Stream;
use super::subscription::{Push, Subscription, Verdict};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
};

/// Handles a request. Returns the verdict on the last push, and the pushes to send now.
pub(super) fn request(
    stream: &mut Stream,
    kind: ResourceType,
    request: &DeltaDiscoveryRequest,
) -> (Option<Verdict>, Vec<Push>) {
    stream.request(kind, |subscription| apply(subscription, request))
}

fn apply(subscription: &mut Subscription, request: &DeltaDiscoveryRequest) -> Option<Verdict> {
    let names = &request.resource_names_subscribe;
    if !subscription.is_subscribed() {
        subscription.open_delta(names, request.initial_resource_versions.iter());
        return None;
    }
    let error = request.error_detail.as_ref();
    let error = error.map(|status| status.message.as_str());
    let verdict = subscription.verdict(&request.response_nonce, error);
    // Applies with any nonce: the client does not repeat these names.
    for name in &request.resource_names_unsubscribe {
        subscription.unsubscribe(name);
    }
    subscription.subscribe(names);
    verdict
}

/// A push as a response message.
pub(super) fn response(push: Push) -> DeltaDiscoveryResponse {
    let resources = push.resources.into_iter();
    DeltaDiscoveryResponse {
        system_version_info: push.version,
        resources: resources
            .map(|(name, resource)| Resource {
                name,
                version: resource.version.clone(),
                resource: Some(resource.body.clone()),
                ..Default::default()
            })
            .collect(),
        type_url: push.kind.type_url().to_owned(),
        removed_resources: push.removed,
        nonce: push.nonce,
        ..Default::default()
    }
}
