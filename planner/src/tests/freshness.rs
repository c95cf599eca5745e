//! Whose data is behind, and who serves what is retrieved meanwhile.

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

/// The example; us-east-1 has the primary, the other two a replica each.
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

/// The same with all regions in one zone that is not pinned.
fn unpinned() -> Fleet {
    let mut fleet = with_databases();
    fleet.zones.remove("eea");
    fleet
}

/// A fleet, as it is told its lags.
struct Told {
    fleet: Fleet,
    freshness: Freshness,
}

impl Told {
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
        let home = home.into();
        self.freshness.serves(&self.fleet, &home).to_string()
    }
}

fn named(regions: &[RegionName]) -> Vec<&str> {
    regions.iter().map(RegionName::as_str).collect()
}

#[test]
fn a_replica_past_the_limit_is_left_and_taken_back_well_below_it() {
    let mut told = Told::new(with_databases());
    for (lag, by) in [
        (0.0, WEST),
        (30.0, WEST),
        (30.1, EAST),
        (29.0, EAST),
        (24.1, EAST),
        (24.0, WEST),
        (29.0, WEST),
    ] {
        told.lags(&[(WEST, lag)]);
        assert_eq!(told.serves(WEST), by, "{lag} s behind");
    }
}

#[test]
fn silence_moves_nobody() {
    let mut told = Told::new(with_databases());
    assert_eq!(told.lags(&[]).serves(WEST), WEST, "never heard");
    told.lags(&[(WEST, 31.0)]).lags(&[]);
    assert_eq!(told.serves(WEST), EAST, "not heard since");
    told.lags(&[(WEST, 20.0)]).lags(&[]);
    assert_eq!(told.serves(WEST), WEST, "not heard since it is well");
}

#[test]
fn a_new_primary_of_which_nothing_tells_is_not_behind() {
    let mut told = Told::new(unpinned());
    told.lags(&[(WEST, 45.0), (EU, 1.0)]);
    assert_eq!(told.serves(WEST), EAST);
    // us-east-1 is lost, and us-west-2 made the primary.
    for (name, role) in [(EAST, Role::Replica), (WEST, Role::Primary)] {
        let region = told.fleet.regions.get_mut(name).unwrap();
        region.signals.clear();
        region.vector_db = Some(vector_db(role));
    }
    told.lags(&[(EU, 1.0)]);
    assert_eq!(told.serves(WEST), WEST);
    assert!(told.freshness.behind.is_empty());
}

#[test]
fn what_nothing_tells_of_is_unknown() {
    let mut told = Told::new(with_databases());
    let unknown =
        |told: &Told| named(&told.freshness.unknown.iter().cloned().collect::<Vec<_>>()).join(" ");
    let alarmed = |told: &Told| {
        let plan = Plan {
            freshness: told.freshness.clone(),
            ..Plan::default()
        };
        let alarms = alarms(&told.fleet, &plan);
        let silent = alarms
            .iter()
            .filter(|alarm| alarm.message.contains("silent"));
        silent
            .map(|alarm| alarm.region.to_string())
            .collect::<Vec<_>>()
    };
    told.lags(&[(WEST, 1.0), (EU, 1.0)]);
    assert_eq!(unknown(&told), "");
    told.lags(&[(EU, 1.0)]);
    assert_eq!(
        (unknown(&told).as_str(), alarmed(&told)),
        (WEST, vec![WEST.to_owned()])
    );
    told.lags(&[(WEST, 31.0), (EU, 1.0)]).lags(&[(EU, 1.0)]);
    assert_eq!(unknown(&told), "", "it is behind, as far as is known");
    // Where no source would tell it, silence is no news.
    told.fleet.regions.get_mut(EU).unwrap().signals.clear();
    told.lags(&[(WEST, 1.0)]);
    assert_eq!((unknown(&told).as_str(), alarmed(&told)), (EU, vec![]));
}

#[test]
fn europe_stays_in_europe_however_old_its_data() {
    let mut told = Told::new(with_databases());
    told.lags(&[(EU, 3600.0), (EAST, 0.0), (WEST, 0.0)]);
    assert_eq!(told.serves(EU), EU);
    let plan = Plan {
        freshness: told.freshness.clone(),
        ..Plan::default()
    };
    let alarms = alarms(&told.fleet, &plan);
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].region, EU.into());
    // Nor does anybody else's retrieval come there.
    let databases = |home: &str| databases(&told.fleet, &home.into());
    assert_eq!(named(&databases(EU)), [EU]);
    assert_eq!(named(&databases(WEST)), [WEST, EAST]);
    assert_eq!(named(&readers(&told.fleet, &EAST.into())), [WEST]);
    assert_eq!(named(&readers(&told.fleet, &EU.into())), [] as [&str; 0]);
}

