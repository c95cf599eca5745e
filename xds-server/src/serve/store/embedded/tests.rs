use super::*;
use crate::serve::store::{Change, broken_at};
use meridian_planner::intent::Action;
use meridian_planner::plan::Plan;
use meridian_planner::signal::Millis;
use meridian_policy::filter_policy::Lease;

fn intent(why: &str) -> Intent {
    Intent {
        action: Action::Freeze {},
        by: "ana".into(),
        why: why.into(),
        created: Millis(1),
        expires: Millis(2),
        forced: Vec::new(),
    }
}

fn entry(change: Change, before: Option<u64>, after: Option<Intent>) -> Entry {
    Entry {
        change,
        by: "ana".into(),
        from: "127.0.0.1".into(),
        why: "a test".into(),
        at: Millis(5),
        before,
        after,
    }
}

#[test]
fn what_was_said_is_there_after_a_restart_and_so_is_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Embedded::open(Some(dir.path())).unwrap();
    let store = open();
    let first = store
        .change(entry(Change::Created, None, Some(intent("one"))))
        .unwrap();
    let second = store
        .change(entry(Change::Created, None, Some(intent("two"))))
        .unwrap();
    assert_eq!((first.number, second.number), (1, 2));
    drop(store);
    let store = open();
    assert_eq!(
        store
            .intents()
            .unwrap()
            .0
            .keys()
            .copied()
            .collect::<Vec<_>>(),
        [1, 2]
    );
    let third = store
        .change(entry(Change::Created, Some(1), Some(intent("three"))))
        .unwrap();
    assert_eq!(third.before, Some((1, intent("one"))));
    store.change(entry(Change::Undone, Some(2), None)).unwrap();
    drop(store);
    let store = open();
    let intents = store.intents().unwrap();
    assert_eq!(
        intents.0.into_iter().collect::<Vec<_>>(),
        [(3, intent("three"))]
    );
    let all = store.audit(0, 100).unwrap();
    assert_eq!(
        all.iter().map(|record| record.number).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert_eq!(broken_at(None, &all), None);
    assert_eq!(store.audit(2, 1).unwrap(), all[2..3]);
    assert_eq!(broken_at(Some(&all[1]), &all[2..]), None);
}

#[test]
fn a_record_that_is_changed_or_taken_out_is_missed() {
    let store = Embedded::open(None).unwrap();
    for _ in 0..5 {
        store
            .change(entry(Change::Created, None, Some(intent("one"))))
            .unwrap();
    }
    let all = store.audit(0, 100).unwrap();
    let mut changed = all.clone();
    changed[2].by = "eve".into();
    assert_eq!(broken_at(None, &changed), Some(3));
    let mut shorter = all.clone();
    shorter.remove(1);
    assert_eq!(broken_at(None, &shorter), Some(3));
    let mut renumbered = all;
    renumbered.remove(0);
    for (number, record) in (1..).zip(&mut renumbered) {
        record.number = number;
    }
    assert_eq!(broken_at(None, &renumbered), Some(1));
}

#[test]
fn a_state_file_of_an_earlier_version_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.json");
    let text = r#"{"plan": {"pools": {}, "gateways": {}}, "lease": {"given": 1700000000, "runs_ms": 60000}}"#;
    std::fs::write(&path, text).unwrap();
    let state = Embedded::open(Some(&path))
        .unwrap()
        .state()
        .unwrap()
        .unwrap();
    assert_eq!(state.lease.given, 1_700_000_000);
    let before = dir.path().join("plan.json.before");
    assert_eq!(std::fs::read_to_string(before).unwrap(), text);
    assert!(
        Embedded::open(Some(&path))
            .unwrap()
            .state()
            .unwrap()
            .is_some()
    );
    // One that is torn is moved away as well.
    let torn = dir.path().join("torn.json");
    std::fs::write(&torn, "{ torn").unwrap();
    assert_eq!(Embedded::open(Some(&torn)).unwrap().state().unwrap(), None);
}

