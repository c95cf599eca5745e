//! The shape of the workspace: every Rust file is part of a crate, and crates depend in one direction.
#![allow(clippy::unwrap_used)] // Tests.

use meridian_tests::world::workspace;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 6] = [
    "policy",
    "filter",
    "proto",
    "simulator",
    "xds-server",
    "tests",
];

/// Dependencies that must not be: the decision knows nobody, and the filter and the control plane never meet.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    (
        "policy",
        &[
            "meridian-",
            "tokio",
            "tonic",
            "prost",
            "proxy-wasm",
            "tracing",
            "log",
        ],
    ),
    (
        "filter",
        &[
            "meridian-xds-server",
            "meridian-proto",
            "tokio",
            "tonic",
            "prost",
        ],
    ),
    (
        "proto",
        &["meridian-policy", "meridian-filter", "meridian-xds-server"],
    ),
    (
        "simulator",
        &[
            "meridian-filter",
            "meridian-proto",
            "meridian-xds-server",
            "tokio",
            "tonic",
        ],
    ),
    ("xds-server", &["meridian-filter", "proxy-wasm"]),
];

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The names that a file's `mod` lines declare.
fn declared(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line
            .trim()
            .trim_start_matches("pub ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub(crate) ");
        line.strip_prefix("mod ")?.strip_suffix(';')
    })
}

/// Roots of crates and targets, which no `mod` line declares.
fn is_root(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    let parent = path.parent().unwrap();
    let in_targets = parent.ends_with("tests/tests")
        || parent.ends_with("xds-server/tests")
        || parent.ends_with("simulator/tests")
        || parent.ends_with("src/bin");
    let in_bin = parent
        .parent()
        .is_some_and(|above| above.ends_with("src/bin"));
    in_targets
        || (name == "main.rs" && in_bin)
        || ((name == "lib.rs" || name == "main.rs") && parent.ends_with("src"))
        || name == "build.rs"
}

#[test]
fn every_rust_file_is_reached_by_a_mod_line() {
    let root = workspace();
    let mut files = Vec::new();
    for each in CRATES {
        rust_files(&root.join(each), &mut files);
    }
    assert!(files.len() > 50, "only {} files were found", files.len());
    let mut reachable: BTreeSet<PathBuf> = BTreeSet::new();
    for file in &files {
        let dir = match file.file_stem().unwrap().to_str().unwrap() {
            "lib" | "main" | "mod" => file.parent().unwrap().to_owned(),
            stem => file.parent().unwrap().join(stem),
        };
        for name in declared(&fs::read_to_string(file).unwrap()) {
            reachable.insert(dir.join(format!("{name}.rs")));
            reachable.insert(dir.join(name).join("mod.rs"));
        }
    }
    let orphans: Vec<&PathBuf> = files
        .iter()
        .filter(|file| !is_root(file) && !reachable.contains(*file))
        .collect();
    assert!(orphans.is_empty(), "no `mod` line reaches {orphans:?}");
}

#[test]
fn crates_depend_in_one_direction() {
    for (each, forbidden) in FORBIDDEN {
        let manifest = fs::read_to_string(workspace().join(each).join("Cargo.toml")).unwrap();
        let product = manifest.split("[dev-dependencies]").next().unwrap();
        let dependencies = product.split_once("[dependencies]").unwrap().1;
        for line in dependencies.lines() {
            let hit = forbidden.iter().find(|name| line.starts_with(**name));
            assert!(hit.is_none(), "{each} must not depend on {line}");
        }
    }
}
