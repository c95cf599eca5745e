//! The configurations of `translate` verify.

use super::fleets::{EXAMPLE, LOCAL, LONE, RETRIEVAL, TWO_PINNED, UNPINNED, fleet};
use crate::snapshot::Snapshot;
use crate::translate::translate;
use crate::verify::verify;
use meridian_planner::plan::Plan;
use meridian_policy::RegionName;

#[test]
fn every_gateway_of_every_fleet_is_clean() {
    for text in [EXAMPLE, TWO_PINNED, LONE, LOCAL, UNPINNED, RETRIEVAL] {
        let fleet = fleet(text);
        for home in fleet.regions.keys() {
            let snapshot = translate(&fleet, &Plan::default(), home, None);
            assert!(snapshot.listeners.len() >= 2, "{home} has listeners");
            assert_eq!(verify(&fleet, home, &snapshot), [], "{home} of {text}");
        }
    }
}

#[test]
fn every_gateway_with_dynamic_modules_is_clean() {
    let all = EXAMPLE.replacen("zones:", "gateways: { filter: native }\nzones:", 1);
    let one = EXAMPLE.replacen("gateway: {", "gateway: { filter: native,", 1);
    for text in [all, one] {
        assert_ne!(text, EXAMPLE);
        let fleet = fleet(&text);
        for home in fleet.regions.keys() {
            let snapshot = translate(&fleet, &Plan::default(), home, None);
            assert_eq!(verify(&fleet, home, &snapshot), [], "{home} of {text}");
        }
    }
}

#[test]
fn a_snapshot_for_another_region_is_not_clean() {
    let fleet = fleet(EXAMPLE);
    let snapshot = translate(
        &fleet,
        &Plan::default(),
        &"us-west-2".parse::<RegionName>().unwrap(),
        None,
    );
    assert!(
        !verify(
            &fleet,
            &"eu-west-1".parse::<RegionName>().unwrap(),
            &snapshot
        )
        .is_empty()
    );
    assert!(
        !verify(
            &fleet,
            &"mars".parse::<RegionName>().unwrap(),
            &Snapshot::default()
        )
        .is_empty()
    );
}
