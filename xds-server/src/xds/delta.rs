//! Incremental xDS: requests and responses contain changes only.

use super::resource_type::ResourceType;
use super::stream::Stream;
use super::subscription::{Push, Subscription, Verdict};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;

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
        subscription.open_delta(names, &request.initial_resource_versions);
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
