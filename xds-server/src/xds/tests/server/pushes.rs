//! What one state causes on a stream: a push of every type that has changed.

use super::world::{Ads, REGION, Server, node};
use crate::xds::{Hub, ResourceType};
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use std::collections::BTreeMap;

/// One resource of every type, in this version.
fn state(version: u32) -> String {
    let types = ResourceType::ALL.map(|kind| format!("{} x@{version}", kind.label()));
    types.join(" | ")
}

/// Asks for the resource of a type, and accepts this response.
fn request(type_url: &str, response: &DiscoveryResponse) -> DiscoveryRequest {
    DiscoveryRequest {
        node: node(REGION),
        type_url: type_url.to_owned(),
        resource_names: vec!["x".to_owned()],
        version_info: response.version_info.clone(),
        response_nonce: response.nonce.clone(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_state_is_sent_in_all_types_before_any_is_accepted() {
    let server = Server::start(None).await;
    server.publish(&[(REGION, &state(1))]);
    let mut ads = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    for kind in &ResourceType::ALL[1..] {
        let first = request(kind.type_url(), &DiscoveryResponse::default());
        ads.requests.send(first).await.unwrap();
    }
    for version in 1..4 {
        let mut responses = BTreeMap::new();
        while responses.len() < ResourceType::ALL.len() {
            let (response, text) = ads.next().await.unwrap().unwrap();
            assert_eq!(text, format!("x@{version}"));
            responses.insert(response.type_url.clone(), response);
        }
        for (type_url, response) in &responses {
            ads.requests
                .send(request(type_url, response))
                .await
                .unwrap();
        }
        server.until("all ACKs", Hub::settled).await;
        server.publish(&[(REGION, &state(version + 1))]);
    }
}
