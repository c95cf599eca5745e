//! Messages of gateways, made by hand, over gRPC.

use super::stream::{
    ATTEMPTS, DEADLINE, FIRST_TOKEN, HEALTHY, LLAMA, LLAMA_POOL, MEMBERS, Stream, attempts,
    counter, family, gauge, histogram,
};
use super::{noon, whys};
use crate::collect::RefusalReason;
use crate::collect::gateway::family::{
    CERTIFICATE_ERRORS, CHECKS_FAILED, CHECKS_PASSED, CHECKS_UNANSWERED, HANDSHAKE_ERRORS,
};
use crate::collect::gateway::{GatewayReport, Names};
use crate::fleet::parse;
use envoy_types::pb::io::prometheus::client::{MetricType, Summary};
use meridian_planner::signal::{AttemptCounts, Millis, PeerCheckCounts, Reading};
use meridian_planner::state::FleetState;
use meridian_policy::RegionName;
use meridian_policy::filter_policy::Lane;
use std::sync::Arc;
use tonic::{Code, Status};

fn readings(report: &GatewayReport) -> &[Reading] {
    report
        .observation
        .as_ref()
        .map_or(&[], |it| it.readings.as_slice())
}

fn of_us() -> Result<Option<RegionName>, Status> {
    Ok(Some("us-west-2".parse().unwrap()))
}

#[tokio::test]
async fn endpoints_that_nobody_has_checked_yet_are_not_taken_for_unhealthy() {
    let mut stream = Stream::open(of_us(), 8).await;
    // Envoy's states: live, draining, pre-initializing, initializing.
    for (state, warming, healthy, told) in [
        (0.0, 0.0, 0.0, true),
        (1.0, 0.0, 0.0, true),
        (2.0, 0.0, 0.0, false),
        (3.0, 0.0, 0.0, false),
        (0.0, 1.0, 0.0, false),
        (0.0, 1.0, 1.0, true),
    ] {
        let families = vec![
            gauge("server.state", &[], state),
            gauge("cluster_manager.warming_clusters", &[], warming),
            gauge(HEALTHY, &LLAMA_POOL, healthy),
            gauge(MEMBERS, &LLAMA_POOL, 2.0),
            counter(ATTEMPTS, &attempts("llama-3_1-70b", "answered"), 7.0),
        ];
        stream.introduce("gw-1", "us-west-2", families).await;
        let report = stream.report().await;
        let mut all = readings(&report).iter();
        let is_told = all.any(|reading| matches!(reading, Reading::Endpoints { .. }));
        let case = format!("state {state}, warming {warming}, healthy {healthy}");
        assert_eq!(is_told, told, "{case}");
    }
}

fn failures(what: &str) -> [(&str, &str); 3] {
    [
        ("model", "llama-3_1-70b"),
        ("to", "eu-west-1"),
        ("what", what),
    ]
}

#[tokio::test]
async fn a_message_becomes_an_observation() {
    let mut stream = Stream::open(Ok(None), 8).await;
    let families = vec![
        gauge(HEALTHY, &LLAMA_POOL, 1.0),
        counter("server.uptime", &[], 5.0),
        counter(ATTEMPTS, &attempts("llama-3_1-70b", "answered"), 7.0),
        counter(ATTEMPTS, &attempts("llama-3_1-70b", "overloaded"), 2.0),
        counter(ATTEMPTS, &attempts("llama-3_1-70b", "late"), 3.0),
        counter(ATTEMPTS, &attempts("llama-3_1-70b", "unanswered"), 4.0),
        counter(ATTEMPTS, &attempts("llama-3_1-70b", "broken"), 5.0),
        counter(ATTEMPTS, &attempts("llama-3_1-70b", "stalled"), 6.0),
        counter(ATTEMPTS, &attempts("llama-3_1-70b", "left"), 8.0),
        counter(ATTEMPTS, &attempts("mistral-7b", "failed"), 1.0),
        gauge(MEMBERS, &LLAMA_POOL, 2.0),
        histogram(&LLAMA, &[(250.0, 1), (1000.0, 2)], 850.0, 3),
        counter("wasmcustom.meridian_failures", &failures("no_model"), 9.0),
        counter("wasmcustom.meridian_failures", &failures("malformed"), 10.0),
        counter(
            "wasmcustom.meridian_misplaced",
            &[("to", "fallback/claude")],
            2.0,
        ),
        counter("wasmcustom.meridian_mismatched", &[("what", "route")], 3.0),
        counter("wasmcustom.meridian_mismatched", &[("what", "peer")], 4.0),
    ];
    stream.introduce("gw-1", "us-west-2", families).await;
    let report = stream.report().await;
    assert_eq!(
        (report.region.as_str(), report.source.as_str()),
        ("us-west-2", "gw-1")
    );
    assert_eq!((report.at, report.refused.len()), (noon(), 0));
    let counts = |model: &str, counts| Reading::Attempts {
        zone: "eea".parse().unwrap(),
        model: model.parse().unwrap(),
        lane: Lane::Home,
        to: "eu-west-1".parse().unwrap(),
        counts,
    };
    let answered = AttemptCounts {
        answered: 7.0,
        overloaded: 5.0,
        failed: 4.0,
        broken: 5.0,
    };
    let failed = AttemptCounts {
        failed: 1.0,
        ..AttemptCounts::default()
    };
    let expect = [
        Reading::Endpoints {
            model: "llama-3.1-70b".parse().unwrap(),
            healthy: 1,
            total: 2,
        },
        counts("llama-3.1-70b", answered),
        counts("mistral-7b", failed),
        Reading::FirstToken {
            model: "llama-3.1-70b".parse().unwrap(),
            to: "eu-west-1".parse().unwrap(),
            times: meridian_planner::signal::Histogram {
                buckets: vec![(0.25, 1.0), (1.0, 2.0)],
                sum: 0.85,
                count: 3.0,
            },
        },
        Reading::MissingModel {
            model: "llama-3.1-70b".parse().unwrap(),
            to: "eu-west-1".parse().unwrap(),
            answers: 9.0,
        },
        Reading::Mismatches { requests: 7.0 },
        Reading::JurisdictionViolations {
            fallback: "claude".parse().unwrap(),
            answers: 2.0,
        },
    ];
    assert_eq!(readings(&report), expect);
    stream.end().await.unwrap();
}

