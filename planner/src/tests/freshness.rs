//! Data freshness, and the databases that serve retrieval.

use crate::alarm::freshness_alarms as alarms;
use crate::freshness::Freshness;
use crate::plan::Plan;
use crate::retrieval::{chain, databases, may_read, readers};
use meridian_fixtures::any_fleet::fleets;
use meridian_fixtures::fleets::{EAST, EU, WEST, example, vector_db, zone};
use meridian_policy::RegionName;
use meridian_policy::fleet::Fleet;
use meridian_policy::retrieval::Role;
use meridian_policy::source::{Preset, SignalFormat, SignalSource};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// The example fleet with a primary in us-east-1 and replicas in the other two regions.
fn with_databases() -> Fleet {
    let mut fleet = example();
    for (name, role) in [
        (WEST, Role::Replica),
        (EAST, Role::Primary),
        (EU, Role::Replica),
    ] {
        let region = fleet.regions.get_mut(name).unwrap();
        region.vector_db = Some(vector_db(role));
        if role == Role::Replica {
            region.signals.push(SignalSource {
                url: format!("http://{name}/lag"),
                format: SignalFormat::Preset(Preset::Postgres),
                token: None,
                tls: None,
                model: None,
                max_running: None,
                every: Duration::from_secs(1),
            });
        }
    }
    fleet
}

/// The same fleet with all regions in one zone that is not pinned.
fn unpinned() -> Fleet {
    let mut fleet = with_databases();
    fleet.zones.remove("eea");
    fleet
}

/// A fleet and its freshness over successive lag reports.
struct Tracker {
    fleet: Fleet,
    freshness: Freshness,
}

impl Tracker {
    fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            freshness: Freshness::default(),
        }
    }

    fn lags(&mut self, lags: &[(&str, f64)]) -> &mut Self {
        let lags: BTreeMap<&str, f64> = lags.iter().copied().collect();
        let lag = |region: &RegionName| lags.get(region.as_str()).copied();
        self.freshness = self.freshness.next(&self.fleet, lag);
        self
    }

    fn serves(&self, home: &str) -> String {
        let home = home.parse().unwrap();
        self.freshness.serves(&self.fleet, &home).to_string()
    }
}

fn named(regions: &[RegionName]) -> Vec<&str> {
    regions.iter().map(RegionName::as_str).collect()
}

#[test]
fn a_replica_above_the_limit_is_replaced_until_well_below_it() {
    let mut tracker = Tracker::new(with_databases());
    for (lag, by) in [
        (0.0, WEST),
        (30.0, WEST),
        (30.1, EAST),
        (29.0, EAST),
        (24.1, EAST),
        (24.0, WEST),
        (29.0, WEST),
    ] {
        tracker.lags(&[(WEST, lag)]);
        assert_eq!(tracker.serves(WEST), by, "{lag} s behind");
    }
}

#[test]
fn a_silent_replica_keeps_its_state() {
    let mut tracker = Tracker::new(with_databases());
    assert_eq!(tracker.lags(&[]).serves(WEST), WEST, "no report yet");
    tracker.lags(&[(WEST, 31.0)]).lags(&[]);
    assert_eq!(tracker.serves(WEST), EAST, "silent while behind");
    tracker.lags(&[(WEST, 20.0)]).lags(&[]);
    assert_eq!(tracker.serves(WEST), WEST, "silent after recovery");
}

#[test]
fn a_new_primary_without_a_lag_source_is_not_behind() {
    let mut tracker = Tracker::new(unpinned());
    tracker.lags(&[(WEST, 45.0), (EU, 1.0)]);
    assert_eq!(tracker.serves(WEST), EAST);
    // us-east-1 is lost, and us-west-2 becomes the primary.
    for (name, role) in [(EAST, Role::Replica), (WEST, Role::Primary)] {
        let region = tracker.fleet.regions.get_mut(name).unwrap();
        region.signals.clear();
        region.vector_db = Some(vector_db(role));
    }
    tracker.lags(&[(EU, 1.0)]);
    assert_eq!(tracker.serves(WEST), WEST);
    assert!(tracker.freshness.behind.is_empty());
}

