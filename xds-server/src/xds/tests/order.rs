//! The order between types: make before break.

use super::client::{Client, resource};
use crate::xds::resource_type::ResourceType::{
    Cluster, Endpoint, Extension, Listener, Route, Secret,
};
use crate::xds::Resource;
use crate::xds::resources::Resources;
use crate::xds::status::Wire;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress};
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener as Message};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, Rds,
};
use envoy_types::util::pack_any;
use std::sync::Arc;

const NOTHING: [&str; 0] = [];

/// A client that has all resources of this state.
fn delta(published: &str, endpoints: &[&str], routes: &[&str]) -> Client {
    let mut client = Client::new(Wire::Delta);
    client.publish(published);
    client.change(Cluster, &[], &[]);
    client.change(Endpoint, endpoints, &[]);
    client.change(Listener, &[], &[]);
    client.change(Route, routes, &[]);
    for kind in [Cluster, Endpoint, Listener, Route] {
        assert_eq!(client.ack(kind), NOTHING);
    }
    client
}

fn sotw(published: &str, endpoints: &[&str], routes: &[&str]) -> Client {
    let mut client = Client::new(Wire::Sotw);
    client.publish(published);
    client.ask(Cluster, &[]);
    client.ask(Endpoint, endpoints);
    client.ask(Listener, &[]);
    client.ask(Route, routes);
    for kind in [Cluster, Endpoint, Listener, Route] {
        assert_eq!(client.ack(kind), NOTHING);
    }
    client
}

#[test]
fn all_types_are_pushed_in_order_without_waiting() {
    let mut client = delta(
        "cluster a@1 | endpoint a@1 | listener l@1 | route r@1",
        &["a"],
        &["r"],
    );
    client.change(Extension, &["x"], &[]);
    client.change(Secret, &["s"], &[]);
    client.ack(Extension);
    client.ack(Secret);
    let answers = client.publish(
        "cluster a@2 | endpoint a@2 | listener l@2 | route r@2 | extension x@1 | secret s@1",
    );
    let expected = [
        "cluster a@2",
        "endpoint a@2",
        "extension x@1",
        "listener l@2",
        "route r@2",
        "secret s@1",
    ];
    assert_eq!(answers, expected);
}

#[test]
fn endpoints_and_secrets_do_not_wait_for_the_clusters_ack() {
    let mut client = Client::new(Wire::Delta);
    client.publish("cluster a@1 | endpoint a@1 | secret s@1");
    client.change(Cluster, &[], &[]);
    client.publish("cluster a@2 | endpoint a@2 | secret s@2");
    assert_eq!(client.change(Endpoint, &["a"], &[]), ["endpoint a@2"]);
    assert_eq!(client.change(Secret, &["s"], &[]), ["secret s@2"]);
}

#[test]
fn routes_are_never_ahead_of_the_clusters() {
    let mut client = delta("cluster a@1 | route r@1", &[], &["r"]);
    assert_eq!(client.publish("cluster a@2 | route r@1"), ["cluster a@2"]);
    // While the client has not ACKed the clusters, neither the new listener nor its route may be sent.
    assert_eq!(client.publish("cluster a@2 b@1 | route r@2"), NOTHING);
    // New subscriptions meanwhile get the old state.
    assert_eq!(client.change(Route, &["r"], &[]), ["route r@1"]);
    assert_eq!(client.ack(Route), NOTHING);
    assert_eq!(client.ack(Cluster), ["cluster b@1", "route r@2"]);
}

#[test]
fn routes_alone_do_not_wait_for_the_clusters_ack() {
    let mut client = delta("cluster a@1 | route r@1", &[], &["r"]);
    client.publish("cluster a@2 | route r@1");
    assert_eq!(client.publish("cluster a@2 | route r@2"), ["route r@2"]);
}

