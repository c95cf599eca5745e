//! Files that were cut off: a name without a value is no empty value.

use super::{EXAMPLE, check, edited};
use crate::fleet::{FleetError, parse};
use serde_json::{Value, json};

const SAYS: &str = "has no value, as in a file that was cut off";

/// Checks that one problem is the missing value at a place; others may follow from it.
fn check_missing(text: &str, at: &str) {
    let Err(FleetError::Problems(problems)) = parse(text) else {
        panic!("{at}\n{text}");
    };
    let is_it = |problem: &super::Problem| problem.at == at && problem.message.starts_with(SAYS);
    assert!(problems.iter().any(is_it), "{at}: {problems:#?}");
}

#[test]
fn a_name_without_a_value_is_not_an_empty_value() {
    for nothing in ["", " ~", " null", " # all of them"] {
        let text = edited(
            "    pools:\n      llama-3.1-70b: { endpoints: [10.0.3.10:8000] }",
            &format!("    pools:{nothing}"),
        );
        check(&text, &[("regions.eu-west-1.pools", SAYS)]);
    }
    for (from, to, at) in [
        (
            "limits: { first_token",
            "overflow:\n  limits: { first_token",
            "policy.overflow",
        ),
        ("[preset:eea]", "~", "zones.eea.countries"),
        ("[preset:eea]", "[preset:eea, ~]", "zones.eea.countries[1]"),
        (
            "misdirected: refuse",
            "misdirected: ~",
            "zones.eea.misdirected",
        ),
        ("unknown_zone: eea", "unknown_zone:", "unknown_zone"),
        (
            "nearest: [eu-west-1]",
            "nearest:",
            "regions.us-east-1.nearest",
        ),
        ("policy:\n", "control_plane:\npolicy:\n", "control_plane"),
        ("policy:\n", "gateways:\npolicy:\n", "gateways"),
    ] {
        let text = edited(from, to);
        let Err(error) = parse(&text) else {
            panic!("accepted: {to}\n{text}");
        };
        // Some fields take no null, and have said so before.
        let is_form = matches!(error, FleetError::Form(_));
        assert!(
            is_form || error.to_string().contains(&format!("{at}: {SAYS}")),
            "{error}"
        );
    }
    let cut = |before: &str| EXAMPLE.split_inclusive(before).next().unwrap().to_owned();
    check(&cut("policy:\n"), &[("policy", SAYS)]);
    check_missing(&cut("fallbacks:\n"), "fallbacks");
}

/// The paths to all values of a file, and whether each is below a secret.
fn paths(value: &Value, at: &[String], all: &mut Vec<Vec<String>>) {
    if !at.is_empty() {
        all.push(at.to_vec());
    }
    let below = |key: String| [at, &[key]].concat();
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| *name != "api_key");
            fields.for_each(|(name, value)| paths(value, &below(name.clone()), all));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                paths(item, &below(index.to_string()), all);
            }
        }
        _ => {}
    }
}

#[test]
fn no_value_of_a_whole_file_can_be_null() {
    let whole = include_str!("../../../../envoy/fleet.yaml");
    let whole: Value = serde_saphyr::from_str(whole).unwrap();
    let mut all = Vec::new();
    paths(&whole, &[], &mut all);
    assert!(all.len() > 150, "{}", all.len());
    for path in all {
        let mut file = whole.clone();
        let pointer = format!("/{}", path.join("/"));
        let Some(value) = file.pointer_mut(&pointer) else {
            panic!("{pointer}");
        };
        *value = Value::Null;
        let text = serde_json::to_string(&file).unwrap();
        let error = parse(&text).expect_err(&pointer).to_string();
        let is_named = error.contains(SAYS) || error.starts_with("line ");
        assert!(is_named, "{pointer}: {error}");
    }
    // Written by JSON, the file itself is valid.
    let mut file = whole;
    parse(&serde_json::to_string(&file).unwrap()).unwrap();
    file["policy"] = json!({});
    parse(&serde_json::to_string(&file).unwrap()).unwrap();
}