#[tokio::test]
async fn what_a_pool_s_name_resolves_to_is_read() {
    let mut stream = Stream::open(Ok(None), 8).await;
    let cluster = [("envoy.cluster_name", "dns_us-west-2_mistral-7b")];
    let families = vec![gauge(MEMBERS, &cluster, 0.0)];
    stream.introduce("gw-1", "us-west-2", families).await;
    let report = stream.report().await;
    let model = "mistral-7b".parse().unwrap();
    let addresses = 0;
    assert_eq!(readings(&report), [Reading::Name { model, addresses }]);
    stream.end().await.unwrap();
}

#[tokio::test]
async fn health_checks_of_a_peer_s_models_count_together() {
    let mut stream = Stream::open(Ok(None), 8).await;
    let of = |name: &str, cluster: &str, value: f64| {
        counter(name, &[("envoy.cluster_name", cluster)], value)
    };
    let llama = "peer_us-west-2_llama-3_1-70b";
    let families = vec![
        of(CHECKS_PASSED, llama, 7.0),
        of(CHECKS_FAILED, llama, 6.0),
        of(CHECKS_UNANSWERED, llama, 4.0),
        of(CHECKS_UNANSWERED, "pool_eu-west-1_llama-3_1-70b", 9.0),
        of(CHECKS_FAILED, "peer_us-west-2_mistral-7b", 3.0),
        of(CHECKS_UNANSWERED, "peer_us-west-2_mistral-7b", 3.0),
        of(CERTIFICATE_ERRORS[0], llama, 2.0),
        of(CERTIFICATE_ERRORS[1], llama, 1.0),
        of(HANDSHAKE_ERRORS, llama, 5.0),
    ];
    stream.introduce("gw-1", "eu-west-1", families).await;
    let report = stream.report().await;
    let counts = PeerCheckCounts {
        answered: 9.0,
        unanswered: 7.0,
        refused_certificates: 3.0,
        failed_handshakes: 5.0,
    };
    let to = "us-west-2".parse().unwrap();
    assert_eq!(readings(&report), [Reading::PeerChecks { to, counts }]);
    stream.end().await.unwrap();
}

fn times(report: &GatewayReport) -> (f64, f64, Vec<f64>) {
    let [Reading::FirstToken { times, .. }] = readings(report) else {
        panic!("{report:?}");
    };
    let up_to = times.buckets.iter().map(|it| it.1).collect();
    (times.count, times.sum, up_to)
}

#[tokio::test]
async fn histograms_are_added_up_over_flushes() {
    let mut stream = Stream::open(of_us(), 8).await;
    let flush = || vec![histogram(&LLAMA, &[(500.0, 1), (1000.0, 2)], 2000.0, 3)];
    stream.send(flush()).await;
    assert_eq!(times(&stream.report().await), (3.0, 2.0, vec![1.0, 2.0]));
    stream.send(flush()).await;
    assert_eq!(times(&stream.report().await), (6.0, 4.0, vec![2.0, 4.0]));
    // Each stream has its own totals.
    let first = stream.another().await;
    stream.send(flush()).await;
    assert_eq!(times(&stream.report().await), (3.0, 2.0, vec![1.0, 2.0]));
    // Changed buckets reset the totals.
    stream
        .send(vec![histogram(&LLAMA, &[(500.0, 1)], 500.0, 1)])
        .await;
    assert_eq!(times(&stream.report().await), (1.0, 0.5, vec![1.0]));
    drop(first);
}

