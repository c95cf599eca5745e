//! Classification of request headers into zones: trusted senders and valid values.

use crate::classify::{classify, untrusted};
use crate::header_map::HeaderMap;
use meridian_fixtures::fleets::{example, source, zone};
use meridian_planner::plan::Plan;
use meridian_planner::plugins::filter_policy;
use meridian_policy::fleet::{Fleet, UnknownZone, ZoneSourceKind};

/// The address of an edge that the example fleet trusts.
const EDGE: &str = "10.1.2.3";
/// An untrusted address.
const STRANGER: &str = "203.0.113.9";

type Headers<'h> = [(&'h str, &'h str)];

fn owned(headers: &Headers<'_>) -> HeaderMap {
    headers.iter().copied().collect()
}

/// Checks the zone and its source. `None`: the caller is refused. An empty address is no address.
fn check_fleet(fleet: &Fleet, source: &str, headers: &Headers<'_>, expect: Option<(&str, &str)>) {
    let policy = filter_policy(
        &fleet.into(),
        &Plan::default(),
        &"us-west-2".parse().unwrap(),
        None,
    );
    let classified = classify(&policy, source.parse().ok(), &owned(headers));
    let found = classified
        .as_ref()
        .map(|caller| (caller.zone.as_str(), caller.by.as_str()));
    assert_eq!(found, expect, "{source} {headers:?}");
}

fn check(source: &str, headers: &Headers<'_>, zone: &str, by: &str) {
    check_fleet(&example(), source, headers, Some((zone, by)));
}

/// Checks that the zone is unknown: the caller belongs to the `unknown_zone`, or is refused if the fleet says so.
fn check_unknown(source: &str, headers: &Headers<'_>) {
    check(source, headers, "eea", "unknown");
    let mut fleet = example();
    fleet.unknown_zone = UnknownZone::Refuse;
    check_fleet(&fleet, source, headers, None);
}

#[test]
fn a_trusted_source_names_the_zone() {
    for (value, zone) in [
        ("DE", "eea"),
        ("RE", "eea"),
        ("EL", "eea"),
        ("EA", "eea"),
        ("IC", "eea"),
        ("US", "global"),
        ("UK", "global"),
        ("GB", "global"),
        ("GL", "global"),
    ] {
        check(EDGE, &[("cf-ipcountry", value)], zone, "cf-ipcountry");
    }
    for zone in ["eea", "global"] {
        check(EDGE, &[("x-tenant-zone", zone)], zone, "x-tenant-zone");
    }
    check(EDGE, &[("CF-IPCountry", "DE")], "eea", "cf-ipcountry");
}

#[test]
fn invalid_countries_leave_the_zone_unknown() {
    for value in [
        "XX",
        "T1",
        "ZZ",
        "EU",
        "AP",
        "de",
        "De",
        "",
        " ",
        " DE",
        "DE ",
        "US,CA",
        "US, US",
        "DEU",
        "276",
        "D\u{0415}",
        "ＤＥ",
    ] {
        check_unknown(EDGE, &[("cf-ipcountry", value)]);
    }
    check_unknown(EDGE, &[]);
    check_unknown(EDGE, &[("x-geo", "DE")]);
}

#[test]
fn invalid_zones_leave_the_zone_unknown() {
    for value in ["uk", "EEA", "eea ", "", "global,global", "eea;v=1", "DE"] {
        check_unknown(EDGE, &[("x-tenant-zone", value)]);
        // The sender may have meant a pinned zone, so no other source counts.
        check_unknown(EDGE, &[("x-tenant-zone", value), ("cf-ipcountry", "US")]);
        check_unknown(EDGE, &[("cf-ipcountry", "US"), ("x-tenant-zone", value)]);
    }
}

#[test]
fn an_unknown_country_leaves_the_decision_to_the_next_source() {
    for country in ["XX", "ZZ", "T1"] {
        let headers = [("x-tenant-zone", "global"), ("cf-ipcountry", country)];
        check(EDGE, &headers, "global", "x-tenant-zone");
    }
    check_unknown(EDGE, &[("x-tenant-zone", "global"), ("cf-ipcountry", "us")]);
}

#[test]
fn of_several_values_only_a_pinned_zone_counts() {
    for (first, second) in [
        ("DE", "US"),
        ("US", "DE"),
        ("DE", "FR"),
        ("DE", ""),
        ("xx", "DE"),
    ] {
        let listed = format!("{first}, {second}");
        for headers in [
            [("cf-ipcountry", first), ("cf-ipcountry", second)].as_slice(),
            &[("cf-ipcountry", first), ("CF-IPCountry", second)],
            &[("cf-ipcountry", listed.as_str())],
        ] {
            check(EDGE, headers, "eea", "cf-ipcountry");
        }
    }
    for (first, second) in [("US", "US"), ("US", "CA"), ("US", ""), ("US", "XX")] {
        check_unknown(EDGE, &[("cf-ipcountry", first), ("cf-ipcountry", second)]);
    }
    check_unknown(
        EDGE,
        &[("x-tenant-zone", "global"), ("x-tenant-zone", "global")],
    );
    let twice = [
        ("x-tenant-zone", "eea"),
        ("x-tenant-zone", "global"),
        ("cf-ipcountry", "US"),
    ];
    check(EDGE, &twice, "eea", "x-tenant-zone");
    // Two different pinned zones are invalid.
    let mut fleet = example();
    let uk = meridian_policy::fleet::Zone {
        pinned: true,
        ..zone()
    };
    fleet.zones.insert("uk".parse().unwrap(), uk);
    fleet.unknown_zone = UnknownZone::Refuse;
    let two = [("x-tenant-zone", "eea"), ("x-tenant-zone", "uk")];
    check_fleet(&fleet, EDGE, &two, None);
}

