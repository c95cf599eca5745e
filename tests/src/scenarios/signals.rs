//! Each signal shifts what it should and nothing else; a source that is silent or sends impossible values shifts nothing.

use super::ensure;
use super::overflow::{overload, share, turn};
use crate::fakes::{Behaviour, Fail, Metrics};
use crate::world::{MODEL, REGIONS, World, wait_for};
use anyhow::{Result, bail};
use meridian_planner::health::Reason;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

const UNHEALTHY: &str = "us-east-1";

/// Why a region is not healthy, as the control plane says.
async fn reasons(world: &World, region: &str) -> Result<BTreeSet<Reason>> {
    let report = world.report().await?;
    Ok(report.regions[region].pools[MODEL].health.reasons.clone())
}

/// One region is unhealthy for this one reason: it sheds, no other region sends callers there, and the others are as before.
async fn only(world: &World, reason: Reason) -> Result<u8> {
    wait_for(&format!("{UNHEALTHY} to shed for {reason:?}"), || async {
        Ok(reasons(world, UNHEALTHY).await?.contains(&reason)
            && share(world, UNHEALTHY).await? < 100)
    })
    .await?;
    let report = world.report().await?;
    for region in REGIONS {
        let health = &report.regions[region].pools[MODEL].health;
        let expected = if region == UNHEALTHY {
            BTreeSet::from([reason])
        } else {
            BTreeSet::new()
        };
        ensure(health.reasons == expected, || {
            format!("{region}: {:?} instead of {expected:?}", health.reasons)
        })?;
        let placement = &report.placements[region]["global"][MODEL];
        ensure(region == UNHEALTHY || placement.home_share == 100, || {
            format!("{region} sheds as well: {placement:?}")
        })?;
        ensure(!placement.overflow.contains_key(UNHEALTHY), || {
            format!("{region} would send callers there: {placement:?}")
        })?;
    }
    Ok(report.placements[UNHEALTHY]["global"][MODEL].home_share)
}

