//! No file imports another one that imports it, on whatever way around.
//!
//! A `use`, or a path in code, of an item is an edge from the file to the one that defines the item; re-exports are followed. `mod`
//! lines and re-exports themselves are no edges. What is compiled for tests alone is left out.

use super::sources::{CRATES, Modules, is_for_tests, modules, written};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};

/// What a module imports: modules of its crate, and other crates.
pub type Edges = BTreeMap<String, BTreeSet<String>>;

/// The names that a module imports or re-exports, with their absolute paths in the crate.
#[derive(Default)]
struct Names {
    imports: BTreeMap<String, Vec<String>>,
    exports: BTreeMap<String, Vec<String>>,
    /// `use` of everything in a module.
    globs: Vec<Vec<String>>,
    export_globs: Vec<Vec<String>>,
}

/// The edges between the modules of a crate, and those to other crates as `meridian_policy::fleet`.
pub fn edges(modules: &Modules) -> Edges {
    let names: BTreeMap<&str, Names> = modules
        .iter()
        .map(|(module, syntax)| (module.as_str(), names(modules, module, syntax)))
        .collect();
    let mut edges = Edges::new();
    for (module, syntax) in modules {
        let mut paths = Paths { found: Vec::new() };
        paths.visit_file(syntax);
        let own = &names[module.as_str()];
        let imports = own.imports.values().chain(&own.globs).cloned();
        let used = paths.found.into_iter();
        let used = used.filter_map(|path| absolute(modules, module, own, &path));
        let targets = imports.chain(used);
        let targets = targets.filter_map(|path| target(modules, &names, &path, 8));
        let targets = targets.filter(|target| target != module);
        edges.insert(module.clone(), targets.collect());
    }
    edges
}

/// The `use` items of a module.
fn names(modules: &Modules, module: &str, syntax: &syn::File) -> Names {
    let mut names = Names::default();
    for item in &syntax.items {
        let syn::Item::Use(item) = item else { continue };
        if is_for_tests(&item.attrs) {
            continue;
        }
        let is_export = !matches!(item.vis, syn::Visibility::Inherited);
        let mut leaves = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut leaves);
        for (name, path) in leaves {
            let Some(path) = rooted(modules, module, &path) else {
                continue;
            };
            match (name, is_export) {
                (Some(name), true) => _ = names.exports.insert(name, path),
                (Some(name), false) => _ = names.imports.insert(name, path),
                (None, true) => names.export_globs.push(path),
                (None, false) => names.globs.push(path),
            }
        }
    }
    names
}

/// The names of a `use` tree with their paths; no name for a `*`.
fn flatten(
    tree: &syn::UseTree,
    before: &mut Vec<String>,
    leaves: &mut Vec<(Option<String>, Vec<String>)>,
) {
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, leaves);
            before.pop();
        }
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, leaves);
            }
        }
        syn::UseTree::Name(name) if name.ident == "self" => {
            leaves.push((before.last().cloned(), before.clone()));
        }
        syn::UseTree::Name(name) => {
            let path = [before.as_slice(), &[name.ident.to_string()]].concat();
            leaves.push((Some(name.ident.to_string()), path));
        }
        syn::UseTree::Rename(rename) => {
            let path = [before.as_slice(), &[rename.ident.to_string()]].concat();
            leaves.push((Some(rename.rename.to_string()), path));
        }
        syn::UseTree::Glob(_) => leaves.push((None, before.clone())),
    }
}

/// A path as it stands in a module's `use`, from the crate's root on, or from another crate of ours.
fn rooted(modules: &Modules, module: &str, path: &[String]) -> Option<Vec<String>> {
    let here = || module.split("::").filter(|name| !name.is_empty());
    let here: Vec<String> = here().map(str::to_owned).collect();
    let first = path.first()?;
    match first.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([&here, &path[1..]].concat()),
        "super" => {
            let ups = path.iter().take_while(|name| *name == "super").count();
            let above = here.len().checked_sub(ups)?;
            Some([&here[..above], &path[ups..]].concat())
        }
        other if other.starts_with("meridian_") => Some(path.to_vec()),
        other => {
            let child = [here.clone(), vec![other.to_owned()]].concat().join("::");
            let is_child = modules.contains_key(&child);
            is_child.then(|| [&here, path].concat())
        }
    }
}

