//! Sources that send garbage, stall or flood, over real sockets: none delays another beyond its limit.

use super::{noon, pools, signal, whys};
use crate::collect::{Collector, RefusalReason, Scrape, ScrapeError, WatchedSource};
use meridian_planner::signal::Reading;
use meridian_policy::source::{Preset, SourceTls};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Time limit of one scrape of a source that is read every 100 ms.
const LIMIT: Duration = Duration::from_millis(500);
/// Deadline for events that should happen at once.
const DEADLINE: Duration = Duration::from_secs(20);

/// The behaviour of a server.
#[derive(Clone)]
pub enum Manner {
    /// Sends this text if the request has the token.
    Wants(String, Vec<u8>),
    /// Sends the first of these responses whose key occurs in the request.
    Knows(Vec<(String, Vec<u8>)>),
    /// Sends these bytes and closes the connection.
    Says(Vec<u8>),
    /// Sends a beginning, then repeats the rest without end.
    Repeats {
        head: &'static str,
        piece: Vec<u8>,
        pause: Duration,
    },
    /// Sends nothing.
    Keeps,
}

/// A server on loopback.
pub struct Server {
    pub address: SocketAddr,
    /// Bytes that it has sent.
    pub sent: Arc<AtomicUsize>,
    asked: Arc<Mutex<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let asked: Arc<Mutex<String>> = Arc::default();
        let heard = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The client has disconnected.
                let (counted, heard) = (Arc::clone(&counted), Arc::clone(&heard));
                tokio::spawn(answer(stream, manner.clone(), counted, heard));
            }
        });
        Self {
            address,
            sent,
            asked,
            task,
        }
    }

    /// The last request, if one was received.
    pub fn asked(&self) -> String {
        self.asked.lock().unwrap().clone()
    }

    pub fn watched(&self, preset: Preset) -> WatchedSource {
        watched(self.address, preset)
    }
}

fn watched(address: SocketAddr, preset: Preset) -> WatchedSource {
    let mut signal = signal(preset);
    signal.url = format!("http://{address}/metrics");
    WatchedSource {
        region: "us-west-2".parse().unwrap(),
        source: "signals[0]".to_owned(),
        signal,
        pools: pools(&["tiny-llama"]),
        ttl: Duration::from_secs(10),
    }
}

async fn answer(
    mut stream: TcpStream,
    manner: Manner,
    sent: Arc<AtomicUsize>,
    asked: Arc<Mutex<String>>,
) -> std::io::Result<()> {
    let mut head = head_of(&mut stream).await?;
    match manner {
        Manner::Knows(answers) => loop {
            let said = String::from_utf8_lossy(&head).into_owned();
            let length = said.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or_default()];
            stream.read_exact(&mut body).await?;
            let said = said + &String::from_utf8_lossy(&body);
            let known = answers.iter().find(|(text, _)| said.contains(text));
            *asked.lock().unwrap() = said.clone();
            stream.write_all(&known.unwrap().1).await?;
            head = head_of(&mut stream).await?;
        },
        Manner::Wants(token, page) => {
            let said = String::from_utf8_lossy(&head);
            let right = said.contains(&format!("authorization: Bearer {token}\r\n"));
            let wrong = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(if right { &page } else { wrong }).await
        }
        Manner::Says(bytes) => stream.write_all(&bytes).await,
        Manner::Repeats { head, piece, pause } => {
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(&piece).await?;
                sent.fetch_add(piece.len(), Ordering::Relaxed);
                tokio::time::sleep(pause).await;
            }
        }
        Manner::Keeps => stream.read_u8().await.map(|_| ()),
    }
}