#[test]
fn a_region_of_two_pinned_zones_reads_where_both_may() {
    let mut fleet = with_databases();
    fleet.zones.get_mut("eea").unwrap().regions = [EU, EAST].map(RegionName::from).into();
    assert!(may_read(&fleet, &EU.into(), &EAST.into()));
    let us = meridian_policy::fleet::Zone {
        pinned: true,
        regions: [EAST, WEST].map(RegionName::from).into(),
        ..zone()
    };
    fleet.zones.insert("us".into(), us);
    assert!(!may_read(&fleet, &EU.into(), &EAST.into()));
    assert!(
        !may_read(&fleet, &EAST.into(), &EU.into()),
        "what eu-west-1 answers may be of the EU alone"
    );
    assert!(!may_read(&fleet, &WEST.into(), &EAST.into()));
}

#[test]
fn without_a_primary_the_freshest_that_is_known_serves_and_goes_on_doing_so() {
    let mut fleet = unpinned();
    for region in fleet.regions.values_mut() {
        region.vector_db = Some(vector_db(Role::Replica));
    }
    let mut told = Told::new(fleet);
    told.lags(&[(WEST, 100.0)]);
    assert_eq!(told.serves(WEST), WEST, "of the others nothing is known");
    told.lags(&[(WEST, 100.0), (EAST, 20.0), (EU, 3.0)]);
    assert_eq!(told.serves(WEST), EU);
    told.lags(&[(WEST, 100.0), (EAST, 2.0), (EU, 3.0)]);
    assert_eq!(told.serves(WEST), EU, "no coming and going");
    told.lags(&[(WEST, 100.0), (EAST, 2.0), (EU, 31.0)]);
    assert_eq!(told.serves(WEST), EAST);
    told.lags(&[(WEST, 100.0), (EAST, 200.0), (EU, 31.0)]);
    assert_eq!(told.serves(WEST), WEST, "all are behind");
}

#[test]
fn a_primary_is_left_out_only_where_it_says_itself_that_it_is_behind() {
    let mut told = Told::new(unpinned());
    told.lags(&[(WEST, 100.0), (EU, 1.0)]);
    assert_eq!(
        told.serves(WEST),
        EAST,
        "nothing needs to be known of a primary"
    );
    told.lags(&[(WEST, 100.0), (EAST, 50.0), (EU, 1.0)]);
    assert_eq!(
        told.serves(WEST),
        EU,
        "the primary is another one by now, it seems"
    );
    assert_eq!(told.serves(EAST), EU);
}

#[test]
fn whoever_is_tried_next_is_home_then_the_primary_then_the_nearest() {
    let fleet = unpinned();
    let chain = |home: &str, first: &str| chain(&fleet, &home.into(), &first.into());
    assert_eq!(named(&chain(WEST, WEST)), [WEST, EAST, EU]);
    assert_eq!(named(&chain(WEST, EAST)), [EAST, WEST, EU]);
    assert_eq!(named(&chain(EU, WEST)), [WEST, EU, EAST]);
    assert!(chain(WEST, "mars").is_empty());
}

#[test]
fn what_a_plan_says_counts_as_far_as_the_fleet_allows_it() {
    let mut told = Told::new(unpinned());
    told.lags(&[(EU, 100.0)]);
    assert_eq!(told.serves(EU), EAST);
    let pinned = with_databases();
    let here = RegionName::from(EU);
    assert_eq!(
        told.freshness.serves(&pinned, &here),
        &here,
        "whatever it says"
    );
    let kept = told.freshness.carried_over(&pinned);
    assert!(kept.retrieval.is_empty() && kept.behind.contains(EU));
    // An older plan says nothing of it.
    let plan: Plan = serde_json::from_str(r#"{"pools":{},"gateways":{}}"#).unwrap();
    assert_eq!(plan, Plan::default());
}

proptest! {
    #[test]
    fn no_plan_gives_a_region_a_database_across_the_border_of_a_pinned_zone(
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
