//! Zones: references, countries, and restrictions of pinned zones.

use super::{check, check_edit, edited};
use meridian_policy::fleet::ContentRules;

#[test]
fn every_mention_resolves() {
    for (from, to, at, says) in [
        (
            "regions: [eu-west-1]",
            "regions: [eu-west-2]",
            "zones.eea.regions[0]",
            "there is no region `eu-west-2`; there are: eu-west-1, us-east-1, us-west-2",
        ),
        (
            "fallbacks: [claude-eu]",
            "fallbacks: [claude-eu, claude-us]",
            "zones.eea.fallbacks[1]",
            "there is no fallback `claude-us`; there are: claude, claude-eu",
        ),
        (
            "regions: [eu-west-1]",
            "regions: [eu-west-1, eu-west-1]",
            "zones.eea.regions[1]",
            "listed twice",
        ),
        (
            "fallbacks: [claude] }",
            "fallbacks: [claude, claude] }",
            "zones.global.fallbacks[1]",
            "listed twice",
        ),
        (
            "regions: [eu-west-1]",
            "regions: []",
            "zones.eea.regions",
            "at least one region",
        ),
        (
            "unknown_zone: eea",
            "unknown_zone: eu",
            "unknown_zone",
            "there is no zone `eu`; there are: eea, global; or write `refuse`",
        ),
    ] {
        check_edit(from, to, at, says);
    }
    let text = "zones: { a: { pinned: true, regions: [r], fallbacks: [f] } }\nregions: {}\n";
    check(
        text,
        &[
            ("zones.a.regions[0]", "there are: none"),
            ("zones.a.fallbacks[0]", "there are: none"),
            ("regions", "at least one region"),
        ],
    );
}

#[test]
fn countries() {
    let code = "upper case; write e.g. DE";
    for (countries, at, says) in [
        (
            "[preset:eu]",
            "zones.global.countries[0]",
            "there are: eea, uk, ch, rest",
        ),
        ("[preset:rest, de]", "zones.global.countries[1]", code),
        ("[preset:rest, XX]", "zones.global.countries[1]", code),
        ("[preset:rest, \"\"]", "zones.global.countries[1]", code),
        (
            "[US, DE, FR]",
            "zones.global.countries",
            "in the zone `eea` already: DE, FR",
        ),
        ("[preset:eea]", "zones.global.countries", "one zone"),
        (
            "[US, EL]",
            "zones.global.countries",
            "in the zone `eea` already: GR",
        ),
    ] {
        check_edit("[preset:rest]", countries, at, says);
    }
    check_edit(
        "[preset:eea]",
        "[preset:eea, preset:rest]",
        "zones.global.countries",
        "`preset:rest` belongs to the zone `eea` already",
    );
    check(
        &edited("[preset:rest]", "[preset:rest, preset:uk, US]"),
        &[],
    );
}

#[test]
fn a_pinned_zone_takes_no_fallback_of_another_jurisdiction() {
    let fallbacks = "zones.eea.fallbacks[0]";
    for (from, to, says) in [
        (
            "[claude-eu]",
            "[claude]",
            "requests in: global; this pinned zone accepts: eea",
        ),
        (
            "jurisdiction: [eea]",
            "jurisdiction: [us]",
            "requests in: us;",
        ),
        (
            "jurisdiction: [eea]",
            "jurisdiction: [eea, uk, us]",
            "requests in: uk, us;",
        ),
        (
            "jurisdiction: [eea]",
            "jurisdiction: [eea, global]",
            "requests in: global;",
        ),
        (
            "[preset:eea],",
            "[preset:eea], jurisdictions: [],",
            "accepts: none",
        ),
        (
            "[preset:eea],",
            "[preset:eea], jurisdictions: [ireland],",
            "accepts: ireland",
        ),
    ] {
        check_edit(from, to, fallbacks, says);
    }
    check_edit(
        "[preset:eea],",
        "[preset:eea], jurisdictions: [eea, global],",
        "zones.eea.jurisdictions",
        "which means anywhere",
    );
    check_edit(
        "[preset:eea],",
        "[preset:eea], jurisdictions: [eea, EU],",
        "zones.eea.jurisdictions[1]",
        "use a-z",
    );
    check_edit(
        "jurisdiction: [global]",
        "jurisdiction: []",
        "fallbacks.claude.jurisdiction",
        "[eea] or [global]",
    );
    check_edit(
        "jurisdiction: [global]",
        "jurisdiction: [Everywhere]",
        "fallbacks.claude.jurisdiction[0]",
        "use a-z",
    );
}