async fn well(world: &World) -> Result<()> {
    for region in REGIONS {
        world.pool(region).set(Behaviour::default());
    }
    wait_for("all regions to be well, and at home", || async {
        for region in REGIONS {
            if !reasons(world, region).await?.is_empty() || share(world, region).await? < 100 {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

pub async fn queue_and_lag(world: &mut World) -> Result<String> {
    world
        .pool(UNHEALTHY)
        .update(|behaviour| behaviour.waiting = 150);
    let queue = only(world, Reason::QueueDepth).await?;
    well(world).await?;
    world
        .pool(UNHEALTHY)
        .update(|behaviour| behaviour.replication_lag_seconds = 45.0);
    let lag = only(world, Reason::ReplicationLag).await?;
    let decision = turn(world, "eu-west-1", "DE", 0).send().await?;
    ensure(decision.region() == "eu-west-1", || {
        format!("an EU caller by {}", decision.region())
    })?;
    well(world).await?;
    Ok(format!(
        "150 waiting: {UNHEALTHY} sheds ({queue} % left at first sight); lag 45 s: it sheds ({lag} %); the others as before, and back"
    ))
}

/// Errors: a server that answers part of its requests with 500 while its health check is green.
pub async fn errors(world: &mut World) -> Result<String> {
    let mut failed = 0;
    for round in 0..6 {
        // Fewer in a row than take the server out.
        for fail in [Fail::Status(500), Fail::None] {
            world
                .pool(UNHEALTHY)
                .update(|behaviour| behaviour.fail = fail);
            for conversation in 0..5 {
                let answer = turn(world, UNHEALTHY, "US", round * 10 + conversation)
                    .send()
                    .await?;
                ensure(answer.status == 200, || {
                    format!("a caller got {}", answer.status)
                })?;
                failed += usize::from(fail != Fail::None);
            }
        }
    }
    let share = only(world, Reason::Errors).await?;
    let rate = world.report().await?.regions[UNHEALTHY].pools[MODEL]
        .signals
        .error_rate
        .unwrap_or_default();
    Ok(format!(
        "{failed} of {} answers were 500: error rate {rate:.2}, {UNHEALTHY} keeps {share} %; no caller noticed",
        2 * failed
    ))
}

/// The first token: slow streams.
pub async fn first_token(world: &mut World) -> Result<String> {
    world
        .pool(UNHEALTHY)
        .update(|behaviour| behaviour.first_token_ms = 4000);
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let ask = world.ask(UNHEALTHY).country("US").streamed();
        requests.spawn(async move { ask.send().await });
    }
    for answer in requests.join_all().await {
        let answer = answer?;
        ensure(answer.status == 200, || {
            format!("a caller got {}", answer.status)
        })?;
    }
    let share = only(world, Reason::FirstToken).await?;
    let p95 = world.report().await?.regions[UNHEALTHY].pools[MODEL]
        .signals
        .first_token_p95
        .unwrap_or_default();
    Ok(format!(
        "40 streams whose first token took 4 s: p95 {p95:.1} s, {UNHEALTHY} keeps {share} %"
    ))
}

/// A source that hangs, fails or sends impossible values is reported, and changes no share.
pub async fn sources(world: &mut World) -> Result<String> {
    let mut seen = Vec::new();
    for (how, word) in [
        (Metrics::Silent, "no whole page"),
        (Metrics::Broken, "status 500"),
    ] {
        is_stale(world, how, word).await?;
        seen.push(word);
    }
    let lies = refused_lies(world).await?;
    nobody_sheds(world, "lies").await?;
    let metrics = world.metrics().await?;
    if !metrics.contains("meridian_source_refused_total{")
        || !metrics.contains("meridian_source_failures_total{")
    {
        bail!("not on the page of metrics");
    }
    Ok(format!(
        "silent, broken ({}): stale, shown, nobody moved; {} kinds of lies refused, e.g. `{}`",
        seen.join(", "),
        lies.len(),
        lies.first().map_or("", String::as_str)
    ))
}

async fn nobody_sheds(world: &World, what: &str) -> Result<()> {
    for region in REGIONS {
        let share = share(world, region).await?;
        ensure(share == 100, || format!("{what}: {region} keeps {share} %"))?;
    }
    Ok(())
}

/// A page that cannot be read is reported, its pool becomes stale, and no share changes; then it is read again.
async fn is_stale(world: &World, how: Metrics, word: &str) -> Result<()> {
    world
        .pool(UNHEALTHY)
        .update(|behaviour| behaviour.metrics = how);
    wait_for(&format!("{how:?} to be shown"), || async {
        let report = world.report().await?;
        let source = &report.regions[UNHEALTHY].sources["signals[0]"];
        let shown = source
            .error
            .as_ref()
            .is_some_and(|error| error.contains(word));
        Ok(shown && reasons(world, UNHEALTHY).await? == BTreeSet::from([Reason::Stale]))
    })
    .await?;
    nobody_sheds(world, &format!("{how:?}")).await?;
    let answer = turn(world, UNHEALTHY, "US", 0).send().await?;
    ensure(answer.region() == UNHEALTHY, || {
        format!("{how:?}: served by {}", answer.region())
    })?;
    world
        .pool(UNHEALTHY)
        .update(|behaviour| behaviour.metrics = Metrics::True);
    wait_for("the source to be heard again", || async {
        Ok(reasons(world, UNHEALTHY).await?.is_empty())
    })
    .await
}

/// Values that cannot be are refused, of every source. The refusals, some looks later.
async fn refused_lies(world: &World) -> Result<Vec<String>> {
    world.pool(UNHEALTHY).update(|behaviour| {
        behaviour.metrics = Metrics::Lies;
        behaviour.gpu_utilization = 1e12;
        behaviour.replication_lag_seconds = -5.0;
    });
    let mut lies = Vec::new();
    for source in ["signals[0]", "signals[1]", "signals[2]"] {
        wait_for(&format!("the lies of {source} to be counted"), || async {
            let report = world.report().await?;
            Ok(!report.regions[UNHEALTHY].sources[source]
                .refusals
                .is_empty())
        })
        .await?;
        lies.extend(
            world.report().await?.regions[UNHEALTHY].sources[source]
                .refused
                .iter()
                .cloned(),
        );
    }
    let looks = world.pool(UNHEALTHY).scrapes();
    wait_for("more lies", || async {
        Ok(world.pool(UNHEALTHY).scrapes() > looks + 6)
    })
    .await?;
    Ok(lies)
}

/// A region whose own gateway has no healthy endpoint left is closed at all others, by EDS, and opened again.
pub async fn down(world: &mut World) -> Result<String> {
    let marked = async |world: &World, gateway: &str| -> Result<bool> {
        let clusters: Value = serde_json::from_str(
            &world
                .gateway(gateway)
                .admin("/clusters?format=json")
                .await?,
        )?;
        let name = format!("peer/{UNHEALTHY}/{MODEL}");
        let clusters = clusters["cluster_statuses"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let cluster = clusters
            .iter()
            .find(|cluster| cluster["name"] == name.as_str());
        let health = cluster.map(|cluster| {
            cluster["host_statuses"][0]["health_status"]["eds_health_status"].clone()
        });
        Ok(health.is_some_and(|health| health == "UNHEALTHY"))
    };
    world.pool(UNHEALTHY).kill().await?;
    wait_for(
        &format!("{UNHEALTHY} to be closed at the others"),
        || async { Ok(marked(world, "us-west-2").await? && marked(world, "eu-west-1").await?) },
    )
    .await?;
    wait_for("the reason to be shown", || async {
        Ok(reasons(world, UNHEALTHY)
            .await?
            .contains(&Reason::NoEndpoints))
    })
    .await?;
    let answer = turn(world, UNHEALTHY, "US", 0).send().await?;
    ensure(
        answer.status == 200 && answer.region() == "us-west-2",
        || format!("{} by {}", answer.status, answer.region()),
    )?;
    world.pool(UNHEALTHY).revive().await?;
    wait_for(&format!("{UNHEALTHY} to be open again"), || async {
        Ok(!marked(world, "us-west-2").await? && !marked(world, "eu-west-1").await?)
    })
    .await?;
    wait_for("its own callers to be back", || async {
        Ok(turn(world, UNHEALTHY, "US", 0).send().await?.region() == UNHEALTHY)
    })
    .await?;
    Ok(format!(
        "{UNHEALTHY}'s pool killed: UNHEALTHY at both other gateways by EDS, its own callers by us-west-2; revived: open again"
    ))
}

/// A region whose signals are stale keeps its share.
pub async fn stale(world: &mut World) -> Result<String> {
    let before = overload(world, "us-west-2").await?;
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.metrics = Metrics::Broken);
    wait_for("us-west-2 to be stale", || async {
        Ok(reasons(world, "us-west-2").await?.contains(&Reason::Stale))
    })
    .await?;
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..25 {
        ticks.tick().await;
        let now = share(world, "us-west-2").await?;
        ensure(now == before, || {
            format!("the share moved from {before} to {now} without news")
        })?;
    }
    Ok(format!(
        "us-west-2 sheds, then falls silent: it keeps {before} % as before, and is shown as stale"
    ))
}