#[test]
fn delta_removes_clusters_when_listeners_and_routes_are_accepted() {
    let before = "cluster a@1 b@1 | endpoint a@1 b@1 | listener l@1 | route r@1";
    let mut client = delta(before, &["a", "b"], &["r"]);
    let answers = client.publish("cluster b@1 | endpoint b@1 | listener l@2 | route r@2");
    assert_eq!(answers, ["listener l@2", "route r@2"]);
    assert_eq!(client.ack(Listener), NOTHING);
    assert_eq!(client.ack(Route), ["cluster -a"]);
    assert_eq!(client.ack(Cluster), ["endpoint -a"]);
    assert_eq!(client.ack(Endpoint), NOTHING);
}

#[test]
fn delta_removes_nothing_while_the_routes_are_refused() {
    let mut client = delta("cluster a@1 b@1 | route r@1", &[], &["r"]);
    assert_eq!(client.publish("cluster b@1 | route r@2"), ["route r@2"]);
    assert_eq!(client.nack(Route), NOTHING);
    assert_eq!(client.publish("cluster b@2 | route r@2"), ["cluster b@2"]);
    assert_eq!(client.ack(Cluster), NOTHING);
    assert_eq!(client.publish("cluster b@2 | route r@3"), ["route r@3"]);
    assert_eq!(client.ack(Route), ["cluster -a"]);
}

#[test]
fn what_was_refused_is_sent_again_once_another_type_is_mended() {
    let mut client = delta("cluster a@1 | extension x@1", &[], &[]);
    client.change(Extension, &["x"], &[]);
    assert_eq!(client.ack(Extension), NOTHING);
    let pushed = client.publish("cluster a@2 | extension x@2");
    assert_eq!(pushed, ["cluster a@2", "extension x@2"]);
    assert_eq!(client.nack(Cluster), NOTHING);
    assert_eq!(client.nack(Extension), NOTHING);
    let pushed = client.publish("cluster a@2 | extension x@3");
    assert_eq!(pushed, ["extension x@3"]);
    assert_eq!(client.ack(Extension), ["cluster a@2"]);
    assert_eq!(client.nack(Cluster), NOTHING, "it is tried once");
    let pushed = client.publish("cluster a@2 | extension x@4");
    assert_eq!(pushed, ["extension x@4"]);
    assert_eq!(client.ack(Extension), NOTHING);
}

#[test]
fn sotw_sends_the_union_and_then_the_final_state() {
    let before = "cluster a@1 | endpoint a@1 | listener l@1 | route r@1";
    let mut client = sotw(before, &["a"], &["r"]);
    let after = "cluster b@1 | endpoint b@1 | listener m@1 | route r@2";
    assert_eq!(
        client.publish(after),
        ["cluster a@1 b@1", "listener l@1 m@1", "route r@2"]
    );
    assert_eq!(client.ask(Endpoint, &["a", "b"]), ["endpoint b@1"]);
    assert_eq!(client.ack(Endpoint), NOTHING);
    assert_eq!(client.ack(Cluster), NOTHING);
    assert_eq!(client.ack(Listener), NOTHING);
    assert_eq!(client.ack(Route), ["listener m@1"]);
    assert_eq!(client.ack(Listener), ["cluster b@1"]);
    assert_eq!(client.ack(Cluster), NOTHING);
}

#[test]
fn a_cluster_that_comes_back_in_time_is_never_removed() {
    let mut client = sotw("cluster a@1 b@1 | route r@1", &[], &["r"]);
    assert_eq!(client.publish("cluster b@1 | route r@2"), ["route r@2"]);
    assert_eq!(client.publish("cluster a@1 b@1 | route r@1"), NOTHING);
    assert_eq!(client.ack(Route), ["route r@1"]);
    assert_eq!(client.ack(Route), NOTHING);
}

#[test]
fn a_kept_cluster_that_is_asked_for_is_there() {
    let mut client = delta("cluster a@1 | route r@1", &[], &["r"]);
    assert_eq!(client.publish("route r@2"), ["route r@2"]);
    assert_eq!(client.change(Cluster, &["a"], &[]), ["cluster a@1"]);
    client.ack(Cluster);
    assert_eq!(client.ack(Route), ["cluster -a"]);
}

