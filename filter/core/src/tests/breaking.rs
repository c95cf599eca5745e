//! Breakers: pools that serve nobody are left alone, by the requests that all workers see.

use super::decisions::{CHAT, US, admit, admitted, context};
use super::envoy::{Envoy, Stream};
use crate::breaker::Unavailable;
use crate::host::{Fact, Side};
use crate::pace::PoolPace;
use crate::plugins::{Configured, Plugin};
use crate::request::RequestContext;
use crate::router::Router;
use crate::routes::PoolId;
use crate::worker::Worker;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST, example};
use meridian_planner::placement::Placement;
use meridian_planner::plan::Plan;
use meridian_planner::plugins::{filter_policy, guard_policy};
use meridian_policy::filter_policy::Lane;
use meridian_policy::{Fleet, RegionName};
use std::collections::BTreeMap;
use std::rc::Rc;

const REGIONS: [&str; 3] = [WEST, EAST, EU];

/// us-west-2's gateway: its router and its guard.
struct Gateway {
    envoy: Rc<Envoy>,
    router: Configured,
    guard: Configured,
}

impl Gateway {
    fn new(fleet: &Fleet) -> Self {
        Self::without(fleet, &[])
    }

    /// With regions that are down by the plan.
    fn without(fleet: &Fleet, down: &[&str]) -> Self {
        let envoy = Envoy::start();
        let home: RegionName = WEST.parse().unwrap();
        let overflow = BTreeMap::from([(EAST.parse().unwrap(), 50), (EU.parse().unwrap(), 50)]);
        let placement = Placement {
            overflow,
            ..Placement::home()
        };
        let models = BTreeMap::from([(LLAMA.parse().unwrap(), placement)]);
        let zones = BTreeMap::from([("global".parse().unwrap(), models)]);
        let plan = Plan {
            gateways: BTreeMap::from([(home.clone(), zones)]),
            ..Plan::default()
        };
        let mut policy = filter_policy(&fleet.into(), &plan, &home, None);
        let zone = policy.zones.get_mut("global").unwrap();
        let rule = zone.models.get_mut(LLAMA).unwrap();
        rule.down
            .extend(down.iter().map(|region| region.parse().unwrap()));
        let router = envoy.plugin("router", &serde_json::to_string(&policy).unwrap());
        let policy = guard_policy(&fleet.into(), &home);
        let guard = envoy.plugin("guard", &serde_json::to_string(&policy).unwrap());
        Self {
            envoy,
            router,
            guard,
        }
    }

    /// An attempt at a region for a whole answer, which has not come.
    fn whole(&self, worker: &mut Worker, to: &str) -> (Stream, Box<dyn Plugin>) {
        let stream = Stream::new(&self.envoy, 8);
        stream.fact_is(Fact::UpstreamRegion, to);
        let mut plugin = self.guard.stream(8);
        let headers = [
            (":path", "/v1/unknown"),
            ("x-meridian-zone", "global"),
            ("x-meridian-model", LLAMA),
            ("x-meridian-stream", "0"),
            ("x-meridian-request", "9"),
        ];
        stream.request(plugin.as_mut(), worker, &headers, true);
        (stream, plugin)
    }

    /// An attempt at a region, which ends with this status or after a silence.
    fn attempt(&self, worker: &mut Worker, to: &str, request: u64, head: Option<(&str, &str)>) {
        let stream = Stream::new(&self.envoy, 7);
        stream.fact_is(Fact::UpstreamRegion, to);
        let mut plugin = self.guard.stream(7);
        let request = request.to_string();
        let headers = [
            (":path", "/v1/chat/completions"),
            ("x-meridian-zone", "global"),
            ("x-meridian-model", LLAMA),
            ("x-meridian-stream", "1"),
            ("x-meridian-request", &request),
        ];
        stream.request(plugin.as_mut(), worker, &headers, true);
        match head {
            Some((status, retry_after)) => {
                let headers = [(":status", status), ("retry-after", retry_after)];
                stream.response(plugin.as_mut(), worker, &headers, true);
            }
            None => self.envoy.pass(2000),
        }
        plugin.on_done(&stream, worker);
    }

    fn refuses(&self, worker: &mut Worker, to: &str, retry_after: &str) {
        for _ in 0..5 {
            self.attempt(worker, to, 1, Some(("429", retry_after)));
        }
    }

