//! `envoy/prometheus`: the rules, their tests, and the runbooks that they lead to.

use super::markdown::{anchor, documents};
use super::promql::{Exported, promtool, unknown};
use meridian_tests::world::workspace;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The rules.
const RULES: &str = "envoy/prometheus/meridian.rules.yaml";

/// Their tests.
const TESTS: &str = "envoy/prometheus/meridian.rules.test.yaml";

/// What `runbook_url` has before the path in the repository. Users replace it.
const BASE: &str = "https://example.com/meridian/";

/// The document of the runbooks.
const RUNBOOKS: &str = "docs/runbooks.md";

/// The parts of a file of rules that are checked. The file has one field a line, and expressions of several lines as blocks.
#[derive(Debug, Default)]
pub struct Rules {
    /// The names of recorded series.
    pub recorded: BTreeSet<String>,
    /// The expressions of all rules.
    pub expressions: Vec<String>,
    /// The alerts, each with the URL of its runbook.
    pub alerts: Vec<(String, Option<String>)>,
}

impl From<&str> for Rules {
    fn from(text: &str) -> Self {
        let mut rules = Self::default();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(name) = field(line, "record") {
                rules.recorded.insert(name.to_owned());
            }
            if let Some(name) = field(line, "alert") {
                rules.alerts.push((name.to_owned(), None));
            }
            if let (Some(url), Some(last)) = (field(line, "runbook_url"), rules.alerts.last_mut()) {
                last.1 = Some(url.to_owned());
            }
            let Some((_, expression)) = line.split_once("expr: ") else {
                continue;
            };
            let mut whole = expression.to_owned();
            if expression == "|" {
                whole.clear();
                let depth = indent(line);
                while let Some(next) = lines.next_if(|next| indent(next) > depth) {
                    whole.push_str(next);
                    whole.push('\n');
                }
            }
            rules.expressions.push(whole);
        }
        rules
    }
}

/// The value of a field, at the beginning of a line or of a list's element.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let line = line.trim_start().trim_start_matches("- ");
    let line = line.strip_prefix("{ ").unwrap_or(line);
    let value = line.strip_prefix(name)?.strip_prefix(": ")?;
    value.split([',', ' ']).next()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The rules of the repository.
pub fn rules() -> Rules {
    let text = fs::read_to_string(workspace().join(RULES)).unwrap();
    Rules::from(text.as_str())
}

/// Alerts without a runbook of their own among these anchors.
fn without_runbook(rules: &Rules, anchors: &BTreeSet<String>) -> Vec<String> {
    let lost = rules.alerts.iter().filter(|(name, url)| {
        let expected = format!("{BASE}{RUNBOOKS}#{}", anchor(name));
        url.as_ref() != Some(&expected) || !anchors.contains(&anchor(name))
    });
    lost.map(|(name, _)| name.clone()).collect()
}

#[test]
fn the_alert_rules_are_valid_and_pass_their_tests() {
    let root = workspace();
    promtool(&["check", "rules"], &root.join(RULES));
    promtool(&["test", "rules"], &root.join(TESTS));
}

#[test]
fn every_alert_is_tested() {
    let tests = fs::read_to_string(workspace().join(TESTS)).unwrap();
    let lines: BTreeSet<&str> = tests.lines().map(str::trim).collect();
    let rules = rules();
    assert!(rules.alerts.len() > 20, "{} alerts", rules.alerts.len());
    // An alert that fires has a line of its own in the tests.
    let untested = rules.alerts.iter().map(|(name, _)| name);
    let untested = untested.filter(|name| !lines.contains(format!("alertname: {name}").as_str()));
    assert_eq!(untested.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_alert_has_a_runbook() {
    let documents = documents(&workspace());
    let anchors = &documents[Path::new(RUNBOOKS)].anchors;
    let lost = without_runbook(&rules(), anchors);
    assert!(
        lost.is_empty(),
        "without a heading in {RUNBOOKS}: {lost:#?}"
    );
}

#[test]
fn rules_name_metrics_that_exist() {
    let exported = Exported::of_the_code();
    assert!(exported.control_plane.len() > 40 && exported.gateways.len() > 5);
    let rules = rules();
    let unknown = unknown(&rules.expressions, &exported, &rules.recorded);
    assert!(unknown.is_empty(), "no such metrics: {unknown:#?}");
}

#[test]
fn rules_are_read_and_lost_runbooks_found() {
    let text = "\
groups:
  - name: a
    rules:
      - { record: a:b, expr: \"vector(3)\" }
      - alert: Fine
        expr: |
          sum(x)
          > 2
        annotations:
          runbook_url: https://example.com/meridian/docs/runbooks.md#fine
      - alert: Other
        expr: y > 1
        annotations:
          runbook_url: https://example.com/meridian/docs/runbooks.md#fine
      - alert: Without
        expr: z > 1
";
    let rules = Rules::from(text);
    assert_eq!(rules.recorded, BTreeSet::from(["a:b".to_owned()]));
    assert_eq!(rules.expressions.len(), 4);
    assert!(rules.expressions[1].contains("sum(x)") && rules.expressions[1].contains("> 2"));
    let anchors = ["fine", "other", "without"].map(str::to_owned).into();
    assert_eq!(without_runbook(&rules, &anchors), ["Other", "Without"]);
    assert_eq!(without_runbook(&rules, &BTreeSet::new()).len(), 3);
}
