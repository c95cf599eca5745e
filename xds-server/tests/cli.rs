//! The command line, as a person uses it.
#![allow(clippy::unwrap_used)] // Tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn meridian(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meridian"))
        .args(arguments)
        .output()
        .unwrap()
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/fleet.yaml")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn validate_says_what_was_checked() {
    let output = meridian(&["validate", example().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert!(
        out.contains("2 zones, 3 regions, 2 models; residency verified on every gateway"),
        "{out}"
    );
}

#[test]
fn validate_names_every_problem_and_its_place() {
    let broken = std::fs::read_to_string(example()).unwrap();
    let broken = broken
        .replace("fallbacks: [claude-eu]", "fallbacks: [claude]")
        .replace("first_token: 10s", "first_token: soon");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken.yaml");
    std::fs::write(&file, broken).unwrap();
    let output = meridian(&["validate", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    for part in [
        "broken.yaml",
        "\n  zones.eea.fallbacks[0]: `claude` may process requests in: global",
        "\n  policy.limits.first_token: `soon`",
    ] {
        assert!(err.contains(part), "`{part}` is not in: {err}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = meridian(&["validate", "no/such/fleet.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no/such/fleet.yaml"));
}

#[test]
fn export_prints_a_whole_configuration_without_secrets() {
    let output = meridian(&["export", "--node", "eu-west-1", example().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    for part in [
        "id: eu-west-1-gateway",
        "name: chain/eea/llama-3.1-70b/eu-west-1",
        "filename: /run/secrets/claude-eu",
    ] {
        assert!(out.contains(part), "`{part}` is not in the configuration");
    }
}

#[test]
fn export_names_the_regions_there_are() {
    let output = meridian(&["export", "--node", "mars", example().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(
        err.contains("there is no region `mars`")
            && err.contains("eu-west-1, us-east-1, us-west-2"),
        "{err}"
    );
}

#[test]
fn schema_is_json_schema() {
    let output = meridian(&["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["title"], "Meridian fleet file");
    assert!(schema["properties"]["zones"].is_object());
}
