//! A hunt for memory that a gateway does not give back: many requests whose members fail at random, and edits of the fleet file meanwhile.

use super::caller::{self, Call};
use super::plan::{MEMBERS, Plan};
use crate::world::{Configured, Options, REGIONS, World, wait_for};
use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Callers at a time.
const CALLERS: u64 = 96;

/// Parts of the requests, after each of which a hunt tells the memory.
const PARTS: u64 = 10;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// An edit may replace a listener, and the one before keeps its configurations for this time, in seconds: for ten minutes by default, in
/// which there would be hundreds of them.
const DRAIN_S: u32 = 5;

/// Time in which a gateway without requests gives back what it can.
const IDLE: Duration = Duration::from_secs(30);

/// What a gateway may hold more of after the second half of the requests than after the first one, in bytes.
const GROWTH: u64 = 16 << 20;

/// The fleet file has it once.
const LIMITS: &str = "{ first_token: 300ms, unstreamed: 300ms, connect: 250ms, gap: 1s, answer: 12s, retries: 5000 }";

/// The world of such a hunt.
pub fn options(module: &'static str, native: bool) -> Options {
    Options {
        limits: LIMITS,
        policy: super::AT_HOME,
        configured: Configured::ByDelta,
        native,
        module,
        drain_s: DRAIN_S,
        ..Options::default()
    }
}

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// What the random numbers begin with.
    pub seed: u64,
    /// Requests.
    pub requests: u64,
    /// Edits of the fleet file, spread over the requests.
    pub edits: u64,
}

/// The memory of every gateway, in bytes, in the order of [`REGIONS`].
type Memory = [u64; REGIONS.len()];

/// What is seen while the callers ask.
struct Seen {
    edits: u64,
    peak: Memory,
    /// After each part of the requests.
    parts: Vec<Memory>,
}

/// Hunts. Each line that it tells has the memory of the gateways after a tenth of the requests.
///
/// # Errors
/// A gateway has died, or holds more after the second half of the requests than after the first one.
pub async fn hunt(world: &mut World, size: Size, mut tell: impl FnMut(String)) -> Result<String> {
    let _servers = super::servers(world).await?;
    let before = memory(world)?;
    tell(format!("before: RSS {}", mib(before)));
    let Seen { edits, peak, parts } = watch(world, size, before, tell).await?;
    for region in REGIONS {
        // But the stream to the control plane.
        let active = "^cluster.(pool|peer|fallback|provider).*upstream_rq_active$";
        let active = || world.gateway(region).counter(active);
        wait_for("the end of all attempts", async || Ok(active().await? == 0)).await?;
    }
    sleep(IDLE).await;
    let after = memory(world)?;
    let reloads = "^extension_config_discovery.*config_reload$";
    let reloads = world.gateway(MEMBERS[0]).counter(reloads).await?;
    let middle = parts.get(parts.len() / 2 - 1).context("no middle")?;
    for at in 0..REGIONS.len() {
        if after[at] > middle[at] + GROWTH {
            let (region, after) = (REGIONS[at], mib(after));
            bail!("{region} holds more after the second half: {after}");
        }
    }
    Ok(format!(
        "{} requests, {edits} edits, {reloads} configurations of plugins at {}: RSS {} before, {} at the peak, {} after the first half, \
         {} after all",
        size.requests,
        MEMBERS[0],
        mib(before),
        mib(peak),
        mib(*middle),
        mib(after)
    ))
}