#[test]
fn what_cannot_be_used_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    std::fs::write(&file, "not a database").unwrap();
    let error = format!("{:#}", Embedded::open(Some(dir.path())).err().unwrap());
    assert!(
        error.contains("meridian.redb cannot be used: ") && error.contains("move it away"),
        "{error}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"not a database");
    std::fs::remove_file(&file).unwrap();
    let _store = Embedded::open(Some(dir.path())).unwrap();
    let error = format!("{:#}", Embedded::open(Some(dir.path())).err().unwrap());
    assert!(
        error.ends_with("another `meridian serve` uses it"),
        "{error}"
    );
}

/// A table of a later version.
const LATER: TableDefinition<'_, u64, &str> = TableDefinition::new("later");

#[test]
fn a_store_of_a_newer_version_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(Some(dir.path())).unwrap();
    let write = store.database.begin_write().unwrap();
    let newer = VERSION + 1;
    write
        .open_table(VERSIONS)
        .unwrap()
        .insert(ONLY, newer)
        .unwrap();
    write.open_table(LATER).unwrap().insert(1, "kept").unwrap();
    write.commit().unwrap();
    drop(store);
    let bytes = || std::fs::read(dir.path().join(FILE)).unwrap();
    let before = bytes();
    for _ in 0..3 {
        let error = format!("{:#}", Embedded::open(Some(dir.path())).err().unwrap());
        assert!(
            error
                .ends_with("meridian.redb is of a newer version of meridian (2, this one knows 1)"),
            "{error}"
        );
        assert!(bytes() == before, "the file was written");
    }
}

#[test]
fn tables_and_fields_of_a_later_version_are_ignored_and_tables_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(Some(dir.path())).unwrap();
    let write = store.database.begin_write().unwrap();
    write.open_table(LATER).unwrap().insert(1, "kept").unwrap();
    let state = br#"{"plan": {"pools": {}, "gateways": {}, "later": 1}, "lease": {"given": 7, "runs_ms": 60000}, "later": {}}"#;
    write
        .open_table(STATES)
        .unwrap()
        .insert(ONLY, &state[..])
        .unwrap();
    let freeze = br#"{"action": {"kind": "freeze"}, "by": "ana", "why": "one", "created": 1, "expires": 2, "later": []}"#;
    write
        .open_table(INTENTS)
        .unwrap()
        .insert(1, &freeze[..])
        .unwrap();
    let record = br#"{"number": 1, "at": 5, "why": "start", "moves": [], "more": 0, "later": 1}"#;
    write
        .open_table(PLANS)
        .unwrap()
        .insert(1, &record[..])
        .unwrap();
    write.commit().unwrap();
    drop(store);
    let store = Embedded::open(Some(dir.path())).unwrap();
    let state = store.state().unwrap().unwrap();
    assert_eq!(state.lease.given, 7);
    assert_eq!(store.intents().unwrap().0[&1], intent("one"));
    assert_eq!(store.plans(None, 1).unwrap()[0].number, 1);
    store.save(&state, Vec::new()).unwrap();
    drop(store);
    let store = Embedded::open(Some(dir.path())).unwrap();
    let read = store.database.begin_read().unwrap();
    let later = read.open_table(LATER).unwrap().get(1).unwrap();
    assert_eq!(later.unwrap().value(), "kept");
}

#[tokio::test]
async fn the_last_state_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(Some(dir.path())).unwrap());
    assert_eq!(store.state().unwrap(), None);
    let (saver, states) = crate::serve::store::to_save();
    let saving = tokio::spawn(Arc::clone(&store).save_latest(states));
    for given in 0..100 {
        let lease = Lease {
            given,
            runs_ms: 60_000,
        };
        let state = SavedState {
            plan: Plan::default(),
            lease,
            files: Vec::new(),
            before: None,
        };
        saver.save(state, None);
        tokio::task::yield_now().await;
    }
    drop(saver);
    saving.await.unwrap();
    drop(store);
    let store = Embedded::open(Some(dir.path())).unwrap();
    let saved = store.state().unwrap().unwrap();
    assert!(saved.lease.given.abs_diff(99) <= 1, "{saved:?}");
}