#[test]
fn a_lag_without_a_fresh_report_is_unknown() {
    let mut tracker = Tracker::new(with_databases());
    let unknown = |tracker: &Tracker| {
        named(
            &tracker
                .freshness
                .unknown
                .iter()
                .cloned()
                .collect::<Vec<_>>(),
        )
        .join(" ")
    };
    let alarmed = |tracker: &Tracker| {
        let plan = Plan {
            freshness: tracker.freshness.clone(),
            ..Plan::default()
        };
        let alarms = alarms(&tracker.fleet, &plan);
        let silent = alarms
            .iter()
            .filter(|alarm| alarm.message.contains("silent"));
        silent
            .map(|alarm| alarm.region.to_string())
            .collect::<Vec<_>>()
    };
    tracker.lags(&[(WEST, 1.0), (EU, 1.0)]);
    assert_eq!(unknown(&tracker), "");
    tracker.lags(&[(EU, 1.0)]);
    assert_eq!(
        (unknown(&tracker).as_str(), alarmed(&tracker)),
        (WEST, vec![WEST.to_owned()])
    );
    tracker.lags(&[(WEST, 31.0), (EU, 1.0)]).lags(&[(EU, 1.0)]);
    assert_eq!(
        unknown(&tracker),
        "",
        "the last known lag is above the limit"
    );
    // Without a source for the lag, silence raises no alarm.
    tracker.fleet.regions.get_mut(EU).unwrap().signals.clear();
    tracker.lags(&[(WEST, 1.0)]);
    assert_eq!(
        (unknown(&tracker).as_str(), alarmed(&tracker)),
        (EU, vec![])
    );
}

#[test]
fn retrieval_in_a_pinned_zone_stays_there_at_any_lag() {
    let mut tracker = Tracker::new(with_databases());
    tracker.lags(&[(EU, 3600.0), (EAST, 0.0), (WEST, 0.0)]);
    assert_eq!(tracker.serves(EU), EU);
    let plan = Plan {
        freshness: tracker.freshness.clone(),
        ..Plan::default()
    };
    let alarms = alarms(&tracker.fleet, &plan);
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].region, EU.parse().unwrap());
    // No other region's retrieval moves there either.
    let databases = |home: &str| databases(&tracker.fleet, &home.parse().unwrap());
    assert_eq!(named(&databases(EU)), [EU]);
    assert_eq!(named(&databases(WEST)), [WEST, EAST]);
    assert_eq!(
        named(&readers(&tracker.fleet, &EAST.parse().unwrap())),
        [WEST]
    );
    assert_eq!(
        named(&readers(&tracker.fleet, &EU.parse().unwrap())),
        [] as [&str; 0]
    );
}

#[test]
fn a_region_of_two_pinned_zones_reads_only_where_both_allow_it() {
    let mut fleet = with_databases();
    fleet.zones.get_mut("eea").unwrap().regions = [EU, EAST].map(RegionName::from_static).into();
    assert!(may_read(
        &fleet,
        &EU.parse().unwrap(),
        &EAST.parse().unwrap()
    ));
    let us = meridian_policy::fleet::Zone {
        pinned: true,
        regions: [EAST, WEST].map(RegionName::from_static).into(),
        ..zone()
    };
    fleet.zones.insert("us".parse().unwrap(), us);
    assert!(!may_read(
        &fleet,
        &EU.parse().unwrap(),
        &EAST.parse().unwrap()
    ));
    assert!(
        !may_read(&fleet, &EAST.parse().unwrap(), &EU.parse().unwrap()),
        "eu-west-1 may return EU data"
    );
    assert!(!may_read(
        &fleet,
        &WEST.parse().unwrap(),
        &EAST.parse().unwrap()
    ));
}

