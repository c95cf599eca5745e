//! Files that are not YAML or have wrong fields: line, column, problem and fix.

use super::{EXAMPLE, edited};
use crate::fleet::{FleetError, parse};

fn check(text: &str, says: &str) {
    match parse(text) {
        Err(FleetError::Form(error)) => assert_eq!(error.to_string(), says, "{text}"),
        other => panic!("{other:?}\n{text}"),
    }
}

#[test]
fn fields() {
    check(
        &edited("misdirected: refuse", "misdirectd: refuse"),
        "line 2, column 98: there is no field `misdirectd` here; there are: countries, pinned, regions, fallbacks, \
         jurisdictions, misdirected, order, weights, fallback_tools, remote_content, failover, limits, accept",
    );
    check(
        &edited(", port: 8443", ""),
        "line 10, column 16: the field `port` is missing here",
    );
    check(
        &edited("misdirected: refuse", "misdirected: sometimes"),
        "line 2, column 111: `sometimes` is not possible here; write one of: refuse, redirect, forward",
    );
    check(
        &edited("provider: openai-compatible", "provider: openai"),
        "line 26, column 26: `openai` is not possible here; write one of: openai-compatible, anthropic, vertex, bedrock",
    );
    check(
        &edited("gives: zone", "gives: planet"),
        "line 6, column 37: `planet` is not possible here; write one of: zone, country",
    );
}

#[test]
fn kinds_of_values() {
    check(
        &edited("port: 8443", "port: 84430"),
        "line 10, column 57: a port belongs here, 1 to 65535",
    );
    check(
        &edited("pinned: true", "pinned: maybe"),
        "line 2, column 46: a boolean belongs here",
    );
    check(
        &edited("countries: [preset:rest]", "countries: NO"),
        "line 3, column 24: a list belongs here, e.g. [a, b]",
    );
    check(
        &edited("{ cidr: [10.0.0.0/8] }", "10.0.0.0/8"),
        "line 6, column 50: fields belong here (`name: value`)",
    );
    check(
        &edited("header: cf-ipcountry", "header: [a]"),
        "line 7, column 15: a single value belongs here",
    );
    check(
        &edited("misdirected: refuse", "misdirected: [refuse]"),
        "line 2, column 111: a single value belongs here",
    );
    check(
        &edited("header: cf-ipcountry", "header:"),
        "line 7, column 13: a value is missing here",
    );
}

#[test]
fn the_same_name_twice() {
    check(
        &edited("policy:\n", "zones: {}\npolicy:\n"),
        "line 28, column 1: `zones` is here for the second time; remove one",
    );
    check(
        &edited("  us-east-1:\n", "  us-west-2:\n"),
        "line 15, column 3: `us-west-2` is here for the second time; remove one",
    );
    check(
        &edited("pinned: true", "pinned: true, pinned: false"),
        "line 2, column 52: `pinned` is here for the second time; remove one",
    );
}

#[test]
fn whole_files() {
    let ends = "the file ends here; a fleet file needs at least `zones` and `regions`";
    check("", &format!("line 1, column 1: {ends}"));
    check("# nothing yet\n", &format!("line 2, column 1: {ends}"));
    check(
        &format!("{EXAMPLE}---\n{EXAMPLE}"),
        "line 31, column 1: a second YAML document begins; a fleet file is one, remove `---` and what belongs to it",
    );
    check("[]", "line 1, column 1: fields belong here (`name: value`)");
    check(
        "zones: {}\n",
        "line 1, column 1: the field `regions` is missing here",
    );
    let tab = edited("    pools:\n", "\tpools:\n");
    assert!(
        parse(&tab)
            .unwrap_err()
            .to_string()
            .starts_with("line 12, column 2: tab")
    );
}

#[test]
fn no_error_shows_a_secret() {
    let api_key = "api_key: { env: CLAUDE_KEY }";
    for instead in [
        "api_key: sk-secret",
        "api_key: [sk-secret]",
        "api_key: { sk-secret }",
        "api_key: { value: sk-secret }",
        "api_key: { sk-secret: env }",
        "api_key: { env: sk-secret }",
        "api_key: { file: sk-secret }",
        "api_key: { env: [sk-secret] }",
        "api_key: { env: CLAUDE_KEY, file: /sk-secret }",
        "api_key: { env: CLAUDE_KEY, value: sk-secret }",
        "api_key: { env: CLAUDE_KEY }, key: sk-secret",
        "api_key: { env: CLAUDE_KEY, env: sk-secret }",
        "api_key: &sk-secret { env: *unknown }",
        "api_key: sk-secret, jurisdiction: 7",
        "api_key: 'sk-secret",
    ] {
        let error = parse(&edited(api_key, instead)).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("sk-secret"),
            "{instead}: {error}"
        );
    }
}
