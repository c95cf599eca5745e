//! Pushes over real sockets: authorization, and accepted values. The scenarios cover certificates.

use super::{noon, pools, signal, whys};
use crate::clock::Clock;
use crate::collect::push::Pushes;
use crate::collect::{RefusalReason, Scrape, WatchedSource};
use arc_swap::ArcSwap;
use meridian_planner::signal::{Answers, Figures, Millis, Observation, Reading};
use meridian_policy::source::{Figure, Preset, SignalFormat};
use meridian_proto::signals::signals_client::SignalsClient;
use meridian_proto::signals::{self as pb, PushRequest, PushResponse, Sample};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Status};

const ID: &str = "spiffe://meridian/source/loads";

fn watched() -> WatchedSource {
    let mut signal = signal(Preset::Vllm);
    signal.url = ID.into();
    signal.format = SignalFormat::Pushed(BTreeSet::from([
        Figure::Waiting,
        Figure::KvCache,
        Figure::Answers,
        Figure::Failures,
        Figure::ReplicationLag,
    ]));
    WatchedSource {
        region: "us-west-2".parse().unwrap(),
        source: "signals[0]".into(),
        signal,
        pools: pools(&["llama", "mistral"]),
        ttl: Duration::from_secs(10),
    }
}

/// A server that identifies all callers as this one.
struct Pushed {
    client: SignalsClient<Channel>,
    scrapes: mpsc::Receiver<Scrape>,
}

impl Pushed {
    async fn start(proven: Option<&'static str>, clock: Clock, room: usize) -> Self {
        let (sender, scrapes) = mpsc::channel(room);
        let sources = Arc::new(ArcSwap::from_pointee(vec![watched()]));
        let identify = move |_: &Request<PushRequest>| Ok(proven.map(str::to_owned));
        let service = Pushes::new(identify, sources, sender, clock).into_service();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        Self {
            client: SignalsClient::new(channel),
            scrapes,
        }
    }

    async fn push(&mut self, request: PushRequest) -> Result<PushResponse, Status> {
        let response = self.client.push(request).await?;
        Ok(response.into_inner())
    }

    /// The scrape of an accepted push.
    async fn taken(&mut self, samples: Vec<Sample>) -> (PushResponse, Scrape) {
        let response = self.push(request(samples)).await.unwrap();
        (response, self.scrapes.recv().await.unwrap())
    }
}

fn request(samples: Vec<Sample>) -> PushRequest {
    PushRequest {
        region: "us-west-2".into(),
        samples,
        source: ID.into(),
    }
}

fn sample(figure: pb::Figure, model: &str, value: f64) -> Sample {
    Sample {
        figure: figure.into(),
        value,
        model: model.into(),
        engine: String::new(),
    }
}

/// A clock that advances one second per call.
fn ticking() -> Millis {
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    Millis(noon().0 + 1000 * LOOKS.fetch_add(1, Ordering::SeqCst))
}

#[tokio::test]
async fn what_is_pushed_is_observed() {
    let mut pushed = Pushed::start(None, noon, 8).await;
    let samples = vec![
        sample(pb::Figure::Waiting, "llama", 3.0),
        sample(pb::Figure::KvCache, "llama", 0.5),
        sample(pb::Figure::Answers, "llama", 100.0),
        sample(pb::Figure::Failures, "llama", 2.0),
        sample(pb::Figure::ReplicationLag, "", 4.5),
    ];
    let (response, scrape) = pushed.taken(samples).await;
    assert_eq!(response.refused, []);
    assert_eq!(
        (scrape.source.as_str(), scrape.url.as_str()),
        ("signals[0]", ID)
    );
    let figures = Figures {
        waiting: Some(3.0),
        kv_cache: Some(0.5),
        answers: Some(Answers {
            all: 100.0,
            failed: 2.0,
        }),
        ..Figures::default()
    };
    let expected = Observation {
        region: "us-west-2".parse().unwrap(),
        source: format!("push {ID}"),
        at: noon(),
        readings: vec![
            Reading::Server {
                model: "llama".parse().unwrap(),
                engine: String::new(),
                figures,
            },
            Reading::ReplicationLag { seconds: 4.5 },
        ],
    };
    assert_eq!(scrape.outcome.unwrap().observation, Some(expected));
}