#[test]
fn a_pinned_zone_wins_in_any_order() {
    let (tenant, country) = ("x-tenant-zone", "cf-ipcountry");
    check(EDGE, &[(tenant, "eea"), (country, "US")], "eea", tenant);
    check(EDGE, &[(tenant, "global"), (country, "DE")], "eea", country);
    check(EDGE, &[(country, "DE"), (tenant, "global")], "eea", country);
    check(
        EDGE,
        &[(tenant, "global"), (country, "US")],
        "global",
        tenant,
    );
    check(
        EDGE,
        &[(country, "US"), (tenant, "global")],
        "global",
        tenant,
    );
    check(EDGE, &[(country, "DE"), (tenant, "eea")], "eea", tenant);
}

#[test]
fn of_two_pinned_zones_the_first_source_counts() {
    let mut fleet = example();
    let uk = meridian_policy::fleet::Zone {
        pinned: true,
        ..zone()
    };
    fleet.zones.insert("uk".parse().unwrap(), uk);
    let headers = [("cf-ipcountry", "DE"), ("x-tenant-zone", "uk")];
    check_fleet(&fleet, EDGE, &headers, Some(("uk", "x-tenant-zone")));
    fleet.sources.reverse();
    check_fleet(&fleet, EDGE, &headers, Some(("eea", "cf-ipcountry")));
}

#[test]
fn unlisted_countries_are_unknown_without_a_rest_of_the_world() {
    let mut fleet = example();
    fleet.zones.get_mut("global").unwrap().rest = false;
    let us = [("cf-ipcountry", "US")];
    check_fleet(&fleet, EDGE, &us, Some(("eea", "unknown")));
    fleet.unknown_zone = UnknownZone::Refuse;
    check_fleet(&fleet, EDGE, &us, None);
    let de = [("cf-ipcountry", "DE")];
    check_fleet(&fleet, EDGE, &de, Some(("eea", "cf-ipcountry")));
}

#[test]
fn only_the_address_of_the_connection_is_trusted() {
    let us = [("cf-ipcountry", "US")];
    for edge in ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "fd00::1"] {
        check(edge, &us, "global", "cf-ipcountry");
    }
    for stranger in [
        STRANGER,
        "11.0.0.1",
        "::ffff:11.0.0.1",
        "::10.1.2.3",
        "fe00::1",
        "::1",
        "",
    ] {
        check_unknown(stranger, &us);
    }
    // Each source has its own networks: IPv6 edges send countries only.
    check_unknown("fd00::1", &[("x-tenant-zone", "global")]);
    check_unknown(
        STRANGER,
        &[("cf-ipcountry", "US"), ("x-forwarded-for", EDGE)],
    );
}

#[test]
fn an_ipv6_network_does_not_contain_ipv4_addresses() {
    let mut fleet = example();
    fleet.sources = vec![source("cf-ipcountry", ZoneSourceKind::Country, &["::/0"])];
    check_fleet(
        &fleet,
        EDGE,
        &[("cf-ipcountry", "US")],
        Some(("eea", "unknown")),
    );
}

#[test]
fn untrusted_headers() {
    fn check(source: &str, headers: &Headers<'_>, expect: &[&str]) {
        let policy = filter_policy(
            &example().into(),
            &Plan::default(),
            &"us-west-2".parse().unwrap(),
            None,
        );
        let headers = owned(headers);
        let found = untrusted(&policy.sources, source.parse().ok(), &headers);
        assert_eq!(found, expect, "{source} {headers:?}");
    }
    let sources = [
        ("cf-ipcountry", "DE"),
        ("x-tenant-zone", "eea"),
        ("accept", "*/*"),
    ];
    check(EDGE, &sources, &[]);
    check(STRANGER, &sources, &["cf-ipcountry", "x-tenant-zone"]);
    check("", &sources, &["cf-ipcountry", "x-tenant-zone"]);
    check("fd00::1", &sources, &["x-tenant-zone"]);
    check(STRANGER, &[("CF-IPCountry", "DE")], &["CF-IPCountry"]);
    for source in [EDGE, STRANGER, ""] {
        check(
            source,
            &[
                ("x-meridian-zone", "global"),
                ("X-Meridian-Lane", "home"),
                ("x-MERIDIAN-anything", ""),
                ("x-meridian-", ""),
                ("x-meridian-zone", "eea"),
                ("x-meridian", "not ours"),
                ("y-x-meridian-zone", "not ours"),
            ],
            &[
                "X-Meridian-Lane",
                "x-MERIDIAN-anything",
                "x-meridian-",
                "x-meridian-zone",
            ],
        );
    }
}
