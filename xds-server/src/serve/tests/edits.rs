//! Edits of the fleet file, in one step and in several.

use super::*;
use crate::serve::report::SourceReport;

#[test]
fn an_edit_is_taken_whole_or_not_at_all() {
    let mut stand = Stand::new();
    let before = stand.published.clone();
    let effects = stand.handle(Event::Edited(Err("zones.eea: wrong".into())));
    assert!(effects.publish.is_none() && effects.fleet.is_none());
    let report = stand.report();
    assert_eq!(report.fleet.error.unwrap().message, "zones.eea: wrong");
    assert_eq!((report.counts.bad_edits, report.counts.reloads), (1, 0));

    let edited = EXAMPLE.replacen(
        "\"10.0.1.10:8000\", \"10.0.1.11:8000\"]",
        "\"10.0.1.10:8000\"]",
        1,
    );
    let edited = crate::fleet::parse(&edited).unwrap();
    let effects = stand.handle(Event::Edited(Ok(Box::new(edited))));
    assert!(effects.fleet.is_some());
    assert_eq!(
        changed(&before, &stand.published),
        set(["us-west-2 endpoint pool/us-west-2/llama-3.1-70b"]),
        "one server less is one resource"
    );
    assert_eq!(stand.report().fleet.error, None);
}

pub(super) fn renamed(to: &str) -> Event {
    let text = EXAMPLE
        .replace("  eea:", &format!("  {to}:"))
        .replace("unknown_zone: eea", &format!("unknown_zone: {to}"))
        .replace("pinned: true,", "pinned: true, jurisdictions: [eea],");
    Event::Edited(Ok(Box::new(crate::fleet::parse(&text).unwrap())))
}

/// The resource types that differ.
fn kinds(before: &Publication, after: &Publication) -> BTreeSet<String> {
    let changed = changed(before, after);
    let kinds = changed.iter().filter_map(|name| name.split(' ').nth(1));
    kinds.map(str::to_owned).collect()
}

#[test]
fn an_edit_of_zones_goes_step_by_step_as_the_gateways_accept_it() {
    let mut stand = Stand::new();
    let first = stand.published.clone();
    let effects = stand.handle(renamed("europe"));
    assert!(effects.fleet.is_some());
    let both = stand.published.clone();
    let moved = changed(&first, &both);
    assert_eq!(kinds(&first, &both), set(["cluster", "extension", "route"]));
    assert!(
        !moved.iter().any(|name| name.ends_with("meridian.router")),
        "{moved:?}"
    );
    assert!(stand.tick(100).publish.is_none(), "the gateways have time");
    stand.handle(Event::Settled);
    let policies = stand.published.clone();
    assert_eq!(changed(&both, &policies), every_policy());
    stand.handle(Event::Settled);
    assert_eq!(
        kinds(&policies, &stand.published),
        set(["extension", "route"])
    );
    assert!(!stand.controller.is_migrating());
    assert_eq!(
        changed(&stand.published, &Stand::edited("europe")),
        BTreeSet::new()
    );
    assert!(stand.handle(Event::Settled).publish.is_none());
    assert_eq!(stand.report().counts.reloads, 1);
}

#[test]
fn a_gateway_that_does_not_answer_holds_no_edit_up() {
    let mut stand = Stand::new();
    stand.handle(renamed("europe"));
    let ticks = (1..).find(|_| {
        stand.tick(100);
        !stand.controller.is_migrating()
    });
    assert_eq!(ticks, Some(40), "two steps of two seconds");
    assert_eq!(
        changed(&stand.published, &Stand::edited("europe")),
        BTreeSet::new()
    );
}

#[test]
fn an_edit_waits_for_the_one_before_and_only_the_last_is_taken() {
    let mut stand = Stand::new();
    stand.handle(renamed("europe"));
    for name in ["union", "old-world"] {
        let effects = stand.handle(renamed(name));
        assert!(effects.publish.is_none() && effects.fleet.is_none());
    }
    stand.handle(Event::Settled);
    stand.handle(Event::Settled);
    let europe = stand.published.clone();
    assert!(stand.tick(100).fleet.is_some());
    let both = changed(&europe, &stand.published);
    assert!(
        both.contains("eu-west-1 cluster chain/old-world/llama-3.1-70b/eu-west-1"),
        "{both:?}"
    );
    stand.handle(Event::Settled);
    stand.handle(Event::Settled);
    assert_eq!(
        changed(&stand.published, &Stand::edited("old-world")),
        BTreeSet::new()
    );
    assert_eq!(stand.report().counts.reloads, 2);

    // A queued edit is dropped when a later edit is invalid.
    stand.handle(renamed("europe"));
    stand.handle(renamed("union"));
    stand.handle(Event::Edited(Err("zones.union: wrong".into())));
    stand.handle(Event::Settled);
    stand.handle(Event::Settled);
    assert!(stand.tick(100).fleet.is_none());
    assert_eq!(stand.report().counts.reloads, 3);
    assert!(stand.report().fleet.error.is_some());
}

#[test]
fn a_lease_that_is_due_is_renewed_after_the_edit() {
    let mut stand = Stand::new();
    stand.handle(renamed("europe"));
    stand.now = Millis(stand.now.0 + 20_000);
    assert!(stand.handle(Event::Settled).save.is_none());
    stand.handle(Event::Settled);
    let before = stand.published.clone();
    assert!(stand.tick(0).save.is_some());
    assert!(kinds(&before, &stand.published).contains("extension"));
}

#[test]
fn a_source_that_takes_the_place_of_another_begins_anew() {
    let mut source = SourceReport::default();
    for (url, failures) in [("http://a/", 1), ("http://a/", 2), ("http://b/", 1)] {
        source.note(url, &Err(ScrapeError::Status(500)));
        assert_eq!(
            (source.url.as_str(), source.failures["status"]),
            (url, failures)
        );
    }
}
