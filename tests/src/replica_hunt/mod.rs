//! A hunt for what replicas of the control plane lose. Leaders are killed or stopped and etcd is killed at random moments, while 200
//! requests a second go through three gateways and operators say something all the time. The judge shares no code with the product: it
//! reads etcd's own history, the audit log, the counters of the gateways, and every answer.

mod history;
mod operators;
mod round;

use crate::kill_hunt;
use crate::world::{Options, World, wait_for};
use anyhow::{Result, bail};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use round::{Fault, Plan, Round};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Control planes.
const REPLICAS: usize = 3;

/// The longest time without a leader after one that has died or stands still.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(5);

/// How many faults of which kind.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Leaders that are killed or stopped, in equal parts.
    pub leaders: usize,
    /// Kills of etcd.
    pub etcd: usize,
}

/// What a hunt saw.
#[derive(Debug)]
pub struct Seen {
    seed: u64,
    took: Duration,
    requests: u32,
    /// The longest time until a whole answer.
    longest: Duration,
    /// By the kind of fault: how often, and the longest time until another replica led.
    faults: BTreeMap<&'static str, (u32, Duration)>,
    /// Resources that were sent after quiet faults, and after others without being new.
    quiet: usize,
    again: usize,
    operators: operators::Tally,
    history: history::History,
    wrong: Vec<String>,
}

/// The world of a hunt.
pub fn options() -> Options {
    Options {
        replicas: REPLICAS,
        ..kill_hunt::options()
    }
}

/// Does so many faults, in a random order.
///
/// # Errors
/// No replica leads, or a gateway is not brought up to date.
pub async fn hunt(
    world: &mut World,
    seed: u64,
    faults: Faults,
    tell: impl Fn(&str),
) -> Result<Seen> {
    let begun = Instant::now();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut all = Fault::all(faults);
    all.shuffle(&mut random);
    let mut seen = Seen {
        seed,
        took: Duration::ZERO,
        requests: 0,
        longest: Duration::ZERO,
        faults: BTreeMap::new(),
        quiet: 0,
        again: 0,
        operators: operators::Tally::default(),
        history: history::History::default(),
        wrong: Vec::new(),
    };
    until_settled(world).await?;
    for (number, fault) in all.into_iter().enumerate() {
        let plan = Plan::random(fault, number, &mut random);
        let line = Round { world, plan }.run(&mut seen).await;
        let line = line.map_err(|error| error.context(format!("fault {number}, {plan:?}")))?;
        tell(&format!(
            "{:.0?}: fault {number}, {plan:?}: {line}; {} wrong so far",
            begun.elapsed(),
            seen.wrong.len()
        ));
    }
    let replicas = world.replicas()?;
    let wrong = seen.operators.judge(replicas).await?;
    seen.wrong.extend(wrong);
    seen.history = history::read(replicas.etcd.address()).await?;
    seen.wrong.extend(seen.history.wrong.iter().cloned());
    seen.took = begun.elapsed();
    Ok(seen)
}

/// Waits until all replicas agree, and all gateways have what they publish.
async fn until_settled(world: &mut World) -> Result<()> {
    let replicas = &*world.replicas()?;
    wait_for("the replicas and the gateways to settle", || async {
        if !replicas.agree().await.unwrap_or(false) {
            return Ok(false);
        }
        let reports = replicas.reports().await?;
        let envoys: Vec<_> = reports.iter().flat_map(|report| &report.envoys).collect();
        let mut types = envoys.iter().flat_map(|envoy| envoy.types.values());
        let idle =
            types.all(|of| of.in_flight.is_none() && of.acked.is_some() && of.nack.is_none());
        let kept = reports.iter().all(|report| report.fleet.kept.is_empty());
        Ok(envoys.len() == crate::world::REGIONS.len()
            && envoys.iter().all(|envoy| envoy.types.len() >= 5)
            && idle
            && kept)
    })
    .await
}

/// What a hunt saw, or what was wrong with it.
///
/// # Errors
/// A request failed, an intent was lost or doubled, two led at a time, or something was sent again.
pub fn conclude(seen: &Seen) -> Result<String> {
    let Seen {
        seed,
        took,
        requests,
        longest,
        faults,
        quiet,
        again,
        operators,
        history,
        wrong,
    } = seen;
    if !wrong.is_empty() {
        let some: Vec<&str> = wrong.iter().take(8).map(String::as_str).collect();
        bail!("seed {seed}: {} wrong: {}", wrong.len(), some.join("\n"));
    }
    let faults: Vec<String> = faults
        .iter()
        .map(|(name, (count, longest))| {
            format!("{name} {count} times (followed within {longest:.1?})")
        })
        .collect();
    Ok(format!(
        "seed {seed}: in {took:.0?} {}; {requests} requests at {}/s, none failed, the longest {longest:.1?}; {operators}; {history}; \
         {quiet} resources sent after faults in which nothing had changed, {again} sent again after the others",
        faults.join(", "),
        kill_hunt::RATE
    ))
}