#[tokio::test]
async fn gateways_of_one_node_id_are_counted_each_by_itself() {
    let fleet = parse(super::FLEET).unwrap();
    let (region, model) = (
        "eu-west-1".parse().unwrap(),
        "llama-3.1-70b".parse().unwrap(),
    );
    let mut state = FleetState::default();
    let end = Millis(noon().0 + 10_000);
    let demand = |state: &FleetState, now: Millis| {
        let asked = state.demand(&(&fleet).into(), &region, &model, now);
        asked.values().sum::<f64>()
    };
    let answered = |count| {
        let labels = attempts("llama-3_1-70b", "answered");
        vec![counter(ATTEMPTS, &labels, count)]
    };
    let mut stream = Stream::open(Ok(Some(region.clone())), 8).await;
    stream.introduce("gw", "", answered(1000.0)).await;
    assert_eq!(stream.report().await.source, "gw");
    let first = stream.another().await;
    stream.introduce("gw", "", answered(7.0)).await;
    assert_eq!(stream.report().await.source, "gw#2");
    let mut second = std::mem::replace(&mut stream.messages, first);
    for round in 0..=10u32 {
        for (begin, each) in [(1000, 10), (7, 3)] {
            let count = f64::from(begin + each * round);
            stream.send(answered(count)).await;
            let mut observation = stream.report().await.observation.unwrap();
            observation.at = Millis(noon().0 + 1000 * u64::from(round));
            state.apply(&fleet, &observation);
            std::mem::swap(&mut stream.messages, &mut second);
        }
    }
    assert_eq!(demand(&state, end), 13.0);
    let much_later = Millis(end.0 + 60_000);
    assert_eq!(demand(&state, much_later), 0.0, "nobody was heard lately");

    drop(second);
    let ended = stream.ended().await;
    assert_eq!(ended, "gw#2");
    state.gone(&region, &ended);
    assert_eq!(demand(&state, end), 10.0);

    // The name is free again; a node whose id has that form gets another one.
    let mut open = Vec::new();
    for (node, source) in [("gw", "gw#2"), ("gw#2", "gw#2#2")] {
        open.push(stream.another().await);
        stream.introduce(node, "", answered(1.0)).await;
        assert_eq!(stream.report().await.source, source);
    }
}

#[tokio::test]
async fn a_gateway_that_hangs_up_has_ended() {
    let message = || vec![counter(ATTEMPTS, &attempts("mistral-7b", "failed"), 1.0)];
    let mut stream = Stream::open(of_us(), 8).await;
    stream.introduce("gw", "", message()).await;
    stream.report().await;
    stream.hang_up();
    assert_eq!(stream.ended().await, "gw");
}

#[tokio::test]
async fn lies_are_refused_one_by_one() {
    let mut stream = Stream::open(of_us(), 8).await;
    let mut labels = attempts("llama-3_1-70b", "answered");
    let good = counter(ATTEMPTS, &labels, 7.0);
    labels[0].1 = "atlantis";
    let zone = counter(ATTEMPTS, &labels, 1.0);
    labels[0].1 = "eea";
    labels[2].1 = "fast";
    let lane = counter(ATTEMPTS, &labels, 1.0);
    labels[2].1 = "home";
    let peer = [("envoy.cluster_name", "peer_eu-west-1_llama-3_1-70b")];
    let mistral = [("envoy.cluster_name", "pool_us-west-2_mistral-7b")];
    let elsewhere = [("envoy.cluster_name", "pool_eu-west-1_llama-3_1-70b")];
    let families = vec![
        zone,
        lane,
        counter(ATTEMPTS, &labels[..4], 1.0),
        counter(ATTEMPTS, &attempts("llama-3_1-70b", "overloaded"), f64::NAN),
        counter(ATTEMPTS, &attempts("llama-3_1-70b", "failed"), -1.0),
        counter(ATTEMPTS, &attempts("gpt-9", "answered"), 1.0),
        counter(ATTEMPTS, &attempts("llama-3_1-70b", "maybe"), 1.0),
        gauge(ATTEMPTS, &attempts("llama-3_1-70b", "answered"), 1.0),
        good,
        gauge(HEALTHY, &LLAMA_POOL, 3.0),
        gauge(MEMBERS, &LLAMA_POOL, 2.0),
        gauge(HEALTHY, &mistral, 1e300),
        gauge(MEMBERS, &mistral, f64::INFINITY),
        // Clusters other than the home region's pools are ignored.
        gauge(HEALTHY, &peer, f64::NAN),
        gauge(HEALTHY, &elsewhere, 1.0),
        histogram(&LLAMA, &[(500.0, 2), (1000.0, 1)], 1.0, 2),
        histogram(&LLAMA, &[(500.0, 1)], f64::NAN, 1),
    ];
    stream.send(families).await;
    let report = stream.report().await;
    let [Reading::Attempts { counts, .. }] = readings(&report) else {
        panic!("{report:?}");
    };
    assert_eq!(
        (counts.answered, counts.overloaded, counts.failed),
        (7.0, 0.0, 0.0)
    );
    assert_eq!(
        whys(&report.refused),
        [
            (HEALTHY, RefusalReason::TooLarge, 1),
            (HEALTHY, RefusalReason::Contradicts, 1),
            (MEMBERS, RefusalReason::Infinite, 1),
            (ATTEMPTS, RefusalReason::NotANumber, 1),
            (ATTEMPTS, RefusalReason::Negative, 1),
            (ATTEMPTS, RefusalReason::WrongType, 1),
            (ATTEMPTS, RefusalReason::MissingLabel, 1),
            (ATTEMPTS, RefusalReason::UnknownName, 4),
            (FIRST_TOKEN, RefusalReason::NotANumber, 1),
            (FIRST_TOKEN, RefusalReason::Contradicts, 1),
        ]
    );
    // A refused histogram does not change the totals.
    stream
        .send(vec![histogram(&LLAMA, &[(500.0, 1)], 400.0, 1)])
        .await;
    assert_eq!(times(&stream.report().await), (1.0, 0.4, vec![1.0]));
}