/// Edits and looks until the callers have asked.
async fn watch(
    world: &World,
    size: Size,
    before: Memory,
    mut tell: impl FnMut(String),
) -> Result<Seen> {
    let done = Arc::new(AtomicU64::new(0));
    let mut callers = callers(world, size, &done);
    let (begun, original) = (Instant::now(), world.fleet_file()?);
    let mut seen = Seen {
        edits: 0,
        peak: before,
        parts: Vec::new(),
    };
    while !callers.is_empty() {
        while callers.try_join_next().transpose()?.is_some() {}
        let (asked, now) = (done.load(Ordering::Relaxed), memory(world)?);
        seen.peak = std::array::from_fn(|at| seen.peak[at].max(now[at]));
        let edits = seen.edits;
        if asked * PARTS / size.requests > seen.parts.len() as u64 {
            let rate = asked as f64 / begun.elapsed().as_secs_f64();
            let rss = mib(now);
            tell(format!(
                "{asked} requests, {rate:.0}/s, {edits} edits: RSS {rss}"
            ));
            seen.parts.push(now);
        }
        let is_time = edits < size.edits && edits * size.requests < asked * size.edits;
        if is_time && taken(world, edits).await? {
            seen.edits += 1;
            world.edit(&edited(&original, seen.edits))?;
        }
        sleep(LOOK).await;
    }
    Ok(seen)
}

fn memory(world: &World) -> Result<Memory> {
    let mut all = Memory::default();
    for (memory, region) in all.iter_mut().zip(REGIONS) {
        let gateway = world.gateway(region);
        if gateway.has_ended()? {
            bail!("the gateway of {region} has died");
        }
        *memory = gateway.memory()?;
    }
    Ok(all)
}

fn mib(memory: Memory) -> String {
    let memory = memory.map(|bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20)));
    format!("{} MiB", memory.join(" / "))
}

/// Whether the control plane has taken so many edits.
async fn taken(world: &World, edits: u64) -> Result<bool> {
    Ok(world.report().await?.counts.reloads >= edits)
}

/// Another policy of the router, of the guard and of routes.
fn edited(original: &str, number: u64) -> String {
    let (first_token, gap) = (300 + number % 7, 1000 + number % 5);
    let limits = LIMITS.replace(
        "first_token: 300ms",
        &format!("first_token: {first_token}ms"),
    );
    let limits = limits.replace("gap: 1s", &format!("gap: {gap}ms"));
    original.replace(LIMITS, &limits)
}

fn callers(world: &World, size: Size, done: &Arc<AtomicU64>) -> JoinSet<()> {
    let gateway = world.block().public(MEMBERS[0]);
    let next = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let (next, done) = (next.clone(), done.clone());
        let mut random = ChaCha8Rng::seed_from_u64(size.seed ^ number << 32);
        callers.spawn(async move {
            let mut connection = None;
            while next.fetch_add(1, Ordering::Relaxed) < size.requests {
                let plan = Plan::mostly_quick(&mut random);
                if let Ok(call) = plan.call() {
                    // What comes back is judged by another hunt.
                    let _ = ask(&mut connection, gateway, &call).await;
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    callers
}

/// Sends a request and reads the whole answer. `connection`: to be used, and to be used again.
async fn ask(connection: &mut Option<TcpStream>, gateway: SocketAddr, call: &Call) -> Result<()> {
    if call.http2 {
        caller::ask(gateway, call).await?;
        return Ok(());
    }
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => TcpStream::connect(gateway).await?,
    };
    let patience = call.leaves_after.unwrap_or(Duration::from_secs(40));
    if timeout(patience, exchange(&mut stream, &call.body)).await?? {
        *connection = Some(stream);
    }
    Ok(())
}

/// Whether the connection goes on.
async fn exchange(stream: &mut TcpStream, body: &str) -> Result<bool> {
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncf-ipcountry: US\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut all = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut all).await? == 0 {
            return Ok(false);
        }
        if is_whole(&all)? {
            return Ok(!all
                .windows(17)
                .take(2000)
                .any(|it| it == b"connection: close"));
        }
    }
}

fn is_whole(all: &[u8]) -> Result<bool> {
    let mut ends = all.windows(4).take(16 << 10);
    let Some(end) = ends.position(|window| window == b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = std::str::from_utf8(&all[..end])?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => Ok(all.len() >= end + 4 + length.parse::<usize>()?),
        None => Ok(all.ends_with(b"0\r\n\r\n")),
    }
}
