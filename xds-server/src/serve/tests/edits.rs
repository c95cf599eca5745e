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
    let effects = stand.handle(Event::Edited(Ok(edition(&edited))));
    assert!(effects.fleet.is_some());
    assert_eq!(
        changed(&before, &stand.published),
        set(["us-west-2 endpoint pool/us-west-2/llama-3.1-70b"]),
        "one server less is one resource"
    );
    assert_eq!(stand.report().fleet.error, None);
}

/// The example with another name of its pinned zone.
fn renamed_text(to: &str) -> String {
    EXAMPLE
        .replace("  eea:", &format!("  {to}:"))
        .replace("unknown_zone: eea", &format!("unknown_zone: {to}"))
        .replace("pinned: true,", "pinned: true, jurisdictions: [eea],")
}

pub(super) fn renamed(to: &str) -> Event {
    Event::Edited(Ok(edition(&renamed_text(to))))
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
    assert!(
        !moved.iter().any(|name| name.ends_with("meridian.router")),
        "{moved:?}"
    );
    assert!(stand.tick(100).publish.is_none(), "the gateways have time");
    stand.handle(Event::Settled);
    let policies = stand.published.clone();
    assert_eq!(changed(&both, &policies), every_policy());
    assert!(!stand.controller.is_handing_over());
    assert_eq!(stand.report().counts.reloads, 1);
}

/// The definitions that a stand keeps of earlier editions, without their hashes.
fn kept(stand: &Stand) -> Vec<String> {
    let kept = stand.report().fleet.kept;
    kept.iter()
        .map(|id| id.as_str().split('@').next().unwrap().to_owned())
        .collect()
}

#[test]
fn definitions_before_an_edit_are_kept_until_their_last_request_has_ended() {
    let mut stand = Stand::new();
    let first = stand.published.clone();
    stand.handle(renamed("europe"));
    stand.handle(Event::Settled);
    assert_eq!(kept(&stand), ["eea"]);
    let text = status::text(&stand.report());
    assert!(text.contains("the earlier definitions eea@"), "{text}");
    // What the first edition had is there, as it was.
    for (region, resources) in &first {
        for kind in [ResourceType::Cluster, ResourceType::Listener] {
            for (name, resource) in resources.of(kind) {
                let now = stand.published[region].get(kind, name).unwrap();
                let is_chain = name.starts_with("chain/");
                assert!(!is_chain || now.version == resource.version, "{name}");
            }
        }
    }
    let answer = fleet().limits.answer.as_millis();
    for _ in 0..10 {
        stand.tick(60_000);
    }
    assert_eq!(kept(&stand), ["eea"], "a gateway may still decide by it");
    assert!(stand.controller.keeps_definitions_in_use());
    stand.handle(Event::Settled);
    stand.tick(u64::try_from(answer).unwrap());
    assert_eq!(kept(&stand), ["eea"], "a request may be on its way");
    stand.tick(6_000);
    assert_eq!(kept(&stand), [""; 0]);
    let own = names(&Stand::start_with(&renamed_text("europe"), None, stand.now).published);
    assert_eq!(names(&stand.published), own);
}

/// All resources, as `region type name`.
fn names(publication: &Publication) -> BTreeSet<String> {
    changed(&Publication::new(), publication)
}

#[test]
fn a_control_plane_that_restarts_hands_over_from_the_edition_before() {
    let before = Stand::new();
    let (saved, now) = (before.saved.clone(), before.now);
    assert_eq!(saved.files, [EXAMPLE]);
    let mut stand = Stand::start_with(&renamed_text("europe"), Some(saved), now);
    assert!(stand.controller.is_handing_over());
    assert!(
        !changed(&before.published, &stand.published)
            .iter()
            .any(|name| name.ends_with("meridian.router")),
        "the gateways keep their policies"
    );
    assert_eq!(stand.saved.files, [renamed_text("europe"), EXAMPLE.into()]);
    stand.handle(Event::Settled);
    assert_eq!(kept(&stand), ["eea"]);
    // It dies again, and the file is as it was.
    let mut stand = Stand::start_with(EXAMPLE, Some(stand.saved.clone()), now);
    stand.handle(Event::Settled);
    assert_eq!(kept(&stand), ["europe"]);
    // A file that is no fleet file any more is left out.
    let mut saved = stand.saved.clone();
    saved.files = vec!["zones: [".into()];
    let stand = Stand::start_with(&renamed_text("europe"), Some(saved), now);
    assert!(!stand.controller.is_handing_over());
    assert_eq!(kept(&stand), [""; 0]);
}

