//! The command line of `meridian-simulate`.
#![allow(clippy::unwrap_used)] // Tests.

use std::path::Path;
use std::process::{Command, Output};

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meridian-simulate"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn it_lists_its_cases() {
    let output = simulate(&["--list"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert!(out.lines().count() >= 12, "{out}");
    assert!(out.contains("region-loss   one region is down for seven minutes"));
    let output = simulate(&["--case", "mars"]);
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(
        err.contains("no case `mars`; there are: azure-code-3,"),
        "{err}"
    );
}

#[test]
fn it_names_the_invalid_line_of_a_trace() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trace.csv");
    let path = file.to_str().unwrap();
    std::fs::write(
        &file,
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,10,5\nsoon,10,5\n",
    )
    .unwrap();
    for (given, part) in [
        (
            format!("azure:{path}"),
            "trace.csv: line 3: expected a time",
        ),
        (
            format!("mooncake:{path}"),
            "trace.csv: line 1: expected timestamp",
        ),
        ("azure:no/such.csv".to_owned(), "no/such.csv"),
        (format!("csv:{path}"), "expected azure:PATH"),
    ] {
        let output = simulate(&["--trace", &given]);
        assert!(!output.status.success());
        let err = text(&output.stderr);
        assert!(err.contains(part), "`{part}` is not in: {err}");
    }
}

#[test]
fn it_replays_a_trace_on_three_and_eight_regions() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("small.jsonl");
    let row = |second: u32| {
        format!(
            "{{\"timestamp\":{},\"input_length\":4000,\"output_length\":50,\"hash_ids\":[{second}]}}\n",
            second * 10_000
        )
    };
    std::fs::write(&file, (0..120).map(row).collect::<String>()).unwrap();
    let given = format!("mooncake:{}", file.display());
    let output = simulate(&["--trace", &given, "--seeds", "1"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    for part in ["small-3:", "small-8:", "| Meridian ", "| oracle "] {
        assert!(out.contains(part), "`{part}` is not in: {out}");
    }
    assert!(text(&output.stderr).contains("2/2 small-"));
}
