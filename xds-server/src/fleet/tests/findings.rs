//! Findings: refused, unless the file accepts them by name.

use super::{check, edited};
use crate::fleet::parse_checked;

/// Checks that an edit is one finding, that its name accepts it, and that the same name accepts nothing in the file without the edit.
fn check_finding(from: &str, to: &str, at: &str, name: &str, accept: (&str, &str)) {
    let text = edited(from, to);
    check(&text, &[(at, &format!("{name}: "))]);
    let (place, object) = accept;
    let insert = |text: &str, name: &str| {
        assert!(text.contains(object), "{object}");
        text.replacen(object, &format!("{object}accept: [{name}], "), 1)
    };
    let accepted = parse_checked(&insert(&text, name)).unwrap().accepted;
    let found: Vec<_> = accepted.iter().map(|found| found.at.as_str()).collect();
    assert_eq!(found, [at], "{accepted:?}");
    assert!(accepted[0].message.starts_with(&format!("{name}: ")));
    let at = format!("{place}.accept");
    let twice = format!("{name}, {name}");
    check(&insert(&text, &twice), &[(&at, "listed twice; remove it")]);
    if object != to {
        let unused = insert(&edited("", ""), name);
        check(&unused, &[(&at, "to accept")]);
    }
}

#[test]
fn headers_that_are_not_the_edge_s() {
    for header in ["Host", "x-forwarded-for", "connection", "te", "forwarded"] {
        let place = ("classify[0]", "gives: zone, ");
        let at = "classify[0].header";
        check_finding("X-Tenant-Zone", header, at, "unreliable_header", place);
    }
}

#[test]
fn trust_that_adds_up_to_everybody() {
    let place = ("classify[0]", "gives: zone, ");
    for networks in [
        "0.0.0.0/1, 128.0.0.0/1",
        "0.0.0.0/2, 64.0.0.0/2",
        "\"::/1\", \"8000::/1\"",
        "\"2000::/3\"",
        "\"::/64\"",
        "8.0.0.0/6, 12.0.0.0/6, 16.0.0.0/8",
        "\"2a00::/12\", \"2600::/12\"",
    ] {
        let to = format!("trust: {{ cidr: [{networks}] }} }}");
        let at = "classify[0].trust.cidr";
        check_finding(
            "trust: { cidr: [10.0.0.0/8] } }",
            &to,
            at,
            "wide_trust",
            place,
        );
    }
    for networks in [
        "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, \"fc00::/7\"",
        "104.16.0.0/13, 172.64.0.0/13, \"2606:4700::/32\"",
        "10.0.0.0/9, 10.128.0.0/9, 10.0.0.0/8",
    ] {
        let to = format!("cidr: [{networks}]");
        check(&edited("cidr: [10.0.0.0/8]", &to), &[]);
    }
}

#[test]
fn redirects_in_the_clear() {
    let gateway = "    gateway: { address: gw.eu-west-1.example.com, port: 8443 }\n";
    let url = |url: &str| {
        let text = edited(
            gateway,
            &format!("    public: {{ url: \"{url}\" }}\n{gateway}"),
        );
        text.replace("misdirected: refuse", "misdirected: redirect")
    };
    let text = url("http://eu.llm.example.com");
    check(&text, &[("zones.eea.misdirected", "plain_redirect: ")]);
    let accepted = text.replace(
        "misdirected: redirect",
        "misdirected: redirect, accept: [plain_redirect]",
    );
    check(&accepted, &[]);
    check(&url("https://eu.llm.example.com"), &[]);
    check(&url("http://127.0.0.1:8080"), &[]);
    let unused = edited("misdirected: refuse", "accept: [plain_redirect]");
    check(&unused, &[("zones.eea.accept", "to accept")]);
}