#[test]
fn without_a_primary_the_freshest_replica_serves_and_stays_chosen() {
    let mut fleet = unpinned();
    for region in fleet.regions.values_mut() {
        region.vector_db = Some(vector_db(Role::Replica));
    }
    let mut tracker = Tracker::new(fleet);
    tracker.lags(&[(WEST, 100.0)]);
    assert_eq!(
        tracker.serves(WEST),
        WEST,
        "the lag of the others is unknown"
    );
    tracker.lags(&[(WEST, 100.0), (EAST, 20.0), (EU, 3.0)]);
    assert_eq!(tracker.serves(WEST), EU);
    tracker.lags(&[(WEST, 100.0), (EAST, 2.0), (EU, 3.0)]);
    assert_eq!(tracker.serves(WEST), EU, "the choice is stable");
    tracker.lags(&[(WEST, 100.0), (EAST, 2.0), (EU, 31.0)]);
    assert_eq!(tracker.serves(WEST), EAST);
    tracker.lags(&[(WEST, 100.0), (EAST, 200.0), (EU, 31.0)]);
    assert_eq!(tracker.serves(WEST), WEST, "all are behind");
}

#[test]
fn a_primary_is_excluded_only_if_it_reports_a_high_lag() {
    let mut tracker = Tracker::new(unpinned());
    tracker.lags(&[(WEST, 100.0), (EU, 1.0)]);
    assert_eq!(tracker.serves(WEST), EAST, "a primary needs no lag report");
    tracker.lags(&[(WEST, 100.0), (EAST, 50.0), (EU, 1.0)]);
    assert_eq!(
        tracker.serves(WEST),
        EU,
        "the reported lag outweighs the role"
    );
    assert_eq!(tracker.serves(EAST), EU);
}

#[test]
fn databases_are_tried_in_the_order_home_primary_nearest() {
    let fleet = unpinned();
    let chain =
        |home: &str, first: &str| chain(&fleet, &home.parse().unwrap(), &first.parse().unwrap());
    assert_eq!(named(&chain(WEST, WEST)), [WEST, EAST, EU]);
    assert_eq!(named(&chain(WEST, EAST)), [EAST, WEST, EU]);
    assert_eq!(named(&chain(EU, WEST)), [WEST, EU, EAST]);
    assert_eq!(named(&chain(WEST, "mars")), [WEST, EAST, EU]);
}

#[test]
fn a_planned_database_applies_only_if_the_fleet_allows_it() {
    let mut tracker = Tracker::new(unpinned());
    tracker.lags(&[(EU, 100.0)]);
    assert_eq!(tracker.serves(EU), EAST);
    let pinned = with_databases();
    let here = EU.parse::<RegionName>().unwrap();
    assert_eq!(
        tracker.freshness.serves(&pinned, &here),
        &here,
        "the planned database is not allowed"
    );
    let kept = tracker.freshness.carried_over(&pinned);
    assert!(kept.retrieval.is_empty() && kept.behind.contains(EU));
    // A plan of an older version has no freshness.
    let plan: Plan = serde_json::from_str(r#"{"pools":{},"gateways":{}}"#).unwrap();
    assert_eq!(plan, Plan::default());
}

proptest! {
    #[test]
    fn retrieval_never_crosses_the_border_of_a_pinned_zone(
        fleet in fleets(),
        rounds in prop::collection::vec(prop::collection::vec(prop::option::of(0.0..100.0f64), 5), 1..8),
    ) {
        let mut freshness = Freshness::default();
        for lags in rounds {
            let lags: BTreeMap<&RegionName, Option<f64>> = fleet.regions.keys().zip(lags).collect();
            freshness = freshness.next(&fleet, |region| lags[region]);
            for home in fleet.regions.keys() {
                let serves = freshness.serves(&fleet, home);
                let all = chain(&fleet, home, serves);
                prop_assert_eq!(!all.is_empty(), fleet.regions[home].vector_db.is_some());
                for zone in fleet.zones.values().filter(|zone| zone.pinned) {
                    for other in all.iter().chain([serves]) {
                        let (from, to) = (zone.regions.contains(home), zone.regions.contains(other));
                        prop_assert!(from == to, "{home} retrieves at {other}: {fleet:?}");
                    }
                }
                if freshness.behind.contains(home) && serves != home {
                    prop_assert!(!freshness.behind.contains(serves));
                }
            }
        }
    }
}
