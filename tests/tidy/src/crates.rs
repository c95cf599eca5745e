//! Every Rust file belongs to a crate, and crates depend in one direction.

use super::sources::{CRATES, root, rust_files};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may depend on, of ours, in any table of its manifest but that for its tests.
const EDGES: [(&str, &[&str]); 11] = [
    ("meridian-policy", &[]),
    ("meridian-fixtures", &["meridian-policy"]),
    ("meridian-filter-core", &["meridian-policy"]),
    ("meridian-filter", &["meridian-filter-core"]),
    ("meridian-filter-native", &["meridian-filter-core"]),
    ("meridian-planner", &["meridian-policy"]),
    ("meridian-proto", &[]),
    ("meridian-tidy", &[]),
    (
        "meridian-simulator",
        &[
            "meridian-policy",
            "meridian-filter-core",
            "meridian-planner",
        ],
    ),
    (
        "meridian-xds-server",
        &[
            "meridian-policy",
            "meridian-filter-core",
            "meridian-planner",
            "meridian-proto",
        ],
    ),
    (
        "meridian-tests",
        &[
            "meridian-policy",
            "meridian-filter-core",
            "meridian-planner",
            "meridian-proto",
            "meridian-xds-server",
        ],
    ),
];

/// What no crate of these may link, by whatever way.
const NEVER_LINKED: [(&str, &[&str]); 7] = [
    (
        "meridian-policy",
        &[
            "tokio",
            "tonic",
            "prost",
            "proxy-wasm",
            "tracing",
            "microlp",
        ],
    ),
    (
        "meridian-filter-core",
        &[
            "tokio",
            "tonic",
            "prost",
            "proxy-wasm",
            "tracing",
            "microlp",
            "proptest",
        ],
    ),
    (
        "meridian-filter",
        &["tokio", "tonic", "prost", "tracing", "microlp"],
    ),
    (
        "meridian-filter-native",
        &[
            "tokio",
            "tonic",
            "prost",
            "proxy-wasm",
            "tracing",
            "microlp",
        ],
    ),
    (
        "meridian-planner",
        &["tokio", "tonic", "prost", "proxy-wasm", "tracing"],
    ),
    ("meridian-simulator", &["tokio", "tonic", "proxy-wasm"]),
    (
        "meridian-xds-server",
        &["plotters", "rayon", "maud", "proxy-wasm"],
    ),
];

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml"));
    // Packages of other platforms need not be here.
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(rustc.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let options = ["--locked", "--filter-platform", host.unwrap()];
    command.other_options(options.map(str::to_owned));
    command.exec().unwrap()
}

/// Our crates that a package depends on, for whatever target, but for those of its tests alone.
fn ours(package: &Package) -> BTreeSet<&str> {
    let dependencies = package.dependencies.iter();
    dependencies
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.as_str())
        .filter(|name| name.starts_with("meridian-"))
        .collect()
}

/// The names of all packages that a package links, on whatever target.
fn linked(metadata: &Metadata, package: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().unwrap();
    let node = |id| resolve.nodes.iter().find(|node| node.id == id).unwrap();
    let packages = &metadata.packages;
    let first = packages.iter().find(|each| each.name == package).unwrap();
    let mut seen = BTreeSet::from([first.id.clone()]);
    let mut next = vec![first.id.clone()];
    while let Some(id) = next.pop() {
        for dependency in &node(id).deps {
            let mut kinds = dependency.dep_kinds.iter();
            if kinds.any(|kind| kind.kind == DependencyKind::Normal)
                && seen.insert(dependency.pkg.clone())
            {
                next.push(dependency.pkg.clone());
            }
        }
    }
    let seen = packages.iter().filter(|each| seen.contains(&each.id));
    seen.map(|each| each.name.to_string()).collect()
}

#[test]
fn crates_depend_in_one_direction() {
    let metadata = metadata();
    let members = metadata.workspace_packages();
    let named: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let known: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, known, "the crates of the workspace");
    for member in members {
        let (_, allowed) = EDGES.iter().find(|(name, _)| member.name == *name).unwrap();
        for dependency in ours(member) {
            let is_allowed = allowed.contains(&dependency);
            assert!(
                is_allowed,
                "{} must not depend on {dependency}",
                member.name
            );
        }
    }
}

#[test]
fn what_must_not_be_linked_is_not() {
    let metadata = metadata();
    for (package, never) in NEVER_LINKED {
        let linked = linked(&metadata, package);
        assert!(linked.len() > 3, "{package} links {linked:?}");
        for name in never {
            assert!(!linked.contains(*name), "{package} links {name}");
        }
    }
}

/// The names that a file's `mod` lines declare.
fn declared(text: &str) -> Vec<String> {
    let items = syn::parse_file(text).unwrap().items.into_iter();
    let modules = items.filter_map(|item| match item {
        syn::Item::Mod(item) if item.content.is_none() => Some(item.ident.to_string()),
        _ => None,
    });
    modules.collect()
}

/// Roots of crates and targets, which no `mod` line declares.
fn is_root(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    let parent = path.parent().unwrap();
    let above = parent.parent().unwrap();
    // A target's file, or its directory with a main.rs.
    let is_targets = |dir: &Path| {
        let in_src = dir.parent().is_some_and(|above| above.ends_with("src"));
        dir.ends_with("src/bin")
            || (dir.ends_with("tests") && !in_src && !dir.ends_with("src/tests"))
    };
    let in_crate_tests = CRATES
        .iter()
        .any(|each| parent == root().join(each).join("tests"));
    in_crate_tests
        || parent.ends_with("src/bin")
        || (name == "main.rs" && (is_targets(above)))
        || ((name == "lib.rs" || name == "main.rs") && parent.ends_with("src"))
        || name == "build.rs"
}

#[test]
fn every_rust_file_is_reached_by_a_mod_line() {
    let dirs = CRATES
        .iter()
        .flat_map(|each| ["src", "tests"].map(|dir| root().join(each).join(dir)));
    let files: Vec<PathBuf> = dirs
        .filter(|dir| dir.is_dir())
        .flat_map(|dir| rust_files(&dir))
        .collect();
    assert!(files.len() > 50, "only {} files were found", files.len());
    let mut reachable: BTreeSet<PathBuf> = BTreeSet::new();
    for file in &files {
        let dir = match file.file_stem().unwrap().to_str().unwrap() {
            "lib" | "main" | "mod" => file.parent().unwrap().to_owned(),
            // The modules of a target that is one file stand beside it.
            _ if is_root(file) => file.parent().unwrap().to_owned(),
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
