//! What streams share: the bytes of resources, and the states that clients have.

use super::client::{Client, decoded, resource, resources};
use crate::xds::Resource;
use crate::xds::encoded::EncodedResource;
use crate::xds::resource_type::ResourceType::{Cluster, Endpoint, Route};
use crate::xds::resources::Resources;
use crate::xds::response::Response;
use crate::xds::status::Wire;
use crate::xds::subscription::Push;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryResponse, DiscoveryResponse, Resource as Entry,
};
use envoy_types::pb::google::protobuf::Any;
use std::sync::Arc;

fn push(sizes: &[usize]) -> Push {
    let encoded = |size: &usize| {
        let body = Any {
            type_url: Route.type_url().to_owned(),
            value: vec![7; *size],
        };
        let version = "1".to_owned();
        let name = format!("of {size}");
        Arc::new(EncodedResource::new(
            name.into(),
            &Resource { version, body },
        ))
    };
    Push {
        kind: Route,
        nonce: "17".to_owned(),
        version: "all of it".into(),
        resources: sizes.iter().map(encoded).collect(),
        removed: vec!["x".into(), "a longer name".into()],
        new_clusters: Vec::new(),
    }
}

/// Sizes around those where lengths become longer, and where parts are no longer copied.
const SIZES: [usize; 11] = [
    0, 1, 90, 100, 127, 128, 4_000, 5_000, 16_300, 17_000, 300_000,
];

#[test]
fn a_response_is_what_the_generated_messages_say() {
    let push = push(&SIZES);
    let any = |resource: &Arc<EncodedResource>| resource.body();
    let delta: DeltaDiscoveryResponse = decoded(&push, Wire::Delta);
    let entry = |resource: &Arc<EncodedResource>| Entry {
        name: resource.name().to_string(),
        version: "1".to_owned(),
        resource: Some(any(resource)),
        ..Default::default()
    };
    let expected = DeltaDiscoveryResponse {
        system_version_info: "all of it".to_owned(),
        resources: push.resources.iter().map(entry).collect(),
        type_url: Route.type_url().to_owned(),
        removed_resources: vec!["x".to_owned(), "a longer name".to_owned()],
        nonce: "17".to_owned(),
        ..Default::default()
    };
    assert_eq!(delta, expected);
    let push = Push {
        removed: Vec::new(),
        ..push
    };
    let sotw: DiscoveryResponse = decoded(&push, Wire::Sotw);
    let expected = DiscoveryResponse {
        version_info: "all of it".to_owned(),
        resources: push.resources.iter().map(any).collect(),
        type_url: Route.type_url().to_owned(),
        nonce: "17".to_owned(),
        ..Default::default()
    };
    assert_eq!(sotw, expected);
    for (resource, size) in push.resources.iter().zip(SIZES) {
        assert_eq!(resource.body().value.len(), size);
    }
}

#[test]
fn both_variants_and_all_streams_share_the_bytes_of_a_resource() {
    let push = push(&[100_000]);
    let (delta, sotw) = (
        push.resources[0].entry(Wire::Delta),
        push.resources[0].entry(Wire::Sotw),
    );
    assert_eq!(delta.as_ptr_range().end, sotw.as_ptr_range().end);
    for wire in [Wire::Delta, Wire::Sotw] {
        let mut chunks = Response::new(&push, wire).unwrap();
        chunks.next_chunk().unwrap();
        let sent = chunks.next_chunk().unwrap();
        let expected = push.resources[0].entry(wire);
        assert_eq!(sent.as_ptr_range(), expected.as_ptr_range());
        assert_eq!(chunks.next_chunk(), None);
    }
}

#[test]
fn small_resources_are_sent_together() {
    let push = push(&[100; 1_000]);
    let mut response = Response::new(&push, Wire::Delta).unwrap();
    let chunks: Vec<usize> = std::iter::from_fn(|| response.next_chunk())
        .map(|chunk| chunk.len())
        .collect();
    assert!(
        chunks.iter().all(|length| *length <= 16 << 10),
        "{chunks:?}"
    );
    let all: usize = chunks.iter().sum();
    assert!(chunks.len() <= all / (15 << 10) + 1, "{chunks:?}");
}

#[test]
fn a_client_that_has_everything_has_no_list_of_its_own() {
    let state = "cluster a@1 b@1 c@1 | endpoint a@1 b@1 c@1";
    for wire in [Wire::Delta, Wire::Sotw] {
        let mut client = Client::new(wire);
        client.publish(state);
        let ask = |client: &mut Client| match wire {
            Wire::Delta => {
                client.change(Cluster, &[], &[]);
                client.change(Endpoint, &["a", "b"], &[]);
            }
            Wire::Sotw => {
                client.ask(Cluster, &[]);
                client.ask(Endpoint, &["a", "b"]);
            }
        };
        ask(&mut client);
        let kinds = [Cluster, Endpoint];
        assert_eq!(kinds.map(|kind| client.listed(kind)), [3, 2], "in flight");
        kinds.iter().for_each(|kind| drop(client.ack(*kind)));
        assert_eq!(kinds.map(|kind| client.listed(kind)), [0, 0], "{wire:?}");
        // What does not concern it.
        client.publish("cluster a@1 b@1 c@1 | endpoint a@1 b@1 c@2");
        assert_eq!(kinds.map(|kind| client.listed(kind)), [0, 0], "{wire:?}");
        client.publish("cluster a@1 b@2 c@1 | endpoint a@1 b@2 c@2");
        kinds.iter().for_each(|kind| drop(client.ack(*kind)));
        assert_eq!(kinds.map(|kind| client.listed(kind)), [0, 0], "{wire:?}");
    }
}

#[test]
fn a_client_that_has_kept_everything_has_no_list_of_its_own() {
    let mut client = Client::new(Wire::Delta);
    client.publish("cluster a@1 b@1 | endpoint a@1");
    assert!(client.resume(Cluster, &[], "a@1 b@1").is_empty());
    assert_eq!(client.listed(Cluster), 0);
}

#[test]
fn publications_share_the_types_that_have_not_changed() {
    let before = resources("cluster a@1 b@1 | route r@1");
    let mut after = Resources::clone(&resources("cluster a@1 b@1 | route r@2"));
    after.share_unchanged_types(&before);
    assert!(Arc::ptr_eq(after.typed(Cluster), before.typed(Cluster)));
    assert!(!Arc::ptr_eq(after.typed(Route), before.typed(Route)));
    // A change of the one does not change the other.
    after.insert(Cluster, "a", resource(Cluster, "a", "2"));
    assert_eq!(&*before.get(Cluster, "a").unwrap().version, "1");
    assert_ne!(
        after.typed(Cluster).version(Cluster),
        before.typed(Cluster).version(Cluster)
    );
}
