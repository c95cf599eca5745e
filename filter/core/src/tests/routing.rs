//! The plugin `router`, hook by hook.

use super::envoy::{Envoy, Stream};
use crate::host::{Action, Fact, Side};
use crate::plugins::{Configured, Plugin};
use crate::worker::Worker;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST, example};
use meridian_planner::placement::Placement;
use meridian_planner::plan::Plan;
use meridian_planner::plugins::filter_policy;
use meridian_policy::filter_policy::Lease;
use std::collections::BTreeMap;
use std::rc::Rc;

const CHAT: &[(&str, &str)] = &[
    (":method", "POST"),
    (":path", "/v1/chat/completions"),
    ("cf-ipcountry", "US"),
    ("x-request-id", "request-1"),
    ("x-meridian-zone", "forged"),
];

fn body() -> String {
    format!(r#"{{"model":"{LLAMA}","stream":true,"messages":[]}}"#)
}

fn configured(envoy: &Rc<Envoy>, worker: &mut Worker) -> Configured {
    leased(envoy, worker, &Plan::default(), None)
}

fn leased(envoy: &Rc<Envoy>, worker: &mut Worker, plan: &Plan, lease: Option<Lease>) -> Configured {
    let policy = filter_policy(&example().into(), plan, &WEST.parse().unwrap(), lease);
    let policy = serde_json::to_vec(&policy).unwrap();
    Configured::new(&Stream::new(envoy, 0), worker, b"router", &policy).unwrap()
}

fn stream(envoy: &Rc<Envoy>) -> Stream {
    let stream = Stream::new(envoy, 1);
    stream.fact_is(Fact::SourceAddress, "10.0.0.1:40000");
    stream
}

fn lane(stream: &Stream) -> Option<String> {
    stream.value(Side::Request, "x-meridian-lane")
}

#[test]
fn a_request_is_routed_when_its_body_is_whole() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let stream = stream(&envoy);
    let mut plugin = configured(&envoy, &mut worker).stream(1);
    let (plugin, worker) = (plugin.as_mut(), &mut worker);
    assert_eq!(stream.request(plugin, worker, CHAT, false), Action::Pause);
    let body = body();
    let (one, two) = body.split_at(10);
    assert_eq!(
        stream.piece(plugin, worker, Side::Request, one, false),
        None
    );
    assert_eq!(stream.routes.get(), 0);
    let whole = stream.piece(plugin, worker, Side::Request, two, true);
    assert_eq!(
        whole.as_deref(),
        Some(body.as_str()),
        "the body is left as it is"
    );
    let value = |name| stream.value(Side::Request, name);
    assert_eq!(value("x-meridian-zone").as_deref(), Some("global"));
    assert_eq!(value("x-meridian-model").as_deref(), Some(LLAMA));
    assert_eq!(value("x-meridian-stream").as_deref(), Some("1"));
    assert_eq!(value("x-meridian-length"), Some(body.len().to_string()));
    assert_eq!(lane(&stream).as_deref(), Some("home"));
    assert_eq!(stream.routes.get(), 1, "the route is looked for once");
    stream.response(plugin, worker, &[(":status", "503")], true);
    let value = |name| stream.value(Side::Response, name);
    assert!(
        value("x-meridian-decision")
            .unwrap()
            .starts_with("lane=home zone=global by=cf-ipcountry")
    );
    assert_eq!(value("retry-after").as_deref(), Some("2"));
}

#[test]
fn a_large_body_is_refused_while_the_worker_holds_too_much() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let mut policy = filter_policy(
        &example().into(),
        &Plan::default(),
        &WEST.parse().unwrap(),
        None,
    );
    policy.bodies = Some(3 << 20);
    let policy = serde_json::to_vec(&policy).unwrap();
    let host = Stream::new(&envoy, 0);
    let configured = Configured::new(&host, &mut worker, b"router", &policy).unwrap();
    let send = |worker: &mut Worker, bytes: usize, ends: bool| {
        let stream = stream(&envoy);
        let mut plugin = configured.stream(1);
        stream.request(plugin.as_mut(), worker, CHAT, false);
        let body = format!(
            r#"{{"model":"{LLAMA}","messages":[],"x":"{}"}}"#,
            "x".repeat(bytes)
        );
        stream.piece(plugin.as_mut(), worker, Side::Request, &body, ends);
        (stream, plugin)
    };
    let (first, mut held) = send(&mut worker, 2 << 20, true);
    assert_eq!(lane(&first).as_deref(), Some("home"));
    // Also one that is not whole.
    let (second, mut refused) = send(&mut worker, 2 << 20, false);
    assert_eq!(*second.reply.borrow(), None, "its caller still sends");
    second.piece(refused.as_mut(), &mut worker, Side::Request, "x", true);
    let reply = second.reply.borrow().clone().unwrap();
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("gateway_full"), "{}", reply.body);
    refused.on_done(&second, &mut worker);
    let (small, mut ordinary) = send(&mut worker, 100, true);
    assert_eq!(lane(&small).as_deref(), Some("home"));
    ordinary.on_done(&small, &mut worker);
    held.on_done(&first, &mut worker);
    let (third, _) = send(&mut worker, 2 << 20, true);
    assert_eq!(lane(&third).as_deref(), Some("home"));
}