#[tokio::test]
async fn lies_are_refused_and_told() {
    let mut pushed = Pushed::start(None, ticking, 8).await;
    for (bad, why) in [
        (
            sample(pb::Figure::Waiting, "llama", f64::NAN),
            RefusalReason::NotANumber,
        ),
        (
            sample(pb::Figure::Waiting, "llama", -1.0),
            RefusalReason::Negative,
        ),
        (
            sample(pb::Figure::Waiting, "llama", f64::INFINITY),
            RefusalReason::Infinite,
        ),
        (
            sample(pb::Figure::Waiting, "llama", 1e300),
            RefusalReason::TooLarge,
        ),
        (
            sample(pb::Figure::Waiting, "gpt", 1.0),
            RefusalReason::UnknownName,
        ),
        (
            sample(pb::Figure::Waiting, "", 1.0),
            RefusalReason::MissingLabel,
        ),
    ] {
        let fine = sample(pb::Figure::KvCache, "llama", 0.25);
        let (response, scrape) = pushed.taken(vec![bad, fine]).await;
        let scraped = scrape.outcome.unwrap();
        assert_eq!(whys(&scraped.refused), [("waiting", why, 1)]);
        assert_eq!(response.refused[0].reason, why.label());
        assert_eq!(scraped.observation.unwrap().readings.len(), 1, "{why:?}");
    }
    // A figure that the fleet file does not list, and an unknown one.
    let unknown = Sample {
        figure: 99,
        ..Sample::default()
    };
    let unlisted = sample(pb::Figure::GpuBusy, "", 0.5);
    let (_, scrape) = pushed.taken(vec![unknown, unlisted]).await;
    let scraped = scrape.outcome.unwrap();
    assert_eq!(
        whys(&scraped.refused),
        [("push", RefusalReason::UnknownName, 2)]
    );
    assert_eq!(scraped.observation, None);
    let (_, scrape) = pushed.taken(Vec::new()).await;
    assert_eq!(
        whys(&scrape.outcome.unwrap().refused),
        [("push", RefusalReason::Nothing, 1)]
    );
}

#[tokio::test]
async fn too_much_is_cut() {
    let mut pushed = Pushed::start(None, ticking, 8).await;
    let engines = |count: usize| {
        let samples = (0..count).map(|engine| Sample {
            engine: engine.to_string(),
            ..sample(pb::Figure::Waiting, "llama", 1.0)
        });
        samples.collect::<Vec<_>>()
    };
    let (_, scrape) = pushed.taken(engines(1000)).await;
    let scraped = scrape.outcome.unwrap();
    assert_eq!(
        whys(&scraped.refused),
        [("waiting", RefusalReason::TooMany, 744)]
    );
    assert_eq!(scraped.observation.unwrap().readings.len(), 256);
    let long = Sample {
        engine: "e".repeat(65),
        ..sample(pb::Figure::Waiting, "llama", 1.0)
    };
    let (_, scrape) = pushed.taken(vec![long]).await;
    assert_eq!(
        whys(&scrape.outcome.unwrap().refused),
        [("waiting", RefusalReason::TooLarge, 1)]
    );
    let status = pushed.push(request(engines(100_000))).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
}

#[tokio::test]
async fn a_flood_is_refused_and_counted() {
    let mut pushed = Pushed::start(None, flooded, 8).await;
    let samples = || vec![sample(pb::Figure::Waiting, "llama", 1.0)];
    pushed.taken(samples()).await;
    for _ in 0..50 {
        let status = pushed.push(request(samples())).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
    FLOODED.fetch_add(100, Ordering::SeqCst);
    let (_, scrape) = pushed.taken(samples()).await;
    assert_eq!(
        whys(&scrape.outcome.unwrap().refused),
        [("push", RefusalReason::TooOften, 50)]
    );
}

static FLOODED: AtomicU64 = AtomicU64::new(0);

fn flooded() -> Millis {
    Millis(noon().0 + FLOODED.load(Ordering::SeqCst))
}

#[tokio::test]
async fn without_room_it_may_come_again() {
    let mut pushed = Pushed::start(None, ticking, 1).await;
    let samples = || vec![sample(pb::Figure::Waiting, "llama", 1.0)];
    pushed.push(request(samples())).await.unwrap();
    let status = pushed.push(request(samples())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    pushed.scrapes.recv().await.unwrap();
    pushed.push(request(samples())).await.unwrap();
}

#[tokio::test]
async fn only_who_is_named_may_push() {
    let other = "spiffe://meridian/source/other";
    let of = |region: &str, source: &str| PushRequest {
        region: region.into(),
        source: source.into(),
        samples: vec![sample(pb::Figure::Waiting, "llama", 1.0)],
    };
    for (proven, request, code) in [
        (Some(ID), of("us-west-2", ""), Code::Ok),
        (Some(ID), of("us-west-2", ID), Code::Ok),
        (Some(ID), of("us-west-2", other), Code::PermissionDenied),
        (Some(ID), of("eu-west-1", ""), Code::PermissionDenied),
        (Some(other), of("us-west-2", ""), Code::PermissionDenied),
        (Some(other), of("us-west-2", ID), Code::PermissionDenied),
        (None, of("us-west-2", ""), Code::InvalidArgument),
        (None, of("us-west-2", other), Code::PermissionDenied),
    ] {
        let mut pushed = Pushed::start(proven, noon, 8).await;
        let answer = pushed.push(request.clone()).await;
        let found = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(found, code, "{proven:?} {request:?}");
        assert_eq!(pushed.scrapes.try_recv().is_ok(), code == Code::Ok);
    }
}
