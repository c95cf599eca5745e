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
    assert!(out.contains("\neach Envoy gets "), "{out}");
}

#[test]
fn validate_prints_what_the_file_insists_on() {
    let fleet = std::fs::read_to_string(example()).unwrap();
    let host = "{ header: host, accept: [unreliable_header], ";
    let file = temporary(
        "accepted.yaml",
        &fleet.replace("{ header: cf-ipcountry, ", host),
    );
    let output = meridian(&["validate", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    let accepted = "accepted.yaml: accepted: classify[1].header: unreliable_header: callers and proxies set `host`";
    assert!(out.contains(accepted), "{out}");
}

/// A file with this text, in the directory of this test program.
fn temporary(name: &str, text: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// What `validate` and `serve` print about a fleet file: exactly these lines, the file's name in the first.
fn fleet_error(file: &Path, summary: &str, details: &[&str]) {
    let file = file.to_str().unwrap();
    for arguments in [&["validate", file][..], &["serve", "--fleet", file]] {
        let output = meridian(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let err = text(&output.stderr);
        let mut lines = err.lines();
        let first = format!("meridian: {file}: {summary}");
        assert_eq!(lines.next(), Some(first.as_str()), "{err}");
        let found: Vec<&str> = lines.collect();
        assert_eq!(found.len(), details.len(), "{err}");
        for (line, detail) in found.iter().zip(details) {
            let indented = line.strip_prefix("  ");
            assert!(
                indented.is_some_and(|line| line.starts_with(detail)),
                "`{detail}` does not begin the line `{line}`"
            );
            assert_eq!(err.matches(detail).count(), 1, "`{detail}` twice: {err}");
        }
    }
}

#[test]
fn an_error_has_a_summary_then_each_problem_once_with_its_place() {
    let example = std::fs::read_to_string(example()).unwrap();
    let file = temporary(
        "broken.yaml",
        &example
            .replace("fallbacks: [claude-eu]", "fallbacks: [claude]")
            .replace("first_token: 10s", "first_token: soon"),
    );
    fleet_error(
        &file,
        "not a valid fleet file: 2 problems",
        &[
            "policy.limits.first_token: `soon`",
            "zones.eea.fallbacks[0]: `claude` may process requests in: global",
        ],
    );
    let file = temporary(
        "one-problem.yaml",
        &example.replace("first_token: 10s", "first_token: soon"),
    );
    fleet_error(
        &file,
        "not a valid fleet file: 1 problem",
        &["policy.limits.first_token: `soon`"],
    );
}

#[test]
fn an_error_of_the_form_is_printed_once_with_line_and_column() {
    let file = temporary("unknown-field.yaml", "zones: {}\nreegions: {}\n");
    fleet_error(
        &file,
        "not a fleet file",
        &["line 2, column 1: there is no field `reegions` here; there are:"],
    );
}

#[test]
fn a_missing_file_is_named_once() {
    fleet_error(
        Path::new("no/such/fleet.yaml"),
        "cannot be read",
        &["No such file or directory"],
    );
}

#[test]
fn export_prints_a_whole_configuration_without_secrets() {
    let output = meridian(&["export", "--node", "eu-west-1", example().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    for part in [
        "id: eu-west-1-gateway",
        "name: chain/eea@",
        "alt_stat_name: chain_eea_llama-3_1-70b_eu-west-1",
        "path: /run/secrets/claude-eu.yaml",
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

/// The bootstrap files in `envoy/` are what the program prints.
#[test]
fn bootstrap_prints_the_files_that_are_there_to_copy() {
    for region in ["us-west-2", "us-east-1", "eu-west-1"] {
        let output = meridian(&["bootstrap", "--node", region, example().to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let out = text(&output.stdout);
        let file = example().with_file_name(format!("bootstrap.{region}.yaml"));
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            there == out,
            "{} is not what `meridian bootstrap --node {region} envoy/fleet.yaml` prints",
            file.display()
        );
        assert!(out.contains("api_type: DELTA_GRPC"), "{out}");
    }
    let output = meridian(&[
        "bootstrap",
        "--sotw",
        "--node",
        "us-west-2",
        example().to_str().unwrap(),
    ]);
    assert!(text(&output.stdout).contains("api_type: GRPC"));
}

/// The files by which Envoy watches the certificates of its connection to the control plane.
#[test]
fn bootstrap_writes_the_secrets_that_envoy_watches() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    let file = example();
    let arguments = |place| ["bootstrap", "--node", "us-west-2", "--sds", place];
    let run = |place| meridian(&[&arguments(place)[..], &[file.to_str().unwrap()]].concat());
    let output = run(place);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    for (name, path) in [
        ("gateway", "/etc/meridian/tls/gateway.key"),
        ("gateway_ca", "/etc/meridian/tls/ca.crt"),
    ] {
        let written = dir.path().join(format!("{name}.sds.yaml"));
        assert!(out.contains(written.to_str().unwrap()), "{out}");
        assert!(!out.contains(path), "{out}");
        let secret = std::fs::read_to_string(written).unwrap();
        assert!(secret.contains(path), "{secret}");
    }
    let output = run("secrets");
    assert!(text(&output.stderr).contains("--sds: write an absolute path"));
}

/// The example without this line.
fn without(line: &str, name: &str) -> PathBuf {
    let fleet = std::fs::read_to_string(example()).unwrap();
    let lines: Vec<&str> = fleet
        .lines()
        .filter(|each| !each.starts_with(line))
        .collect();
    assert!(
        lines.len() < fleet.lines().count(),
        "no line begins with `{line}`"
    );
    temporary(name, &lines.join("\n"))
}

#[test]
fn what_needs_a_control_plane_says_so() {
    let file = without("control_plane:", "no-control-plane.yaml");
    let file = file.to_str().unwrap();
    for arguments in [
        &["bootstrap", "--node", "us-west-2", file][..],
        &["serve", "--fleet", file],
    ] {
        let output = meridian(arguments);
        assert_eq!(output.status.code(), Some(1));
        let err = text(&output.stderr);
        assert!(
            err.contains("no-control-plane.yaml") && err.contains("`control_plane: { address: "),
            "{err}"
        );
    }
    // All other commands work without it.
    assert!(
        meridian(&["export", "--node", "us-west-2", file])
            .status
            .success()
    );
    assert!(meridian(&["validate", file]).status.success());
}

#[test]
fn serve_names_what_it_cannot_use() {
    // The example's certificates are not here.
    let fleet = std::fs::read_to_string(example()).unwrap();
    let fleet = fleet.replace(
        "control_plane: { address: meridian.example.com }",
        "control_plane: { address: 127.83.0.1, status: \"127.83.0.1:18001\", tls: { ca: /no/ca.crt, certificate: /no/cp.crt, key: /no/cp.key } }",
    );
    let file = temporary("no-certificates.yaml", &fleet);
    let output = meridian(&["serve", "--fleet", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(
        err.contains("control_plane.tls.certificate: /no/cp.crt"),
        "{err}"
    );
}

#[test]
fn status_says_where_it_looked() {
    let output = meridian(&["status", "--address", "127.83.0.2:9"]);
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(
        err.contains("no control plane answers at 127.83.0.2:9") && err.contains("--address"),
        "{err}"
    );
}

#[test]
fn what_operators_say_needs_a_control_plane_and_a_reason() {
    let at = ["--address", "127.83.0.2:9"];
    let why = ["--why", "a test", "--by", "ana"];
    let over = [
        "override",
        "--gateway",
        "us-west-2",
        "--zone",
        "global",
        "--model",
        "m",
        "--home-share",
        "40",
    ];
    let says: [&[&str]; 5] = [
        &["drain", "us-west-2"],
        &["undrain", "us-west-2"],
        &["freeze"],
        &["undo", "3"],
        &over,
    ];
    for command in says {
        let output = meridian(&[command, &at, &why].concat());
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(
            err.contains("no control plane answers at 127.83.0.2:9"),
            "{err}"
        );
        let output = meridian(&[command, &at].concat());
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains("--why"), "{err}");
    }
    for command in ["intents", "audit"] {
        let output = meridian(&[&[command][..], &at].concat());
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn what_operators_write_wrong_is_named() {
    let wrong: [(&[&str], &str); 5] = [
        (&["drain", "us/west", "--why", "x"], "us/west"),
        (&["freeze", "--why", "x", "--for", "soon"], "--for"),
        (&["freeze", "--why", "x", "--until", "noon"], "--until"),
        (
            &[
                "freeze",
                "--why",
                "x",
                "--for",
                "1h",
                "--until",
                "2030-01-01T00:00:00Z",
            ],
            "--until",
        ),
        (&["intents", "--output", "xml"], "xml"),
    ];
    for (command, says) in wrong {
        let output = meridian(command);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {err}");
        assert!(err.contains(says), "{command:?}: {err}");
    }
    let past = [
        "freeze",
        "--why",
        "x",
        "--by",
        "ana",
        "--until",
        "2001-01-01T00:00:00Z",
    ];
    let output = meridian(&past);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--until: this time is over"));
}

/// A directory with `meridian` and, as its simulator, a shell.
fn beside_a_shell(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::hard_link(env!("CARGO_BIN_EXE_meridian"), dir.join("meridian")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", dir.join("meridian-simulate")).unwrap();
    dir
}

#[test]
fn simulate_passes_its_arguments_and_exit_status_on() {
    let dir = beside_a_shell("simulate-runs");
    let output = Command::new(dir.join("meridian"))
        .args([
            "simulate",
            "-c",
            "echo $0 $1 $2; exit 7",
            "--list",
            "--help",
            "-x",
        ])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "--list --help -x\n");
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
}

#[test]
fn simulate_says_how_to_build_a_missing_simulator() {
    let dir = beside_a_shell("simulate-missing");
    std::fs::remove_file(dir.join("meridian-simulate")).unwrap();
    let output = Command::new(dir.join("meridian"))
        .args(["simulate", "--list"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(
        err.contains("cargo build --release -p meridian-simulator"),
        "{err}"
    );
}
