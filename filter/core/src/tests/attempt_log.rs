//! What the access log says of a request's attempts.

use super::envoy::{Envoy, Stream};
use super::guarding::{DONE, EVENTS, HELLO, attempt, guard};
use super::routing::routed;
use crate::host::Side;
use crate::plugins::{Configured, Plugin};
use crate::worker::Worker;
use meridian_fixtures::fleets::{EAST, EU, WEST};
use std::rc::Rc;

/// A request and its attempts, the one after the other.
struct Request {
    envoy: Rc<Envoy>,
    guard: Configured,
    worker: Worker,
    routed: (Stream, Box<dyn Plugin>),
    next: u32,
}

impl Request {
    fn begin() -> Self {
        let (envoy, mut worker) = (Envoy::start(), Worker::default());
        let routed = routed(&envoy, &mut worker);
        Self {
            guard: guard(&envoy),
            envoy,
            worker,
            routed,
            next: 10,
        }
    }

    fn attempt(&mut self, to: &str) -> (Stream, Box<dyn Plugin>) {
        self.next += 1;
        let number = self.routed.0.value(Side::Request, "x-meridian-request");
        let place = (self.next, to, number.as_deref());
        attempt(&self.envoy, &self.guard, &mut self.worker, place)
    }

    fn answers(&mut self, (stream, plugin): &mut (Stream, Box<dyn Plugin>), status: &str) {
        let head = [(":status", status), ("content-type", "application/json")];
        stream.response(plugin.as_mut(), &mut self.worker, &head, true);
    }

    fn streams(&mut self, (stream, plugin): &mut (Stream, Box<dyn Plugin>), piece: &str) {
        let plugin = plugin.as_mut();
        stream.response(plugin, &mut self.worker, EVENTS, false);
        stream.piece(plugin, &mut self.worker, Side::Response, piece, false);
    }

    /// The stream comes to its regular end.
    fn finishes(&mut self, (stream, mut plugin): (Stream, Box<dyn Plugin>)) {
        let (plugin, worker) = (plugin.as_mut(), &mut self.worker);
        stream.piece(plugin, worker, Side::Response, DONE, true);
        plugin.on_done(&stream, worker);
    }

    fn passes(&mut self, milliseconds: u64) {
        self.envoy.run(&mut self.worker, milliseconds);
    }

    fn ends(&mut self, (stream, mut plugin): (Stream, Box<dyn Plugin>)) {
        plugin.on_done(&stream, &mut self.worker);
    }

    /// What the log says.
    fn log(&mut self) -> Option<String> {
        let (stream, plugin) = &mut self.routed;
        plugin.on_log(stream, &mut self.worker);
        stream.log_fields.borrow().get("meridian_attempts").cloned()
    }
}

#[test]
fn the_only_attempt_is_not_logged_if_it_was_answered() {
    let mut request = Request::begin();
    let mut home = request.attempt(WEST);
    request.streams(&mut home, HELLO);
    request.finishes(home);
    assert_eq!(request.log(), None);
}

#[test]
fn each_attempt_is_logged_with_its_end_and_time() {
    let mut request = Request::begin();
    let home = request.attempt(WEST);
    request.passes(1000);
    let mut east = request.attempt(EAST);
    request.passes(200);
    request.answers(&mut east, "503");
    request.ends(east);
    let mut eu = request.attempt(EU);
    request.passes(500);
    request.streams(&mut eu, HELLO);
    request.ends(home);
    request.passes(7000);
    request.finishes(eu);
    let expect = "us-west-2 10.0.0.1:8000 first_token 1700; us-east-1 10.0.0.1:8000 503 200; eu-west-1 10.0.0.1:8000 answered 500";
    assert_eq!(request.log().as_deref(), Some(expect));
    assert_eq!(request.log().as_deref(), Some(expect), "it is logged once");
    assert!(request.worker.attempt_log.take(0).is_empty());
}

#[test]
fn a_hedge_that_was_not_needed_is_overtaken() {
    let mut request = Request::begin();
    let mut home = request.attempt(WEST);
    request.passes(1000);
    let east = request.attempt(EAST);
    request.passes(100);
    request.streams(&mut home, HELLO);
    request.ends(east);
    request.finishes(home);
    let log = request.log().unwrap();
    assert!(log.contains("answered 1100; us-east-1"), "{log}");
    assert!(log.ends_with("overtaken 100"), "{log}");
}

#[test]
fn an_invalid_answer_a_cut_and_a_caller_that_left_have_their_names() {
    let mut request = Request::begin();
    let mut home = request.attempt(WEST);
    request.streams(&mut home, "data: {\"cho\n\n");
    request.ends(home);
    let east = request.attempt(EAST);
    request.ends(east);
    let mut eu = request.attempt(EU);
    request.streams(&mut eu, HELLO);
    request.ends(eu);
    let log = request.log().unwrap();
    let ends = log
        .split("; ")
        .filter_map(|attempt| attempt.split(' ').nth(2));
    assert_eq!(
        ends.collect::<Vec<_>>(),
        ["malformed", "reset", "cut"],
        "{log}"
    );

    let mut request = Request::begin();
    let _home = request.attempt(WEST);
    request.routed.0.flags_are(1 << 14);
    request.passes(300);
    let log = request.log().unwrap();
    assert!(log.ends_with("left 300"), "{log}");
}

#[test]
fn no_more_is_kept_than_is_logged() {
    let mut request = Request::begin();
    for _ in 0..20 {
        let mut east = request.attempt(EAST);
        request.answers(&mut east, "500");
        request.ends(east);
    }
    let log = request.log().unwrap();
    assert_eq!(log.split("; ").count(), 8, "{log}");
    let mut worker = Worker::default();
    for number in 0..10_000_u64 {
        let number = number.to_string();
        let place = (7, WEST, Some(number.as_str()));
        attempt(&request.envoy, &request.guard, &mut worker, place);
    }
    let is_kept = |worker: &mut Worker, number| !worker.attempt_log.take(number).is_empty();
    assert!(!is_kept(&mut worker, 0) && is_kept(&mut worker, 9_999));
}
