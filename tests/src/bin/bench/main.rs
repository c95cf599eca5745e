//! `scripts/bench`: what a request costs on its way through a gateway, against a bare Envoy in the same run.
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

mod translation;

use anyhow::{Context, Result};
use meridian_planner::plan::Plan;
use meridian_policy::RegionName;
use meridian_tests::world::{Ask, DRAIN_S, Envoy, MODEL, Options, World, client};
use meridian_xds_server::translate::translate;
use meridian_xds_server::{bootstrap, fleet};
use serde_json::json;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const REQUESTS: usize = 1000;

/// What requests go through, and what they took.
struct Target<'w> {
    name: &'static str,
    envoy: &'w Envoy,
    ask: Ask,
    latencies: Vec<Duration>,
    cpu: Duration,
}

#[tokio::main]
async fn main() -> Result<()> {
    let world = World::start(&Options::default()).await?;
    let bare_address = std::net::SocketAddr::new(world.block().public("us-west-2").ip(), 8090);
    let bare_admin = std::net::SocketAddr::new(bare_address.ip(), 9990);
    let config = world.dir().join("bare.yaml");
    let pool = world.block().pool("us-west-2");
    std::fs::write(&config, bare(bare_address, bare_admin, pool).to_string())?;
    let bare = Envoy::start("bare", &config, bare_admin, None, DRAIN_S).await?;
    let client = client().build()?;
    println!(
        "{ROUNDS} rounds of {REQUESTS} requests each way, one after the other, to the same fake pool"
    );
    println!(
        "{:>10}  {:24} {:>10} {:>8} {:>14} {:>8}",
        "body", "way", "p50", "ratio", "CPU/request", "ratio"
    );
    for size in [150, 16 << 10, 256 << 10] {
        let ask = world.ask("us-west-2").country("US");
        let content = "x".repeat(size);
        let ask = ask
            .json(&json!({ "model": MODEL, "messages": [{ "role": "user", "content": content }] }));
        let target = |name, envoy, ask| Target {
            name,
            envoy,
            ask,
            latencies: Vec::new(),
            cpu: Duration::ZERO,
        };
        let mut targets = [
            target(
                "bare Envoy",
                &bare,
                ask.clone().gateway_at(&format!("http://{bare_address}")),
            ),
            target("Meridian, home pool", world.gateway("us-west-2"), ask),
        ];
        for _ in 0..ROUNDS {
            for target in &mut targets {
                round(target, &client, REQUESTS).await?;
            }
            world.pool("us-west-2").clear();
        }
        report(&format!("{size} B"), &mut targets);
    }
    first_tokens(&world).await?;
    translation::translation().await
}

const STREAMS: usize = 200;
const TOKENS: usize = 500;

/// What the guard adds to the first token of a stream, against the same gateway without it in the same run; and that the
/// stream is the same, byte by byte.
async fn first_tokens(world: &World) -> Result<()> {
    let ip = world.block().public("us-west-2").ip();
    let (listen, admin) = (
        std::net::SocketAddr::new(ip, 8091),
        std::net::SocketAddr::new(ip, 9991),
    );
    let config = world.dir().join("unguarded.yaml");
    std::fs::write(&config, unguarded(world, listen, admin)?)?;
    let unguarded = Envoy::start("unguarded", &config, admin, None, DRAIN_S).await?;
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.tokens = TOKENS);
    let client = client().build()?;
    let guarded = world.ask("us-west-2").country("US").streamed();
    let bare = guarded.clone().gateway_at(&format!("http://{listen}"));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..STREAMS {
        let mut bodies = Vec::new();
        for (ask, times) in [&bare, &guarded].into_iter().zip(&mut times) {
            let start = Instant::now();
            let mut answer = ask.open_with(&client).await?;
            let mut body = Vec::new();
            let mut first = None;
            while let Some(piece) = answer.chunk().await? {
                body.extend_from_slice(&piece);
                if first.is_none() && String::from_utf8_lossy(&body).contains("token0") {
                    first = Some(start.elapsed());
                }
            }
            times.push(first.unwrap_or(Duration::MAX));
            bodies.push(without_ids(&String::from_utf8(body)?));
        }
        anyhow::ensure!(bodies[0] == bodies[1], "the guard changed a stream");
        world.pool("us-west-2").clear();
    }
    drop(unguarded);
    let [bare, guarded] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e3
    });
    println!(
        "{STREAMS} streams of {TOKENS} tokens: first token after {bare:.2} ms without the guard, {guarded:.2} ms with it (p50): \
         {:+.2} ms, ratio {:.2}; the same bytes",
        guarded - bare,
        guarded / bare
    );
    Ok(())
}

