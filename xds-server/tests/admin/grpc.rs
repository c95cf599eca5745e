//! The API by gRPC, with gRPC's own client for Python.

use crate::elsewhere::{Elsewhere, new_token};
use crate::server::{Server, python, wait_for, workspace};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// Sends calls, one after the other, and returns their answers.
fn calls(directory: &Path, arguments: &[&str], calls: &[(&str, Value)]) -> Vec<Value> {
    let descriptors = directory.join("admin.bin");
    let contract = protox::compile(
        ["meridian/admin/v1/admin.proto"],
        [workspace().join("proto")],
    );
    fs::write(
        &descriptors,
        prost::Message::encode_to_vec(&contract.unwrap()),
    )
    .unwrap();
    let mut process = python("python")
        .arg(workspace().join("tests/clients/admin_client.py"))
        .arg(&descriptors)
        .args(arguments)
        .env("no_proxy", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    for (method, request) in calls {
        writeln!(stdin, "{method} {request}").unwrap();
    }
    drop(stdin);
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    let out = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), calls.len(), "{out}");
    answers
}

fn drain(region: &str) -> (&'static str, Value) {
    let action = json!({ "drain": { "region": region } });
    let request = json!({ "action": action, "by": "ana", "why": "drivers", "lasts": "5400s" });
    ("CreateIntent", request)
}

fn says(answer: &Value, code: &str, text: &str) {
    let is_said = answer["says"]
        .as_str()
        .is_some_and(|says| says.contains(text));
    assert!(answer["code"] == code && is_said, "{answer}");
}

#[test]
fn intents_are_created_listed_and_undone() {
    let server = Server::start();
    let undo = json!({ "number": "1", "by": "ana", "why": "over" });
    let target = server.status.to_string();
    let answers = calls(
        server.directory.path(),
        &[&target],
        &[
            drain("us-west-2"),
            drain("eu-west-1"),
            drain("mars"),
            ("CreateIntent", json!({ "by": "ana", "why": "x" })),
            ("ListIntents", json!({})),
            ("UndoIntent", undo.clone()),
            ("UndoIntent", undo),
            ("ListIntents", json!({})),
            ("ListAudit", json!({})),
            ("ListAudit", json!({ "limit": 1001 })),
            ("GetStatus", json!({})),
        ],
    );
    let created = &answers[0]["ok"];
    assert_eq!(created["number"], "1");
    assert_eq!(created["from"], "127.0.0.1");
    assert_eq!(created["after"]["action"]["drain"]["region"], "us-west-2");
    says(&answers[1], "FAILED_PRECONDITION", "callers of `eea`");
    says(&answers[2], "INVALID_ARGUMENT", "the fleet has no `mars`");
    says(&answers[3], "INVALID_ARGUMENT", "action: it is missing");
    assert_eq!(answers[4]["ok"]["intents"]["1"]["why"], "drivers");
    assert_eq!(answers[5]["ok"]["change"], "CHANGE_UNDONE");
    assert_eq!(answers[5]["ok"]["before_number"], "1");
    says(&answers[6], "NOT_FOUND", "intent 1 has ended");
    assert_eq!(answers[7]["ok"], json!({}));
    let records = answers[8]["ok"]["records"].as_array().unwrap();
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(records[1]["previous"], records[0]["hash"]);
    says(&answers[9], "INVALID_ARGUMENT", "limit: write 1 to 1000");
    let status = answers[10]["ok"]["json"].as_str().unwrap();
    let status: Value = serde_json::from_str(status).unwrap();
    assert!(status["regions"]["us-west-2"].is_object());
}

#[test]
fn plans_explanations_and_the_fleet_file_are_those_of_the_routes() {
    let server = Server::start();
    let drained = server.meridian(&["drain", "us-west-2", "--why", "racks"]);
    assert!(drained.status.success());
    wait_for("the plan", || {
        let output = server.meridian(&["plan", "history", "--output", "json"]);
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("\"intent\"")
    });
    let explained = json!({ "gateway": "us-west-2", "country": "DE", "model": "llama-3.1-70b" });
    let target = server.status.to_string();
    let answers = calls(
        server.directory.path(),
        &[&target],
        &[
            ("GetPlan", json!({})),
            ("ListPlans", json!({})),
            ("ListPlans", json!({ "after": "1", "limit": 1 })),
            ("ListPlans", json!({ "limit": 1001 })),
            ("Explain", json!({ "json": explained.to_string() })),
            ("Explain", json!({ "json": "{}" })),
            (
                "Explain",
                json!({ "json": json!({ "gateway": "mars", "model": "m" }).to_string() }),
            ),
            ("GetFleet", json!({})),
        ],
    );
    let json = |answer: &Value| -> Value {
        let text = answer["ok"]["json"].as_str();
        serde_json::from_str(text.unwrap_or_else(|| panic!("{answer}"))).unwrap()
    };
    let plan = json(&answers[0]);
    assert_eq!(plan["placements"].as_array().unwrap().len(), 3, "{plan}");
    let plans = json(&answers[1])["plans"].take();
    let plans = plans.as_array().unwrap();
    assert_eq!(plans[0]["why"], "start");
    assert_eq!(json(&answers[2])["plans"][0], plans[1]);
    says(&answers[3], "INVALID_ARGUMENT", "limit: write 1 to 1000");
    assert_eq!(json(&answers[4])["zone"]["zone"], "eea");
    says(
        &answers[5],
        "INVALID_ARGUMENT",
        "json: missing field `gateway`",
    );
    says(&answers[6], "NOT_FOUND", "there is no region `mars`");
    let text = fs::read_to_string(server.directory.path().join("fleet.yaml")).unwrap();
    assert_eq!(answers[7]["ok"]["text"], text);
}

#[test]
fn tokens_are_known_over_tls() {
    let (ci, reader) = (
        new_token(&["--name", "ci", "--role", "operate"]),
        new_token(&["--name", "dashboard", "--role", "read"]),
    );
    let api = Elsewhere::start(&[&ci.line, &reader.line]);
    let ca = api.path("ca.crt").display().to_string();
    let target = api.api.to_string();
    let of = |token: &str| {
        let arguments = [&target, &ca, token];
        let wanted = [
            drain("us-west-2"),
            ("ListAudit", json!({})),
            ("GetPlan", json!({})),
            ("ListPlans", json!({})),
            ("Explain", json!({})),
            ("GetFleet", json!({})),
        ];
        calls(api.server.directory.path(), &arguments, &wanted)
    };
    let answers = of("");
    says(&answers[0], "UNAUTHENTICATED", "send a token");
    for answer in &answers[1..] {
        says(answer, "UNAUTHENTICATED", "send a token");
    }
    let answers = of(&reader.token);
    says(&answers[0], "PERMISSION_DENIED", "has the role `read`");
    assert_eq!(answers[1]["ok"], json!({}));
    for read in [2, 3, 5] {
        assert!(answers[read]["ok"].is_object(), "{}", answers[read]);
    }
    let answers = of(&ci.token);
    assert_eq!(answers[0]["ok"]["from"], "token ci, 127.0.0.1");
    assert_eq!(answers[1]["ok"]["records"].as_array().unwrap().len(), 1);
}
