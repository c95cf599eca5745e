//! Sessions of replicas, on a real etcd.

use super::*;
use crate::etcd::process::Etcd;
use tokio::time::{Instant, timeout};

/// A replica leads within this time after the one before.
const FOLLOWED: Duration = Duration::from_secs(5);

fn replica(etcd: &Etcd, name: &str) -> Ends {
    start(Arc::new(Shared::new(etcd.address())), name.to_owned())
}

/// Waits until it leads.
async fn leads(ends: &mut Ends) {
    let led = async {
        loop {
            match ends.events.recv().await.unwrap() {
                ReplicaEvent::Leads(_) => return,
                _ => continue,
            }
        }
    };
    timeout(Duration::from_secs(60), led).await.unwrap();
}

/// Takes its news, until what others see of it is so.
async fn until_seen(ends: &mut Ends, is_so: impl Fn(&ReplicasReport) -> bool) {
    let seen = async {
        loop {
            if let ReplicaEvent::State(report) = ends.events.recv().await.unwrap()
                && is_so(&report)
            {
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), seen).await.unwrap();
}

#[tokio::test]
async fn one_leads_and_another_one_when_it_is_gone() {
    let mut etcd = Etcd::start().await;
    let mut first = replica(&etcd, "first");
    leads(&mut first).await;
    let mut second = replica(&etcd, "second");
    until_seen(&mut second, |report| {
        let leader = report.leader.as_ref();
        leader.is_some_and(|leader| leader.name == "first") && report.replicas.len() == 2
    })
    .await;
    // Its session ends without a word, as if it had died.
    drop(first);
    let begun = Instant::now();
    leads(&mut second).await;
    assert!(begun.elapsed() < FOLLOWED, "{:?}", begun.elapsed());
    etcd.kill();
    until_seen(&mut second, |report| !report.up && report.error.is_some()).await;
    etcd.restart().await;
    leads(&mut second).await;
}

#[tokio::test]
async fn what_others_are_told_last_is_what_they_see() {
    let etcd = Etcd::start().await;
    let mut ends = replica(&etcd, "first");
    leads(&mut ends).await;
    for number in 1..=200 {
        ends.own.send_modify(|own| own.settled = number);
        // At any moment of what the session does meanwhile.
        sleep(Duration::from_micros(number.unsigned_abs() * 37 % 3000)).await;
        while ends.events.try_recv().is_ok() {}
    }
    ends.own.send_modify(|own| own.settled = 1000);
    sleep(Duration::from_micros(700)).await;
    ends.own.send_modify(|own| own.settled = 1001);
    until_seen(&mut ends, |report| report.replicas[0].settled == 1001).await;
}
