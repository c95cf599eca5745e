//! The largest bodies, in shapes that take the most memory to read, on their way to a region: what they cost a gateway and its other
//! callers. Those for Claude, which are read whole, are in `claude_large`.

use super::ensure;
use crate::world::{MODEL, World, client, wait_for};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

const GATEWAY: &str = "us-west-2";
/// Requests in all, and how many are under way at a time: one for each worker, or both at one.
const REQUESTS: usize = 100;
const AT_A_TIME: usize = 2;
/// About the size of each body, in bytes. The limit is 64 MiB.
const SIZE: usize = 63 << 20;
/// The most that a gateway's memory may grow by, in bytes: for each request Envoy's buffers, and a copy in the memory of a worker's filter.
const MOST: u64 = 2 * 5 * (64 << 20);
/// What may stay. The memory of a filter never shrinks, and Envoy keeps what it may need again.
const STAYS: u64 = 2 * 4 * (64 << 20);

const ANSWER: &[u8] = br#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"#;

/// Bodies by what they are of, with the status of the answer.
fn bodies() -> Vec<(&'static str, String, u16)> {
    let fields = |fields: &str| format!(r#"{{"model":"{MODEL}",{fields}}}"#);
    let many = |part: &str| part.repeat(SIZE / part.len());
    let user = r#"{"role":"user","content":"Hi"}"#;
    vec![
        (
            "text",
            fields(&format!(
                r#""messages":[{{"role":"user","content":"{}"}}]"#,
                many("x")
            )),
            200,
        ),
        (
            "messages",
            fields(&format!(
                r#""messages":[{}{user}]"#,
                many(r#"{"role":"assistant","content":""},"#)
            )),
            200,
        ),
        (
            "zeros",
            fields(&format!(r#""messages":[{user}],"x":[0{}]"#, many(",0"))),
            200,
        ),
        (
            "objects",
            fields(&format!(
                r#""messages":[{user}],"x":[0{}]"#,
                many(r#",{"":0}"#)
            )),
            200,
        ),
        (
            "fields",
            fields(&format!(r#""messages":[{user}]{}"#, many(r#","x":0"#))),
            200,
        ),
        ("depth", fields(&format!(r#""x":{}"#, many("["))), 400),
        (
            "an escaped user",
            fields(&format!(
                r#""messages":[{user}],"user":"{}""#,
                many(r"\u00e9")
            )),
            200,
        ),
        (
            "a cache key",
            fields(&format!(
                r#""messages":[{user}],"prompt_cache_key":"{}""#,
                many("k")
            )),
            200,
        ),
        ("a model", format!(r#"{{"model":"{}"}}"#, many("m")), 404),
    ]
}

/// 100 of them, two at a time, while others ask little.
pub async fn large(world: &mut World) -> Result<String> {
    let mut server = replace_pool(world).await?;
    let gateway = world.gateway(GATEWAY);
    let quiet = short_requests(world, &AtomicBool::new(false), 50).await?;
    let before = gateway.memory()?;
    let ended = AtomicBool::new(false);
    let all = async {
        let seen = send_all(world).await;
        ended.store(true, Ordering::Relaxed);
        seen
    };
    let (all, others) = tokio::join!(all, short_requests(world, &ended, usize::MAX));
    let ((peak, slowest), others) = (all?, others?);
    let after = gateway.memory()?;
    server.shutdown().await;
    let mib = |bytes: u64| bytes >> 20;
    let seen = format!(
        "{REQUESTS} bodies of {} MiB, {AT_A_TIME} at a time, the slowest {slowest:.1?}; RSS {} MiB before, {} at most, {} after; the p99 of short \
         requests {:.0?}, where it was {:.0?}",
        SIZE >> 20,
        mib(before),
        mib(peak),
        mib(after),
        p99(others),
        p99(quiet),
    );
    let is_bounded = peak < before + MOST && after < before + STAYS;
    ensure(is_bounded, || seen.clone())?;
    Ok(seen)
}

/// A heap of which a quarter is room for two of the bodies, at each worker.
const SMALL_HEAP: &str = "512MiB";
/// How many are sent at a time to a gateway of two workers.
const AT_ONCE: usize = 10;
/// How often they are.
const ROUNDS: usize = 1;

/// More large bodies at a time than a gateway may hold: it serves those that it has room for, refuses the others, and serves short
/// requests.
pub async fn too_many(world: &mut World) -> Result<String> {
    let mut server = replace_pool(world).await?;
    let original = world.fleet_file()?;
    let domain = "trust_domain: meridian\n";
    world.edit(&original.replace(domain, &format!("{domain}  heap: {SMALL_HEAP}\n")))?;
    let gateway = world.gateway(GATEWAY);
    wait_for("the smaller limit to be in force", || async {
        let listeners = gateway.admin("/config_dump?include_eds").await?;
        Ok(listeners.contains(&(128 << 20).to_string()))
    })
    .await?;
    let ended = AtomicBool::new(false);
    let (_, text, _) = bodies().swap_remove(0);
    let all = async {
        let mut seen = Vec::new();
        for _ in 0..ROUNDS {
            let mut sent = JoinSet::new();
            for _ in 0..AT_ONCE {
                let large = world.ask(GATEWAY).country("US").body(text.clone());
                sent.spawn(async move { large.send().await });
            }
            seen.extend(sent.join_all().await);
        }
        ended.store(true, Ordering::Relaxed);
        seen
    };
    let (all, others) = tokio::join!(all, short_requests(world, &ended, usize::MAX));
    let (mut served, mut refused) = (0, 0);
    for answer in all {
        let answer = answer?;
        match answer.status {
            200 => served += 1,
            503 => {
                let is_clear =
                    answer.text().contains("gateway_full") && answer.header("retry-after") == "2";
                ensure(is_clear, || answer.text())?;
                refused += 1;
            }
            _ => bail!("{} {}", answer.status, answer.text()),
        }
    }
    ensure(served >= ROUNDS && refused > 0, || {
        format!("{served} served, {refused} refused")
    })?;
    // What was refused is no longer held.
    for _ in 0..ROUNDS {
        let large = world.ask(GATEWAY).country("US").body(text.clone());
        let answer = large.send().await?;
        ensure(answer.status == 200, || answer.text())?;
    }
    server.shutdown().await;
    world.edit(&original)?;
    Ok(format!(
        "of {} bodies of {} MiB, {AT_ONCE} at a time, {served} served and {refused} refused with room for two at each worker; {} short requests \
         meanwhile, all served",
        ROUNDS * AT_ONCE,
        SIZE >> 20,
        others?.len(),
    ))
}

/// Sends all of them. The most memory that the gateway held meanwhile, and how long the slowest one took.
async fn send_all(world: &World) -> Result<(u64, Duration)> {
    let bodies = bodies();
    let (mut peak, mut slowest, mut next) = (0, Duration::ZERO, 0);
    let mut under_way = JoinSet::new();
    let mut looks = interval(Duration::from_millis(50));
    while next < REQUESTS || !under_way.is_empty() {
        if next < REQUESTS && under_way.len() < AT_A_TIME {
            let (what, body, expected) = bodies[next % bodies.len()].clone();
            let ask = world.ask(GATEWAY).country("US").body(body);
            under_way.spawn(async move {
                let begun = Instant::now();
                let answer = ask.send().await.with_context(|| what.to_owned())?;
                ensure(answer.status == expected, || {
                    format!("{what}: {} {}", answer.status, answer.text())
                })?;
                Ok::<_, anyhow::Error>(begun.elapsed())
            });
            next += 1;
            continue;
        }
        tokio::select! {
            Some(took) = under_way.join_next() => slowest = slowest.max(took??),
            _ = looks.tick() => peak = peak.max(world.gateway(GATEWAY).memory()?),
        }
    }
    Ok((peak, slowest))
}

/// Takes the place of the pool's server, until that is started again.
async fn replace_pool(world: &World) -> Result<JoinSet<Result<()>>> {
    let address = world.block().pool(GATEWAY);
    world.pool(GATEWAY).kill().await?;
    let mut server = JoinSet::new();
    server.spawn(serve(TcpListener::bind(address).await?));
    Ok(server)
}

/// In the place of the pool's server, which reads JSON and would be the slowest part: takes bodies without a look.
async fn serve(listener: TcpListener) -> Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let answer = service_fn(|request: Request<Incoming>| async {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
            }
            let kind = ("content-type", "application/json");
            let response = Response::builder().header(kind.0, kind.1);
            Ok::<_, anyhow::Error>(response.body(Full::new(Bytes::from_static(ANSWER)))?)
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

/// Sends short requests, 20 a second, until it is over or there were as many. How long each took.
async fn short_requests(world: &World, is_over: &AtomicBool, most: usize) -> Result<Vec<Duration>> {
    let client = client().build()?;
    let mut ticks = interval(Duration::from_millis(50));
    let mut requests = JoinSet::new();
    for _ in 0..most {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        ticks.tick().await;
        let (ask, client) = (world.ask(GATEWAY).country("US"), client.clone());
        requests.spawn(async move {
            let begun = Instant::now();
            let answer = ask.send_with(&client).await?;
            ensure(answer.status == 200, || answer.text())?;
            Ok::<_, anyhow::Error>(begun.elapsed())
        });
    }
    requests.join_all().await.into_iter().collect()
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}
