//! State of the world: every request gives all the names, every answer all the resources.

use super::resources::ResourceType;
use super::stream::Stream;
use super::subscription::{Answer, Subscription, Verdict};
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

/// What a request says of a push, and the answers to send now.
pub(super) fn request(
    stream: &mut Stream,
    kind: ResourceType,
    request: &DiscoveryRequest,
) -> (Option<Verdict>, Vec<Answer>) {
    stream.request(kind, |subscription| apply(subscription, request))
}

fn apply(subscription: &mut Subscription, request: &DiscoveryRequest) -> Option<Verdict> {
    let names = &request.resource_names;
    if !subscription.asked() {
        subscription.open_sotw(names, &request.version_info);
        return None;
    }
    if request.response_nonce.is_empty() {
        subscription.ask_again(names);
        return None;
    }
    if request.response_nonce != subscription.last_nonce() {
        return None; // Stale: the answer to the newer push will say it all again.
    }
    let error = request.error_detail.as_ref();
    let error = error.map(|status| status.message.as_str());
    let verdict = subscription.verdict(&request.response_nonce, error);
    subscription.replace(names);
    verdict
}

/// The answer on the wire.
pub(super) fn response(answer: Answer) -> DiscoveryResponse {
    let resources = answer.resources.into_iter();
    DiscoveryResponse {
        version_info: answer.version,
        resources: resources
            .map(|(_, resource)| resource.body.clone())
            .collect(),
        type_url: answer.kind.type_url().to_owned(),
        nonce: answer.nonce,
        ..Default::default()
    }
}
