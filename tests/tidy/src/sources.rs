//! The Rust files of the workspace, and the modules that they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The directories of the crates, from the root of the workspace.
pub const CRATES: [&str; 11] = [
    "filter",
    "filter/core",
    "filter/native",
    "planner",
    "policy",
    "policy/fixtures",
    "proto",
    "simulator",
    "tests",
    "tests/tidy",
    "xds-server",
];

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file below a directory.
pub fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The files of a crate's library or binary by their modules, `a::b` for `src/a/b.rs` or `src/a/b/mod.rs`; the root is empty.
pub type Modules = BTreeMap<String, syn::File>;

/// The modules below `src` of a crate, without those of its tests.
pub fn modules(of: &str) -> Modules {
    let src = root().join(of).join("src");
    let mut modules = Modules::new();
    for path in rust_files(&src) {
        let inside = path.strip_prefix(&src).unwrap().with_extension("");
        let mut names: Vec<&str> = inside.iter().map(|name| name.to_str().unwrap()).collect();
        if names.contains(&"tests") || names.contains(&"bin") {
            continue;
        }
        if matches!(names.last(), Some(&"mod" | &"lib")) {
            names.pop();
        }
        let text = fs::read_to_string(&path).unwrap();
        modules.insert(names.join("::"), syn::parse_file(&text).unwrap());
    }
    assert!(!modules.is_empty(), "{of} has no modules");
    modules
}

/// Modules that are written as text, for the tests of these tests.
pub fn written(files: &[(&str, &str)]) -> Modules {
    let files = files.iter();
    files
        .map(|(module, text)| ((*module).to_owned(), syn::parse_str(text).unwrap()))
        .collect()
}

/// Whether an item is compiled for tests alone.
pub fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        path.is_ident("test")
            || (path.is_ident("cfg")
                && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string() == "test"))
    })
}