/// A path in a module's code, where it begins with something of ours.
fn absolute(modules: &Modules, module: &str, own: &Names, path: &[String]) -> Option<Vec<String>> {
    let first = path.first()?;
    if let Some(import) = own.imports.get(first).or_else(|| own.exports.get(first)) {
        return Some([import.as_slice(), &path[1..]].concat());
    }
    if path.len() < 2 {
        return None;
    }
    rooted(modules, module, path)
}

/// The module that defines what a path names. A module that is merely imported is no edge: what is used of it is.
fn target(
    modules: &Modules,
    names: &BTreeMap<&str, Names>,
    path: &[String],
    depth: u8,
) -> Option<String> {
    if path.first()?.starts_with("meridian_") {
        return Some(path[..path.len().min(2)].join("::"));
    }
    let deepest = (0..=path.len())
        .rev()
        .find(|length| modules.contains_key(&path[..*length].join("::")))?;
    let module = path[..deepest].join("::");
    let item = path.get(deepest)?;
    let exported = names.get(module.as_str())?;
    if depth > 0
        && let Some(path) = exported.exports.get(item)
    {
        return target(modules, names, path, depth - 1);
    }
    Some(module)
}

/// The paths in a file's code.
struct Paths {
    found: Vec<Vec<String>>,
}

impl<'a> Visit<'a> for Paths {
    fn visit_item(&mut self, item: &'a syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(_) => return,
            _ => return visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments = path.segments.iter();
        self.found
            .push(segments.map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

/// Sets of modules that import each other.
fn cycles(edges: &Edges) -> Vec<Vec<String>> {
    let reach = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from.to_owned()];
        while let Some(module) = next.pop() {
            for target in edges.get(&module).into_iter().flatten() {
                if seen.insert(target.clone()) {
                    next.push(target.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        edges.keys().map(|module| (module, reach(module))).collect();
    let mut cycles = BTreeSet::new();
    for (module, targets) in &reached {
        let mutual = targets.iter().filter(|target| {
            reached
                .get(target)
                .is_some_and(|back| back.contains(*module))
        });
        let cycle: BTreeSet<String> = mutual.cloned().collect();
        if cycle.len() > 1 {
            cycles.insert(cycle.into_iter().collect::<Vec<_>>());
        }
    }
    cycles.into_iter().collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let found: Vec<String> = CRATES
        .into_iter()
        .flat_map(|each| {
            let cycles = cycles(&edges(&modules(each)));
            cycles
                .into_iter()
                .map(move |cycle| format!("{each}: {}", cycle.join(", ")))
        })
        .collect();
    assert!(
        found.is_empty(),
        "files import each other:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_circle_is_found_through_re_exports_and_paths() {
    let circle = |files: &[(&str, &str)]| cycles(&edges(&written(files)));
    assert_eq!(
        circle(&[
            ("", "mod a; mod b;"),
            ("a", "mod inner; pub use inner::Thing;"),
            ("a::inner", "use crate::b::work; pub struct Thing;"),
            ("b", "use crate::a::Thing; pub fn work() {}"),
        ]),
        [["a::inner", "b"]]
    );
    assert_eq!(
        circle(&[
            ("", "mod a; mod b;"),
            ("a", "pub fn one() { crate::b::two() }"),
            ("b", "use super::a; pub fn two() { a::one() }"),
        ]),
        [["a", "b"]]
    );
    assert_eq!(
        circle(&[
            (
                "a",
                "mod child; use child::Child; pub struct Parent(Child);"
            ),
            (
                "a::child",
                "use super::Parent; pub struct Child(Box<Parent>);"
            ),
        ]),
        [["a", "a::child"]]
    );
}

#[test]
fn declarations_re_exports_and_tests_are_no_circle() {
    let files = written(&[
        ("", "pub mod a; pub mod b; pub use a::Thing;"),
        (
            "a",
            "mod inner; pub use inner::Thing; pub const LIMIT: u8 = 1;",
        ),
        (
            "a::inner",
            "pub struct Thing; #[cfg(test)] mod tests { use crate::b::work; }",
        ),
        ("b", "use crate::a::Thing; pub fn work(_: Thing) {}"),
    ]);
    assert!(cycles(&edges(&files)).is_empty());
}
