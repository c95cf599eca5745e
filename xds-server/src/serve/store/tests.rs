//! The store in etcd, on a real etcd: who may write, and what is written once.

use super::committed::decoded;
use super::*;
use crate::etcd::process::Etcd;
use crate::etcd::{Client, Watch};
use meridian_planner::intent::{Action, Intent};
use meridian_planner::placement::Placement;
use meridian_planner::plan::Plan;
use meridian_planner::signal::Millis;
use meridian_policy::filter_policy::Lease;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

mod plans;

fn state(given: u64) -> SavedState {
    SavedState {
        plan: Plan::default(),
        lease: Lease {
            given,
            runs_ms: 60_000,
        },
        files: vec!["a file".into()],
        before: None,
    }
}

fn entry(why: &str, before: Option<u64>) -> Entry {
    Entry {
        change: Change::Created,
        by: "ana".into(),
        from: "127.0.0.1".into(),
        why: why.into(),
        at: Millis(5),
        before,
        after: Some(Intent {
            action: Action::Freeze {},
            by: "ana".into(),
            why: why.into(),
            created: Millis(1),
            expires: Millis(2),
            forced: Vec::new(),
        }),
    }
}

/// A replica's store, and the lease of its session.
struct Replica {
    store: Arc<Shared>,
    client: Client,
    lease: i64,
}

impl Replica {
    async fn new(etcd: &Etcd) -> Self {
        let store = Arc::new(Shared::new(etcd.address()));
        let client = etcd.client().await;
        store.connected(Some(client.clone()));
        let lease = client.grant(60).await.unwrap();
        Self {
            store,
            client,
            lease,
        }
    }

    async fn campaign(&self) -> Option<i64> {
        let member = Member::default();
        let campaign = self.store.campaign(&self.client, self.lease, &member);
        let term = campaign.await.unwrap()?;
        self.store.lead(term);
        Some(term)
    }

    async fn plan(&self) -> Option<SavedState> {
        let loaded = self.store.load(&self.client).await.unwrap();
        loaded.plan.map(|(_, plan)| plan.unwrap())
    }
}

#[tokio::test]
async fn a_term_that_was_won_meanwhile_is_not_that_of_a_plan_made_before() {
    let etcd = Etcd::start().await;
    let (first, second) = (Replica::new(&etcd).await, Replica::new(&etcd).await);
    first.campaign().await.unwrap();
    first.store.commit(&state(1), None).await.unwrap();
    // Its session ends while it plans. Another one leads for a moment, and then this one wins again, and does not know yet.
    first.client.revoke(first.lease).await.unwrap();
    second.campaign().await.unwrap();
    second.store.commit(&state(2), None).await.unwrap();
    second.client.revoke(second.lease).await.unwrap();
    let client = etcd.client().await;
    first.store.connected(Some(client.clone()));
    let lease = client.grant(60).await.unwrap();
    let member = Member::default();
    let term = first.store.campaign(&client, lease, &member).await.unwrap();
    let late = first.store.commit(&state(3), None).await;
    assert!(matches!(late, Err(StoreError::NotLeading)), "{late:?}");
    first.store.lead(term.unwrap());
    assert_eq!(first.plan().await, Some(state(2)));
    first.store.commit(&state(4), None).await.unwrap();
}

#[tokio::test]
async fn a_leader_that_was_followed_writes_nothing() {
    let etcd = Etcd::start().await;
    let (first, second) = (Replica::new(&etcd).await, Replica::new(&etcd).await);
    assert!(matches!(
        second.store.commit(&state(0), None).await,
        Err(StoreError::NotLeading)
    ));
    let term = first.campaign().await.unwrap();
    assert_eq!(second.campaign().await, None);
    first.store.commit(&state(1), None).await.unwrap();
    first.store.change(entry("one", None), None).await.unwrap();
    first.client.revoke(first.lease).await.unwrap();
    let next = second.campaign().await.unwrap();
    assert!(next > term);
    second.store.commit(&state(2), None).await.unwrap();
    // The first one does not know yet, as if it had been stopped.
    let late = first.store.commit(&state(3), None).await;
    assert!(matches!(late, Err(StoreError::NotLeading)), "{late:?}");
    let late = first.store.change(entry("late", None), None).await;
    assert!(matches!(late, Err(StoreError::NotLeading)), "{late:?}");
    assert_eq!(second.plan().await, Some(state(2)));
    let record = second
        .store
        .change(entry("two", Some(1)), None)
        .await
        .unwrap();
    assert_eq!(record.number, 2);
    let records = first.store.audit(0, 10).await.unwrap();
    let whys: Vec<&str> = records.iter().map(|record| record.why.as_str()).collect();
    assert_eq!(whys, ["one", "two"]);
    assert_eq!(broken_at(None, &records), None);
    let intents = first.store.intents().await.unwrap();
    assert_eq!(intents.0.keys().collect::<Vec<_>>(), [&2]);
}

