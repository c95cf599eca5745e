//! The plugin `pool`, and the servers that workers choose together.

use super::envoy::{Envoy, Stream};
use crate::host::{Action, Fact, Side};
use crate::plugins::{Configured, Plugin};
use crate::slots::slot;
use crate::worker::Worker;
use meridian_fixtures::fleets::LLAMA;
use std::rc::Rc;

const SERVERS: [&str; 2] = ["10.0.0.1:8000", "10.0.0.2:8000"];

/// A request of another gateway, which Envoy sends to the server of its slot: half of the slots each.
fn ask(
    envoy: &Rc<Envoy>,
    pool: &Configured,
    worker: &mut Worker,
    (id, length): (u32, &str),
) -> (Stream, Box<dyn Plugin>, &'static str) {
    let stream = Stream::new(envoy, id);
    let mut plugin = pool.stream(id);
    let request_id = format!("request-{id}");
    let headers = [
        ("x-meridian-model", LLAMA),
        ("x-meridian-stream", "1"),
        ("content-length", length),
        ("x-request-id", &request_id),
    ];
    let action = stream.request(plugin.as_mut(), worker, &headers, false);
    assert_eq!(action, Action::Continue);
    let slot: u64 = stream
        .value(Side::Request, "x-meridian-slot")
        .unwrap()
        .parse()
        .unwrap();
    let server = SERVERS[usize::from(slot % 2 == 1)];
    stream.fact_is(Fact::UpstreamAddress, server);
    let head = [(":status", "200")];
    stream.response(plugin.as_mut(), worker, &head, false);
    (stream, plugin, server)
}

#[test]
fn a_server_that_reads_a_long_prompt_is_avoided_by_all_workers() {
    let envoy = Envoy::start();
    let pool = envoy.plugin("pool", "");
    let (mut one, mut two) = (Worker::default(), Worker::default());
    let any = Stream::new(&envoy, 0);
    let mut id = 0;
    let mut next = || {
        id += 1;
        id
    };
    for worker in [&mut one, &mut two] {
        worker.tick(&any);
        for _ in 0..200 {
            let (stream, mut plugin, _) = ask(&envoy, &pool, worker, (next(), "100"));
            stream.piece(plugin.as_mut(), worker, Side::Response, "data: x\n\n", true);
            plugin.on_done(&stream, worker);
        }
        envoy.pass(10);
    }
    one.tick(&any);
    two.tick(&any);
    let (busy, mut reading, long) = ask(&envoy, &pool, &mut one, (next(), "1000000"));
    envoy.pass(10);
    let mut at_long = 0;
    for _ in 0..50 {
        let (stream, mut plugin, server) = ask(&envoy, &pool, &mut two, (next(), "100"));
        at_long += usize::from(server == long);
        plugin.on_done(&stream, &mut two);
    }
    assert!(
        at_long <= 2,
        "{at_long} of 50 went to the server that reads"
    );
    reading.on_done(&busy, &mut one);
    envoy.pass(10);
    let mut at_long = 0;
    for _ in 0..50 {
        let (stream, mut plugin, server) = ask(&envoy, &pool, &mut two, (next(), "100"));
        at_long += usize::from(server == long);
        plugin.on_done(&stream, &mut two);
    }
    assert!(at_long >= 10, "only {at_long} of 50 when it was done");
}

#[test]
fn another_gateways_affinity_slot_is_kept() {
    let (envoy, mut worker) = (Envoy::start(), Worker::default());
    let policy = format!(r#"{{"pools":{{"{LLAMA}":"affinity"}}}}"#);
    let mut plugin = envoy.plugin("pool", &policy).stream(1);
    let stream = Stream::new(&envoy, 1);
    let headers = [
        ("x-meridian-model", LLAMA),
        ("x-meridian-slot", "12"),
        ("x-meridian-place", "34"),
    ];
    stream.request(plugin.as_mut(), &mut worker, &headers, false);
    let kept = stream.value(Side::Request, "x-meridian-slot");
    assert_eq!(kept, Some(slot(34).to_string()));
}
