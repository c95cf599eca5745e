//! Which plans are recorded, and why.

use super::*;
use crate::serve::store::{PlanEntry, Why};
use meridian_planner::intent::{Action, Intent};
use meridian_planner::plan::{Cause, Moved, Signal};

/// The own share of us-west-2 before and after, and why it moved.
fn own(entry: &PlanEntry) -> Option<(u8, u8, Vec<Cause>)> {
    let mut placements = entry.moves.iter().filter_map(|each| match &each.moved {
        Moved::Placement {
            gateway,
            before: Some(before),
            after: Some(after),
            ..
        } if gateway.as_str() == "us-west-2" => {
            Some((before.home_share, after.home_share, each.causes.clone()))
        }
        _ => None,
    });
    placements.next()
}

/// A drain of us-west-2 for a minute.
fn drain(created: Millis) -> Intent {
    Intent {
        action: Action::Drain {
            region: "us-west-2".parse().unwrap(),
            model: None,
            hard: false,
        },
        by: "ana".into(),
        why: "racks".into(),
        created,
        expires: Millis(created.0 + 60_000),
        forced: Vec::new(),
    }
}

#[test]
fn a_plan_that_moves_something_is_recorded_with_its_cause_and_a_renewal_is_not() {
    let mut stand = Stand::new();
    let first = stand.second(0.3, 0.3).record.unwrap();
    // The first plan says where overflow would go: to regions that are calm.
    let (before, after, causes) = own(&first).unwrap();
    assert_eq!((first.why, before, after), (Why::Signals, 100, 100));
    assert!(
        causes.iter().all(|cause| matches!(cause, Cause::Below(_))),
        "{causes:?}"
    );
    for _ in 0..60 {
        assert_eq!(stand.second(0.3, 0.3).record, None);
    }
    let hot = stand.second(0.95, 0.3).record.unwrap();
    assert_eq!((hot.why, hot.at), (Why::Signals, stand.now));
    let (before, after, causes) = own(&hot).unwrap();
    assert_eq!((before, after), (100, 78));
    let Some(Cause::Above(above)) = causes.first() else {
        panic!("{causes:?}");
    };
    assert_eq!(
        (above.signal, above.value, above.limit),
        (Signal::Utilization, 0.95, 0.8)
    );
}

#[test]
fn intents_are_told_and_so_is_their_end() {
    let mut stand = Stand::new();
    stand.second(0.3, 0.3);
    let drain = drain(stand.now);
    stand.controller.set_intents(Intents([(5, drain)].into()));
    let drained = stand.second(0.3, 0.3).record.unwrap();
    assert_eq!(drained.why, Why::Intent);
    assert_eq!(own(&drained).unwrap().2, [Cause::Intent { number: 5 }]);
    for _ in 0..57 {
        stand.second(0.3, 0.3);
    }
    // It ends by itself, and the plan that follows says so, though nobody has taken it from the list yet.
    let records = (0..5).filter_map(|_| stand.second(0.3, 0.3).record);
    let ended = records.filter(|record| record.why == Why::Intent);
    let ended: Vec<PlanEntry> = ended.collect();
    assert_eq!(ended.len(), 1, "{ended:?}");
    let (.., causes) = own(&ended[0]).unwrap();
    assert_eq!(causes.first(), Some(&Cause::IntentEnded { number: 5 }));
}

#[test]
fn the_end_of_an_intent_is_told_after_a_restart_too() {
    let mut stand = Stand::new();
    stand.second(0.3, 0.3);
    let drained = Intents([(5, drain(stand.now))].into());
    stand.controller.set_intents(drained.clone());
    stand.second(0.3, 0.3);
    let now = Millis(stand.now.0 + 2000);
    let file = "fleet.yaml".into();
    let saved = Some(stand.saved.clone());
    let started = Controller::start(edition(EXAMPLE), file, saved, drained, now);
    stand.controller = started.unwrap().0;
    stand.now = now;
    stand.controller.set_intents(Intents::default());
    // Until every source was read no plan is made.
    assert_eq!(stand.tick(1000).record, None);
    let ended = stand.second(0.3, 0.3).record.unwrap();
    assert_eq!(ended.why, Why::Intent);
    let told = ended.moves.iter().flat_map(|each| &each.causes);
    assert!(
        told.into_iter()
            .any(|cause| *cause == Cause::IntentEnded { number: 5 })
    );
}

#[test]
fn an_edit_is_recorded_once_though_it_moves_nothing_and_takes_steps() {
    let mut stand = Stand::new();
    stand.second(0.3, 0.3);
    let edited = stand.handle(renamed("europe")).record.unwrap();
    assert_eq!(edited.why, Why::Edit);
    while stand.controller.is_handing_over() {
        assert_eq!(stand.handle(Event::Settled).record, None);
    }
    let wrong = Event::Edited(Err("wrong".into()));
    assert_eq!(stand.handle(wrong).record, None);
}

#[test]
fn a_start_is_recorded_with_what_it_moves() {
    let start = |saved: Option<SavedState>, now| {
        let file = "fleet.yaml".into();
        let started = Controller::start(edition(EXAMPLE), file, saved, Intents::default(), now);
        started.unwrap().1.record.unwrap()
    };
    let mut stand = Stand::new();
    assert_eq!(start(None, stand.now).moves, []);
    stand.second(0.3, 0.3);
    stand.second(0.95, 0.3);
    let again = start(Some(stand.saved.clone()), Millis(stand.now.0 + 2000));
    assert_eq!((again.why, again.moves), (Why::Start, vec![]));
    // Its lease has ended: everybody was sent home first meanwhile.
    let later = start(Some(stand.saved.clone()), Millis(stand.now.0 + 120_000));
    let (before, after, causes) = own(&later).unwrap();
    assert_eq!((later.why, before, after), (Why::Start, 78, 100));
    assert_eq!(causes, []);
}
