//! More than the regions can do: all of them refuse, one of them takes requests and answers none, or all of them have a queue.

use super::ensure;
use crate::fakes::{Behaviour, Fail};
use crate::world::{Answer, Ask, REGIONS, World, client, wait_for};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

/// A limit that a wedged server exceeds, long before that of a whole answer.
pub const LIMITS: &str =
    "{ first_token: 2s, unstreamed: 60s, connect: 1s, gap: 20s, answer: 120s, body: 64MiB }";
const FIRST_TOKEN: Duration = Duration::from_secs(2);

/// What a caller saw.
struct Seen {
    /// When it asked, since the load began.
    at: Duration,
    took: Duration,
    answer: Answer,
}

/// Sends requests at a rate, and what their callers saw.
async fn load(
    rate: u32,
    lasts: Duration,
    ask: impl Fn(u32) -> Ask,
) -> Result<JoinSet<Result<Seen>>> {
    let client = client().build()?;
    let (begun, mut ticks) = (Instant::now(), interval(Duration::from_secs(1) / rate));
    let mut requests = JoinSet::new();
    let mut number = 0;
    while begun.elapsed() < lasts {
        ticks.tick().await;
        let (ask, client, at) = (ask(number), client.clone(), begun.elapsed());
        number += 1;
        requests.spawn(async move {
            let answer = ask.send_with(&client).await?;
            Ok(Seen {
                at,
                took: begun.elapsed() - at,
                answer,
            })
        });
    }
    Ok(requests)
}

async fn all(requests: JoinSet<Result<Seen>>) -> Result<Vec<Seen>> {
    requests.join_all().await.into_iter().collect()
}

fn everywhere(world: &World, change: impl Fn(&mut Behaviour)) {
    for region in REGIONS {
        world.pool(region).update(&change);
    }
}

/// Inference requests that reached any pool.
fn asked(world: &World) -> usize {
    let pools = REGIONS.iter().map(|region| world.pool(region));
    pools.map(|pool| pool.requests().len()).sum()
}

const REFUSED_RATE: u32 = 20;

/// Every pool refuses for a while, and says to come again much later or nothing: callers are served by Claude at once, and pools are
/// asked now and then.
pub async fn refused_everywhere(world: &mut World) -> Result<String> {
    let mut said = Vec::new();
    for (code, retry_after) in [(429, Some(30)), (503, None)] {
        everywhere(world, |behaviour| {
            behaviour.fail = Fail::Status(code);
            behaviour.retry_after = retry_after;
        });
        let caller = |number| {
            let ask = world.ask("us-west-2").country("US");
            if number % 2 == 0 { ask.streamed() } else { ask }
        };
        let first = all(load(REFUSED_RATE, Duration::from_secs(2), caller).await?).await?;
        let before = asked(world);
        let then = all(load(REFUSED_RATE, Duration::from_secs(6), caller).await?).await?;
        let attempts = asked(world) - before;
        for seen in first.iter().chain(&then) {
            ensure(seen.answer.region() == "fallback/claude", || {
                format!("{} {}", seen.answer.status, seen.answer.text())
            })?;
        }
        // One more is the fallback's. Each of three pools is probed once a second, and a refused probe goes on to the next
        // pools: nine attempts a second at most, of twenty requests.
        let each = 1.0 + attempts as f64 / then.len() as f64;
        ensure(each < 1.5, || {
            format!("{each:.2} attempts a request at {code}")
        })?;
        everywhere(world, |behaviour| behaviour.fail = Fail::None);
        let healed = Instant::now();
        wait_for("home to serve again", async || {
            let answer = world.ask("us-west-2").country("US").send().await?;
            Ok(answer.region() == "us-west-2")
        })
        .await?;
        let back = healed.elapsed();
        ensure(back < Duration::from_secs(10), || {
            format!("back after {back:.1?}")
        })?;
        said.push(format!(
            "{code}: {each:.2} attempts a request after 2 s, home again {back:.1?} after it"
        ));
    }
    Ok(said.join("; "))
}

