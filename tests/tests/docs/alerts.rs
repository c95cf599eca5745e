//! `envoy/prometheus`: the rules, their tests, and the runbooks that they lead to.

use super::markdown::{anchor, documents};
use super::promql::{Exported, promtool, unknown};
use meridian_tests::world::workspace;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
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

/// A file of rules.
#[derive(Debug, Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// A rule: what is recorded, or an alert.
#[derive(Debug, Deserialize)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The parts of a file of rules that are checked.
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
        let file: RuleFile = serde_saphyr::from_str(text).unwrap();
        let mut rules = Self::default();
        for rule in file.groups.into_iter().flat_map(|group| group.rules) {
            let runbook = rule.annotations.get("runbook_url").cloned();
            rules.recorded.extend(rule.record);
            rules.alerts.extend(rule.alert.map(|name| (name, runbook)));
            rules.expressions.push(rule.expr);
        }
        rules
    }
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