#[tokio::test]
async fn writers_at_one_time_leave_no_record_out_and_double_none() {
    let etcd = Etcd::start().await;
    let replica = Replica::new(&etcd).await;
    replica.campaign().await.unwrap();
    let writers = (0..4).map(|writer| {
        let store = Arc::clone(&replica.store);
        tokio::spawn(async move {
            for number in 0..10 {
                let why = format!("{writer}.{number}");
                while store.change(entry(&why, None), None).await.is_err() {}
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let records = replica.store.audit(0, 100).await.unwrap();
    assert_eq!(broken_at(None, &records), None);
    let whys: BTreeSet<&str> = records.iter().map(|record| record.why.as_str()).collect();
    assert_eq!((records.len(), whys.len()), (40, 40));
    assert_eq!(replica.store.intents().await.unwrap().0.len(), 40);
    assert_eq!(replica.store.audit(38, 100).await.unwrap(), records[38..]);
    assert_eq!(replica.store.audit(10, 2).await.unwrap(), records[10..12]);
}

/// Answers requests as the leader does, until it has answered so many.
async fn answer(replica: &Replica, mut watch: Watch, count: usize) {
    let mut loaded = Loaded::default();
    let mut answered = 0;
    while answered < count {
        for change in watch.next().await.unwrap() {
            loaded.apply(change).unwrap();
        }
        for request in std::mem::take(&mut loaded.requests) {
            let why: String = serde_json::from_slice(&request.wanted).unwrap();
            if why == "wrong" {
                replica.store.refuse(&request, json!("no")).await.unwrap();
            } else {
                let changed = replica
                    .store
                    .change(entry(&why, None), Some(&request))
                    .await;
                changed.unwrap();
            }
            answered += 1;
        }
    }
}

#[tokio::test]
async fn what_any_replica_is_asked_for_is_done_once_by_the_one_that_leads() {
    let etcd = Etcd::start().await;
    let leader = Replica::new(&etcd).await;
    let other = Replica::new(&etcd).await;
    leader.campaign().await.unwrap();
    let watch = leader.client.watch(0).await.unwrap();
    let asked = async {
        let record = other.store.submit(Some("k1"), &"one").await.unwrap();
        // The caller has not got the answer, and asks another replica.
        let again = leader.store.submit(Some("k1"), &"one").await.unwrap();
        assert_eq!(record, again);
        let refused = other.store.submit(None, &"wrong").await.unwrap();
        assert_eq!(refused, Answer::Refused(json!("no")));
        // Without a key it is another request.
        other.store.submit(None, &"one").await.unwrap();
        other.store.submit(None, &"one").await.unwrap();
    };
    tokio::join!(answer(&leader, watch, 4), asked);
    let records = leader.store.audit(0, 10).await.unwrap();
    assert_eq!(records.len(), 3);
    let loaded = leader.store.load(&leader.client).await.unwrap();
    assert_eq!(loaded.requests, []);
}

#[tokio::test]
async fn what_nobody_does_is_withdrawn_and_stays_undone() {
    let etcd = Etcd::start().await;
    let replica = Replica::new(&etcd).await;
    let undone = replica.store.submit(Some("k"), &"one").await;
    assert!(matches!(undone, Err(NotSubmitted::NoLeader)), "{undone:?}");
    replica.campaign().await.unwrap();
    let late = Pending {
        id: "key-k".into(),
        lease: replica.lease,
        wanted: Vec::new(),
    };
    let late = replica.store.change(entry("one", None), Some(&late)).await;
    assert!(matches!(late, Err(StoreError::Withdrawn)), "{late:?}");
    assert_eq!(replica.store.audit(0, 10).await.unwrap(), []);
}

#[tokio::test]
async fn an_etcd_that_dies_is_away_and_keeps_everything() {
    let mut etcd = Etcd::start().await;
    let replica = Replica::new(&etcd).await;
    replica.campaign().await.unwrap();
    replica.store.commit(&state(1), None).await.unwrap();
    etcd.kill();
    let away = replica.store.commit(&state(2), None).await;
    assert!(matches!(away, Err(StoreError::Etcd(_))), "{away:?}");
    etcd.restart().await;
    assert_eq!(replica.plan().await, Some(state(1)));
    assert!(replica.store.commit(&state(2), None).await.is_ok());
}

#[tokio::test]
async fn an_embedded_store_is_copied_to_etcd_once() {
    let etcd = Etcd::start().await;
    let embedded = Embedded::open(None).unwrap();
    for number in 0..120 {
        let before = (number > 2).then(|| number - 1);
        embedded.change(entry("one", before)).unwrap();
    }
    let plans = (0..25).map(plans::entry).collect();
    embedded.save(&state(7), plans).unwrap();
    assert_eq!(moved_to(&embedded, &etcd.address()).await.unwrap(), 120);
    let replica = Replica::new(&etcd).await;
    assert_eq!(replica.plan().await, Some(state(7)));
    let records = replica.store.audit(0, 200).await.unwrap();
    assert_eq!(records, embedded.audit(0, 200).unwrap());
    let intents = replica.store.intents().await.unwrap();
    assert_eq!(intents, embedded.intents().unwrap());
    let plans = replica.store.plans(Some(0), 100).await.unwrap();
    assert_eq!(plans.len(), 25);
    assert_eq!(plans, embedded.plans(Some(0), 100).unwrap());
    replica.campaign().await.unwrap();
    let next = replica
        .store
        .change(entry("next", None), None)
        .await
        .unwrap();
    assert_eq!(next.number, 121);
    let again = moved_to(&embedded, &etcd.address()).await.unwrap_err();
    assert!(again.to_string().contains("already"), "{again:#}");
}

/// A plan in which each of 100 gateways has a share and weights of its own for 4 zones and 20 models.
fn large_plan() -> Plan {
    let mut plan = Plan::default();
    let region = |number: u32| format!("region-{number}").parse().unwrap();
    for gateway in 0..100 {
        let zones = plan.gateways.entry(region(gateway)).or_default();
        for zone in 0..4 {
            let zone = format!("zone-{zone}").parse().unwrap();
            let models: &mut BTreeMap<_, _> = zones.entry(zone).or_default();
            for model in 0..20 {
                let weights = [20, 16, 14, 13, 12, 10, 8, 7].into_iter().cycle();
                let weights = weights.skip(((gateway + model) % 8) as usize);
                let others = (1..=8).map(|next| region((gateway + next * 7 + model) % 100));
                let placement = Placement {
                    home_share: ((gateway * 13 + model * 5) % 100) as u8,
                    overflow: others.zip(weights).collect(),
                    ..Placement::home()
                };
                models.insert(format!("model-{model}").parse().unwrap(), placement);
            }
        }
    }
    plan
}

#[test]
fn the_plan_of_a_large_fleet_fits_into_etcd() {
    let region = |number: usize, edit: usize| {
        let models = (0..20).map(|model| {
            let (a, b) = (number % 250, (number * model + edit) % 250);
            format!("      model-{model}: {{ endpoints: [\"10.{a}.{b}.1:8000\", \"10.{a}.{b}.2:8000\"] }}\n")
        });
        let models: String = models.collect();
        format!(
            "  region-{number}:\n    gateway: {{ address: gateway-{number}.example.com }}\n    pools:\n{models}"
        )
    };
    let text = |edit: usize| {
        (0..100)
            .map(|number| region(number, edit))
            .collect::<String>()
    };
    let files: Vec<String> = (0..17).map(text).collect();
    let state = SavedState {
        plan: large_plan(),
        lease: state(0).lease,
        before: Some(Box::new(SavedState {
            plan: large_plan(),
            lease: state(0).lease,
            files: files[1..].to_vec(),
            before: None,
        })),
        files,
    };
    let value = committed::encoded(&state, 7).unwrap();
    // etcd's limit of a request is 1.5 MiB.
    assert!(value.len() < 1_400_000, "{}", value.len());
    assert!(decoded(&value) == Ok(state), "another state comes back");
}
