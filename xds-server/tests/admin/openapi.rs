//! What the API answers is what its document says: schemathesis, an independent client, sends what fits the document and what does not.

use crate::elsewhere::{Elsewhere, new_token};
use crate::server::{Server, python, workspace};
use std::process::Command;

/// Test cases of each operation in a phase.
const EXAMPLES: &str = "40";

/// Runs schemathesis with all checks.
fn schemathesis(document: &str, more: impl FnOnce(&mut Command)) {
    // What it found in earlier runs is not kept: a run follows from its seed.
    let directory = tempfile::tempdir().unwrap();
    let mut command = python("st");
    command
        .current_dir(directory.path())
        .arg("--config-file")
        .arg(workspace().join("tests/clients/schemathesis.toml"))
        .args(["run", document, "--checks", "all", "--continue-on-failure"])
        .args(["--max-examples", EXAMPLES, "--seed", "7", "--no-color"])
        .args(["--generation-database", "none"])
        .env("no_proxy", "*");
    more(&mut command);
    let output = command.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains("10 selected / 10 total"), "{out}");
}

#[test]
fn the_status_port_answers_as_its_document_says() {
    let server = Server::start();
    let document = format!("http://{}/v1/openapi.json", server.status);
    schemathesis(&document, |_| {});
}

#[test]
fn the_port_for_other_machines_does_so_too() {
    let ci = new_token(&["--name", "ci", "--role", "operate"]);
    let api = Elsewhere::start(&[&ci.line]);
    let document = format!("https://{}/v1/openapi.json", api.api);
    schemathesis(&document, |command| {
        let token = format!("Authorization: Bearer {}", ci.token);
        command.args(["--header", &token]);
        command.arg("--tls-verify").arg(api.path("ca.crt"));
    });
}
