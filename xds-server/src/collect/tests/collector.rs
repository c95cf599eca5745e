//! Tests of which sources are scraped, and when.

use super::{noon, signal};
use crate::collect::collector::offset;
use crate::collect::{Collector, Scrape, WatchedSource};
use crate::fleet::parse;
use axum::extract::State;
use meridian_policy::source::{Preset, SignalFormat};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

const DEADLINE: Duration = Duration::from_secs(20);

/// A page that responds when the test says so.
struct Gate {
    asked: watch::Sender<usize>,
    left: AtomicUsize,
    open: Notify,
}

/// Counts clients that disconnect before a response.
struct Asker(Arc<Gate>, bool);

impl Drop for Asker {
    fn drop(&mut self) {
        if !self.1 {
            self.0.left.fetch_add(1, Ordering::SeqCst);
            self.0.asked.send_modify(|_| {});
        }
    }
}

async fn metrics(State(gate): State<Arc<Gate>>) -> &'static str {
    let mut asker = Asker(Arc::clone(&gate), false);
    gate.asked.send_modify(|asked| *asked += 1);
    gate.open.notified().await;
    asker.1 = true;
    "pg_replication_lag_seconds 1\n"
}

async fn gate() -> (Arc<Gate>, SocketAddr) {
    let gate = Arc::new(Gate {
        asked: watch::channel(0).0,
        left: AtomicUsize::new(0),
        open: Notify::new(),
    });
    let router = axum::Router::new()
        .route("/metrics", axum::routing::get(metrics))
        .with_state(Arc::clone(&gate));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (gate, address)
}

impl Gate {
    async fn until(&self, what: impl Fn(&Self, usize) -> bool) {
        let mut asked = self.asked.subscribe();
        let waited = asked.wait_for(|asked| what(self, *asked));
        tokio::time::timeout(DEADLINE, waited)
            .await
            .unwrap()
            .unwrap();
    }
}

fn watched(source: &str, address: SocketAddr) -> WatchedSource {
    let mut signal = signal(Preset::Postgres);
    signal.url = format!("http://{address}/metrics");
    signal.every = Duration::from_secs(5);
    WatchedSource {
        region: "us-west-2".parse().unwrap(),
        source: source.to_owned(),
        signal,
        pools: BTreeSet::new(),
        ttl: Duration::from_secs(10),
    }
}

async fn next(receiver: &mut mpsc::Receiver<Scrape>) -> Option<Scrape> {
    tokio::time::timeout(DEADLINE, receiver.recv())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_reload_disturbs_only_what_changed() {
    let [(gone, a), (same, b), (new, c)] = [gate().await, gate().await, gate().await];
    let (sender, mut receiver) = mpsc::channel(8);
    let sources = vec![watched("a", a), watched("b", b)];
    let mut collector = Collector::start(sources, sender, noon).unwrap();
    gone.until(|_, asked| asked == 1).await;
    same.until(|_, asked| asked == 1).await;

    collector.replace(vec![watched("b", b), watched("c", c), watched("c", c)]);
    gone.until(|gate, _| gate.left.load(Ordering::SeqCst) == 1)
        .await;
    new.until(|_, asked| asked == 1).await;

    // The current scrape is finished.
    same.open.notify_one();
    let scrape = next(&mut receiver).await.unwrap();
    assert_eq!(
        (scrape.source.as_str(), scrape.outcome.is_ok()),
        ("b", true)
    );
    new.open.notify_one();
    let scrape = next(&mut receiver).await.unwrap();
    assert_eq!(
        (scrape.source.as_str(), scrape.outcome.is_ok()),
        ("c", true)
    );
    assert_eq!(same.left.load(Ordering::SeqCst), 0);
    assert_eq!(*new.asked.borrow(), 1);
}

#[tokio::test]
async fn after_a_stop_nothing_is_sent() {
    let (gate, address) = gate().await;
    let (sender, mut receiver) = mpsc::channel(8);
    let collector = Collector::start(vec![watched("a", address)], sender, noon).unwrap();
    gate.until(|_, asked| asked == 1).await;
    collector.stop().await;
    assert!(next(&mut receiver).await.is_none());
    gate.until(|gate, _| gate.left.load(Ordering::SeqCst) == 1)
        .await;
}

#[test]
fn every_source_of_the_fleet_is_watched() {
    let signals = concat!(
        "    signals:\n",
        "      - { prometheus: \"http://10.0.3.10:8000/metrics\", preset: vllm, max_running: 8 }\n",
        "      - { prometheus: \"http://10.0.3.11:9400/metrics\", preset: dcgm, every: 5s }\n",
        "fallbacks:\n",
    );
    let fleet = parse(&super::FLEET.replace("fallbacks:\n", signals)).unwrap();
    let watched = WatchedSource::of(&fleet);
    let found: Vec<_> = watched
        .iter()
        .map(|it| {
            (
                it.region.as_str(),
                it.source.as_str(),
                it.signal.format.clone(),
                it.limit(),
            )
        })
        .collect();
    let seconds = Duration::from_secs;
    assert_eq!(
        found,
        [
            (
                "eu-west-1",
                "signals[0]",
                SignalFormat::Preset(Preset::Vllm),
                seconds(2)
            ),
            (
                "eu-west-1",
                "signals[1]",
                SignalFormat::Preset(Preset::Dcgm),
                seconds(5)
            ),
        ]
    );
    assert_eq!(watched[0].pools, super::pools(&["llama-3.1-70b"]));
}

#[test]
fn sources_are_spread_over_a_round_by_what_they_are() {
    let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let offsets = |every: Duration| -> Vec<Duration> {
        let each = (0..64).map(|number| {
            let mut watched = watched("signals[0]", address);
            watched.signal.url += &format!("/{number}");
            watched.signal.every = every;
            offset(&watched)
        });
        each.collect()
    };
    for (every, round) in [(500, 500), (5000, 2000)] {
        let found = offsets(Duration::from_millis(every));
        assert_eq!(
            found,
            offsets(Duration::from_millis(every)),
            "always the same"
        );
        let distinct: BTreeSet<&Duration> = found.iter().collect();
        assert_eq!(distinct.len(), 64);
        for quarter in 0..4 {
            let within = |offset: &&Duration| offset.as_millis() * 4 / round == quarter;
            let count = found.iter().filter(within).count();
            assert!(
                count >= 8,
                "{count} of 64 in quarter {quarter} of {round} ms"
            );
        }
    }
    // Whatever its place in the file.
    let moved = watched("signals[7]", address);
    assert_eq!(offset(&moved), offset(&watched("signals[0]", address)));
}
