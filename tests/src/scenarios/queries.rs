//! A real Prometheus between the servers and the control plane.

use super::ensure;
use super::overflow::{in_force, left, share, who_answers};
use crate::fakes::Metrics;
use crate::world::certificates::{Certificates, PUSHER};
use crate::world::{MODEL, Prometheus, REGIONS, World, wait_for};
use anyhow::{Context, Result};
use meridian_planner::health::Reason;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// The fleet file with every source replaced by queries to a Prometheus, as an operator would write them.
pub(super) fn by_queries(
    text: &str,
    certificates: &Certificates,
    prometheus: SocketAddr,
) -> String {
    let tls = format!(
        "{{ ca: {}, certificate: {}, key: {} }}",
        certificates.ca().display(),
        certificates.certificate(PUSHER).display(),
        certificates.key(PUSHER).display(),
    );
    let mut region = "";
    let mut edited = String::new();
    for line in text.lines() {
        let name = line.trim().trim_end_matches(':');
        if let Some(known) = REGIONS.iter().find(|known| **known == name) {
            region = known;
        }
        if line.contains("preset: vllm") {
            let of = |metric: &str| format!("'{metric}{{region=\"{region}\"}}'");
            edited += &format!(
                "      - prometheus: \"https://{prometheus}\"\n        tls: {tls}\n        model: {MODEL}\n        max_running: 256\n        every: 500ms\n        \
                 queries:\n          running: {}\n          waiting: {}\n          kv_cache: {}\n          gpu_busy: {}\n          \
                 replication_lag: 'max(pg_replication_lag_seconds{{region=\"{region}\"}})'\n",
                of("vllm:num_requests_running"),
                of("vllm:num_requests_waiting"),
                of("vllm:kv_cache_usage_perc"),
                format_args!("'avg(DCGM_FI_DEV_GPU_UTIL{{region=\"{region}\"}}) / 100'"),
            );
        } else if !line.contains("- { prometheus:") {
            edited += line;
            edited.push('\n');
        }
    }
    edited
}

pub(super) async fn reasons(world: &World, region: &str) -> Result<BTreeSet<Reason>> {
    let report = world.report().await?;
    Ok(report.regions[region].pools[MODEL].health.reasons.clone())
}

/// Load that only Prometheus reports moves callers, and so does replication lag; the end of Prometheus moves none.
pub async fn prometheus(world: &mut World) -> Result<String> {
    let listen = SocketAddr::new(world.block().status().ip(), 9090);
    let prometheus = Prometheus::start(world, listen).await?;
    world.edit(&by_queries(
        &world.fleet_file()?,
        world.certificates(),
        listen,
    ))?;
    until_only_source(world).await?;
    let answers = who_answers(world, 0..20).await?;
    ensure(left(&answers) == 0, || {
        "somebody left an idle region".into()
    })?;
    let took = until_shed(world).await?;
    let kept = share(world, "us-west-2").await?;
    let gone = left(&who_answers(world, 0..200).await?);
    ensure(gone > 0, || format!("nobody left at a share of {kept}"))?;

    // A Prometheus that is gone changes no share.
    prometheus.end().await?;
    wait_for("the silence to be shown", || async {
        let source = &world.report().await?.regions["us-west-2"].sources["signals[0]"];
        let shown = source.failures.contains_key("connect");
        Ok(shown && reasons(world, "us-west-2").await? == BTreeSet::from([Reason::Stale]))
    })
    .await?;
    let silent = share(world, "us-west-2").await?;
    ensure(silent == kept, || format!("from {kept} % to {silent} %"))?;

    let prometheus = comes_back(world, listen).await?;
    lies_are_refused(world).await?;
    prometheus.end().await.context("ending Prometheus")?;
    Ok(format!(
        "us-west-2 at 0.95: {took:?} later it keeps {kept} %, {gone} of 200 left, in Envoy's dump too; Prometheus killed: stale, {silent} % kept; \
         back, with a lag of 45 s: seen; lies refused"
    ))
}

pub(super) async fn until_only_source(world: &World) -> Result<()> {
    wait_for("Prometheus to be the only source, understood", || async {
        let report = world.report().await?;
        Ok(REGIONS.iter().all(|region| {
            let sources = &report.regions[*region].sources;
            let mut files = sources.keys().filter(|name| name.starts_with("signals"));
            files.by_ref().eq(["signals[0]"])
                // Not the page that was read at this place before.
                && sources["signals[0]"].url.starts_with("https://")
                && sources["signals[0]"].heard.is_some()
                && sources["signals[0]"].error.is_none()
                && report.regions[*region].pools[MODEL].signals.kv_cache == Some(0.0)
        }))
    })
    .await
}

/// us-west-2's pool is at 0.95: how long it takes until the plan sheds, which Envoy then has.
pub(super) async fn until_shed(world: &World) -> Result<Duration> {
    let pool = world.pool("us-west-2");
    let since = Instant::now();
    pool.update(|behaviour| behaviour.kv_cache_usage = 0.95);
    wait_for("us-west-2 to shed", || async {
        Ok(share(world, "us-west-2").await? < 100)
    })
    .await?;
    let took = since.elapsed();
    pool.update(|behaviour| behaviour.kv_cache_usage = 0.76);
    let global = world.definition("global")?;
    let weights = BTreeMap::from([(format!("chain/{global}/{MODEL}/us-east-1"), 100)]);
    wait_for("Envoy to have it", || async {
        let share = share(world, "us-west-2").await?;
        let (policy, in_envoy) = in_force(world, "us-west-2").await?;
        let split = &policy["zones"]["global"]["models"][MODEL]["split"];
        Ok(split["home_share"] == share && in_envoy == weights)
    })
    .await?;
    Ok(took)
}

/// Another Prometheus finds that the region is well but its data store is not; then all is well.
async fn comes_back(world: &World, listen: SocketAddr) -> Result<Prometheus> {
    let pool = world.pool("us-west-2");
    pool.update(|behaviour| {
        (behaviour.kv_cache_usage, behaviour.replication_lag_seconds) = (0.2, 45.0);
    });
    let prometheus = Prometheus::start(world, listen).await?;
    wait_for("the lag to be seen", || async {
        Ok(reasons(world, "us-west-2").await? == BTreeSet::from([Reason::ReplicationLag]))
    })
    .await?;
    pool.update(|behaviour| behaviour.replication_lag_seconds = 0.0);
    wait_for("all to be back", || async {
        Ok(share(world, "us-west-2").await? == 100 && left(&who_answers(world, 0..20).await?) == 0)
    })
    .await?;
    Ok(prometheus)
}

/// What Prometheus has from a server that lies is refused.
async fn lies_are_refused(world: &World) -> Result<()> {
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.metrics = Metrics::Lies);
    wait_for("the lies to be counted", || async {
        let source = &world.report().await?.regions["us-west-2"].sources["signals[0]"];
        Ok(["not_a_number", "negative", "too_large"]
            .iter()
            .all(|why| source.refusals.contains_key(*why)))
    })
    .await?;
    let share = share(world, "us-west-2").await?;
    ensure(share == 100, || format!("lies: it keeps {share} %"))
}
