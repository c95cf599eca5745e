//! The rules of state of the world.

use super::client::{Client, REFUSAL};
use crate::xds::resource_type::ResourceType::{Cluster, Endpoint, Listener, Route, Secret};
use crate::xds::status::{Nack, Wire};
use crate::xds::subscription::Verdict;

const NOTHING: [&str; 0] = [];

fn client(published: &str) -> Client {
    let mut client = Client::new(Wire::Sotw);
    assert_eq!(client.publish(published), NOTHING, "nobody has asked");
    client
}

#[test]
fn the_first_request_of_clusters_gets_all() {
    let mut client = client("cluster a@1 b@1 | endpoint a@1");
    assert_eq!(client.ask(Cluster, &[]), ["cluster a@1 b@1"]);
    assert_eq!(client.ack(Cluster), NOTHING);
    assert_eq!(client.verdict, Some(Verdict::Ack));
}

#[test]
fn nothing_at_all_is_an_answer_for_clusters_and_listeners_only() {
    let mut client = client("");
    assert_eq!(client.ask(Cluster, &[]), ["cluster"]);
    assert_eq!(client.ask(Listener, &[]), ["listener"]);
    assert_eq!(client.ask(Endpoint, &["a"]), NOTHING);
    assert_eq!(client.ask(Route, &["a"]), NOTHING);
    client.ack(Cluster);
    assert_eq!(
        client.publish("cluster a@1 | endpoint a@1"),
        ["cluster a@1", "endpoint a@1"]
    );
}

#[test]
fn a_client_that_comes_before_the_state_waits() {
    let mut client = Client::new(Wire::Sotw);
    assert_eq!(client.ask(Cluster, &[]), NOTHING);
    assert_eq!(client.ask_without_nonce(Cluster), NOTHING);
    assert_eq!(client.ask(Endpoint, &["a"]), NOTHING);
    assert_eq!(
        client.publish("cluster a@1 | endpoint a@1"),
        ["cluster a@1", "endpoint a@1"]
    );
}

#[test]
fn unchanged_state_is_never_sent_again() {
    let mut client = client("cluster a@1 | endpoint a@1");
    client.ask(Cluster, &[]);
    client.ask(Endpoint, &["a"]);
    client.ack(Cluster);
    client.ack(Endpoint);
    assert_eq!(client.publish("cluster a@1 | endpoint a@1"), NOTHING);
    assert_eq!(
        client.publish("cluster a@1 | endpoint a@2"),
        ["endpoint a@2"]
    );
    assert_eq!(client.ack(Endpoint), NOTHING);
    assert_eq!(client.ack(Endpoint), NOTHING, "a second ACK");
}

#[test]
fn a_stale_nonce_is_never_answered() {
    let mut client = client("endpoint a@1 b@1");
    client.ask(Endpoint, &["a"]);
    let old = client.nonce(Endpoint);
    client.ack(Endpoint);
    client.publish("endpoint a@2 b@1");
    client.ack(Endpoint);
    assert_eq!(client.answer(Endpoint, Some(&old), None), NOTHING);
    assert_eq!(
        client.answer(Endpoint, Some("other"), Some(REFUSAL)),
        NOTHING
    );
    assert_eq!(client.verdict, None);
    assert_eq!(client.refusal(Endpoint), None);
    client.want(Endpoint, &["a", "b"]);
    assert_eq!(client.answer(Endpoint, Some(&old), None), NOTHING);
    assert_eq!(client.status(Endpoint).names, ["a".into()].into());
    assert_eq!(client.ask(Endpoint, &["a", "b"]), ["endpoint a@2 b@1"]);
}

#[test]
fn a_nack_moves_nothing_and_is_parked_until_the_content_changes() {
    let mut client = client("route r@1 | endpoint e@1");
    client.ask(Route, &["r"]);
    client.ack(Route);
    let good = client.status(Route).acked;
    client.publish("route r@2 | endpoint e@1");
    let bad = client.status(Route).in_flight.unwrap();
    assert_eq!(client.nack(Route), NOTHING);
    let nack = Nack {
        version: bad,
        message: REFUSAL.to_owned(),
    };
    assert_eq!(client.verdict, Some(Verdict::Nack(nack.clone())));
    let status = client.status(Route);
    assert_eq!(
        (status.acked, status.in_flight, status.nack),
        (good, None, Some(nack))
    );
    assert_eq!(
        client.publish("route r@2 | endpoint e@2"),
        NOTHING,
        "another type"
    );
    assert_eq!(client.publish("route r@2 s@1"), NOTHING, "another name");
    assert_eq!(client.publish("route r@3"), ["route r@3"]);
    client.ack(Route);
    assert_eq!(client.refusal(Route), None);
}

