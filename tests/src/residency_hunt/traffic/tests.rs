//! Histories by hand: what was written when, what the gateway showed, and where a request was.

use super::*;
use crate::residency_hunt::call::Framing;
use crate::residency_hunt::caller::Heard;
use crate::residency_hunt::definition::Definition;
use crate::residency_hunt::generations::Poll;
use crate::residency_hunt::judge::Caller;
use crate::residency_hunt::marker::Part;

const HOME: &str = "eu-west-1";

/// When the second definition is written, and when the gateway shows it.
const WRITTEN: u64 = 10_000;
const SHOWN: u64 = 10_500;

/// A judge of a gateway at home that has the first definition, and then a changed one.
fn judge(change: fn(&mut Definition), file_counts: bool) -> Judge {
    let (mut ledger, mut definition) = (Ledger::default(), Definition::first());
    ledger.add(&definition, 0);
    change(&mut definition);
    ledger.add(&definition, WRITTEN);
    let polls = (0..200).map(|poll| {
        let from = poll * 100;
        let generation = if from < SHOWN { 1 } else { 2 };
        Poll {
            from,
            until: from + 10,
            generations: (generation, generation),
        }
    });
    Judge {
        sightings: Arc::default(),
        generations: Arc::new(Generations::of(HOME, polls.collect())),
        ledger: Arc::new(Mutex::new(ledger)),
        file_counts,
        found: Mutex::default(),
        outstanding: Mutex::default(),
        next: AtomicU32::new(1),
        is_closing: AtomicBool::new(false),
    }
}

/// A request from Germany at home.
fn sent(at: u64) -> Ended {
    let caller = Caller {
        country: Some("DE"),
        gateway: HOME,
    };
    Ended {
        call: Call {
            id: 1,
            caller,
            path: "/v1/chat/completions".into(),
            headers: Vec::new(),
            body: String::new(),
            framing: Framing::Length,
            trickle_ms: 0,
        },
        heard: Heard::default(),
        failure: None,
        sent_at: at,
        ended_at: at + 5_000,
    }
}

fn seen(places: &[(u64, Place)]) -> Vec<Sighting> {
    let seen = places.iter().map(|(at, place)| Sighting {
        place: *place,
        part: Part::Body,
        at: *at,
    });
    seen.collect()
}

/// The kind of leak, if it is one.
fn kind(judge: &Judge, at: u64, places: &[(u64, Place)]) -> Option<String> {
    let leak = judge.leak(&sent(at), &seen(places));
    leak.map(|leak| leak.kind)
}

fn moves(definition: &mut Definition) {
    if let Some(zone) = definition.zones.get_mut("x") {
        zone.regions = vec!["us-west-2"];
    }
}

fn other_provider(definition: &mut Definition) {
    definition.fallbacks.insert("f", 0);
}

#[test]
fn a_request_that_stays_where_its_definition_allows_is_clean() {
    let judge = judge(moves, false);
    assert_eq!(kind(&judge, 9_000, &[(9_002, Place::Pool(HOME))]), None);
    assert_eq!(kind(&judge, 9_000, &[]), None);
    let late = [(15_000, Place::Provider(1))];
    assert_eq!(kind(&judge, 9_000, &late), None);
}

#[test]
fn a_retry_over_an_edit_is_found() {
    let judge = judge(moves, false);
    let places = [
        (9_002, Place::Pool(HOME)),
        (12_000, Place::Pool("us-west-2")),
    ];
    assert_eq!(kind(&judge, 9_000, &places).unwrap(), "by a retry: a pool");
}

#[test]
fn a_fallback_that_means_another_provider_is_found() {
    let judge = judge(other_provider, false);
    let places = [(9_002, Place::Pool(HOME)), (12_000, Place::Provider(0))];
    let found = kind(&judge, 9_000, &places).unwrap();
    assert_eq!(found, "by a retry: another provider by a fallback's name");
    // The gateway has it long since.
    assert_eq!(kind(&judge, 15_000, &[(15_002, Place::Provider(0))]), None);
    let old = kind(&judge, 15_000, &[(15_002, Place::Provider(1))]);
    assert_eq!(
        old.unwrap(),
        "at once: another provider by a fallback's name"
    );
}

#[test]
fn a_slow_upload_over_an_edit_may_be_served_by_either_definition() {
    let judge = judge(other_provider, false);
    for provider in [0, 1] {
        let places = [(11_000, Place::Provider(provider))];
        assert_eq!(kind(&judge, 9_000, &places), None);
    }
    let both = [(11_000, Place::Provider(0)), (11_500, Place::Provider(1))];
    assert!(kind(&judge, 9_000, &both).is_some());
}

#[test]
fn routes_that_are_newer_than_the_policy_are_found_unless_the_file_counts() {
    // Written, and not shown by the gateway yet.
    let places = [(10_202, Place::Provider(0))];
    let found = kind(&judge(other_provider, false), 10_200, &places).unwrap();
    assert!(found.ends_with("as the file said already"), "{found}");
    assert_eq!(kind(&judge(other_provider, true), 10_200, &places), None);
    let before = [(9_802, Place::Provider(0))];
    assert!(kind(&judge(other_provider, true), 9_800, &before).is_some());
}