    /// A request: the lane that it gets, or the status and `Retry-After` by which it is refused, and why.
    fn ask(&self, worker: &mut Worker) -> (String, String) {
        self.send(worker, r#""messages":[]"#)
    }

    /// The same with these fields.
    fn send(&self, worker: &mut Worker, fields: &str) -> (String, String) {
        let stream = Stream::new(&self.envoy, 1);
        stream.fact_is(Fact::SourceAddress, "10.0.0.1:40000");
        let mut plugin = self.router.stream(1);
        let headers = [
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            ("cf-ipcountry", "US"),
            ("x-request-id", "request-1"),
        ];
        stream.request(plugin.as_mut(), worker, &headers, false);
        let body = format!(r#"{{"model":"{LLAMA}","stream":true,{fields}}}"#);
        stream.piece(plugin.as_mut(), worker, Side::Request, &body, true);
        if let Some(reply) = stream.reply.borrow().as_ref() {
            let header = reply.headers.iter().find(|(name, _)| name == "retry-after");
            let retry_after = header.map(|(_, value)| value.as_str());
            let lane = format!("{} {}", reply.status, retry_after.unwrap_or_default());
            return (lane, reply.body.clone());
        }
        let lane = stream.value(Side::Request, "x-meridian-lane").unwrap();
        stream.response(plugin.as_mut(), worker, &[(":status", "200")], true);
        let why = stream.value(Side::Response, "x-meridian-decision");
        (lane, why.unwrap())
    }

    fn lane(&self, worker: &mut Worker) -> String {
        self.ask(worker).0
    }
}

#[test]
fn a_region_that_only_refuses_is_left_but_for_a_probe_a_second() {
    let (gateway, worker) = (Gateway::new(&example()), &mut Worker::default());
    gateway.attempt(worker, WEST, 1, Some(("400", "")));
    for _ in 0..4 {
        gateway.attempt(worker, WEST, 1, Some(("429", "30")));
    }
    assert!(!gateway.ask(worker).1.contains("breaker"), "four of five");
    gateway.attempt(worker, WEST, 1, Some(("429", "30")));
    let (lane, why) = gateway.ask(worker);
    assert_eq!(lane, "overflow");
    assert!(why.contains(" breaker=first"), "{why}");
    let is_open = || {
        gateway
            .envoy
            .metric("meridian_breaker_open;model=llama-3_1-70b;to=us-west-2")
    };
    assert_eq!(is_open(), 1);
    gateway.envoy.pass(1000);
    let probes = (0..20).filter(|_| gateway.lane(worker) == "home").count();
    assert!(probes <= 1, "{probes} probes");
    gateway.attempt(worker, WEST, 1, Some(("400", "")));
    assert!(!gateway.ask(worker).1.contains("breaker"));
    assert_eq!(is_open(), 0);
}

#[test]
fn the_fallbacks_are_asked_at_once_where_every_region_refuses() {
    let (gateway, worker) = (Gateway::new(&example()), &mut Worker::default());
    for region in &REGIONS[..2] {
        gateway.refuses(worker, region, "30");
    }
    assert_ne!(gateway.lane(worker), "fallback", "one region serves");
    gateway.refuses(worker, EU, "30");
    let (lane, why) = gateway.ask(worker);
    assert_eq!(lane, "fallback");
    assert!(why.contains(" breaker=all"), "{why}");
    // Another worker sees it as soon as it looks.
    let other = &mut Worker::default();
    assert_ne!(gateway.lane(other), "fallback");
    gateway.envoy.run(other, 100);
    assert_eq!(gateway.lane(other), "fallback");
    // Of the many that come after a second, one probes each region.
    gateway.envoy.run(other, 1000);
    gateway.envoy.run(worker, 100);
    let lanes: Vec<String> = (0..50)
        .flat_map(|_| [gateway.lane(worker), gateway.lane(other)])
        .collect();
    let probes = lanes.iter().filter(|lane| *lane != "fallback").count();
    assert_eq!(probes, 3, "{lanes:?}");
    gateway.attempt(worker, EAST, 1, Some(("400", "")));
    assert_eq!(gateway.lane(worker), "overflow");
    // What one worker has closed is closed for all, and opens again after five faults only.
    for region in REGIONS {
        gateway.attempt(other, region, 1, Some(("400", "")));
    }
    gateway.envoy.run(worker, 100);
    gateway.attempt(worker, WEST, 1, Some(("429", "")));
    assert!(!gateway.ask(worker).1.contains("breaker"));
}

#[test]
fn without_fallbacks_the_caller_is_told_when_to_come_again() {
    let mut fleet = example();
    for zone in fleet.zones.values_mut() {
        zone.fallbacks.clear();
    }
    let (gateway, worker) = (Gateway::new(&fleet), &mut Worker::default());
    for (region, retry_after) in REGIONS.iter().zip(["30", "-1", "12"]) {
        gateway.refuses(worker, region, retry_after);
    }
    let (answer, body) = gateway.ask(worker);
    assert_eq!(answer, "429 1", "the second one did not say");
    assert!(body.contains("refuses requests at this moment"), "{body}");
    assert!(body.contains("rate_limit"), "{body}");
    gateway.attempt(worker, EAST, 1, Some(("429", "20")));
    assert_eq!(gateway.lane(worker), "429 12");
}

#[test]
fn a_silent_region_is_probed_ever_more_rarely() {
    let mut fleet = example();
    for zone in fleet.zones.values_mut() {
        zone.fallbacks.clear();
    }
    let (gateway, worker) = (Gateway::new(&fleet), &mut Worker::default());
    for region in REGIONS {
        for _ in 0..5 {
            gateway.attempt(worker, region, 1, None);
        }
    }
    // The first ones probe what was found out seconds ago.
    let asked: Vec<(String, String)> = (0..4).map(|_| gateway.ask(worker)).collect();
    let (answer, body) = &asked[3];
    assert!(answer.starts_with("503 "), "{asked:?}");
    assert!(body.contains("has stopped to answer"), "{body}");
    let mut found_out = 0;
    for _ in 0..120 {
        gateway.envoy.run(worker, 1000);
        let came = (0..20).map(|_| gateway.lane(worker));
        let probes = came.filter(|lane| !lane.starts_with("503")).count();
        found_out += probes;
    }
    assert!(
        (10..=20).contains(&found_out),
        "{found_out} probes of three"
    );
}

#[test]
fn the_soonest_retry_after_of_a_request_reaches_its_caller() {
    let gateway = Gateway::new(&example());
    for (said, last, told) in [
        (["30", "7", "90"], "15", "7"),
        (["1e23", "-1", ""], "-1", "2"),
        (["", "", ""], "99999999999", "86400"),
        (["0", "", ""], "5", "1"),
    ] {
        let worker = &mut Worker::default();
        let stream = Stream::new(&gateway.envoy, 1);
        stream.fact_is(Fact::SourceAddress, "10.0.0.1:40000");
        let mut plugin = gateway.router.stream(1);
        let headers = [
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            ("cf-ipcountry", "US"),
        ];
        stream.request(plugin.as_mut(), worker, &headers, false);
        let body = format!(r#"{{"model":"{LLAMA}","messages":[]}}"#);
        stream.piece(plugin.as_mut(), worker, Side::Request, &body, true);
        let number = stream.value(Side::Request, "x-meridian-request").unwrap();
        for (region, retry_after) in REGIONS.iter().zip(said) {
            let head = Some(("429", retry_after));
            gateway.attempt(worker, region, number.parse().unwrap(), head);
        }
        let headers = [(":status", "429"), ("retry-after", last)];
        stream.response(plugin.as_mut(), worker, &headers, false);
        let value = stream.value(Side::Response, "retry-after");
        assert_eq!(value.as_deref(), Some(told), "{said:?}, at last {last}");
    }
}

#[test]
fn a_request_that_continues_an_answer_stays_with_the_first_region() {
    let (gateway, worker) = (Gateway::new(&example()), &mut Worker::default());
    let continues = r#""previous_response_id":"resp_1""#;
    let (lane, why) = gateway.send(worker, continues);
    assert_eq!(lane, "home");
    assert!(why.contains(" continues=previous_response_id"), "{why}");
    gateway.attempt(worker, WEST, 1, Some(("429", "")));
    assert_eq!(
        gateway.send(worker, continues).0,
        "home",
        "whatever home sheds"
    );
    gateway.refuses(worker, WEST, "");
    let (answer, body) = gateway.send(worker, continues);
    assert_eq!(answer, "503 2");
    assert!(body.contains("previous_response_unavailable"), "{body}");
    assert_eq!(gateway.lane(worker), "overflow");
}

#[test]
fn regions_that_are_down_are_not_waited_for() {
    let (gateway, worker) = (
        Gateway::without(&example(), &[WEST]),
        &mut Worker::default(),
    );
    assert_eq!(gateway.lane(worker), "home", "Envoy skips it");
    gateway.refuses(worker, EAST, "");
    assert_eq!(gateway.lane(worker), "home");
    gateway.refuses(worker, EU, "");
    assert_eq!(gateway.lane(worker), "fallback");
    // A region that is down because it is silent is left for the one that serves.
    let gateway = Gateway::without(&example(), &[WEST]);
    for _ in 0..5 {
        gateway.attempt(worker, WEST, 1, None);
    }
    assert_eq!(gateway.lane(worker), "overflow");
    // While all are said to be down and none was found so, they are asked.
    let gateway = Gateway::without(&example(), &REGIONS);
    assert_eq!(gateway.lane(&mut Worker::default()), "home");
}

#[test]
fn a_region_that_has_stopped_to_give_whole_answers_is_left() {
    let (gateway, worker) = (Gateway::new(&example()), &mut Worker::default());
    for _ in 0..20 {
        let (stream, mut plugin) = gateway.whole(worker, WEST);
        gateway.envoy.pass(500);
        stream.response(plugin.as_mut(), worker, &[(":status", "200")], true);
        plugin.on_done(&stream, worker);
    }
    let waiting: Vec<_> = (0..6).map(|_| gateway.whole(worker, WEST)).collect();
    gateway.envoy.run(worker, 1400);
    let (lane, why) = gateway.ask(worker);
    assert!(lane == "home" && !why.contains("pressure"), "{why}");
    gateway.envoy.run(worker, 200);
    assert!(gateway.ask(worker).1.contains(" pressure=1.00"));
    for (stream, mut plugin) in waiting {
        plugin.on_done(&stream, worker);
    }
    assert!(!gateway.ask(worker).1.contains("pressure"));
}

#[test]
fn a_region_is_left_while_the_control_plane_is_away() {
    let (policy, admission) = admit(&example(), WEST, "POST", CHAT, &[US]);
    let admitted = admitted(admission);
    let router = Router::new(policy);
    let body = format!(r#"{{"model":"{LLAMA}"}}"#);
    let lane = |open: &dyn Fn(&PoolId) -> Option<Unavailable>| {
        let context = RequestContext {
            lease_ran_out: true,
            breaker: open,
            ..context()
        };
        let decision = router.decide(&admitted, body.as_bytes(), &context);
        decision.unwrap().lane
    };
    let unavailable = Unavailable {
        retry_after: 1,
        is_silent: true,
    };
    assert_eq!(lane(&|_| None), Lane::Home);
    let at_home = |pool: &PoolId| (pool.region.as_str() == WEST).then_some(unavailable);
    assert_eq!(lane(&at_home), Lane::Overflow);
}

/// Two faults at once: a dead region has no queue, and does not make the limit of a slow fleet short.
#[test]
fn regions_that_serve_nobody_are_no_reason_to_ask_another_one_soon() {
    let mut queue = PoolPace::default();
    for now in 0..40 {
        let awaited = queue.begin(true, now);
        queue.answered(awaited, 1.0, now);
    }
    (0..19).for_each(|_| {
        queue.begin(true, 40);
    });
    let limit = |down: &[&str], open: &[&str]| {
        let (mut policy, admission) = admit(&example(), WEST, "POST", CHAT, &[US]);
        let zone = policy.zones.get_mut("global").unwrap();
        let rule = zone.models.get_mut(LLAMA).unwrap();
        rule.down
            .extend(down.iter().map(|region| region.parse().unwrap()));
        let unavailable = Unavailable {
            retry_after: 1,
            is_silent: true,
        };
        let context = RequestContext {
            pace: &|pool| match pool.region.as_str() {
                EU => PoolPace::default(),
                _ => queue,
            },
            breaker: &|pool| open.contains(&pool.region.as_str()).then_some(unavailable),
            now_ms: 40,
            ..context()
        };
        let body = format!(r#"{{"model":"{LLAMA}","stream":true}}"#);
        let router = Router::new(policy);
        let decision = router.decide(&admitted(admission), body.as_bytes(), &context);
        decision.unwrap().per_try_timeout_ms.unwrap() / 1000
    };
    assert_eq!(limit(&[], &[]), 10, "the third region is idle");
    assert_eq!(limit(&[EU], &[]), 40);
    assert_eq!(limit(&[], &[EU]), 40);
}