#[test]
fn a_request_whose_definition_the_routes_lack_is_told_so() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let stream = stream(&envoy);
    let mut plugin = configured(&envoy, &mut worker).stream(1);
    let (plugin, worker) = (plugin.as_mut(), &mut worker);
    stream.request(plugin, worker, CHAT, false);
    stream.piece(plugin, worker, Side::Request, &body(), true);
    stream.fact_is(Fact::RouteName, "nothing");
    stream.response(plugin, worker, &[(":status", "503")], false);
    let reply = stream.reply.borrow().clone().unwrap();
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("zone_rules_changing"), "{}", reply.body);
    let retry_after = reply.headers.iter().find(|(name, _)| name == "retry-after");
    assert_eq!(retry_after.map(|(_, value)| value.as_str()), Some("2"));
    assert_eq!(envoy.metric("meridian_mismatched;what=route"), 1);
}

/// Where the body has been searched for content at another place, the server reads it in the encoding that was searched.
#[test]
fn a_body_that_was_checked_has_its_encoding() {
    for (refuses, expect) in [
        (false, "application/json; charset=utf-7"),
        (true, "application/json"),
    ] {
        let (envoy, mut worker) = (Envoy::start(), Worker::default());
        let mut fleet = example();
        let zone = fleet.zones.get_mut("global").unwrap();
        zone.content.refuse_remote = refuses;
        let policy = filter_policy(
            &(&fleet).into(),
            &Plan::default(),
            &WEST.parse().unwrap(),
            None,
        );
        let policy = serde_json::to_vec(&policy).unwrap();
        let first = Stream::new(&envoy, 0);
        let configured = Configured::new(&first, &mut worker, b"router", &policy).unwrap();
        let stream = stream(&envoy);
        let mut plugin = configured.stream(1);
        let head = [CHAT, &[("content-type", "application/json; charset=utf-7")]].concat();
        stream.request(plugin.as_mut(), &mut worker, &head, false);
        stream.piece(plugin.as_mut(), &mut worker, Side::Request, &body(), true);
        let value = stream.value(Side::Request, "content-type");
        assert_eq!(value.as_deref(), Some(expect));
    }
}

#[test]
fn a_body_may_end_with_trailers() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let stream = stream(&envoy);
    let mut plugin = configured(&envoy, &mut worker).stream(1);
    stream.request(plugin.as_mut(), &mut worker, CHAT, false);
    stream.piece(plugin.as_mut(), &mut worker, Side::Request, &body(), false);
    let action = plugin.on_request_trailers(&stream, &mut worker);
    assert_eq!((action, stream.routes.get()), (Action::Continue, 1));
}

#[test]
fn without_a_policy_or_a_route_a_request_is_refused() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let refused = |plugin: &mut dyn Plugin, worker: &mut Worker| {
        let stream = stream(&envoy);
        stream.request(plugin, worker, CHAT, false);
        if stream.reply.borrow().is_none() {
            stream.piece(plugin, worker, Side::Request, &body(), true);
        }
        assert_eq!(
            stream.value(Side::Request, "x-meridian-refused").as_deref(),
            Some("1")
        );
        let reply = stream.reply.borrow().clone().unwrap();
        assert_eq!(reply.status, 503);
        reply.body
    };
    let mut plugin = envoy.plugin("router", "").stream(1);
    assert!(refused(plugin.as_mut(), &mut worker).contains("no_policy"));
    envoy.has_no_routes.set(true);
    let mut plugin = configured(&envoy, &mut worker).stream(1);
    assert!(refused(plugin.as_mut(), &mut worker).contains("no_route"));
}

/// A plan by which everyone leaves us-west-2.
fn away() -> Plan {
    let away = Placement {
        home_share: 0,
        overflow: BTreeMap::from([(EAST.parse().unwrap(), 50), (EU.parse().unwrap(), 50)]),
        ..Placement::home()
    };
    let models = BTreeMap::from([(LLAMA.parse().unwrap(), away)]);
    let zones = BTreeMap::from([("global".parse().unwrap(), models)]);
    Plan {
        gateways: BTreeMap::from([(WEST.parse().unwrap(), zones)]),
        ..Plan::default()
    }
}

const LEASE: Lease = Lease {
    given: 1_700_000_000,
    runs_ms: 60_000,
};

/// The lane of a request now.
fn decided(envoy: &Rc<Envoy>, worker: &mut Worker, configured: &Configured) -> String {
    let stream = stream(envoy);
    let mut plugin = configured.stream(1);
    stream.request(plugin.as_mut(), worker, CHAT, false);
    stream.piece(plugin.as_mut(), worker, Side::Request, &body(), true);
    lane(&stream).unwrap()
}

