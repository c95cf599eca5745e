//! Retries: enough of them when a region dies, and bounded where all regions are slow.

use super::{answered_by, ensure};
use crate::fakes::Fail;
use crate::world::{DEADLINE, REGIONS, World, client, wait_for};
use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Few retries at a time, and a short limit.
pub const FEW: &str =
    "{ first_token: 1s, unstreamed: 1s, connect: 1s, gap: 20s, answer: 30s, retries: 10 }";

const CROWD: usize = 200;

/// A region dies with many requests under way: all of them go on at once.
pub async fn crowd(world: &mut World) -> Result<String> {
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.fail = Fail::Hang);
    world
        .pool("us-east-1")
        .update(|behaviour| behaviour.first_token_ms = 1000);
    let requests = send(world, CROWD)?;
    let home = world.pool("us-west-2");
    wait_for("all requests at home", async || {
        Ok(home.requests().len() == CROWD)
    })
    .await?;
    home.kill().await?;
    for answer in requests.join_all().await {
        ensure(answer? == (200, "us-east-1".into()), || {
            "not answered by the next region".into()
        })?;
    }
    Ok(format!(
        "{CROWD} requests under way when us-west-2 died: all answered by us-east-1"
    ))
}

/// A fleet that is slower than the limit everywhere is asked for more than one answer to some requests only.
pub async fn slow(world: &mut World) -> Result<String> {
    for region in REGIONS {
        world
            .pool(region)
            .update(|behaviour| behaviour.first_token_ms = 3000);
    }
    for answer in send(world, 40)?.join_all().await {
        let (status, _) = answer?;
        ensure(status == 200, || format!("a caller got {status}"))?;
    }
    let attempts: Vec<usize> = world
        .servers()
        .map(|server| server.requests().len())
        .collect();
    ensure(attempts[0] >= 40, || format!("{attempts:?}"))?;
    ensure((1..=10).contains(&attempts[1]), || format!("{attempts:?}"))?;
    ensure(attempts[2..].iter().all(|count| *count <= 10), || {
        format!("{attempts:?}")
    })?;
    Ok(format!(
        "40 slow requests, 10 retries at a time: all answered, {attempts:?} attempts"
    ))
}

/// A zone with one server: it is asked again after its Retry-After, if that is short.
pub async fn after(world: &mut World) -> Result<String> {
    let pool = world.pool("eu-west-1");
    pool.update(|behaviour| {
        behaviour.fail = Fail::Status(429);
        behaviour.retry_after = Some(30);
    });
    let ask = world.ask("eu-west-1").country("DE");
    let answer = timeout(DEADLINE, ask.send()).await??;
    ensure(
        answer.status == 429 && answer.header("retry-after") == "30",
        || format!("{answer:?}"),
    )?;
    ensure(world.reached(ask.marker()) == ["eu-west-1"], || {
        format!("{:?}", world.reached(ask.marker()))
    })?;
    pool.update(|behaviour| behaviour.retry_after = Some(2));
    let ask = world.ask("eu-west-1").country("DE");
    let start = Instant::now();
    let heal = async {
        wait_for("the first attempt", async || {
            Ok(!world.reached(ask.marker()).is_empty())
        })
        .await?;
        pool.update(|behaviour| behaviour.fail = Fail::None);
        Ok(())
    };
    timeout(DEADLINE, async {
        tokio::try_join!(heal, answered_by(world, &ask, "eu-west-1"))
    })
    .await??;
    let waited = start.elapsed();
    ensure(waited.as_secs() >= 2, || {
        format!("asked again after {waited:?}")
    })?;
    Ok(format!(
        "429 for 2 s: asked again, answered after {waited:.1?}; 429 for 30 s: told to the caller"
    ))
}

fn send(world: &World, count: usize) -> Result<JoinSet<Result<(u16, String)>>> {
    let client = client().build()?;
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let (ask, client) = (world.ask("us-west-2").country("US"), client.clone());
        requests.spawn(async move {
            let answer = timeout(DEADLINE, ask.send_with(&client)).await??;
            Ok((answer.status, answer.region().to_owned()))
        });
    }
    Ok(requests)
}
