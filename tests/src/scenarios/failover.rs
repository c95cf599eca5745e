//! A region dies; no request fails.

use super::{answered_by, ensure};
use crate::fakes::{Behaviour, Fail};
use crate::world::{REGIONS, World, client, wait_for};
use anyhow::{Result, bail};
use meridian_planner::alarm::{Alarm, AlarmKind};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

/// Region after region, then the fallback.
pub async fn chain(world: &mut World) -> Result<String> {
    let caller = |world: &World| world.ask("us-west-2").country("US");
    answered_by(world, &caller(world), "us-west-2").await?;
    world.pool("us-west-2").kill().await?;
    answered_by(world, &caller(world), "us-east-1").await?;
    world.pool("us-east-1").kill().await?;
    answered_by(world, &caller(world), "eu-west-1").await?;
    world.pool("eu-west-1").kill().await?;
    answered_by(world, &caller(world), "fallback/claude").await?;
    world.heal().await?;
    answered_by(world, &caller(world), "us-west-2").await?;
    Ok(
        "us-west-2 -> us-east-1 -> eu-west-1 -> claude, and back to us-west-2 when all is well"
            .into(),
    )
}

pub async fn refused(world: &mut World) -> Result<String> {
    under_load(world, How::Kill).await
}

pub async fn reset(world: &mut World) -> Result<String> {
    under_load(world, How::Fail(Fail::Reset)).await
}

pub async fn unavailable(world: &mut World) -> Result<String> {
    under_load(world, How::Fail(Fail::Status(503))).await
}

/// As a server that drains: its health check stays green.
pub async fn broken(world: &mut World) -> Result<String> {
    under_load(world, How::Fail(Fail::Status(500))).await
}

pub async fn hang(world: &mut World) -> Result<String> {
    under_load(world, How::Fail(Fail::Hang)).await
}

enum How {
    Kill,
    Fail(Fail),
}

const RATE: u32 = 50;

/// How long every pool answers 503: longer than two ejections.
const OUTAGE: Duration = Duration::from_secs(11);
/// How long after it the fallback may go on alone: an ejection, and time for a busy machine.
const PAID: Duration = Duration::from_secs(9);
const BEFORE: u32 = 50;
const AFTER: u32 = 250;

/// 50 requests a second through us-west-2, which dies after the first second. None may fail.
async fn under_load(world: &World, how: How) -> Result<String> {
    let client = client().build()?;
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    let leaves_early = matches!(how, How::Fail(Fail::Hang | Fail::Status(503)));
    let mut requests = JoinSet::new();
    for number in 0..BEFORE + AFTER {
        ticks.tick().await;
        if number == BEFORE {
            match how {
                How::Kill => world.pool("us-west-2").kill().await?,
                How::Fail(fail) => world
                    .pool("us-west-2")
                    .update(|behaviour| behaviour.fail = fail),
            }
        }
        let (ask, client) = (world.ask("us-west-2").country("US"), client.clone());
        requests.spawn(async move { ask.send_with(&client).await });
    }
    let mut by_region: BTreeMap<String, u32> = BTreeMap::new();
    for answer in requests.join_all().await {
        let answer = answer?;
        if answer.status != 200 {
            bail!("a caller got {}: {}", answer.status, answer.text());
        }
        *by_region.entry(answer.region().to_owned()).or_default() += 1;
    }
    let from = |region: &str| by_region.get(region).copied().unwrap_or_default();
    // Retries add a few to what home answered before; no request had to go further than the next region.
    ensure(from("us-west-2") >= BEFORE / 2, || {
        format!("home served too few: {by_region:?}")
    })?;
    ensure(from("us-west-2") <= BEFORE + 5, || {
        format!("home cannot have served so many: {by_region:?}")
    })?;
    // Where home hangs or refuses, callers leave it for any region of the overflow lane before they have asked there.
    let elsewhere = if leaves_early { from("eu-west-1") } else { 0 };
    ensure(
        from("us-east-1") + elsewhere >= AFTER - 5 && elsewhere < AFTER / 5,
        || format!("the next region served too few: {by_region:?}"),
    )?;
    Ok(format!(
        "{} requests at {RATE}/s, none failed: {by_region:?}",
        BEFORE + AFTER
    ))
}

/// The next region's gateway dies; then that of the region after it hangs.
pub async fn gateway(world: &mut World) -> Result<String> {
    world.pool("us-west-2").kill().await?;
    answered_by(world, &world.ask("us-west-2").country("US"), "us-east-1").await?;
    world.gateway_mut("us-east-1").kill().await?;
    for _ in 0..20 {
        answered_by(world, &world.ask("us-west-2").country("US"), "eu-west-1").await?;
    }
    world.gateway("eu-west-1").freeze().await?;
    for _ in 0..20 {
        answered_by(
            world,
            &world.ask("us-west-2").country("US"),
            "fallback/claude",
        )
        .await?;
    }
    unreachable_is_shown(world, "us-west-2", "us-east-1", "have no answer").await?;
    unreachable_is_shown(world, "us-west-2", "eu-west-1", "have no answer").await?;
    Ok("us-east-1's gateway killed: this request and 19 more by eu-west-1; its gateway frozen: by claude; both in alarms".into())
}