fn listener(port: u32, routes: &str, version: &str) -> Resource {
    let manager = HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            route_config_name: routes.to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    };
    let socket = SocketAddress {
        address: "127.0.0.1".to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..Default::default()
    };
    let filter = Filter {
        config_type: Some(ConfigType::TypedConfig(pack_any(manager))),
        ..Default::default()
    };
    let chain = FilterChain {
        filters: vec![filter],
        ..Default::default()
    };
    let message = Message {
        address: Some(Address {
            address: Some(AddressKind::SocketAddress(socket)),
        }),
        filter_chains: vec![chain],
        ..Default::default()
    };
    Resource {
        version: version.to_owned(),
        body: pack_any(message),
    }
}

fn with_listener(name: &str, port: u32, routes: &str, cluster: &str) -> Arc<Resources> {
    let mut resources = Resources::default();
    resources.insert(Cluster, cluster, resource(Cluster, cluster, "1"));
    resources.insert(Listener, name, listener(port, routes, routes));
    resources.insert(Route, routes, resource(Route, routes, "1"));
    Arc::new(resources)
}

/// Tests of listeners with real bodies.
mod listeners {
    use super::{Cluster, Listener, Route, with_listener};
    use crate::xds::ResourceType;
    use crate::xds::delta;
    use crate::xds::status::Wire;
    use crate::xds::stream::Stream;
    use crate::xds::subscription::Push;
    use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;

    fn texts(answers: &[Push]) -> Vec<String> {
        let text = |answer: &Push| {
            let names = answer
                .resources
                .iter()
                .map(|resource| resource.name().to_string());
            let removed = answer.removed.iter().map(|name| format!("-{name}"));
            let label = answer.kind.label().to_owned();
            let words: Vec<String> = [label].into_iter().chain(names).chain(removed).collect();
            words.join(" ")
        };
        answers.iter().map(text).collect()
    }

    fn say(stream: &mut Stream, kind: ResourceType, more: &[&str], nonce: &str) -> Vec<Push> {
        let request = DeltaDiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: more.iter().map(|&name| name.to_owned()).collect(),
            response_nonce: nonce.to_owned(),
            ..Default::default()
        };
        delta::request(stream, kind, &request).1
    }

    /// A stream whose client has listener `old` at port 1.
    fn stream() -> Stream {
        let mut stream = Stream::new(Wire::Delta);
        stream.update(with_listener("old", 1, "r1", "c1"));
        for (kind, names) in [(Cluster, &[][..]), (Listener, &[]), (Route, &["r1"])] {
            let answers = say(&mut stream, kind, names, "");
            let nonce = answers[0].nonce.clone();
            assert!(say(&mut stream, kind, &[], &nonce).is_empty());
        }
        stream
    }

    #[test]
    fn an_address_that_is_taken_over_is_given_up_at_once() {
        let mut stream = stream();
        let answers = stream.update(with_listener("new", 1, "r1", "c1"));
        assert_eq!(texts(&answers), ["listener new -old"]);
    }

    #[test]
    fn another_address_is_opened_before_the_old_one_closes() {
        let mut stream = stream();
        let answers = stream.update(with_listener("new", 2, "r1", "c1"));
        assert_eq!(texts(&answers), ["listener new"]);
        let answers = say(&mut stream, Listener, &[], &answers[0].nonce);
        assert_eq!(texts(&answers), ["listener -old"]);
    }

    #[test]
    fn nothing_goes_before_the_routes_that_a_new_listener_asks_for_have_come() {
        let mut stream = stream();
        let answers = stream.update(with_listener("old", 1, "r2", "c2"));
        assert_eq!(texts(&answers), ["cluster c2", "listener old"]);
        assert!(say(&mut stream, Cluster, &[], &answers[0].nonce).is_empty());
        assert!(say(&mut stream, Listener, &[], &answers[1].nonce).is_empty());
        let answers = say(&mut stream, Route, &["r2"], "");
        assert_eq!(texts(&answers), ["route r2"]);
        let answers = say(&mut stream, Route, &[], &answers[0].nonce);
        assert_eq!(texts(&answers), ["route -r1"]);
        let answers = say(&mut stream, Route, &[], &answers[0].nonce);
        assert_eq!(texts(&answers), ["cluster -c1"]);
    }
}
