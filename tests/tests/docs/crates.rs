//! The edges between crates: as they are drawn, and as the manifests have them.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// From a crate to one that it depends on, by their directories.
pub type Edges = BTreeSet<(String, String)>;

/// Crates that are part of no product: the tests, which see all others, and what they share.
const TESTS: [&str; 2] = ["tests", "policy/fixtures"];

/// The edges of a Graphviz source that has one edge, or one row of edges, a line. What is invisible is none.
pub fn drawn(source: &str) -> Edges {
    let mut edges = Edges::new();
    for line in source
        .lines()
        .filter(|line| line.contains("->") && !line.contains("style=invis"))
    {
        let row = line.split('[').next().unwrap();
        let names: Vec<String> = row
            .split("->")
            .map(|name| name.trim().trim_matches('"').to_owned())
            .collect();
        edges.extend(
            names
                .windows(2)
                .map(|pair| (pair[0].clone(), pair[1].clone())),
        );
    }
    edges
}

/// The edges that a rendered picture shows, by their titles.
pub fn rendered(svg: &str) -> Edges {
    let titles = svg.split("<title>").skip(1);
    let titles = titles.filter_map(|rest| rest.split_once("</title>"));
    titles
        .filter_map(|(title, shape)| {
            let title = plain(title);
            let (from, to) = title.split_once("->")?;
            let is_shown = shape.split("</g>").next()?.contains("<path");
            is_shown.then(|| (from.to_owned(), to.to_owned()))
        })
        .collect()
}

/// The lines of the labels of a Graphviz source.
pub fn labels(source: &str) -> impl Iterator<Item = &str> {
    let texts = source.split("label=\"").skip(1);
    let texts = texts.filter_map(|rest| Some(rest.split_once('"')?.0));
    texts.flat_map(|text| text.split("\\n")).map(str::trim)
}

/// Whether a rendered picture shows a line of text.
pub fn shows(svg: &str, line: &str) -> bool {
    let mut texts = svg.split("<text ").skip(1);
    texts.any(|text| {
        let text = text
            .split_once('>')
            .and_then(|(_, rest)| rest.split_once("</text>"));
        text.is_some_and(|(text, _)| plain(text).trim() == line)
    })
}

/// Text as it was before Graphviz escaped it.
fn plain(text: &str) -> String {
    let escaped = [
        ("&#45;", "-"),
        ("&#160;", " "),
        ("&gt;", ">"),
        ("&lt;", "<"),
        ("&amp;", "&"),
    ];
    escaped
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Those, and what follows from them.
pub fn closure(edges: &Edges) -> Edges {
    let mut all = edges.clone();
    loop {
        let further: Edges = all
            .iter()
            .flat_map(|(from, over)| {
                let next = all.iter().filter(move |(start, _)| start == over);
                next.map(move |(_, to)| (from.clone(), to.clone()))
            })
            .collect();
        let before = all.len();
        all.extend(further);
        if all.len() == before {
            return all;
        }
    }
}

/// The edges between the workspace's crates, for whatever target; those for building and testing are left out.
pub fn of_manifests(root: &Path) -> Edges {
    let root = root.canonicalize().unwrap();
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let directory = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let directory = manifest.parent().unwrap().strip_prefix(&root).unwrap();
        directory.to_str().unwrap().to_owned()
    };
    let by_name: BTreeMap<&str, String> = packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap(), directory(package)))
        .collect();
    let mut edges = Edges::new();
    for package in packages {
        let from = directory(package);
        if TESTS.contains(&from.as_str()) {
            continue;
        }
        let dependencies = package["dependencies"].as_array().unwrap();
        let product = dependencies.iter().filter(|of| of["kind"].is_null());
        let known = product.filter_map(|of| by_name.get(of["name"].as_str()?));
        edges.extend(known.map(|to| (from.clone(), to.clone())));
    }
    edges
}
