//! The edges between crates: as they are drawn, and as the manifests have them.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// From a crate to one that it depends on, by their directories.
pub type Edges = BTreeSet<(String, String)>;

/// What sees every other crate, and is part of no product.
const TESTS: [&str; 1] = ["tests"];

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
            let title = title.replace("&#45;", "-").replace("&gt;", ">");
            let (from, to) = title.split_once("->")?;
            let is_shown = shape.split("</g>").next()?.contains("<path");
            is_shown.then(|| (from.to_owned(), to.to_owned()))
        })
        .collect()
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
