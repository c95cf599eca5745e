//! Recorded lines under edits of an example fleet.

use super::*;
use serde_json::{Value, json};

const EXAMPLE: &str = include_str!("../../../envoy/fleet.yaml");
const LLAMA: &str = "llama-3.1-70b";

fn line(gateway: &str, decision: &str, region: &str, attempts: u64) -> Value {
    json!({
        "listener": "public", "request_id": "r1", "gateway": gateway, "zone": "-", "model": LLAMA, "decision": decision,
        "region": region, "attempts": attempts, "bytes_in": 100, "status": 200,
    })
}

fn replayed(replacements: &[(&str, &str)], lines: &[Value]) -> Replay {
    let mut text = EXAMPLE.to_owned();
    for (old, new) in replacements {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    let fleet = crate::fleet::parse(&text).unwrap().into();
    replay(&fleet, lines.iter().map(Value::to_string)).unwrap()
}

fn decided(lane: &str, zone: &str) -> String {
    format!("lane={lane} zone={zone} by=cf-ipcountry model={LLAMA}")
}

#[test]
fn under_the_same_fleet_nothing_moves() {
    let lines = [
        line("us-west-2", &decided("home", "global"), "us-west-2", 1),
        line("us-west-2", &decided("home", "global"), "us-east-1", 2),
        line("us-west-2", &decided("overflow", "global"), "eu-west-1", 1),
        line(
            "us-west-2",
            &decided("fallback", "global"),
            "fallback/claude",
            1,
        ),
        line(
            "eu-west-1",
            &decided("home", "eea"),
            "fallback/claude-eu",
            2,
        ),
        line("us-west-2", "refused=misdirected zone=eea", "-", 0),
        line("us-west-2", "refused=batch_later", "-", 0),
        line("us-west-2", "answered=models", "-", 0),
        json!({ "listener": "peer", "decision": "-" }),
    ];
    let replay = replayed(&[], &lines);
    assert_eq!((replay.requests, replay.others), (6, 3));
    assert_eq!(replay.moved, []);
}

#[test]
fn what_moves_is_counted_with_an_example() {
    let lines = [
        line("us-west-2", &decided("home", "global"), "us-west-2", 1),
        line("us-west-2", &decided("overflow", "global"), "eu-west-1", 1),
        line("us-west-2", &decided("overflow", "global"), "eu-west-1", 1),
        line("us-west-2", "refused=misdirected zone=eea", "-", 0),
    ];
    let replay = replayed(
        &[
            (
                "regions: [us-west-2, us-east-1, eu-west-1]",
                "regions: [us-west-2, us-east-1]",
            ),
            ("misdirected: refuse", "misdirected: forward"),
        ],
        &lines,
    );
    let text = text(&replay);
    assert_eq!(
        text,
        "3 of 4 requests would have gone elsewhere; 0 lines are of something else
  2: global, llama-3.1-70b at us-west-2: eu-west-1 -> us-west-2, e.g. r1
  1: eea, llama-3.1-70b at us-west-2: refused=misdirected -> eu-west-1, e.g. r1
"
    );
}

#[test]
fn the_order_and_the_limits_count() {
    let mut long = line("us-east-1", &decided("home", "global"), "us-east-1", 1);
    long["bytes_in"] = json!(10_000_000);
    let lines = [
        line("us-east-1", &decided("home", "global"), "us-east-1", 1),
        long,
    ];
    let replay = replayed(
        &[
            (
                "countries: [preset:rest],",
                "countries: [preset:rest], order: [us-west-2],",
            ),
            ("body: 64MiB", "body: 1MiB"),
        ],
        &lines,
    );
    let after: Vec<&str> = replay
        .moved
        .iter()
        .map(|moved| moved.of.after.as_str())
        .collect();
    assert_eq!(after, ["413", "us-west-2"]);
}

#[test]
fn a_line_that_is_no_json_is_named() {
    let fleet = crate::fleet::parse(EXAMPLE).unwrap().into();
    let error = replay(&fleet, ["{}", "", "{\"a\": "]).unwrap_err();
    assert!(error.to_string().starts_with("line 3: "), "{error}");
}