/// The same without fallbacks: the caller is told the soonest time that any region has said.
pub async fn refused_nowhere(world: &mut World) -> Result<String> {
    for (region, retry_after) in REGIONS.iter().zip([90, 40, 60]) {
        world.pool(region).update(|behaviour| {
            behaviour.fail = Fail::Status(429);
            behaviour.retry_after = Some(retry_after);
        });
    }
    let caller = |_| world.ask("us-west-2").country("US");
    all(load(REFUSED_RATE, Duration::from_secs(2), caller).await?).await?;
    let before = asked(world);
    let then = all(load(REFUSED_RATE, Duration::from_secs(4), caller).await?).await?;
    // Nine attempts a second at most, as above.
    let each = (asked(world) - before) as f64 / then.len() as f64;
    ensure(each < 0.5, || format!("{each:.2} attempts a request"))?;
    let mut told: BTreeMap<u64, u32> = BTreeMap::new();
    for Seen { answer, took, .. } in &then {
        ensure(answer.status == 429, || answer.text())?;
        ensure(*took < Duration::from_secs(2), || format!("after {took:?}"))?;
        let seconds = answer
            .header("retry-after")
            .parse()
            .context("retry-after")?;
        *told.entry(seconds).or_default() += 1;
    }
    // The times pass meanwhile.
    ensure(
        told.keys().all(|seconds| (30..=40).contains(seconds)),
        || format!("{told:?}"),
    )?;
    Ok(format!(
        "{each:.2} attempts a request, 429 at once; told to come again in {told:?} s"
    ))
}

const WEDGED_RATE: u32 = 20;
const WEDGED: Duration = Duration::from_secs(120);

/// A server takes requests and answers none, while its health check passes: hardly any caller finds out. At the same time one of two
/// servers of another region does the same.
pub async fn wedged(world: &mut World) -> Result<String> {
    everywhere(world, |behaviour| {
        behaviour.first_token_ms = 50;
        behaviour.token_ms = 20;
    });
    let caller = |number: u32| {
        let (gateway, country) = [("us-west-2", "US"), ("eu-west-1", "DE")][number as usize % 2];
        let ask = world.ask(gateway).country(country);
        if number % 4 < 2 { ask.streamed() } else { ask }
    };
    let rate = 2 * WEDGED_RATE;
    all(load(rate, Duration::from_secs(5), caller).await?).await?;
    let (home, sibling) = (world.pool("us-west-2"), world.sibling()?);
    let counted = || [home.requests().len(), sibling.requests().len()];
    let before = counted();
    for server in [home, sibling] {
        server.update(|behaviour| behaviour.fail = Fail::Hang);
    }
    let mut requests = load(rate, WEDGED / 2, caller).await?;
    let midway = counted();
    let second = load(rate, WEDGED / 2, caller).await?;
    let after = counted();
    let mut seen = all(second).await?;
    while let Some(one) = requests.join_next().await {
        seen.push(one??);
    }
    let mut late = Vec::new();
    for Seen { at, took, answer } in &seen {
        ensure(answer.status == 200, || {
            format!("after {took:?}: {} {}", answer.status, answer.text())
        })?;
        if *took > 2 * FIRST_TOKEN {
            late.push((*at, *took));
        }
    }
    let found_out = |index: usize| [midway[index] - before[index], after[index] - midway[index]];
    let said = format!(
        "{} requests in {WEDGED:?}: {} waited longer than twice {FIRST_TOKEN:?}; {:?} by half found a region wedged, {:?} one of two servers",
        seen.len(),
        late.len(),
        found_out(0),
        found_out(1),
    );
    let most = seen.iter().map(|seen| seen.took).max().unwrap_or_default();
    late.truncate(10);
    ensure(late.len() < 10, || format!("{said}; {late:?}"))?;
    let [_, region] = found_out(0);
    let [_, server] = found_out(1);
    ensure(region <= 10 && server <= 20, || said.clone())?;
    Ok(format!("{said}; the longest {most:.1?}"))
}

