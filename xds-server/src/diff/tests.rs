//! Differences of edits of an example fleet, as a person reads them.

use super::*;
use meridian_policy::Fleet;

const EXAMPLE: &str = include_str!("../../../envoy/fleet.yaml");

fn fleet(text: &str) -> Arc<Topology> {
    let fleet: Fleet = crate::fleet::parse(text).unwrap();
    Arc::new(fleet.into())
}

/// The difference after replacements in the example.
fn edited(replacements: &[(&str, &str)]) -> Difference {
    let mut text = EXAMPLE.to_owned();
    for (old, new) in replacements {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    difference(&fleet(EXAMPLE), &fleet(&text)).unwrap()
}

#[test]
fn nothing_changes() {
    let same = edited(&[("zones:", "# a comment\nzones:")]);
    assert!(same.is_empty());
    assert_eq!(text(&same), "nothing changes\n");
}

macro_rules! text_of {
    ($($name:ident: $replacements:tt,)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(text(&edited(&$replacements)));
        }
    )*};
}

text_of! {
    a_zone_is_divided: [(
        "  global: {",
        "  dach:   { countries: [DE, AT, CH], pinned: true, regions: [eu-west-1] }\n  global: {",
    ), ("countries: [preset:eea]", "countries: [FR, ES, IT]")],
    a_zone_is_no_longer_pinned: [("pinned: true, ", ""), (", misdirected: refuse", ""), ("unknown_zone: eea", "unknown_zone: global")],
    a_pinned_zone_gains_a_region: [("regions: [eu-west-1]", "regions: [eu-west-1, us-east-1]")],
    servers_and_limits: [
        ("\"10.0.1.10:8000\", \"10.0.1.11:8000\"] }", "\"10.0.1.10:8000\"] }"),
        ("first_token: 10s", "first_token: 5s"),
        ("- { header: cf-ipcountry,  gives: country, trust: { cidr: [10.0.0.0/8] } }", "- { header: cf-ipcountry,  gives: country, trust: { cidr: [10.0.0.0/8, 192.0.2.0/24] } }"),
    ],
    a_pinned_zone_is_forwarded: [("misdirected: refuse", "misdirected: forward"), (
        "  - { header: x-tenant-zone, gives: zone,    trust: { cidr: [10.0.0.0/8] } }\n",
        "",
    )],
    a_provider_elsewhere: [("location: eu,", "location: europe-west4,")],
}

#[test]
fn json_is_read_again() {
    let difference = edited(&[("first_token: 10s", "first_token: 5s")]);
    let json = serde_json::to_string(&difference).unwrap();
    assert_eq!(
        serde_json::from_str::<Difference>(&json).unwrap(),
        difference
    );
}
