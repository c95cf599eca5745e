//! Zones without callers, or without a region or fallback that serves them.

use super::{check, check_edit, edited};

#[test]
fn somebody_belongs_to_every_zone() {
    let nobody = "no caller can belong to it";
    let classify = "  - { header: X-Tenant-Zone, gives: zone, trust: { cidr: [10.0.0.0/8] } }
  - { header: cf-ipcountry, gives: country, trust: { cidr: [10.0.0.0/8, 127.0.0.0/8] } }\n";
    check_edit(classify, "  []\n", "zones.global", nobody);
    let by_country =
        "  - { header: cf-ipcountry, gives: country, trust: { cidr: [10.0.0.0/8] } }\n";
    check(&edited(classify, by_country), &[]);
    let by_zone = "  - { header: x-tenant-zone, gives: zone, trust: { cidr: [10.0.0.0/8] } }\n";
    check(&edited(classify, by_zone), &[]);
    let unnamed = edited(classify, by_country).replace("countries: [preset:rest], ", "");
    check(&unnamed, &[("zones.global", nobody)]);
    let named = edited("countries: [preset:rest], ", "");
    check(&named, &[]);
}

#[test]
fn something_serves_every_zone() {
    let pool = "    pools:\n      llama-3.1-70b: { endpoints: [10.0.3.10:8000] }\n";
    check(&edited(pool, ""), &[]);
    let text = edited(pool, "").replace("fallbacks: [claude-eu], ", "");
    check(&text, &[("zones.eea", "nothing serves it")]);
    let text = "\
zones: { all: { pinned: true, regions: [here], fallbacks: [] } }
regions: { here: { gateway: { address: here, port: 1 } } }
";
    check(text, &[("regions", "no region has a pool")]);
}

#[test]
fn a_redirect_has_somewhere_to_go() {
    check_edit(
        "misdirected: refuse",
        "misdirected: redirect",
        "regions.eu-west-1.public.url",
        "the zone `eea` redirects its misdirected callers here; give the URL, e.g. https://eu-west-1.llm",
    );
    let text = edited("misdirected: refuse", "misdirected: redirect");
    let text = text.replace("regions: [eu-west-1],", "regions: [us-east-1],");
    check(&text, &[]);
}

#[test]
fn what_did_not_parse_is_not_missed_a_second_time() {
    let text = edited("10.0.3.10:8000", "10.0.3.10").replace("fallbacks: [claude-eu], ", "");
    let at = "regions.eu-west-1.pools.llama-3.1-70b.endpoints[0]";
    check(&text, &[(at, "ip:port")]);
    let text = edited("{ endpoints: [10.0.3.10:8000] }", "{}").replace("[claude-eu]", "[]");
    let at = "regions.eu-west-1.pools.llama-3.1-70b";
    check(&text, &[(at, "exactly one")]);
}
