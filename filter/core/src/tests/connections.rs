//! Connections for retrieval.

use super::envoy::{Envoy, Stream};
use crate::host::Fact;
use crate::worker::Connections;
use std::rc::Rc;

const EAST: &str = "spiffe://meridian/region/us-east-1";
const EU: &str = "spiffe://meridian/region/eu-west-1";

/// One worker with connections whose ends Envoy knows.
struct Gateway {
    envoy: Rc<Envoy>,
    connections: Connections,
}

impl Gateway {
    fn start() -> Self {
        Self {
            envoy: Envoy::start(),
            connections: Connections::default(),
        }
    }

    /// Another VM of the same Envoy.
    fn sibling(&self) -> Self {
        Self {
            envoy: self.envoy.clone(),
            connections: Connections::default(),
        }
    }

    fn policy(&mut self, text: &str) {
        let host = Stream::new(&self.envoy, 0);
        self.connections.arrived(&host, text.as_bytes()).unwrap();
    }

    fn open(&mut self, id: u32) {
        let mut known = self.envoy.connections.borrow_mut();
        known.insert(id, Default::default());
        self.connections.began(id);
    }

    fn knows(&self, id: u32, fact: Fact, value: &str) {
        let mut known = self.envoy.connections.borrow_mut();
        known.entry(id).or_default().insert(fact, value.into());
    }

    fn passes(&mut self, id: u32) -> bool {
        let host = Stream::new(&self.envoy, id);
        assert!(crate::host::ConnectionHost::enter(&host, id));
        self.connections.passes(&host, id)
    }

    fn closed(&self) -> Vec<u32> {
        self.envoy.ended.take()
    }
}

fn policy(readers: &[&str], databases: &[&str]) -> String {
    serde_json::json!({ "readers": readers, "databases": databases }).to_string()
}

#[test]
fn a_policy_closes_the_open_connections_that_it_does_not_allow_and_no_other() {
    let mut gateway = Gateway::start();
    gateway.policy(&policy(&[EAST, EU], &["us-west-2", "us-east-1"]));
    let ends = [
        (1, Fact::ClientId, EAST),
        (2, Fact::ClientId, EU),
        (3, Fact::UpstreamRegion, "us-west-2"),
        (4, Fact::UpstreamRegion, "us-east-1"),
    ];
    for (id, fact, value) in ends {
        gateway.open(id);
        gateway.knows(id, fact, value);
        assert!(gateway.passes(id), "{id}");
    }
    gateway.policy(&policy(&[EU], &["us-west-2"]));
    assert_eq!(gateway.closed(), [1, 4]);
    // Until Envoy has closed it, nothing passes.
    gateway.policy(&policy(&[EU], &["us-west-2"]));
    assert_eq!(gateway.closed(), [1, 4]);
    gateway.connections.ended(1);
    gateway.connections.ended(4);
    gateway.policy(&policy(&[], &["us-west-2"]));
    assert_eq!(gateway.closed(), [2]);
}

#[test]
fn a_client_with_a_certificate_is_judged_by_it_and_not_by_the_database() {
    let mut gateway = Gateway::start();
    gateway.policy(&policy(&[EU], &["us-west-2"]));
    gateway.open(1);
    gateway.knows(1, Fact::ClientId, EAST);
    gateway.knows(1, Fact::UpstreamRegion, "us-west-2");
    assert!(!gateway.passes(1));
    assert_eq!(gateway.closed(), [1]);
}

#[test]
fn a_connection_whose_ends_are_not_known_yet_is_judged_by_the_policy_of_its_first_data() {
    let mut gateway = Gateway::start();
    gateway.policy(&policy(&[], &["us-west-2", "us-east-1"]));
    gateway.open(1);
    assert!(gateway.passes(1));
    gateway.policy(&policy(&[], &["us-west-2"]));
    assert_eq!(gateway.closed(), [] as [u32; 0]);
    gateway.knows(1, Fact::UpstreamRegion, "us-east-1");
    assert!(!gateway.passes(1));
    assert_eq!(gateway.closed(), [1]);
}

#[test]
fn without_a_policy_and_with_one_that_is_not_understood_nothing_is_allowed() {
    let mut gateway = Gateway::start();
    gateway.open(1);
    gateway.knows(1, Fact::UpstreamRegion, "us-west-2");
    assert!(!gateway.passes(1));
    let host = Stream::new(&gateway.envoy, 0);
    let more = r#"{"readers":[],"databases":["us-west-2"],"more":1}"#;
    assert!(gateway.connections.arrived(&host, more.as_bytes()).is_err());
    assert!(!gateway.passes(1));
}

/// A new version of the filter has a VM of its own. It alone gets the next policy.
#[test]
fn connections_of_an_older_filter_follow_the_policy_as_well() {
    let mut old = Gateway::start();
    old.policy(&policy(&[EAST, EU], &[]));
    for (id, reader) in [(1, EAST), (2, EU)] {
        old.open(id);
        old.knows(id, Fact::ClientId, reader);
        assert!(old.passes(id));
    }
    let mut new = old.sibling();
    new.policy(&policy(&[EU], &[]));
    assert_eq!(old.closed(), [] as [u32; 0]);
    old.connections.follow(&Stream::new(&old.envoy, 0));
    assert_eq!(old.closed(), [1]);
    old.connections.follow(&Stream::new(&old.envoy, 0));
    assert_eq!(old.closed(), [] as [u32; 0], "once for each policy");
}
