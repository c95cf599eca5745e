//! Every subcommand where something is wrong: one clear line on stderr, the documented exit code, and nothing changed.

use crate::server::{Server, free};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

/// Something is wrong in a file, or no control plane answers as one.
const FAILED: i32 = 1;
/// The command line is wrong.
const USAGE: i32 = 2;
/// The control plane refuses it.
const REFUSED: i32 = 3;

/// The subcommands that speak to a control plane, each with arguments that are right but for the control plane.
const REMOTE: [&str; 15] = [
    "status",
    "drain us-west-2 --why x",
    "undrain us-west-2 --why x",
    "override --gateway us-west-2 --zone global --model llama-3.1-70b --home-share 50 --overflow us-east-1=1 --why x",
    "freeze --why x",
    "undo 1 --why x",
    "intents",
    "audit",
    "intents --output json",
    "explain --gateway us-west-2 --model llama-3.1-70b",
    "explain --last-requests 5 --outcome refused",
    "explain --request-id x",
    "diff fleet.yaml",
    "plan show",
    "plan history --last 5",
];

/// Runs `meridian` in a directory without a simulator beside it.
fn run(directory: &Path, arguments: &str) -> Output {
    Command::new(directory.join("meridian"))
        .args(arguments.split(' '))
        .current_dir(directory)
        .env("USER", "ana")
        .env_remove("MERIDIAN_TOKEN")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A line on stderr, nothing on stdout, and this exit code.
fn fails(directory: &Path, arguments: &str, code: i32, says: &str) {
    let output = run(directory, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {error}");
    assert!(error.contains(says), "{arguments}: {error}");
    assert_eq!(out, "", "{arguments}");
    // A wrong command line is followed by how it is written.
    if code != USAGE {
        // A fleet file's problems follow, indented, each on a line.
        let mut more = error.lines().skip(1);
        assert!(
            more.all(|line| line.starts_with("  ")),
            "{arguments}: {error}"
        );
        assert!(error.starts_with("meridian: "), "{arguments}: {error}");
    }
}

/// A directory with `meridian` and files that are wrong.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::hard_link(env!("CARGO_BIN_EXE_meridian"), path("meridian"))
        .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_meridian"), path("meridian")).map(|_| ()))
        .unwrap();
    let fleet = include_str!("fleet.yaml")
        .replace("STATUS", &free().to_string())
        .replace("PORT", "18000")
        .replace(" END", " }");
    fs::write(path("fleet.yaml"), &fleet).unwrap();
    fs::write(path("half.yaml"), &fleet[..fleet.find("gateway").unwrap()]).unwrap();
    fs::write(path("garbage"), "\u{1}\u{2}{{{").unwrap();
    directory
}

/// A server that answers every connection with these bytes, and closes it.
fn answering(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The head is enough: no request here is larger than a buffer of the kernel.
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(bytes);
        }
    });
    address
}

