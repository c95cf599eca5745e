//! `envoy/grafana/meridian.json`: what Grafana demands of a dashboard, and that its expressions name what there is.

use super::alerts::rules;
use super::promql::{Exported, promtool, unknown};
use meridian_tests::world::workspace;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

/// The columns of Grafana's grid.
const COLUMNS: u64 = 24;

/// The data source of every panel: the dashboard's variable.
const SOURCE: &str = "${datasource}";

fn dashboard() -> Value {
    let path = workspace().join("envoy/grafana/meridian.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

/// The expressions of all panels.
fn expressions(dashboard: &Value) -> Vec<String> {
    let targets = panels(dashboard)
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let targets = targets.flatten();
    targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

/// What is wrong with the places and the ids of panels.
fn misplaced(panels: &[Value]) -> Vec<String> {
    let (mut wrong, mut ids, mut cells) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = panel["title"].as_str().unwrap_or_default();
        if title.is_empty() || !panel["id"].as_u64().is_some_and(|id| ids.insert(id)) {
            wrong.push(format!(
                "{title}: its title is empty or its id is not unique"
            ));
        }
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64());
        let (Some(x), Some(y), Some(w), Some(h)) = (x, y, w, h) else {
            wrong.push(format!("{title}: no gridPos"));
            continue;
        };
        if w == 0 || h == 0 || x + w > COLUMNS {
            wrong.push(format!("{title}: outside of the grid"));
        }
        let own = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        if own.filter(|cell| !cells.insert(*cell)).count() > 0 {
            wrong.push(format!("{title}: overlaps another panel"));
        }
    }
    wrong
}

#[test]
fn the_dashboard_has_what_grafana_demands() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    assert!(dashboard["id"].is_null(), "an id is of one Grafana only");
    for text in ["title", "uid"] {
        assert!(!dashboard[text].as_str().unwrap().is_empty(), "{text}");
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let is_source = |variable: &Value| {
        variable["name"] == "datasource"
            && variable["type"] == "datasource"
            && variable["query"] == "prometheus"
    };
    assert!(variables.iter().any(is_source));
    assert!(panels(&dashboard).len() > 30);
    assert_eq!(misplaced(panels(&dashboard)), Vec::<String>::new());
}

#[test]
fn every_panel_asks_the_chosen_prometheus() {
    let dashboard = dashboard();
    for panel in panels(&dashboard)
        .iter()
        .filter(|panel| panel["type"] != "row")
    {
        let title = &panel["title"];
        assert_eq!(panel["datasource"]["uid"], SOURCE, "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        let mut ids = BTreeSet::new();
        for target in targets {
            assert_eq!(target["datasource"]["uid"], SOURCE, "{title}");
            assert!(ids.insert(target["refId"].as_str().unwrap()), "{title}");
        }
    }
}

#[test]
fn the_dashboards_expressions_are_valid_and_name_metrics_that_exist() {
    let expressions = expressions(&dashboard());
    let unknown = unknown(&expressions, &Exported::of_the_code(), &rules().recorded);
    assert!(unknown.is_empty(), "no such metrics: {unknown:#?}");
    let each = expressions.iter().enumerate();
    let each: Vec<Value> = each
        .map(
            |(index, expression)| json!({ "record": format!("panel:{index}"), "expr": expression }),
        )
        .collect();
    // JSON is YAML.
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": each }] });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dashboard.rules.yaml");
    fs::write(&path, rules.to_string()).unwrap();
    promtool(&["check", "rules"], &path);
}

#[test]
fn panels_that_overlap_are_found() {
    let panel = |id: u64, x: u64, y: u64, w: u64| {
        let place = json!({ "x": x, "y": y, "w": w, "h": 2 });
        json!({ "id": id, "title": format!("panel {id}"), "gridPos": place })
    };
    let panels = [
        panel(1, 0, 0, 12),
        panel(2, 12, 0, 12),
        panel(2, 0, 2, 4),
        panel(3, 3, 3, 4),
        panel(4, 20, 8, 5),
    ];
    let wrong = misplaced(&panels);
    assert_eq!(
        wrong,
        [
            "panel 2: its title is empty or its id is not unique",
            "panel 3: overlaps another panel",
            "panel 4: outside of the grid"
        ]
    );
}