/// A region that others' callers overflow to takes their requests and answers none: they soon go elsewhere.
pub async fn wedged_elsewhere(world: &mut World) -> Result<String> {
    everywhere(world, |behaviour| behaviour.first_token_ms = 50);
    let home = world.pool("us-west-2");
    home.update(|behaviour| behaviour.kv_cache_usage = 0.95);
    let caller = |number| {
        let ask = world.ask("us-west-2").country("US");
        if number % 2 == 0 { ask.streamed() } else { ask }
    };
    wait_for("home to shed", async || {
        let seen = all(load(WEDGED_RATE, Duration::from_secs(1), caller).await?).await?;
        let left = seen
            .iter()
            .filter(|seen| seen.answer.region() == "us-east-1");
        Ok(left.count() >= 3)
    })
    .await?;
    let east = world.pool("us-east-1");
    east.update(|behaviour| behaviour.fail = Fail::Hang);
    let (mut found_out, mut late) = (Vec::new(), 0);
    let mut sent = JoinSet::new();
    for _ in 0..4 {
        let before = east.requests().len();
        let requests = load(WEDGED_RATE, Duration::from_secs(10), caller).await?;
        sent.spawn(all(requests));
        found_out.push(east.requests().len() - before);
    }
    for seen in sent.join_all().await {
        for Seen { took, answer, .. } in seen? {
            ensure(answer.status == 200, || {
                format!("{}: {}", answer.status, answer.text())
            })?;
            late += usize::from(took > 2 * FIRST_TOKEN);
        }
    }
    let said = format!(
        "{found_out:?} found us-east-1 wedged, by 10 s; {late} waited longer than twice {FIRST_TOKEN:?}"
    );
    ensure(found_out[3] <= 5 && late <= 10, || said.clone())?;
    Ok(said)
}

/// A limit that the queues of a wave exceed.
pub const SHORT: &str =
    "{ first_token: 3s, unstreamed: 30s, connect: 1s, gap: 20s, answer: 120s, body: 64MiB }";

/// How long a request is worked on, and how many at once, in each region: 10 a second.
const WORK: Duration = Duration::from_millis(1000);
const SEATS: usize = 10;
/// The regions together have room for 30 a second.
const ROOM: u32 = 30;
const CALM_RATE: u32 = 22;
const WAVE_RATE: u32 = 50;

const CALM: Duration = Duration::from_secs(5);
const WAVE: Duration = Duration::from_secs(12);
const DRAIN: Duration = Duration::from_secs(30);

/// A wave of requests, more than all regions can do, makes queues everywhere: asking others as well must not make them longer.
pub async fn wave(world: &mut World) -> Result<String> {
    everywhere(world, |behaviour| {
        behaviour.seats = SEATS;
        behaviour.tokens = 5;
        behaviour.first_token_ms = WORK.as_millis() as u64 / 5;
        behaviour.token_ms = WORK.as_millis() as u64 / 5;
    });
    let caller = |_| world.ask("us-west-2").country("US").streamed();
    let calm = load(CALM_RATE, CALM, caller).await?;
    let wave = load(WAVE_RATE, WAVE, caller).await?;
    let drain = load(CALM_RATE, DRAIN, caller).await?;
    let (mut sent, mut paid, mut medians) = (0, 0, Vec::new());
    for requests in [calm, wave, drain] {
        let seen = all(requests).await?;
        for Seen { answer, .. } in &seen {
            ensure(answer.status == 200, || {
                format!("{}: {}", answer.status, answer.text())
            })?;
            paid += usize::from(answer.region().starts_with("fallback"));
        }
        sent += seen.len();
        medians.push(windows(&seen));
    }
    let attempts = asked(world) as f64 / sent as f64;
    let backlog = f64::from(WAVE_RATE - ROOM) * WAVE.as_secs_f64();
    let ideal = backlog / f64::from(ROOM - CALM_RATE);
    let said = format!(
        "{attempts:.2} attempts a request, {paid} of {sent} paid; the queue is gone after {ideal:.0} s at best; median wait by 5 s, before, \
         in and after the wave: {medians:.1?}"
    );
    let last = medians[2].last().context("a last window")?;
    ensure(attempts < 1.4 && *last < Duration::from_secs(6), || {
        said.clone()
    })?;
    Ok(said)
}

/// The median of what callers waited, by when they came, each 5 seconds.
fn windows(seen: &[Seen]) -> Vec<Duration> {
    let mut windows: BTreeMap<u64, Vec<Duration>> = BTreeMap::new();
    for Seen { at, took, .. } in seen {
        windows.entry(at.as_secs() / 5).or_default().push(*took);
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    windows.into_values().map(median).collect()
}
