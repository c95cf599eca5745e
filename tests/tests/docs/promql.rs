//! Expressions of PromQL: the names in them, and the metrics that there are.

use meridian_filter_core::worker::FAMILIES;
use meridian_tests::world::workspace;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the names of a dynamic module's metrics begin with on Envoy's page.
const NATIVE: &str = "envoy_wasmcustom_";

/// The metrics of the control plane and of gateways, by the names that Prometheus has for them.
#[derive(Debug, Default)]
pub struct Exported {
    /// Names in the control plane's code. Counters end in `_total` on its page.
    pub control_plane: BTreeSet<String>,
    /// Names in the filter's code. A histogram has several series.
    pub gateways: BTreeSet<String>,
}

impl Exported {
    /// The metrics that the code has.
    pub fn of_the_code() -> Self {
        let root = workspace().join("xds-server/src/serve");
        let mut sources = vec![root.join("metrics.rs")];
        let entries = fs::read_dir(root.join("metrics")).unwrap();
        sources.extend(entries.map(|entry| entry.unwrap().path()));
        let literals = sources.iter().flat_map(|path| {
            let source = fs::read_to_string(path).unwrap();
            let quoted = source.split('"').skip(1).step_by(2);
            let names = quoted.filter(|text| is_metric(text)).map(str::to_owned);
            names.collect::<Vec<_>>()
        });
        Self {
            control_plane: literals.collect(),
            gateways: FAMILIES.iter().map(|of| of.name.to_owned()).collect(),
        }
    }

    /// Whether a metric has this name. `is_range` says whether it is followed by a range, as counters are.
    pub fn has(&self, name: &str, is_range: bool) -> bool {
        if let Some(native) = name.strip_prefix(NATIVE) {
            return self.gateways.contains(native);
        }
        match name.strip_suffix("_total") {
            Some(counter) => is_range && self.control_plane.contains(counter),
            None if self.gateways.contains(name) => true,
            None => !is_range && self.control_plane.contains(name),
        }
    }
}

fn is_metric(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with("meridian_") && text.chars().all(fine)
}

/// A name in an expression, and whether a range follows it.
pub type Use = (String, bool);

/// The metrics and recorded series that an expression names.
pub fn uses(expression: &str) -> Vec<Use> {
    let plain = without_matchers(expression);
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = plain.as_str();
    while let Some(start) = rest.find(part) {
        rest = &rest[start..];
        let end = rest.find(|c: char| !part(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        rest = behind;
        if name.contains(':') || name.contains("meridian_") {
            found.push((name.to_owned(), behind.starts_with('[')));
        }
    }
    found
}

/// An expression without its strings and the matchers of labels.
fn without_matchers(expression: &str) -> String {
    let quoteless: String = expression.split('"').step_by(2).collect();
    let mut depth = 0_usize;
    let outside = |c: &char| match c {
        '{' => {
            depth += 1;
            false
        }
        '}' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    };
    quoteless.chars().filter(outside).collect()
}

/// Names in expressions that are neither a metric nor recorded.
pub fn unknown<'e>(
    expressions: impl IntoIterator<Item = &'e String>,
    exported: &Exported,
    recorded: &BTreeSet<String>,
) -> Vec<String> {
    let all = expressions
        .into_iter()
        .flat_map(|expression| uses(expression));
    let unknown = all.filter(|(name, is_range)| {
        if name.contains(':') {
            !recorded.contains(name)
        } else {
            !exported.has(name, *is_range)
        }
    });
    unknown.map(|(name, _)| name).collect()
}

/// Runs `promtool`, which is beside the Prometheus that `scripts/setup` chose. It must succeed.
pub fn promtool(arguments: &[&str], file: &Path) {
    let prometheus: PathBuf = workspace().join(".tools/prometheus");
    let prometheus = prometheus.canonicalize().unwrap_or_else(|error| {
        panic!(
            "{}: {error}; run scripts/setup test first",
            prometheus.display()
        )
    });
    let output = Command::new(prometheus.with_file_name("promtool"))
        .args(arguments)
        .arg(file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "promtool {arguments:?} {}:\n{}{}",
        file.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn names_are_found_and_judged() {
    let expression = r#"sum by (region) (rate(meridian_a_total{x="meridian_y"}[5m])) > on () meridian:limit_b or meridian_c * 2"#;
    assert_eq!(
        uses(expression),
        [
            ("meridian_a_total".to_owned(), true),
            ("meridian:limit_b".to_owned(), false),
            ("meridian_c".to_owned(), false),
        ]
    );
    let set = |names: &[&str]| -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    let exported = Exported {
        control_plane: set(&["meridian_a", "meridian_c"]),
        gateways: set(&["meridian_d"]),
    };
    let expressions = [
        expression,
        "rate(meridian_a[5m]) + meridian_a_total",
        "increase(meridian_d[5m]) + rate(envoy_wasmcustom_meridian_d[5m]) + envoy_wasmcustom_meridian_c",
        "x:gone:max",
    ]
    .map(str::to_owned);
    assert_eq!(
        unknown(&expressions, &exported, &set(&["meridian:limit_b"])),
        [
            "meridian_a",
            "meridian_a_total",
            "envoy_wasmcustom_meridian_c",
            "x:gone:max"
        ]
    );
}
