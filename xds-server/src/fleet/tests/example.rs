//! The fleet of the example file.

use super::{EXAMPLE, edited};
use crate::fleet::{load, parse};
use meridian_policy::fleet::{Misdirected, Pool, Secret, UnknownZone, ZoneSourceKind};
use meridian_policy::{Fleet, RegionName};
use std::path::Path;
use std::time::Duration;

fn example() -> Fleet {
    parse(EXAMPLE).unwrap()
}

#[test]
fn zones_are_read() {
    let fleet = example();
    let (eea, global) = (&fleet.zones["eea"], &fleet.zones["global"]);
    assert_eq!(
        (eea.countries.len(), eea.rest, eea.pinned),
        (42, false, true)
    );
    assert_eq!(
        (global.countries.len(), global.rest, global.pinned),
        (0, true, false)
    );
    assert_eq!(eea.misdirected, Misdirected::Refuse);
    assert_eq!(eea.fallbacks, ["claude-eu".parse().unwrap()]);
    assert_eq!(
        fleet.unknown_zone,
        UnknownZone::Zone("eea".parse().unwrap())
    );
    assert_eq!(fleet.sources[0].header, "x-tenant-zone");
    assert_eq!(
        (fleet.sources[0].gives, fleet.sources[1].gives),
        (ZoneSourceKind::Zone, ZoneSourceKind::Country)
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    let fleet = example();
    let region = &fleet.regions["eu-west-1"];
    assert_eq!(region.public.listen, "0.0.0.0:8080".parse().unwrap());
    assert_eq!(region.gateway.listen, "0.0.0.0:8443".parse().unwrap());
    assert_eq!(region.admin, "127.0.0.1:9901".parse().unwrap());
    assert_eq!(region.gateway.ca, "/etc/meridian/tls/ca.crt");
    assert_eq!(region.gateway.identity.key, "/etc/meridian/tls/gateway.key");
    assert_eq!(fleet.trust_domain, "meridian");
    assert_eq!(fleet.filters.wasm, "/etc/meridian/meridian_filter.wasm");
    assert_eq!(fleet.access_log, "/dev/stdout");
    assert_eq!(fleet.limits.stream_idle_timeout, Duration::from_secs(60));
    assert_eq!(fleet.limits.body, 64 << 20);

    let text = edited("unknown_zone: eea\n", "");
    assert_eq!(
        parse(&text).unwrap().unknown_zone,
        UnknownZone::Zone("eea".parse().unwrap()),
        "the only pinned zone"
    );
    let text = edited("unknown_zone: eea", "unknown_zone: refuse");
    assert_eq!(parse(&text).unwrap().unknown_zone, UnknownZone::Refuse);
}

#[test]
fn every_region_knows_all_others_the_listed_ones_first() {
    let fleet = example();
    let nearest = |region: &str| -> Vec<&str> {
        let nearest = &fleet.regions[region].nearest;
        nearest.iter().map(RegionName::as_str).collect()
    };
    assert_eq!(nearest("us-west-2"), ["us-east-1", "eu-west-1"]);
    assert_eq!(nearest("us-east-1"), ["eu-west-1", "us-west-2"]);
    assert_eq!(nearest("eu-west-1"), ["us-east-1", "us-west-2"]);
}

#[test]
fn pools_and_fallbacks_are_read() {
    let fleet = example();
    let pools = &fleet.regions["us-west-2"].pools;
    assert_eq!(
        pools["llama-3.1-70b"],
        Pool::Endpoints(vec![
            "10.0.1.10:8000".parse().unwrap(),
            "10.0.1.11:8000".parse().unwrap()
        ])
    );
    assert_eq!(
        pools["mistral-7b"],
        Pool::Dns {
            host: "mistral.llm.svc".into(),
            port: 8000
        }
    );
    let (claude, eu) = (&fleet.fallbacks["claude"], &fleet.fallbacks["claude-eu"]);
    let endpoint = &claude.endpoint;
    assert_eq!(
        (endpoint.host.as_str(), endpoint.port, endpoint.tls),
        ("api.example.com", 443, true)
    );
    assert_eq!(endpoint.path, "/v1", "no trailing slash");
    assert_eq!(claude.api_key, Secret::Env("CLAUDE_KEY".into()));
    assert_eq!(eu.api_key, Secret::File("/run/secrets/claude-eu".into()));
    assert!(eu.jurisdiction.contains("eea"));
}

#[test]
fn a_zone_may_accept_other_jurisdictions_by_name() {
    let text = edited(
        "[preset:eea], pinned",
        "[preset:eea], jurisdictions: [ireland], pinned",
    );
    let text = text.replace("jurisdiction: [eea]", "jurisdiction: [ireland]");
    assert!(parse(&text).is_ok());
}

#[test]
fn a_file_that_is_not_there_is_said_to_be_so() {
    let error = load(Path::new("/nowhere/fleet.yaml")).unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
}