#[test]
fn fields_of_pinned_zones_only() {
    for (field, value) in [("misdirected", "forward"), ("jurisdictions", "[global]")] {
        check_edit(
            "[preset:rest],",
            &format!("[preset:rest], {field}: {value},"),
            &format!("zones.global.{field}"),
            "`pinned: true`",
        );
    }
}

#[test]
fn callers_of_unknown_origin() {
    let none = edited("unknown_zone: eea\n", "");
    let single = "no single pinned zone";
    let loose = none
        .replace("pinned: true, ", "")
        .replace(", misdirected: refuse", "");
    check(&loose, &[("unknown_zone", single)]);
    let both = none.replace(
        "[preset:rest],",
        "[preset:rest], pinned: true, jurisdictions: [earth],",
    );
    let both = both.replace("jurisdiction: [global]", "jurisdiction: [earth]");
    check(&both, &[("unknown_zone", single)]);
    check_edit(
        "unknown_zone: eea",
        "unknown_zone: global",
        "unknown_zone",
        "name a pinned zone (eea) or write `refuse`",
    );
    let loose = edited("unknown_zone: eea", "unknown_zone: global");
    let loose = loose
        .replace("pinned: true, ", "")
        .replace(", misdirected: refuse", "");
    check(&loose, &[]);
}

#[test]
fn names_of_zones() {
    let text = edited("  global:", "  refuse:");
    check(&text, &[("zones.refuse", "give it another name")]);
    check_edit("  global:", "  Global:", "zones.Global", "use a-z");
    check(
        "zones: {}\nunknown_zone: refuse\nregions: {}\n",
        &[
            ("zones", "at least one zone"),
            ("regions", "at least one region"),
        ],
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let text = edited("regions: [eu-west-1]", "regions: [eu-west-2]");
    let text = text.replace("connect: 1s", "connect: 1");
    let text = text.replace("10.0.2.10:8000", "10.0.2.10");
    let text = text.replace("https://eu.example.com", "http://eu.example.com");
    check(
        &text,
        &[
            ("fallbacks.claude-eu.url", "use https://"),
            ("policy.limits.connect", "`1`"),
            ("zones.eea.regions[0]", "no region `eu-west-2`"),
            (
                "regions.us-east-1.pools.llama-3.1-70b.endpoints[0]",
                "ip:port",
            ),
        ],
    );
    let error = crate::fleet::parse(&text).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 4, "{error}");
    assert!(
        error.starts_with("fallbacks.claude-eu.url: `http://eu.example.com/v1` would send"),
        "{error}"
    );
}

#[test]
fn what_servers_may_do_on_their_own() {
    let zone = |more: &str| {
        let text = edited("pinned: true,", &format!("pinned: true,{more}"));
        crate::fleet::parse(&text).unwrap().zones["eea"]
            .content
            .clone()
    };
    assert_eq!(zone(""), ContentRules::default());
    let content = zone(" fallback_tools: [web_search, mcp], remote_content: refuse,");
    assert!(content.refuse_remote);
    assert!(content.fallback_tools.iter().eq(["mcp", "web_search"]));
    assert!(!zone(" remote_content: allow,").refuse_remote);
    for tool in ["\"\"", "\"web*\"", "\"a b\""] {
        check_edit(
            "pinned: true,",
            &format!("pinned: true, fallback_tools: [mcp, {tool}],"),
            "zones.eea.fallback_tools[1]",
            "is no type of a tool",
        );
    }
}
