//! The rules of the incremental protocol.

use super::client::{Client, REFUSAL};
use crate::xds::resource_type::ResourceType::{Cluster, Endpoint, Extension, Listener, Route};
use crate::xds::status::Wire;
use crate::xds::subscription::Verdict;

const NOTHING: [&str; 0] = [];

fn client(published: &str) -> Client {
    let mut client = Client::new(Wire::Delta);
    assert_eq!(client.publish(published), NOTHING, "nobody has asked");
    client
}

#[test]
fn only_what_changed_is_sent() {
    let mut client = client("cluster a@1 b@1");
    assert_eq!(client.change(Cluster, &[], &[]), ["cluster a@1 b@1"]);
    assert_eq!(client.ack(Cluster), NOTHING);
    assert_eq!(client.publish("cluster a@1 b@2 c@1"), ["cluster b@2 c@1"]);
    assert_eq!(client.ack(Cluster), NOTHING);
    assert_eq!(client.publish("cluster a@1 b@2 c@1"), NOTHING);
}

#[test]
fn a_first_wildcard_is_answered_even_with_nothing() {
    let mut client = client("");
    assert_eq!(client.change(Listener, &[], &[]), ["listener"]);
    assert_eq!(client.ack(Listener), NOTHING);
    assert_eq!(client.publish("listener l@1"), ["listener l@1"]);
}

#[test]
fn a_subscription_is_always_sent_again() {
    let mut client = client("endpoint a@1");
    assert_eq!(client.change(Endpoint, &["a"], &[]), ["endpoint a@1"]);
    assert_eq!(
        client.change(Endpoint, &["a"], &[]),
        NOTHING,
        "one push at a time"
    );
    assert_eq!(client.ack(Endpoint), ["endpoint a@1"]);
    assert_eq!(client.ack(Endpoint), NOTHING);
    assert_eq!(client.change(Endpoint, &["a"], &[]), ["endpoint a@1"]);
}

#[test]
fn a_wildcard_is_always_sent_again() {
    let mut client = client("cluster a@1");
    client.change(Cluster, &["*"], &[]);
    client.ack(Cluster);
    assert_eq!(client.change(Cluster, &["*"], &[]), ["cluster a@1"]);
}

#[test]
fn a_missing_name_is_said_to_be_missing_and_remembered() {
    let mut client = client("endpoint a@1");
    assert_eq!(
        client.change(Endpoint, &["a", "b"], &[]),
        ["endpoint a@1 -b"]
    );
    assert_eq!(client.ack(Endpoint), NOTHING);
    assert_eq!(client.publish("endpoint a@1"), NOTHING);
    assert_eq!(client.publish("endpoint a@1 b@1"), ["endpoint b@1"]);
    client.ack(Endpoint);
    assert_eq!(client.change(Endpoint, &["c"], &[]), ["endpoint -c"]);
    client.ack(Endpoint);
    assert_eq!(
        client.change(Endpoint, &["c"], &[]),
        ["endpoint -c"],
        "asked again"
    );
}

#[test]
fn a_name_unsubscribed_under_the_wildcard_is_answered() {
    let mut client = client("cluster a@1");
    client.change(Cluster, &["*", "a", "b"], &[]);
    client.ack(Cluster);
    assert_eq!(client.change(Cluster, &[], &["a"]), ["cluster a@1"]);
    client.ack(Cluster);
    assert_eq!(client.change(Cluster, &[], &["b"]), ["cluster -b"]);
    client.ack(Cluster);
    assert_eq!(
        client.change(Cluster, &[], &["b"]),
        NOTHING,
        "unknown by now"
    );
    assert_eq!(client.change(Cluster, &[], &["*"]), NOTHING);
    assert_eq!(
        client.publish("cluster a@2"),
        NOTHING,
        "nothing is wanted any more"
    );
}

#[test]
fn an_unknown_unsubscription_is_ignored() {
    let mut client = client("endpoint a@1");
    client.change(Endpoint, &["a"], &[]);
    client.ack(Endpoint);
    assert_eq!(client.change(Endpoint, &[], &["z"]), NOTHING);
    assert_eq!(client.change(Endpoint, &[], &["a"]), NOTHING);
    assert_eq!(client.publish("endpoint a@2 z@1"), NOTHING);
    assert_eq!(client.change(Endpoint, &["a"], &[]), ["endpoint a@2"]);
}

