use super::*;
use crate::residency_hunt::definition::{Definition, Misdirected};

const EU: Caller = Caller {
    country: Some("DE"),
    gateway: "eu-west-1",
};

/// Definitions by generation: the first one, and after each change.
fn history(changes: &[fn(&mut Definition)]) -> BTreeMap<u32, Definition> {
    let (mut definition, mut all) = (Definition::first(), BTreeMap::new());
    all.insert(1, definition.clone());
    for (change, generation) in changes.iter().zip(2..) {
        change(&mut definition);
        all.insert(generation, definition.clone());
    }
    all
}

fn zone<'d>(definition: &'d mut Definition, name: &str) -> &'d mut Zone {
    definition.zones.get_mut(name).unwrap()
}

fn moves_to_the_us(definition: &mut Definition) {
    zone(definition, "x").regions = vec!["us-west-2"];
}

fn renames_a_provider(definition: &mut Definition) {
    definition.fallbacks.insert("f", 0);
}

#[test]
fn home_and_the_zones_own_fallback_are_allowed() {
    let places = [Place::Pool("eu-west-1"), Place::Provider(1)];
    assert!(is_clean(&history(&[]), EU, (1, 1), &places));
    assert!(!is_clean(&history(&[]), EU, (1, 1), &[Place::Provider(0)]));
    assert!(!is_clean(
        &history(&[]),
        EU,
        (1, 1),
        &[Place::Pool("us-east-1")]
    ));
}

#[test]
fn a_retry_over_an_edit_is_judged_by_the_definition_of_the_decision() {
    let definitions = history(&[moves_to_the_us]);
    let places = [Place::Pool("eu-west-1"), Place::Pool("us-west-2")];
    assert!(!is_clean(&definitions, EU, (1, 1), &places));
    // Where the decision may have been made under either one, no single one allows both.
    assert!(!is_clean(&definitions, EU, (1, 2), &places));
    assert!(is_clean(&definitions, EU, (1, 2), &places[..1]));
}

#[test]
fn a_fallback_is_its_address() {
    let definitions = history(&[renames_a_provider]);
    assert!(!is_clean(&definitions, EU, (1, 1), &[Place::Provider(0)]));
    assert!(is_clean(&definitions, EU, (2, 2), &[Place::Provider(0)]));
    assert!(!is_clean(&definitions, EU, (2, 2), &[Place::Provider(1)]));
}

#[test]
fn a_gateway_outside_may_forward_only() {
    let us = Caller {
        gateway: "us-west-2",
        ..EU
    };
    let places = [Place::Peer("eu-west-1"), Place::Pool("eu-west-1")];
    assert!(is_clean(&history(&[]), us, (1, 1), &places));
    let refuses = history(&[|definition| {
        zone(definition, "x").misdirected = Misdirected::Refuse;
    }]);
    assert!(!is_clean(&refuses, us, (2, 2), &places));
    assert!(is_clean(&refuses, us, (2, 2), &[]));
    // A peer outside the zone is a place as well, though it asks no pool.
    assert!(!is_clean(&refuses, us, (1, 1), &[Place::Peer("us-east-1")]));
}

#[test]
fn callers_of_an_open_zone_may_be_served_anywhere() {
    let us = Caller {
        country: Some("JP"),
        gateway: "us-west-2",
    };
    let places = [Place::Peer("eu-west-1"), Place::Provider(4)];
    assert!(is_clean(&history(&[]), us, (1, 1), &places));
    let pinned = history(&[|definition| zone(definition, "y").pinned = true]);
    assert!(!is_clean(&pinned, us, (2, 2), &places));
    assert!(is_clean(&pinned, us, (1, 2), &places));
}

#[test]
fn callers_of_no_known_country_are_of_the_unknown_zone() {
    let definition = Definition::first();
    for country in [Some("XX"), Some("T1"), None] {
        assert_eq!(zone_of(&definition, country).unwrap().0, "x");
    }
    assert_eq!(zone_of(&definition, Some("AU")).unwrap().0, "y");
    let without_rest = &history(&[|definition| zone(definition, "y").rest = false])[&2];
    assert_eq!(zone_of(without_rest, Some("AU")).unwrap().0, "x");
}