#[test]
fn files_that_are_wrong_and_regions_that_are_not_there() {
    let directory = directory();
    for (arguments, code, says) in [
        ("validate none.yaml", FAILED, "none.yaml"),
        ("validate garbage", FAILED, "garbage: not a fleet file"),
        ("serve --fleet none.yaml", FAILED, "none.yaml"),
        (
            "replay --against half.yaml garbage",
            FAILED,
            "half.yaml: not a",
        ),
        (
            "replay --against fleet.yaml none.log",
            FAILED,
            "none.log: No such file",
        ),
        (
            "replay --against fleet.yaml garbage",
            FAILED,
            "garbage: line 1",
        ),
        (
            "copy-state --from none --to etcd://127.0.0.1:1",
            FAILED,
            "none",
        ),
        ("copy-state --from none --to somewhere", FAILED, "etcd://"),
        (
            "serve --fleet fleet.yaml --state garbage/x",
            FAILED,
            "--state",
        ),
        (
            "bootstrap --node mars fleet.yaml",
            FAILED,
            "there is no region `mars` in fleet.yaml",
        ),
        ("bootstrap --node us-west-2 none.yaml", FAILED, "none.yaml"),
        (
            "bootstrap --node us-west-2 --sds here fleet.yaml",
            FAILED,
            "--sds: write an absolute path",
        ),
        (
            "export --node mars fleet.yaml",
            FAILED,
            "there is no region `mars` in fleet.yaml",
        ),
        ("export --node us-west-2 none.yaml", FAILED, "none.yaml"),
        ("diff none.yaml", FAILED, "none.yaml"),
        (
            "diff fleet.yaml --against garbage",
            FAILED,
            "garbage: not a fleet file",
        ),
        (
            "simulate --list",
            FAILED,
            "meridian-simulate does not exist",
        ),
        ("man garbage/man", FAILED, "garbage/man"),
        ("top", FAILED, "top: this is no terminal"),
        (
            "status --address https://127.0.0.1:1 --ca none.crt",
            FAILED,
            "--ca: none.crt",
        ),
        (
            "status --address https://127.0.0.1:1 --ca garbage",
            FAILED,
            "--ca: garbage has no certificate",
        ),
        (
            "status --address https://127.0.0.1:1 --token-file garbage",
            FAILED,
            "--token-file: garbage is not a token",
        ),
        ("status --address 127.0.0.1", USAGE, "write `host:port`"),
        (
            "status --address http://127.0.0.1:1/x",
            USAGE,
            "write `host:port`",
        ),
        ("drain us_west --why x", USAGE, "`us_west` is not a name"),
        ("drain us-west-2 --why x --for soon", USAGE, "soon"),
        ("undo one --why x", USAGE, "one"),
        (
            "override --gateway a --zone b --model c --home-share 300 --why x",
            USAGE,
            "300",
        ),
        ("completions tcsh", USAGE, "tcsh"),
        ("token new --name ci --role admin", USAGE, "admin"),
        ("token new --name c/i --role read", USAGE, "use letters"),
        (
            "token new --name ci --role read --for 99999years",
            FAILED,
            "--for",
        ),
        ("plan history --last 0", USAGE, "0 is not in 1..=1000"),
        ("plan history --last 1001", USAGE, "1001 is not in 1..=1000"),
        ("plan undo", USAGE, "undo"),
        ("schema now", USAGE, "now"),
        ("nothing", USAGE, "nothing"),
    ] {
        fails(directory.path(), arguments, code, says);
    }
    for arguments in [
        "validate half.yaml",
        "serve --fleet half.yaml",
        "bootstrap --node us-west-2 half.yaml",
        "export --node us-west-2 half.yaml",
    ] {
        let output = run(directory.path(), arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(FAILED), "{arguments}: {error}");
        assert!(error.starts_with("meridian: half.yaml: not a"), "{error}");
    }
    let mut left: Vec<String> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["fleet.yaml", "garbage", "half.yaml", "meridian"]);
}

#[test]
fn control_planes_that_do_not_answer_as_one() {
    let directory = directory();
    let half = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"1\": {\"act";
    let other = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]";
    let error = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 5\r\n\r\nsorry";
    for (address, says) in [
        (free(), "no control plane answers at"),
        (answering(b"garbage\r\n\r\n"), "no control plane answers at"),
        (answering(b""), "no control plane answers at"),
        (answering(half), "does not answer as a control plane"),
        (answering(other), "does not answer as a control plane"),
        (answering(error), "answers 500 Internal Server Error"),
    ] {
        for command in REMOTE {
            let arguments = format!("{command} --address {address}");
            fails(directory.path(), &arguments, FAILED, says);
        }
    }
}

#[test]
fn what_a_control_plane_refuses_changes_nothing() {
    let (server, directory) = (Server::start(), directory());
    let address = server.status;
    for (command, says) in [
        ("drain mars --why x", "the fleet has no `mars`"),
        (
            "drain us-west-2 --model gpt --why x",
            "the fleet has no `gpt`",
        ),
        ("drain us-west-2 --why x --for 31days", "for: write a time"),
        ("drain eu-west-1 --why x --by \u{7f}", "by: write 1 to 1000"),
        ("undrain mars --why x", "there is no `drain mars` in force"),
        (
            "override --gateway mars --zone global --model llama-3.1-70b --home-share 50 --why x",
            "the fleet has no `mars`",
        ),
        (
            "override --gateway us-west-2 --zone global --model llama-3.1-70b --home-share 150 --why x",
            "home_share: 150",
        ),
        ("undo 7 --why x", "there is no intent 7"),
        (
            "explain --gateway mars --model llama-3.1-70b",
            "there is no region `mars`",
        ),
        (
            "explain --request-id x",
            "no gateway has reported a request `x`",
        ),
        (
            "explain --last-requests 5000",
            "last: write a number from 1 to 1000",
        ),
    ] {
        let arguments = format!("{command} --address {address}");
        fails(directory.path(), &arguments, REFUSED, says);
    }
    // With a hint on a line of its own.
    let output = run(
        directory.path(),
        &format!("drain eu-west-1 --why x --address {address}"),
    );
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(REFUSED), "{error}");
    assert_eq!(error.lines().count(), 2, "{error}");
    assert!(error.contains("\n--force does it"), "{error}");
    let audit = run(
        directory.path(),
        &format!("audit --output json --address {address}"),
    );
    let audit: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(audit["records"], serde_json::json!([]));
}