#[test]
fn a_name_unsubscribed_while_its_push_is_in_flight_is_forgotten() {
    let mut client = client("endpoint a@1");
    client.change(Endpoint, &["a"], &[]);
    client.change(Endpoint, &[], &["a"]);
    assert_eq!(client.ack(Endpoint), NOTHING);
    assert_eq!(client.change(Endpoint, &["a"], &[]), ["endpoint a@1"]);
}

#[test]
fn subscriptions_count_even_with_a_stale_nonce() {
    let mut client = client("endpoint a@1 b@1");
    client.change(Endpoint, &["a"], &[]);
    client.ack(Endpoint);
    let request = |more: &[&str], less: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest {
            type_url: Endpoint.type_url().to_owned(),
            response_nonce: "stale".to_owned(),
            resource_names_subscribe: names(more),
            resource_names_unsubscribe: names(less),
            ..Default::default()
        }
    };
    assert_eq!(client.send_delta(request(&["b"], &["a"])), ["endpoint b@1"]);
    assert_eq!(client.verdict, None, "but it is no ACK");
    client.ack(Endpoint);
    assert_eq!(client.publish("endpoint a@2 b@1"), NOTHING);
}

#[test]
fn a_nack_is_parked_until_the_content_changes() {
    let mut client = client("cluster a@1 b@1");
    client.change(Cluster, &[], &[]);
    client.ack(Cluster);
    client.publish("cluster a@2 b@2");
    assert_eq!(client.nack(Cluster), NOTHING);
    assert!(matches!(&client.verdict, Some(Verdict::Nack(nack)) if nack.message == REFUSAL));
    assert_eq!(client.publish("cluster a@2 b@2 | endpoint x@1"), NOTHING);
    assert_eq!(
        client.publish("cluster a@2 b@3"),
        ["cluster a@2 b@3"],
        "both are refused still"
    );
}

#[test]
fn a_nack_does_not_keep_other_names_from_being_asked_for() {
    let mut client = client("endpoint a@1 b@1");
    client.change(Endpoint, &["a"], &[]);
    assert_eq!(client.nack(Endpoint), NOTHING);
    assert_eq!(client.change(Endpoint, &["b"], &[]), ["endpoint b@1"]);
    assert_eq!(client.ack(Endpoint), NOTHING);
    assert_eq!(
        client.change(Endpoint, &["a"], &[]),
        ["endpoint a@1"],
        "it asks for it"
    );
}

#[test]
fn a_client_that_comes_back_gets_what_differs() {
    let mut client = client("cluster a@1 b@2 c@1 | extension e@1 f@1 | endpoint a@1");
    assert_eq!(client.resume(Cluster, &[], "a@1 b@1"), ["cluster b@2 c@1"]);
    assert_eq!(
        client.resume(Extension, &["e", "f"], "e@1 f@0"),
        ["extension f@1"]
    );
    assert_eq!(client.resume(Endpoint, &["a", "z"], "a@1"), ["endpoint -z"]);
}

#[test]
fn a_client_that_comes_back_learns_of_removals_after_the_listeners_and_routes() {
    let mut client = client("cluster a@1 | listener l@1 | route r@1");
    assert_eq!(client.resume(Cluster, &[], "a@1 gone@1"), NOTHING);
    assert_eq!(client.resume(Listener, &[], "l@0"), ["listener l@1"]);
    assert_eq!(client.resume(Route, &["r"], "r@0"), ["route r@1"]);
    assert_eq!(client.ack(Listener), NOTHING);
    assert_eq!(client.ack(Route), ["cluster -gone"]);
}

#[test]
fn a_client_that_wants_clusters_only_learns_of_removals_too() {
    let mut client = client("cluster a@1 b@1");
    assert_eq!(client.resume(Cluster, &[], "b@1 gone@1"), ["cluster a@1"]);
    assert_eq!(client.ack(Cluster), ["cluster -gone"]);
    assert_eq!(client.ack(Cluster), NOTHING);
    assert_eq!(client.publish("cluster a@1"), ["cluster -b"]);
}

#[test]
fn endpoints_follow_a_changed_cluster_even_if_equal() {
    let mut client = client("cluster a@1 b@1 | endpoint a@1 b@1");
    client.change(Cluster, &[], &[]);
    client.ack(Cluster);
    client.change(Endpoint, &["a", "b"], &[]);
    client.ack(Endpoint);
    let answers = client.publish("cluster a@2 b@1 | endpoint a@1 b@1");
    assert_eq!(answers, ["cluster a@2", "endpoint a@1"]);
}