/// Waits for the alarm that a gateway cannot reach a peer's.
pub(super) async fn unreachable_is_shown(
    world: &World,
    gateway: &str,
    peer: &str,
    why: &str,
) -> Result<()> {
    let says = format!("{gateway}-gateway cannot reach the gateway of {peer}: ");
    wait_for(&format!("the alarm `{says}...{why}`"), || async {
        let alarms = world.report().await?.alarms;
        let of_peer = |alarm: &&Alarm| {
            alarm.region.as_str() == gateway && alarm.kind == AlarmKind::PeerUnreachable
        };
        let mut messages = alarms.iter().filter(of_peer).map(|alarm| &alarm.message);
        Ok(messages.any(|message| message.starts_with(&says) && message.contains(why)))
    })
    .await
}

/// One of a pool's two servers fails, and there is no other region: the other one serves.
pub async fn sibling(world: &mut World) -> Result<String> {
    let (pool, sibling) = (world.pool("eu-west-1"), world.sibling()?);
    // Often enough for each worker of the gateway to know both.
    wait_for("both servers to be asked", || async {
        world.ask("eu-west-1").country("DE").send().await?;
        let asked = pool.requests().len().min(sibling.requests().len());
        Ok(asked >= 10)
    })
    .await?;
    let begun = sibling.requests().len();
    for fail in [Fail::Status(503), Fail::Status(500), Fail::Reset] {
        pool.update(|behaviour| behaviour.fail = fail);
        // Two failures, fewer than eject the server, so that each kind of failure is met. It is asked less and less.
        let before = pool.requests().len();
        wait_for("the failing server to be asked twice", || async {
            let ask = world.ask("eu-west-1").country("DE");
            let answer = ask.send().await?;
            let out = world.gateway("eu-west-1").unhealthy().await?;
            ensure(answer.status == 200, || {
                format!(
                    "{fail:?}: {} {}, with {out:?} unhealthy",
                    answer.status,
                    answer.text()
                )
            })?;
            Ok(pool.requests().len() >= before + 2)
        })
        .await?;
        pool.update(|behaviour| behaviour.fail = Fail::None);
    }
    let served = sibling.requests().len() - begun;
    Ok(format!(
        "{served} EU requests, one of two servers answering 503, 500, resetting: none failed"
    ))
}

/// A few requests that every server answers with 500 eject no server.
pub async fn poison(world: &mut World) -> Result<String> {
    for region in REGIONS {
        world
            .pool(region)
            .update(|behaviour| behaviour.fail = Fail::Status(500));
    }
    for _ in 0..5 {
        world.ask("us-west-2").country("US").send().await?;
    }
    for region in REGIONS {
        world
            .pool(region)
            .update(|behaviour| behaviour.fail = Fail::None);
    }
    answered_by(world, &world.ask("us-west-2").country("US"), "us-west-2").await?;
    answered_by(world, &world.ask("eu-west-1").country("DE"), "eu-west-1").await?;
    answered_by(world, &world.ask("us-east-1").country("US"), "us-east-1").await?;
    Ok("after five requests that every server answers with 500, every region serves its own callers".into())
}

/// A region that refuses for a while: every caller is served, it is tried now and then, and comes back.
pub async fn flapping(world: &mut World) -> Result<String> {
    const FOR: Duration = Duration::from_secs(60);
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.fail = Fail::Status(503));
    let before = world.pool("us-west-2").requests().len();
    let mut ticks = interval(Duration::from_millis(50));
    let begin = Instant::now();
    let mut served = 0;
    while begin.elapsed() < FOR {
        ticks.tick().await;
        let answer = world.ask("us-west-2").country("US").send().await?;
        ensure(answer.status == 200, || {
            format!("a caller got {}", answer.status)
        })?;
        served += 1;
    }
    let probes = world.pool("us-west-2").requests().len() - before;
    ensure(probes <= 100, || {
        format!("{probes} of {served} were tried on the one that refuses")
    })?;
    world.pool("us-west-2").set(Behaviour::default());
    let recovered = Instant::now();
    wait_for("us-west-2 to be back", || async {
        Ok(world.ask("us-west-2").country("US").send().await?.region() == "us-west-2")
    })
    .await?;
    let back = recovered.elapsed();
    ensure(back < PAID, || format!("back after {back:?}"))?;
    Ok(format!(
        "60 s of 503: {served} callers served, {probes} tries on it; back {back:.1?} after it was well"
    ))
}

/// Every pool answers 503 to everything, and then serves again: how long the fallback goes on alone.
pub async fn everywhere(world: &mut World) -> Result<String> {
    let client = client().build()?;
    let all = |world: &World, fail: Fail| {
        for region in REGIONS {
            world.pool(region).update(|behaviour| behaviour.fail = fail);
        }
    };
    all(world, Fail::Status(503));
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    let ask = async |region: &str| -> Result<String> {
        let answer = world.ask(region).country("US").send_with(&client).await?;
        ensure(answer.status == 200, || answer.text())?;
        Ok(answer.region().to_owned())
    };
    for number in 0..OUTAGE.as_secs() * u64::from(RATE) {
        ticks.tick().await;
        let region = ["us-west-2", "us-east-1"][number as usize % 2];
        let by = ask(region).await?;
        ensure(by == "fallback/claude", || by.clone())?;
    }
    all(world, Fail::None);
    let since = Instant::now();
    let mut paid = 0;
    loop {
        ticks.tick().await;
        if ask("us-west-2").await? == "us-west-2" {
            break;
        }
        paid += 1;
    }
    let took = since.elapsed();
    ensure(took < PAID, || {
        format!("the fallback went on alone for {took:?}")
    })?;
    Ok(format!(
        "after {OUTAGE:?} of 503 everywhere the fallback answers {paid} requests for {took:.1?}"
    ))
}