#[test]
fn past_its_lease_a_plan_moves_nobody() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let configured = leased(&envoy, &mut worker, &away(), Some(LEASE));
    let decided = |worker: &mut Worker| decided(&envoy, worker, &configured);
    assert_eq!(decided(&mut worker), "overflow");
    envoy.run(&mut worker, 59_000);
    assert_eq!(decided(&mut worker), "overflow");
    envoy.run(&mut worker, 2000);
    assert_eq!(decided(&mut worker), "home");
}

#[test]
fn a_lease_survives_a_clock_that_is_set_and_a_process_that_stood_still() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let configured = leased(&envoy, &mut worker, &away(), Some(LEASE));
    let decided = |worker: &mut Worker| decided(&envoy, worker, &configured);
    for seconds in [3600, -7200] {
        envoy.set_clock(seconds);
        assert_eq!(decided(&mut worker), "overflow", "{seconds} s");
    }
    envoy.run(&mut worker, 30_000);
    envoy.pass(600_000);
    assert_eq!(decided(&mut worker), "overflow", "it stood still");
    envoy.run(&mut worker, 31_000);
    assert_eq!(decided(&mut worker), "home", "it does end");
}

#[test]
fn a_vm_that_begins_anew_gets_what_is_left_of_its_lease() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    leased(&envoy, &mut worker, &away(), Some(LEASE));
    envoy.run(&mut worker, 50_000);
    let mut anew = Worker::default();
    let configured = leased(&envoy, &mut anew, &away(), Some(LEASE));
    assert_eq!(decided(&envoy, &mut anew, &configured), "overflow");
    envoy.run(&mut anew, 11_000);
    assert_eq!(decided(&envoy, &mut anew, &configured), "home");
}

#[test]
fn a_policy_that_is_not_understood_is_refused() {
    let envoy = Envoy::start();
    let stream = stream(&envoy);
    for (root_id, configuration, says) in [
        (
            "router",
            r#"{"region":"us-west-2","more":1}"#,
            "unknown field `more`",
        ),
        ("guard", "", "EOF"),
        (
            "oracle",
            "{}",
            "use router, guard, pool, egress or retrieval",
        ),
    ] {
        let refused = Configured::new(
            &stream,
            &mut Worker::default(),
            root_id.as_bytes(),
            configuration.as_bytes(),
        );
        let error = refused.err().unwrap();
        assert!(error.contains(says), "{error}");
    }
}

/// A request that is on its way, and its plugin.
pub(super) fn routed(envoy: &Rc<Envoy>, worker: &mut Worker) -> (Stream, Box<dyn Plugin>) {
    let stream = stream(envoy);
    let mut plugin = configured(envoy, worker).stream(1);
    stream.request(plugin.as_mut(), worker, CHAT, false);
    stream.piece(plugin.as_mut(), worker, Side::Request, &body(), true);
    (stream, plugin)
}

#[test]
fn an_error_without_a_body_gets_one() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let head = [
        (":status", "429"),
        ("content-length", "0"),
        ("x-meridian-region", "fallback/claude"),
        ("retry-after", "7"),
    ];
    for how in ["head alone", "length 0", "empty body", "trailers"] {
        let (stream, mut plugin) = routed(&envoy, &mut worker);
        let plugin = plugin.as_mut();
        let ends = how == "head alone";
        let has_length = |header: &(&str, &str)| header.0 == "content-length";
        let tells_length = ends || how == "length 0";
        let head = head.iter().copied();
        let head: Vec<_> = head
            .filter(|header| tells_length || !has_length(header))
            .collect();
        let action = stream.response(plugin, &mut worker, &head, ends);
        assert_eq!(action, Action::Pause, "{how}");
        match how {
            "empty body" => {
                let passed = stream.piece(plugin, &mut worker, Side::Response, "", true);
                assert_eq!(passed, None);
            }
            "trailers" => assert_eq!(
                plugin.on_response_trailers(&stream, &mut worker),
                Action::Pause
            ),
            _ => {}
        }
        let reply = stream.reply.borrow().clone().expect(how);
        assert_eq!(reply.status, 429);
        assert_eq!(
            reply.body,
            "The server answered with the status 429 and no body."
        );
        let header = |name: &str| {
            let named = reply.headers.iter().find(|(header, _)| header == name);
            named.map(|(_, value)| value.as_str())
        };
        assert_eq!(header("retry-after"), Some("7"));
        assert_eq!(header("x-meridian-region"), Some("fallback/claude"));
        assert!(header("x-meridian-decision").is_some());
        assert_eq!(header("content-length"), None);
    }
}

#[test]
fn an_error_with_a_body_passes_as_it_is() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let (stream, mut plugin) = routed(&envoy, &mut worker);
    let plugin = plugin.as_mut();
    let head = [(":status", "500"), ("content-type", "text/plain")];
    stream.response(plugin, &mut worker, &head, false);
    let passed = stream.piece(plugin, &mut worker, Side::Response, "no", false);
    assert_eq!(passed.as_deref(), Some("no"));
    let passed = stream.piece(plugin, &mut worker, Side::Response, "", true);
    assert_eq!(passed.as_deref(), Some(""));
    plugin.on_response_trailers(&stream, &mut worker);
    assert_eq!(*stream.reply.borrow(), None);
}
