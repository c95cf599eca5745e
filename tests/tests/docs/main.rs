//! The documents: their size, their links, their examples, and the pages and pictures that follow from the code; the alert rules and
//! the dashboard, with the runbooks that they lead to.
#![allow(clippy::unwrap_used, clippy::panic)] // Tests.

mod alerts;
mod crates;
mod dashboard;
mod failures;
mod fields;
mod markdown;
mod promql;
mod provider_fields;

use markdown::{Document, code_blocks, documents};
use meridian_tests::world::workspace;
use meridian_xds_server::fleet;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// In bytes: what a newcomer reads at one sitting.
const README_SIZE: usize = 8192;

/// Rewrites generated pages in place of comparing them.
const UPDATE: &str = "UPDATE_DOCS";

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let size = readme.len();
    assert!(size <= README_SIZE, "README.md has {size} bytes");
}

/// A path with its `.` and `..` resolved by name.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            other => whole.push(other),
        }
        whole
    })
}

/// Where a link of a document leads: file and anchor. `None` for links to the web.
fn target(from: &Path, link: &str) -> Option<(PathBuf, Option<String>)> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor.to_owned())),
        None => (link, None),
    };
    let file = if path.is_empty() {
        from.to_owned()
    } else {
        normal(&from.parent().unwrap().join(path))
    };
    Some((file, anchor))
}

/// What is wrong with the links of the documents.
fn broken_links(
    documents: &BTreeMap<PathBuf, Document>,
    exists: impl Fn(&Path) -> bool,
) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, document) in documents {
        for link in &document.links {
            let Some((file, anchor)) = target(path, link) else {
                continue;
            };
            if !exists(&file) {
                broken.push(format!("{}: there is no {link}", path.display()));
            } else if let Some(anchor) = anchor
                && !documents
                    .get(&file)
                    .is_some_and(|other| other.anchors.contains(&anchor))
            {
                broken.push(format!("{}: no heading gives {link}", path.display()));
            }
        }
    }
    broken
}

#[test]
fn every_link_resolves() {
    let root = workspace();
    let documents = documents(&root);
    let links: usize = documents
        .values()
        .map(|document| document.links.len())
        .sum();
    assert!(
        documents.len() > 10 && links > 30,
        "{links} links in {} documents",
        documents.len()
    );
    let broken = broken_links(&documents, |path| root.join(path).exists());
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_broken_link_is_found() {
    let document = |text: &str| Document::from(text);
    let documents: BTreeMap<PathBuf, Document> = [
        ("README.md", document("[a](docs/a.md) [b](docs/a.md#b-c) [gone](docs/gone.md) [web](https://example.com/x)")),
        ("docs/a.md", document("# A\n## `b` c!\n[up](../README.md) [none](#none)\n```\n[code](code.md)\n```\n")),
    ]
    .map(|(path, document)| (path.into(), document))
    .into();
    let broken = broken_links(&documents, |path| documents.contains_key(path));
    assert_eq!(
        broken,
        [
            "README.md: there is no docs/gone.md",
            "docs/a.md: no heading gives #none"
        ]
    );
}

#[test]
fn every_document_is_reached_from_the_readme() {
    let documents = documents(&workspace());
    let mut reached = BTreeSet::new();
    let mut next = vec![PathBuf::from("README.md")];
    while let Some(path) = next.pop() {
        let Some(document) = documents.get(&path).filter(|_| !reached.contains(&path)) else {
            continue;
        };
        let links = document.links.iter().filter_map(|link| target(&path, link));
        next.extend(links.map(|(file, _)| file));
        reached.insert(path);
    }
    let lost: Vec<_> = documents
        .keys()
        .filter(|path| !reached.contains(*path))
        .collect();
    assert!(lost.is_empty(), "no way from README.md to {lost:?}");
}

#[test]
fn fleet_files_in_the_documents_are_valid() {
    let root = workspace();
    let mut whole = 0;
    for path in documents(&root).keys() {
        let text = fs::read_to_string(root.join(path)).unwrap();
        for (language, code) in code_blocks(&text) {
            let has = |field: &str| code.lines().any(|line| line.starts_with(field));
            if language == "yaml" && has("zones:") && has("regions:") {
                whole += 1;
                if let Err(error) = fleet::parse(&code) {
                    panic!("a fleet file in {}:\n{error}", path.display());
                }
            }
        }
    }
    assert!(whole > 0, "README.md has one");
    fleet::load(&root.join("envoy/fleet.yaml")).unwrap();
}

/// Compares a page with what it follows from.
fn follows(page: &str, written: &str) {
    let path = workspace().join(page);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, written).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(written.lines()).position(|(a, b)| a != b);
    assert!(
        there == written,
        "{page} is not what the code says, from line {} on; rewrite it with {UPDATE}=1",
        differs.map_or(there.lines().count(), |line| line) + 1
    );
}

#[test]
fn the_reference_of_the_fleet_file_follows_from_its_schema() {
    follows("docs/fleet.md", &fields::page(&fleet::schema()));
}

#[test]
fn the_fields_at_a_fallback_follow_from_the_filter() {
    follows("docs/provider-fields.md", &provider_fields::page());
}

#[test]
fn every_failure_is_shown_by_a_scenario_or_a_test() {
    let root = workspace();
    let text = fs::read_to_string(root.join("docs/failures.md")).unwrap();
    let (rows, wrong) = failures::unshown(&text, &failures::shows(&root));
    assert!(rows > 50 && wrong.is_empty(), "{rows} rows: {wrong:#?}");
}

#[test]
fn the_picture_of_the_crates_has_the_edges_of_the_manifests() {
    let drawn =
        crates::drawn(&fs::read_to_string(workspace().join("docs/pictures/crates.dot")).unwrap());
    let real = crates::of_manifests(&workspace());
    assert!(drawn.len() > 3 && real.len() > 3, "{drawn:?} {real:?}");
    let invented: Vec<_> = drawn.difference(&real).collect();
    assert!(
        invented.is_empty(),
        "drawn, but in no manifest: {invented:?}"
    );
    let implied = crates::closure(&drawn);
    let missing: Vec<_> = real.difference(&implied).collect();
    assert!(
        missing.is_empty(),
        "in a manifest, but not drawn: {missing:?}"
    );
}

#[test]
fn pictures_are_rendered_from_their_sources() {
    let mut pictures = 0;
    for entry in fs::read_dir(workspace().join("docs/pictures")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "dot") {
            continue;
        }
        pictures += 1;
        let source = fs::read_to_string(&path).unwrap();
        let svg = fs::read_to_string(path.with_extension("svg")).unwrap();
        let at = format!("{}: run scripts/pictures", path.display());
        assert_eq!(crates::rendered(&svg), crates::drawn(&source), "{at}");
        let missing: Vec<&str> = crates::labels(&source)
            .filter(|label| !crates::shows(&svg, label))
            .collect();
        assert!(missing.is_empty(), "{at}: {missing:?}");
        assert!(
            !svg.contains(workspace().to_str().unwrap()),
            "a path of this machine"
        );
    }
    assert_eq!(pictures, 2);
}