#[tokio::test]
async fn what_is_not_of_interest_is_passed_over() {
    let mut stream = Stream::open(of_us(), 8).await;
    let summary = family(FIRST_TOKEN, MetricType::Summary, &LLAMA, |metric| {
        metric.summary = Some(Summary::default());
    });
    let mut families = vec![summary; 2];
    families.resize(
        5000,
        counter("cluster.upstream_cx_total", &LLAMA_POOL, f64::NAN),
    );
    stream.send(families).await;
    stream
        .send(vec![counter(
            ATTEMPTS,
            &attempts("mistral-7b", "failed"),
            1.0,
        )])
        .await;
    let report = stream.report().await;
    assert_eq!((readings(&report).len(), report.refused.len()), (1, 0));
}

#[tokio::test]
async fn names_follow_the_fleet_file() {
    let mut stream = Stream::open(of_us(), 8).await;
    let message = || {
        vec![counter(
            ATTEMPTS,
            &attempts("llama-3_1-70b", "answered"),
            1.0,
        )]
    };
    let edited = |to: &str| {
        Arc::new(Names::from(
            &parse(&super::FLEET.replace("llama-3.1-70b", to)).unwrap(),
        ))
    };
    stream.send(message()).await;
    assert_eq!(stream.report().await.refused, []);
    stream.names.store(edited("llama-4"));
    stream.send(message()).await;
    let refused = stream.report().await.refused;
    assert_eq!(whys(&refused), [(ATTEMPTS, RefusalReason::UnknownName, 1)]);
    stream.names.store(Arc::new(Names::default()));
    stream.send(message()).await;
    let status = stream.end().await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("us-west-2"), "{status}");
}

#[tokio::test]
async fn who_it_is_decides_what_it_may_speak_about() {
    let message = || {
        vec![
            gauge(HEALTHY, &LLAMA_POOL, 1.0),
            gauge(MEMBERS, &LLAMA_POOL, 1.0),
        ]
    };
    // The certificate counts, not the claimed region.
    let mut stream = Stream::open(of_us(), 8).await;
    stream.introduce("gw", "eu-west-1", message()).await;
    assert_eq!(stream.report().await.region.as_str(), "us-west-2");

    for (known, said, code) in [
        (Ok(None), "", Code::InvalidArgument),
        (Ok(None), "atlantis", Code::FailedPrecondition),
        (
            Err(Status::permission_denied("no")),
            "us-west-2",
            Code::PermissionDenied,
        ),
    ] {
        let stream = Stream::open(known, 8).await;
        stream.introduce("gw", said, message()).await;
        assert_eq!(stream.end().await.unwrap_err().code(), code, "{said}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_slow_does_not_hold_the_gateway_up() {
    let mut stream = Stream::open(of_us(), 1).await;
    let flush = || vec![histogram(&LLAMA, &[(500.0, 1)], 500.0, 1)];
    for _ in 0..50 {
        tokio::time::timeout(DEADLINE, stream.send(flush()))
            .await
            .unwrap();
    }
    // Nothing was received meanwhile, and nothing is lost.
    let mut last = times(&stream.report().await);
    while last.0 < 51.0 {
        if stream.heard.is_empty() {
            stream.send(flush()).await;
        }
        let next = times(&stream.report().await);
        assert!(next.0 > last.0);
        last = next;
    }
}