#[test]
fn definitions_that_cannot_be_kept_do_not_hold_an_edit_up() {
    let mut stand = Stand::new();
    // The pool of a region becomes the provider of a fallback: its address has two meanings.
    let text = renamed_text("europe").replace("\"10.0.1.11:8000\"", "\"10.0.1.12:8000\"");
    let mut edited = edition(&text);
    let mut fleet = Fleet::clone(&edited.fleet);
    let claude = fleet.fallbacks.get_mut("claude-eu").unwrap();
    claude.endpoint.host = "10.0.3.10".into();
    claude.endpoint.port = 8000;
    let pools = &mut fleet.regions.get_mut("eu-west-1").unwrap().pools;
    pools.retain(|model, _| model.as_str() != LLAMA);
    edited.fleet = Arc::new(fleet.into());
    let effects = stand.handle(Event::Edited(Ok(edited)));
    assert!(effects.fleet.is_some(), "{:?}", stand.report().fleet.error);
    assert_eq!(kept(&stand), [""; 0]);
}

#[test]
fn a_gateway_that_does_not_answer_holds_no_edit_up() {
    let [mut stand, mut answered] = [Stand::new(), Stand::new()];
    for stand in [&mut stand, &mut answered] {
        for _ in 0..300 {
            stand.tick(100);
        }
        stand.handle(renamed("europe"));
    }
    assert_eq!(stand.ticks_of_handover(), 20, "one step of two seconds");
    answered.handle(Event::Settled);
    assert_eq!(
        changed(&stand.published, &answered.published),
        BTreeSet::new()
    );
}

#[test]
fn after_a_restart_a_handover_waits_until_gateways_connect_again() {
    for (lease, expected) in [("5m", 300), ("20s", 100)] {
        let before = Stand::new();
        let address = "{ address: meridian.example.com";
        let text = renamed_text("europe").replace(address, &format!("{address}, lease: {lease}"));
        let mut stand = Stand::start_with(&text, Some(before.saved), before.now);
        let ticks = stand.ticks_of_handover();
        assert_eq!(ticks, expected, "30 s, and half of a shorter lease");
    }
}

#[test]
fn an_edit_soon_after_a_start_waits_until_gateways_connect_again() {
    let mut stand = Stand::new();
    for _ in 0..100 {
        stand.tick(100);
    }
    stand.handle(renamed("europe"));
    assert_eq!(stand.ticks_of_handover(), 200, "30 s after the start");
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
    assert!(stand.tick(100).fleet.is_some());
    stand.handle(Event::Settled);
    assert_eq!(kept(&stand), ["eea", "europe"]);
    assert_eq!(stand.report().counts.reloads, 2);

    // A queued edit is dropped when a later edit is invalid.
    stand.handle(renamed("europe"));
    stand.handle(renamed("union"));
    stand.handle(Event::Edited(Err("zones.union: wrong".into())));
    stand.handle(Event::Settled);
    assert!(stand.tick(100).fleet.is_none());
    assert_eq!(stand.report().counts.reloads, 3);
    assert!(stand.report().fleet.error.is_some());
    assert_eq!(kept(&stand), ["eea", "old-world"]);
}

#[test]
fn of_many_editions_the_newest_are_kept() {
    let mut stand = Stand::new();
    for edit in 0..20 {
        stand.handle(renamed(&format!("zone-{edit}")));
        stand.handle(Event::Settled);
    }
    let kept = kept(&stand);
    assert_eq!(kept.len(), 16);
    assert!(kept.contains(&"zone-18".to_owned()) && !kept.contains(&"zone-2".to_owned()));
}

#[test]
fn a_lease_that_is_due_is_renewed_after_the_edit() {
    let mut stand = Stand::new();
    stand.handle(renamed("europe"));
    stand.now = Millis(stand.now.0 + 20_000);
    let lease = stand.saved.lease;
    stand.handle(Event::Settled);
    assert_eq!(stand.saved.lease, lease);
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