/// Removes what differs from one answer to the next: its id and its time.
fn without_ids(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let rest = line.split_once("\"object\"").map_or(line, |(_, rest)| rest);
        match rest.split_once("\"created\":") {
            Some((begin, after)) => format!(
                "{begin}{}",
                after.trim_start_matches(|c: char| c.is_ascii_digit())
            ),
            None => rest.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The gateway of us-west-2 once more, at another address and without the guard.
fn unguarded(
    world: &World,
    listen: std::net::SocketAddr,
    admin: std::net::SocketAddr,
) -> Result<String> {
    let mut fleet = fleet::parse(&world.fleet_file()?)?;
    let home = RegionName::from_static("us-west-2");
    let region = fleet.regions.get_mut(&home).context("no us-west-2")?;
    region.public.listen = listen;
    region.admin = admin;
    region.gateway.listen.set_port(8453);
    let mut snapshot = translate(&fleet, &Plan::default(), &home, None);
    for cluster in &mut snapshot.clusters {
        if cluster.name.starts_with("chain/") {
            cluster.typed_extension_protocol_options.clear();
        }
    }
    let bootstrap = bootstrap::fixed(&fleet, &home, snapshot).context("no us-west-2")?;
    Ok(meridian_proto::to_json(&bootstrap)?.to_string())
}

async fn round(target: &mut Target<'_>, client: &reqwest::Client, requests: usize) -> Result<()> {
    let cpu = target.envoy.cpu()?;
    for _ in 0..requests {
        let start = Instant::now();
        let answer = target.ask.send_with(client).await?;
        anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        target.latencies.push(start.elapsed());
    }
    target.cpu += target.envoy.cpu()? - cpu;
    Ok(())
}

fn report(what: &str, targets: &mut [Target<'_>]) {
    let mut first: Option<(f64, f64)> = None;
    for target in targets {
        target.latencies.sort_unstable();
        let p50 = target.latencies[target.latencies.len() / 2].as_secs_f64() * 1e6;
        let cpu = target.cpu.as_secs_f64() * 1e6 / target.latencies.len() as f64;
        let (bare_p50, bare_cpu) = *first.get_or_insert((p50, cpu));
        println!(
            "{what:>10}  {:24} {p50:>7.0} us {:>8.2} {cpu:>11.0} us {:>8.2}",
            target.name,
            p50 / bare_p50,
            cpu / bare_cpu
        );
    }
}

/// A proxy without a filter.
fn bare(
    listen: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    pool: std::net::SocketAddr,
) -> serde_json::Value {
    let address = |address: std::net::SocketAddr| json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } });
    let extensions = "type.googleapis.com/envoy.extensions.filters";
    let router = json!({ "@type": format!("{extensions}.http.router.v3.Router") });
    let manager = json!({
        "@type": format!("{extensions}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "bare",
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "prefix": "/" }, "route": { "cluster": "pool", "timeout": "30s" } }
        ]}]},
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": router }],
    });
    json!({
        "admin": { "address": address(admin) },
        "static_resources": {
            "listeners": [{ "name": "bare", "address": address(listen), "filter_chains": [{ "filters": [
                { "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }
            ]}]}],
            "clusters": [{ "name": "pool", "type": "STATIC", "load_assignment": { "cluster_name": "pool", "endpoints": [
                { "lb_endpoints": [{ "endpoint": { "address": address(pool) } }] }
            ]}}],
        },
    })
}