#[test]
fn a_pool_at_another_region_s_gateway() {
    let pool = "{ endpoints: [10.0.3.10:8000] }";
    let at = "regions.eu-west-1.pools.llama-3.1-70b.dns";
    for host in ["us-east-1.llm.example.com.", "gw.us-west-2.example.com"] {
        let dns = format!("{{ dns: \"{host}:443\" }}");
        check(&edited(pool, &dns), &[(at, "foreign_gateway: ")]);
        let accepted = format!("{{ dns: \"{host}:443\", accept: [foreign_gateway] }}");
        check(&edited(pool, &accepted), &[]);
    }
    let by_address = edited("gw.us-east-1.example.com", "198.51.100.7");
    let by_address = by_address.replace("10.0.3.10:8000", "198.51.100.7:8000");
    let at = "regions.eu-west-1.pools.llama-3.1-70b.endpoints";
    check(&by_address, &[(at, "foreign_gateway: ")]);
    // Its own gateway's machine, and a region of no pinned zone.
    check(
        &edited(pool, "{ dns: \"gw.eu-west-1.example.com:8000\" }"),
        &[],
    );
    check(
        &edited(
            "{ endpoints: [10.0.2.10:8000] }",
            "{ dns: \"gw.us-west-2.example.com:8000\" }",
        ),
        &[],
    );
}

#[test]
fn public_apis_that_do_not_prove_where_they_are() {
    let at = "fallbacks.claude-eu.url";
    for (host, says) in [
        ("api.mistral.ai", "unproven_host: "),
        ("my.openai.azure.com", "unproven_host: "),
        ("openrouter.ai", "unproven_host: "),
        ("au.api.openai.com", "unproven_host: "),
        ("api.openai.com", "in the US or anywhere"),
        ("us.api.openai.com", "is for `us`, not for `eea`"),
    ] {
        check(&edited("eu.example.com", host), &[(at, says)]);
    }
    check(&edited("eu.example.com", "eu.api.openai.com"), &[]);
    let accepted = edited(
        "https://eu.example.com/v1\"",
        "https://api.mistral.ai/v1\", accept: [unproven_host]",
    );
    check(&accepted, &[]);
}

#[test]
fn fallbacks_that_do_not_prove_where_they_are() {
    let eu = "provider: openai-compatible, url: \"https://eu.example.com/v1\", jurisdiction: [eea], api_key: { file: /run/secrets/claude-eu }";
    let bedrock = |fields: &str| {
        format!(
            "provider: bedrock, location: eu-central-1, jurisdiction: [eea], api_key: {{ file: /k }}, {fields}"
        )
    };
    for (fields, field, name) in [
        (
            "model: us.anthropic.m, destinations: [eu-central-1]",
            "model",
            "foreign_profile",
        ),
        (
            "model: anthropic.m, url: \"https://bedrock.example.com\"",
            "url",
            "unproven_host",
        ),
    ] {
        let at = format!("fallbacks.claude-eu.{field}");
        check(
            &edited(eu, &bedrock(fields)),
            &[(&at, &format!("{name}: "))],
        );
        let accepted = edited(eu, &bedrock(&format!("accept: [{name}], {fields}")));
        check(&accepted, &[]);
    }
    let eu_profile =
        "model: eu.anthropic.m, destinations: [eu-central-1], accept: [foreign_profile]";
    check(
        &edited(eu, &bedrock(eu_profile)),
        &[("fallbacks.claude-eu.accept", "to accept")],
    );
}

#[test]
fn a_finding_is_accepted_where_it_is_only() {
    let error = parse_checked(&edited(
        "gives: zone",
        "gives: zone, accept: [plain_redirect]",
    ));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("write one of: wide_trust, unreliable_header"),
        "{error}"
    );
    let text = edited("X-Tenant-Zone", "host").replace(
        "gives: country,",
        "gives: country, accept: [unreliable_header],",
    );
    check(
        &text,
        &[(
            "classify[0].header",
            "insist by `accept: [unreliable_header]` under `classify[0]`",
        )],
    );
}