#[test]
fn what_a_refused_push_may_have_changed_is_said_again() {
    let mut client = client("cluster a@1 b@1");
    client.ask(Cluster, &[]);
    client.ack(Cluster);
    client.publish("cluster a@2 b@2");
    // Envoy applies the valid clusters of a rejected push.
    client.nack(Cluster);
    assert_eq!(
        client.publish("cluster a@1 b@1"),
        ["cluster a@1 b@1"],
        "it may have one of the other state"
    );
    client.ack(Cluster);
    assert_eq!(client.refusal(Cluster), None, "nothing is refused any more");
    assert_eq!(client.publish("cluster a@1 b@1"), NOTHING);
}

#[test]
fn an_empty_state_that_was_refused_is_not_sent_again() {
    let mut client = client("listener a@1");
    client.ask(Listener, &[]);
    client.ack(Listener);
    assert_eq!(client.publish(""), ["listener"]);
    assert_eq!(client.nack(Listener), NOTHING);
    assert_eq!(client.publish(" "), NOTHING);
}

#[test]
fn a_newer_state_that_came_before_the_nack_is_sent() {
    let mut client = client("route r@1 s@1");
    client.ask(Route, &["r", "s"]);
    assert_eq!(client.publish("route r@1 s@2"), NOTHING);
    assert_eq!(client.nack(Route), ["route r@1 s@2"]);
}

#[test]
fn one_push_at_a_time_and_then_the_latest() {
    let mut client = client("cluster a@1");
    client.ask(Cluster, &[]);
    assert_eq!(client.publish("cluster a@2"), NOTHING);
    assert_eq!(client.publish("cluster a@3"), NOTHING);
    assert_eq!(client.ack(Cluster), ["cluster a@3"]);
    assert_eq!(client.publish("cluster a@2"), NOTHING);
    assert_eq!(client.publish("cluster a@3"), NOTHING);
    assert_eq!(client.ack(Cluster), NOTHING, "there and back again");
}

#[test]
fn more_names_are_answered_and_fewer_are_not() {
    let mut client = client("endpoint a@1 b@1");
    assert_eq!(client.ask(Endpoint, &["a"]), ["endpoint a@1"]);
    client.ack(Endpoint);
    assert_eq!(client.ask(Endpoint, &["a", "b"]), ["endpoint a@1 b@1"]);
    client.ack(Endpoint);
    assert_eq!(client.ask(Endpoint, &["b"]), NOTHING);
    assert_eq!(
        client.publish("endpoint a@2 b@1"),
        NOTHING,
        "not wanted any more"
    );
    assert_eq!(client.ask(Endpoint, &["b", "a"]), ["endpoint a@2 b@1"]);
}

#[test]
fn a_name_asked_for_twice_is_sent_once() {
    let mut client = client("endpoint a@1 | cluster a@1");
    assert_eq!(client.ask(Endpoint, &["a", "a"]), ["endpoint a@1"]);
    assert_eq!(client.ask(Cluster, &["*", "a", "a"]), ["cluster a@1"]);
}

#[test]
fn a_missing_name_is_sent_when_it_appears() {
    let mut client = client("secret a@1");
    assert_eq!(client.ask(Secret, &["a", "b"]), ["secret a@1"]);
    client.ack(Secret);
    assert_eq!(client.publish("secret a@1 b@1"), ["secret a@1 b@1"]);
}

#[test]
fn a_missing_cluster_is_known_to_be_missing() {
    let mut client = client("cluster a@1");
    assert_eq!(client.ask(Cluster, &["b"]), ["cluster"]);
    assert_eq!(client.ack(Cluster), NOTHING);
    assert_eq!(client.ask(Cluster, &["b", "c"]), ["cluster"]);
    client.ack(Cluster);
    assert_eq!(client.publish("cluster a@1 b@1"), ["cluster b@1"]);
}

