//! State-of-the-world xDS: every request lists all names, every response all resources.

use super::resource_type::ResourceType;
use super::stream::Stream;
use super::subscription::{Push, Subscription, Verdict};
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;

/// Handles a request. Returns the verdict on the last push, and the pushes to send now.
pub(super) fn request(
    stream: &mut Stream,
    kind: ResourceType,
    request: &DiscoveryRequest,
) -> (Option<Verdict>, Vec<Push>) {
    stream.request(kind, |subscription| apply(subscription, request))
}

fn apply(subscription: &mut Subscription, request: &DiscoveryRequest) -> Option<Verdict> {
    let names = &request.resource_names;
    if !subscription.is_subscribed() {
        subscription.open_sotw(names, &request.version_info);
        return None;
    }
    if request.response_nonce.is_empty() {
        subscription.request_again(names);
        return None;
    }
    if request.response_nonce != subscription.last_nonce() {
        return None; // Stale: the push to the newer push will say it all again.
    }
    let error = request.error_detail.as_ref();
    let error = error.map(|status| status.message.as_str());
    let verdict = subscription.verdict(&request.response_nonce, error);
    subscription.replace(names);
    verdict
}
