//! What modules may not import: the edges within a crate that the architecture stands on.

use super::imports::{Edges, edges};
use super::sources::{modules, root, written};
use std::fs;

/// A module, with all below it, and what it must not import: modules of its crate, or `meridian_...` for other crates.
type Rule = (&'static str, &'static [&'static str]);

/// The verifier knows nothing of what generates, and computes nothing that the planner does. The generator knows nothing of what
/// verifies.
const XDS_SERVER: &[Rule] = &[
    (
        "verify",
        &[
            "translate",
            "discovery",
            "bootstrap",
            "serve",
            "collect",
            "meridian_planner",
            "meridian_filter_core",
        ],
    ),
    (
        "translate",
        &["verify", "discovery", "serve", "collect", "xds"],
    ),
    (
        "xds",
        &[
            "translate",
            "verify",
            "serve",
            "collect",
            "fleet",
            "meridian_planner",
        ],
    ),
    ("fleet", &["translate", "verify", "serve", "collect", "xds"]),
    ("snapshot", &["translate", "verify", "meridian_planner"]),
    ("name", &["translate", "verify", "meridian_planner"]),
    ("wire", &["translate", "verify", "meridian_planner"]),
];

/// The decision about a request knows nothing of the host; the host's trait knows nothing of what is decided.
const FILTER_CORE: &[Rule] = &[
    ("router", &["host", "worker", "plugins"]),
    ("guard", &["host", "worker", "plugins", "claude"]),
    ("claude", &["host", "worker", "plugins"]),
    ("host", &["router", "worker", "plugins", "guard", "claude"]),
    ("worker", &["plugins"]),
];

/// The edges that a rule forbids.
fn forbidden(edges: &Edges, rules: &[Rule]) -> Vec<String> {
    let is_in = |module: &str, of: &str| {
        module == of
            || module
                .strip_prefix(of)
                .is_some_and(|rest| rest.starts_with("::"))
    };
    let mut found = Vec::new();
    for (of, never) in rules {
        assert!(
            edges.keys().any(|module| is_in(module, of)),
            "there is no module `{of}`"
        );
        for (module, targets) in edges.iter().filter(|(module, _)| is_in(module, of)) {
            let bad = |target: &&String| never.iter().any(|never| is_in(target, never));
            let bad = targets.iter().filter(bad);
            found.extend(bad.map(|target| format!("`{module}` imports `{target}`")));
        }
    }
    found
}

#[test]
fn modules_import_what_they_may() {
    for (each, rules) in [("xds-server", XDS_SERVER), ("filter/core", FILTER_CORE)] {
        let found = forbidden(&edges(&modules(each)), rules);
        assert!(found.is_empty(), "{each}:\n{}", found.join("\n"));
    }
}

/// The oracle of the verifier's tests states the rule of residency once more, in its own way.
#[test]
fn the_oracle_imports_neither_rule() {
    let path = root().join("xds-server/src/verify/tests/simulation.rs");
    let oracle = fs::read_to_string(path).unwrap();
    let rules: &[Rule] = &[(
        "verify::tests::simulation",
        &[
            "verify::residency",
            "verify::owner",
            "verify::destination",
            "meridian_planner::chain",
        ],
    )];
    let found = |oracle: &str| {
        let modules = written(&[
            ("verify::tests::simulation", oracle),
            ("verify::residency", ""),
            ("verify::owner", ""),
            ("verify::destination", ""),
        ]);
        forbidden(&edges(&modules), rules)
    };
    assert_eq!(found(&oracle), [""; 0]);
    for bad in [
        "use meridian_planner::chain::passes_through;",
        "use crate::verify::residency::may_transit;",
    ] {
        assert_eq!(found(&format!("{oracle}\n{bad}")).len(), 1, "{bad}");
    }
}

#[test]
fn an_edge_that_is_forbidden_is_found() {
    let rules: &[Rule] = &[("verify", &["translate", "meridian_planner"])];
    let found = |text: &str| {
        let files = written(&[
            ("verify", "mod deep;"),
            ("verify::deep", text),
            ("translate", "pub fn make() {}"),
        ]);
        forbidden(&edges(&files), rules)
    };
    assert_eq!(found("use crate::translate::make;").len(), 1);
    assert_eq!(found("fn f() { crate::translate::make() }").len(), 1);
    assert_eq!(found("use meridian_planner::chain::chain;").len(), 1);
    assert!(found("use meridian_policy::Fleet;").is_empty());
}