#[test]
fn endpoints_follow_a_changed_cluster_even_if_equal() {
    let mut client = client("cluster a@1 b@1 | endpoint a@1 b@1");
    client.ask(Cluster, &[]);
    client.ack(Cluster);
    client.ask(Endpoint, &["a", "b"]);
    client.ack(Endpoint);
    let answers = client.publish("cluster a@2 b@1 | endpoint a@1 b@1");
    assert_eq!(answers, ["cluster a@2 b@1", "endpoint a@1 b@1"]);
}

#[test]
fn endpoints_asked_for_again_without_a_nonce_are_answered() {
    let mut client = client("endpoint a@1");
    client.ask(Endpoint, &["a"]);
    client.ack(Endpoint);
    assert_eq!(client.ask_without_nonce(Endpoint), ["endpoint a@1"]);
    // Also while a push is in flight: its ACK may be lost in this request.
    assert_eq!(client.ask_without_nonce(Endpoint), ["endpoint a@1"]);
    assert_eq!(client.ack(Endpoint), NOTHING);
}

#[test]
fn a_client_that_comes_back_gets_what_differs() {
    let mut client = client("cluster a@1 | endpoint a@1 | listener l@1");
    client.ask(Cluster, &[]);
    client.ask(Endpoint, &["a"]);
    client.ask(Listener, &[]);
    for kind in [Cluster, Endpoint, Listener] {
        client.ack(kind);
    }
    client.reconnect();
    client.publish("cluster a@1 | endpoint a@2 | listener l@1");
    assert_eq!(client.ask(Cluster, &[]), NOTHING);
    assert_eq!(client.ask(Endpoint, &["a"]), ["endpoint a@2"]);
    assert_eq!(client.ask(Listener, &[]), NOTHING);
    assert!(client.status(Listener).acked.is_some());
    let answers = client.publish("cluster a@1 b@1 | endpoint a@2 | listener l@1");
    assert_eq!(answers, ["cluster a@1 b@1"]);
}

#[test]
fn a_client_that_comes_back_learns_of_removals() {
    let mut client = client("cluster a@1 b@1");
    client.ask(Cluster, &[]);
    client.ack(Cluster);
    client.reconnect();
    client.publish("cluster b@1");
    assert_eq!(client.ask(Cluster, &[]), ["cluster b@1"]);
}

#[test]
fn endpoints_unchanged_on_coming_back_are_sent_if_the_cluster_changed() {
    let mut client = client("cluster a@1 | endpoint a@1");
    client.ask(Cluster, &[]);
    client.ask(Endpoint, &["a"]);
    client.ack(Cluster);
    client.ack(Endpoint);
    client.reconnect();
    client.publish("cluster a@2 | endpoint a@1");
    assert_eq!(client.ask(Cluster, &[]), ["cluster a@2"]);
    assert_eq!(client.ask(Endpoint, &["a"]), ["endpoint a@1"]);
}

#[test]
fn the_first_request_of_a_stream_may_carry_an_old_nonce() {
    let mut client = client("cluster a@1");
    assert_eq!(client.send_sotw(Cluster, Some("7"), None), ["cluster a@1"]);
}

#[test]
fn a_refusal_that_was_overtaken_holds_nothing_back() {
    let mut client = client("cluster a@1 b@1 | route r@1");
    client.ask(Route, &["r"]);
    assert_eq!(client.nack(Route), NOTHING);
    assert_eq!(client.ask_without_nonce(Route), ["route r@1"]);
    client.want(Route, &[]);
    assert_eq!(client.ask_without_nonce(Route), NOTHING);
    client.ask(Cluster, &[]);
    client.ack(Cluster);
    // Removals wait for the routes; here there are none any more.
    assert_eq!(client.publish("cluster a@1 | route r@1"), ["cluster a@1"]);
}

#[test]
fn a_refused_removal_is_not_repeated_to_a_client_that_asks_again() {
    let mut client = client("listener a@1");
    client.ask(Listener, &[]);
    client.ack(Listener);
    assert_eq!(client.publish(""), ["listener"]);
    assert_eq!(client.nack(Listener), NOTHING);
    assert_eq!(client.ask_without_nonce(Listener), ["listener a@1"]);
    assert_eq!(client.ack(Listener), NOTHING);
    assert_eq!(client.publish("listener b@1"), ["listener a@1 b@1"]);
    assert_eq!(client.ack(Listener), ["listener b@1"]);
}
