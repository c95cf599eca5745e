//! The history of plans: in etcd with the plan, and in a file.

use super::*;
use crate::etcd::Step;
use meridian_planner::plan::Moved;

/// What a plan has moved, and when.
pub(super) fn entry(at: u64) -> PlanEntry {
    let moved = Moved::Freshness {
        region: "us-west-2".parse().unwrap(),
        behind: true,
    };
    PlanEntry::new(Millis(at), Why::Signals, vec![moved.into()])
}

fn numbers(records: &[PlanRecord]) -> Vec<(u64, u64)> {
    let numbers = records.iter().map(|record| (record.number, record.at.0));
    numbers.collect()
}

#[tokio::test]
async fn the_history_is_written_with_the_plan_and_by_the_leader_alone() {
    let etcd = Etcd::start().await;
    let (first, second) = (Replica::new(&etcd).await, Replica::new(&etcd).await);
    first.campaign().await.unwrap();
    for at in [1, 2] {
        first
            .store
            .commit(&state(at), Some(entry(at)))
            .await
            .unwrap();
    }
    // A renewal of the lease.
    first.store.commit(&state(3), None).await.unwrap();
    first.client.revoke(first.lease).await.unwrap();
    second.campaign().await.unwrap();
    // The first one does not know yet, and has the next number in mind.
    let late = first.store.commit(&state(4), Some(entry(4))).await;
    assert!(matches!(late, Err(StoreError::NotLeading)), "{late:?}");
    second
        .store
        .commit(&state(5), Some(entry(5)))
        .await
        .unwrap();
    let late = first.store.commit(&state(6), Some(entry(6))).await;
    assert!(matches!(late, Err(StoreError::NotLeading)), "{late:?}");
    let records = first.store.plans(Some(0), 10).await.unwrap();
    assert_eq!(numbers(&records), [(1, 1), (2, 2), (3, 5)]);
    assert_eq!(records, second.store.plans(None, 10).await.unwrap());
    assert_eq!(second.store.plans(None, 1).await.unwrap(), records[2..]);
    assert_eq!(second.store.plans(Some(1), 1).await.unwrap(), records[1..2]);
    assert_eq!(second.plan().await, Some(state(5)));
}

#[tokio::test]
async fn etcd_has_the_last_thousand_records() {
    let etcd = Etcd::start().await;
    let replica = Replica::new(&etcd).await;
    replica.campaign().await.unwrap();
    for at in 1..=1003 {
        let state = state(at);
        let committed = replica.store.commit(&state, Some(entry(at)));
        committed.await.unwrap();
    }
    let records = replica.store.plans(Some(0), 2000).await.unwrap();
    assert_eq!(records.len(), 1000);
    assert_eq!((records[0].number, records[999].number), (4, 1003));
    let last = replica.store.plans(None, 250).await.unwrap();
    assert_eq!(last, records[750..]);
}

#[tokio::test]
async fn keys_of_a_newer_version_are_left_alone() {
    let etcd = Etcd::start().await;
    let client = etcd.client().await;
    let put = [Step::put("version", "2"), Step::put("plan", "of tomorrow")];
    let revision = client.transact([], put).await.unwrap().revision;
    let replica = Replica::new(&etcd).await;
    let error = replica.store.load(&replica.client).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store in etcd is of a newer version of meridian (2, this one knows 1)"
    );
    let read = client.transact([], [Step::read("")]).await.unwrap();
    assert_eq!(read.revision, revision, "something was written");
}

#[test]
fn a_file_has_the_last_thousand_records_and_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Embedded::open(Some(dir.path())).unwrap();
    let store = open();
    assert_eq!(store.plans(None, 10).unwrap(), []);
    store
        .save(&state(1), (1..=600).map(entry).collect())
        .unwrap();
    store.save(&state(2), Vec::new()).unwrap();
    drop(store);
    let store = open();
    store
        .save(&state(3), (601..=1003).map(entry).collect())
        .unwrap();
    let records = store.plans(Some(0), 2000).unwrap();
    assert_eq!(records.len(), 1000);
    assert_eq!((records[0].number, records[0].at), (4, Millis(4)));
    assert_eq!((records[999].number, records[999].at), (1003, Millis(1003)));
    assert_eq!(store.plans(None, 2).unwrap(), records[998..]);
    assert_eq!(store.plans(Some(10), 2).unwrap(), records[7..9]);
}

#[tokio::test]
async fn a_record_is_saved_although_its_state_is_skipped() {
    let store = Arc::new(Embedded::open(None).unwrap());
    let (saver, mut to_save) = to_save();
    for at in 0..10 {
        saver.save(state(at), (at % 2 == 0).then(|| entry(at)));
    }
    let (last, entries) = to_save.next().await.unwrap();
    assert_eq!((last, entries.len()), (state(9), 5));
    // As if they could not be written.
    to_save.put_back(entries);
    saver.save(state(10), Some(entry(10)));
    drop(saver);
    Arc::clone(&store).save_latest(to_save).await;
    let records = store.plans(None, 10).unwrap();
    let at: Vec<u64> = records.iter().map(|record| record.at.0).collect();
    assert_eq!(at, [0, 2, 4, 6, 8, 10]);
}