async fn head_of(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// An answer of 200 with a page.
pub fn page(body: &str) -> Manner {
    typed("text/plain; version=1.0.0; charset=utf-8", body.as_bytes())
}

pub fn typed(kind: &str, body: &[u8]) -> Manner {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    Manner::Says([head.as_bytes(), body].concat())
}

/// The first look at a source.
pub async fn look(watched: WatchedSource) -> Scrape {
    let (sender, mut receiver) = mpsc::channel(1);
    let collector = Collector::start(vec![watched], sender, noon).unwrap();
    let scrape = tokio::time::timeout(DEADLINE, receiver.recv()).await;
    collector.stop().await;
    scrape.expect("a look within the deadline").unwrap()
}

async fn look_at(manner: Manner) -> Scrape {
    let server = Server::start(manner).await;
    look(server.watched(Preset::Vllm)).await
}

async fn error_of(manner: Manner) -> ScrapeError {
    look_at(manner).await.outcome.unwrap_err()
}

#[tokio::test]
async fn an_honest_source_is_observed() {
    let text = super::fixture("vllm/metrics.load.prom");
    let scrape = look_at(page(&text)).await;
    assert_eq!((scrape.region.as_str(), scrape.at), ("us-west-2", noon()));
    assert!(scrape.url.ends_with("/metrics") && scrape.took < LIMIT);
    let scraped = scrape.outcome.unwrap();
    let observation = scraped.observation.unwrap();
    assert_eq!(observation.source, format!("vllm {}", scrape.url));
    assert_eq!((observation.readings.len(), scraped.refused.len()), (1, 0));
}

#[tokio::test]
async fn false_numbers_are_refused_and_the_true_one_stays() {
    let label = "{model_name=\"tiny-llama\"}";
    for (value, why) in [
        ("NaN", RefusalReason::NotANumber),
        ("-5", RefusalReason::Negative),
        ("1e300", RefusalReason::TooLarge),
        ("Inf", RefusalReason::Infinite),
    ] {
        let text = format!(
            "vllm:num_requests_running{label} {value}\nvllm:num_requests_waiting{label} 2\nvllm:kv_cache_usage_perc{label} 0\n"
        );
        let scraped = look_at(page(&text)).await.outcome.unwrap();
        let refused = [("vllm:num_requests_running", why, 1)];
        assert_eq!(whys(&scraped.refused), refused, "{value}");
        let observation = scraped.observation.unwrap();
        let [Reading::Server { figures, .. }] = &observation.readings[..] else {
            panic!("{observation:?}");
        };
        assert_eq!((figures.running, figures.waiting), (None, Some(2.0)));
    }
}

#[tokio::test]
async fn a_page_without_anything_known_is_no_observation() {
    let scraped = look_at(page("up 1\n")).await.outcome.unwrap();
    assert_eq!(scraped.observation, None);
    assert_eq!(
        whys(&scraped.refused),
        [("page", RefusalReason::Nothing, 1)]
    );
}

#[tokio::test]
async fn a_hundred_megabytes_are_cut_at_eight() {
    // At once if the length is announced, otherwise while reading.
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n";
    let silent = "HTTP/1.1 200 OK\r\n\r\n";
    for (head, most) in [(announced, 8 << 20), (silent, 24 << 20)] {
        let server = Server::start(Manner::Repeats {
            head,
            piece: b"vllm:num_requests_running 1\n".repeat(4096),
            pause: Duration::ZERO,
        })
        .await;
        let mut watched = server.watched(Preset::Vllm);
        // Long enough that it is the size that ends it.
        watched.signal.every = Duration::from_secs(5);
        let scrape = look(watched).await;
        assert_eq!(scrape.outcome.unwrap_err(), ScrapeError::TooLarge(8 << 20));
        let sent = server.sent.load(Ordering::Relaxed);
        assert!(sent < most, "it could send {sent} bytes");
    }
}

#[tokio::test]
async fn whoever_stalls_is_left_at_the_limit() {
    let drip = |head| Manner::Repeats {
        head,
        piece: b"a 1\n".to_vec(),
        pause: Duration::from_millis(20),
    };
    let body = drip("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n");
    let head = drip("HTTP/1.1 200 OK\r\nx: ");
    for manner in [body, head, Manner::Keeps] {
        let scrape = look_at(manner).await;
        assert_eq!(scrape.outcome.unwrap_err(), ScrapeError::Timeout(LIMIT));
        assert!(scrape.took < LIMIT * 4, "{:?}", scrape.took);
    }
}

#[tokio::test]
async fn a_stalling_source_holds_nobody_up() {
    let stalling = Server::start(Manner::Keeps).await;
    let honest = Server::start(page("pg_replication_lag_seconds 1\n")).await;
    let (sender, mut receiver) = mpsc::channel(1);
    let sources = vec![
        stalling.watched(Preset::Vllm),
        honest.watched(Preset::Postgres),
    ];
    let collector = Collector::start(sources, sender, noon).unwrap();
    let (mut stalled, mut fine) = (0, 0);
    let counted = async {
        while stalled < 2 {
            match receiver.recv().await.unwrap().outcome {
                Ok(_) => fine += 1,
                Err(_) => stalled += 1,
            }
        }
    };
    tokio::time::timeout(DEADLINE, counted).await.unwrap();
    collector.stop().await;
    // Two timeouts of 500 ms take as long as ten scrapes of the other source.
    assert!(fine >= 4, "{fine}");
}

#[tokio::test]
async fn statuses_are_not_pages() {
    for status in [500, 404, 204, 302] {
        let says = format!(
            "HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let error = error_of(Manner::Says(says.into_bytes())).await;
        assert_eq!(error, ScrapeError::Status(status));
    }
}

#[tokio::test]
async fn what_is_no_text_is_no_page() {
    let html = error_of(typed("text/html", b"<p>log in</p>")).await;
    assert_eq!(html, ScrapeError::ContentType("text/html".to_owned()));
    for body in [
        &b"\x1f\x8b\x08\x00\xff\xfe"[..],
        b"{\"status\": \"ok\"}",
        b"\0\0\0",
    ] {
        let error = error_of(typed("text/plain", body)).await;
        assert_eq!(error.label(), "page", "{error}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_broken() {
    for bytes in [
        &b"\x16\x03\x01\x02\x00\xff"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\na 1\n",
        b"",
    ] {
        let error = error_of(Manner::Says(bytes.to_vec())).await;
        assert_eq!(error.label(), "broken", "{error}");
    }
}

#[tokio::test]
async fn nobody_there_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let scrape = look(watched(address, Preset::Vllm)).await;
    let error = scrape.outcome.unwrap_err();
    assert_eq!(error.label(), "connect");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_token_is_read_again_at_every_look() {
    let Manner::Says(page) = page(&super::fixture("vllm/metrics.load.prom")) else {
        panic!("a page is said");
    };
    let server = Server::start(Manner::Wants("second".into(), page)).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let mut watched = server.watched(Preset::Vllm);
    watched.signal.token = Some(path.display().to_string());
    let (sender, mut receiver) = mpsc::channel(1);
    let collector = Collector::start(vec![watched], sender, noon).unwrap();
    for (text, expect) in [
        (None, "token"),
        (Some(" \n"), "token"),
        (Some("first\n"), "status"),
        (Some("second\n"), "page"),
    ] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        // A scrape may have begun before the file changed.
        let until = async {
            loop {
                let label = match receiver.recv().await.unwrap().outcome {
                    Ok(_) => "page",
                    Err(error) => error.label(),
                };
                if label == expect {
                    return;
                }
            }
        };
        let seen = tokio::time::timeout(DEADLINE, until).await;
        seen.unwrap_or_else(|_| panic!("no {expect} with {text:?}"));
    }
    collector.stop().await;
}

#[tokio::test]
async fn what_tls_needs_is_read_at_every_look() {
    let server = Server::start(page("up 1\n")).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.crt");
    let mut watched = server.watched(Preset::Vllm);
    watched.signal.url = format!("https://{}/metrics", server.address);
    watched.signal.tls = Some(SourceTls {
        ca: Some(path.display().to_string()),
        identity: None,
    });
    let of = |watched: &WatchedSource| look(watched.clone());
    let missing = of(&watched).await.outcome.unwrap_err();
    assert!(
        missing.label() == "tls" && missing.to_string().contains("ca.crt"),
        "{missing}"
    );
    std::fs::write(&path, "no certificate").unwrap();
    let broken = of(&watched).await.outcome.unwrap_err();
    assert!(broken.to_string().contains("`tls.ca`"), "{broken}");
    // With a valid certificate the client connects, and the server waits for a plain-text request.
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::default();
    std::fs::write(&path, params.self_signed(&key).unwrap().pem()).unwrap();
    let spoken = of(&watched).await.outcome.unwrap_err();
    assert_eq!(spoken, ScrapeError::Timeout(LIMIT));
}
