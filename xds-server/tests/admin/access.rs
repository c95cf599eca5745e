//! Who may use the API from elsewhere, by the command line.

use crate::elsewhere::{ANA, Elsewhere, new_token};
use crate::pki::Authority;
use crate::server::{meridian, wait_for};
use serde_json::Value;
use std::process::Output;

/// A change.
const FREEZE: [&str; 3] = ["freeze", "--why", "a test"];

/// The exit code and what is on stderr, one line.
fn failed(output: &Output) -> (Option<i32>, String) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.stdout.is_empty(), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    (output.status.code(), error)
}

fn refused(output: &Output, says: &str) {
    let (code, error) = failed(output);
    assert!(code == Some(3) && error.contains(says), "{code:?} {error}");
}

fn done(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The records, without those of the start.
fn records(api: &Elsewhere) -> Vec<Value> {
    let audit = done(&api.server.meridian(&["audit", "--output", "json"]));
    let mut audit: Value = serde_json::from_str(&audit).unwrap();
    serde_json::from_value(audit["records"].take()).unwrap()
}

#[test]
fn a_token_may_do_what_its_role_says_and_is_in_the_record() {
    let (ci, reader) = (
        new_token(&["--name", "ci", "--role", "operate", "--for", "90d"]),
        new_token(&["--name", "dashboard", "--role", "read"]),
    );
    let old = new_token(&["--name", "over", "--role", "operate"]);
    let old_line = old
        .line
        .replace('}', r#","expires":"2026-01-01T00:00:00Z"}"#);
    let api = Elsewhere::start(&[&ci.line, &reader.line, &old_line]);
    assert!(done(&api.with_token(&reader.token, &["status"])).contains("us-west-2"));
    refused(
        &api.with_token(&reader.token, &FREEZE),
        "token dashboard, 127.0.0.1 has the role `read`; a change needs `operate`",
    );
    refused(&api.with_token(&old.token, &FREEZE), "`over` is over");
    refused(&api.with_token("meridian_0", &FREEZE), "of no operator");
    refused(&api.meridian(&FREEZE), "send a token");
    assert!(records(&api).is_empty());
    let by = [&FREEZE[..], &["--by", "dashboard"]].concat();
    done(&api.with_token(&ci.token, &by));
    let records = records(&api);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["from"], "token ci, 127.0.0.1");
    assert_eq!(records[0]["by"], "dashboard");
    let status = done(&api.server.meridian(&["status", "--output", "json"]));
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["api"]["operators"], 3);
    assert_eq!(status["api"]["refused"]["expired"], 1, "{}", status["api"]);
}

#[test]
fn a_client_certificate_is_an_operator_by_its_name() {
    let line = format!("  - {{ name: ana, role: operate, certificate: \"{ANA}\" }}");
    let api = Elsewhere::start(&[&line]);
    let run = |authority: &Authority, name: &str| {
        let (certificate, key) = authority.operator(name);
        let certificate = api.write("own.crt", &certificate);
        let key = api.write("own.key", &key);
        let files = ["--cert", &certificate, "--key", &key];
        api.meridian(&[&FREEZE[..], &files].concat())
    };
    done(&run(&api.authority, ANA));
    assert_eq!(records(&api)[0]["from"], "certificate ana, 127.0.0.1");
    refused(
        &run(&api.authority, "spiffe://meridian/operator/bob"),
        "the client certificate is of no operator",
    );
    let (code, error) = failed(&run(&Authority::new(), ANA));
    assert_eq!(code, Some(1), "{error}");
    assert_eq!(records(&api).len(), 1);
}

#[test]
fn the_file_of_operators_is_reloaded_and_a_bad_one_changes_nothing() {
    let first = new_token(&["--name", "ci", "--role", "operate"]);
    let api = Elsewhere::start(&[&first.line]);
    let status = || done(&api.server.meridian(&["status"]));
    let says =
        "! the file of operators is not in force as it is written: control_plane.api.operators: ";
    api.operators(&["  - { name: ci, role: nobody }"]);
    wait_for("the error in the status", || status().contains(says));
    done(&api.with_token(&first.token, &["intents"]));
    let second = new_token(&["--name", "ci", "--role", "operate"]);
    api.operators(&[&second.line]);
    wait_for("the new token", || {
        let output = api.with_token(&second.token, &["intents"]);
        output.status.success()
    });
    refused(
        &api.with_token(&first.token, &["intents"]),
        "of no operator",
    );
    assert!(!status().contains(says), "{}", status());
}

#[test]
fn the_certificate_of_the_port_is_replaced_while_it_runs() {
    let ci = new_token(&["--name", "ci", "--role", "read"]);
    let api = Elsewhere::start(&[&ci.line]);
    done(&api.with_token(&ci.token, &["intents"]));
    let authority = Authority::new();
    let (certificate, key) = authority.server();
    api.write("api.crt", &certificate);
    api.write("api.key", &key);
    api.write("ca.crt", &authority.pem());
    wait_for("the new certificate", || {
        let output = api.with_token(&ci.token, &["intents"]);
        output.status.success()
    });
    let status = done(&api.server.meridian(&["status"]));
    assert!(status.contains("api certificate"), "{status}");
}

#[test]
fn a_token_is_never_sent_without_tls() {
    let ci = new_token(&["--name", "ci", "--role", "read"]);
    let api = Elsewhere::start(&[&ci.line]);
    let file = api.write("token", &ci.token);
    let address = api.api.to_string();
    let output = meridian(&["intents", "--address", &address, "--token-file", &file]);
    let (code, error) = failed(&output);
    assert_eq!(code, Some(1));
    assert!(error.contains("--token-file goes with"), "{error}");
}
