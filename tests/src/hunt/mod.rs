//! A hunt for wrong answers: random requests whose chain's members each do what a plan says, alone and while others are asked as
//! well, and a judge of every byte that the callers get. Plans, answers and judge share no code with the product.

mod act;
pub mod caller;
mod judge;
pub mod memory;
mod plan;
mod server;

pub use plan::Plan;

use crate::world::{Configured, Envoy, Options, REGIONS, World, wait_for};
use anyhow::{Context, Result, bail};
use plan::MEMBERS;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use server::Server;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Short limits, so that most plans have several members asked at a time.
pub const LIMITS: &str = "{ first_token: 300ms, unstreamed: 300ms, connect: 250ms, gap: 1s, answer: 12s, retries: 5000 }";

/// What home refuses sends at most 1 % of the callers elsewhere.
const AT_HOME: &str = "overflow: { floor: 0.99 }";

/// Callers at a time.
const CALLERS: usize = 100;

/// By when a caller has an answer that a member gives: every member may use up the limit of an attempt, and the machine is busy.
const SOON: Duration = Duration::from_secs(8);

/// By when every caller has an answer: the limit of an answer, and what a busy machine adds.
const BOUND: Duration = Duration::from_secs(20);

/// What a hunt saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests.
    pub requests: u64,
    /// Callers that left.
    pub left: u64,
    /// Whole answers.
    pub whole: u64,
    /// Errors.
    pub errors: u64,
    /// Streams that broke off after their first content.
    pub broken: u64,
    /// Attempts at all members together.
    pub attempts: u64,
    /// The longest time until an answer's end.
    pub longest: Duration,
    /// What may not be, with the plan.
    pub wrong: Vec<String>,
}

/// The hunting ground: one gateway, and members that do as they are told.
pub struct Ground {
    servers: Vec<Server>,
}

impl Ground {
    /// Puts servers in the place of a world's pools and its provider. No member is ejected, however often it fails.
    pub async fn new(world: &mut World) -> Result<Self> {
        let servers = servers(world).await?;
        // The gateway that is asked starts last: one that runs on finds out late that a peer was away for a moment.
        for region in REGIONS.into_iter().rev() {
            let path = world.dir().join(format!("{region}.yaml"));
            let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
            let clusters = config["static_resources"]["clusters"].as_array_mut();
            for cluster in clusters.context("no clusters")? {
                cluster
                    .as_object_mut()
                    .map(|cluster| cluster.remove("outlier_detection"));
            }
            std::fs::write(&path, config.to_string())?;
            world.restart_gateway(region).await?;
        }
        world.until_healthy().await?;
        Ok(Self { servers })
    }

    /// Sends this many random requests and judges what comes back.
    ///
    /// # Errors
    /// The gateway died, or keeps requests that nobody waits for.
    pub async fn hunt(&self, world: &World, seed: u64, requests: u64) -> Result<Seen> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let callers = Arc::new(Semaphore::new(CALLERS));
        let gateway = world.block().public(MEMBERS[0]);
        let mut running = JoinSet::new();
        let mut seen = Seen::default();
        for id in 0..requests {
            let plan = Plan::random(&mut random, id);
            let call = plan.call()?;
            let permit = callers.clone().acquire_owned().await?;
            running.spawn(async move {
                let begun = Instant::now();
                let heard = caller::ask(gateway, &call).await;
                drop(permit);
                (plan, heard, begun.elapsed())
            });
            while let Some(ended) = running.try_join_next() {
                self.note(&mut seen, ended?);
            }
            alive(world, &seen)?;
        }
        while let Some(ended) = running.join_next().await {
            self.note(&mut seen, ended?);
        }
        alive(world, &seen)?;
        let gateway = world.gateway(MEMBERS[0]);
        wait_for("the end of all attempts", async || {
            Ok(gateway.counter("upstream_rq_active$").await? == 0)
        })
        .await?;
        Ok(seen)
    }

    fn note(&self, seen: &mut Seen, (plan, heard, took): (Plan, Result<caller::Heard>, Duration)) {
        let attempts = self.servers.iter().map(|server| server.asked(plan.id));
        let attempts: u64 = attempts.sum();
        seen.requests += 1;
        seen.attempts += attempts;
        if plan.leaves_after_ms.is_some() {
            seen.left += 1;
            return;
        }
        seen.longest = seen.longest.max(took);
        let verdict = heard.and_then(|heard| judge::judge(&plan, &heard));
        let verdict = verdict.and_then(|verdict| {
            let bound = if matches!(verdict, judge::Verdict::Whole) {
                SOON
            } else {
                BOUND
            };
            if took > bound {
                bail!("it took {took:?}");
            }
            if attempts > MEMBERS.len() as u64 {
                bail!("{attempts} attempts");
            }
            Ok(verdict)
        });
        match verdict {
            Ok(judge::Verdict::Whole) => seen.whole += 1,
            Ok(judge::Verdict::Error) => seen.errors += 1,
            Ok(judge::Verdict::Broken) => seen.broken += 1,
            Err(error) => seen.wrong.push(format!("{error:#}: {plan:?}, {took:?}")),
        }
    }
}

/// Servers in the place of a world's pools and its provider.
async fn servers(world: &World) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for member in MEMBERS {
        let (fake, address) = match member {
            "claude" => (world.provider(member), world.block().provider(member)),
            region => (world.pool(region), world.block().pool(region)),
        };
        fake.kill().await?;
        servers.push(Server::start(member, address)?);
    }
    Ok(servers)
}

/// The gateway lives, and its filter has not faulted.
fn alive(world: &World, seen: &Seen) -> Result<()> {
    let gateway: &Envoy = world.gateway(MEMBERS[0]);
    if gateway.has_ended()? {
        bail!(
            "the gateway has died after {} requests: {:?}",
            seen.requests,
            seen.wrong
        );
    }
    Ok(())
}

/// The world of a hunt.
pub fn options() -> Options {
    Options {
        limits: LIMITS,
        policy: AT_HOME,
        configured: Configured::ByFile,
        ..Options::default()
    }
}

/// What a hunt saw, or what was wrong with it.
///
/// # Errors
/// The first wrong answers, with their plans.
pub fn conclude(seed: u64, seen: &Seen) -> Result<String> {
    let Seen {
        requests,
        left,
        whole,
        errors,
        broken,
        attempts,
        longest,
        wrong,
    } = seen;
    if !wrong.is_empty() {
        let some: Vec<&str> = wrong.iter().take(5).map(String::as_str).collect();
        bail!(
            "seed {seed}: {} of {requests} wrong: {}",
            wrong.len(),
            some.join("\n")
        );
    }
    Some(())
        .filter(|()| *whole > 0 && *errors > 0 && *broken > 0)
        .with_context(|| format!("seed {seed}: nothing of some kind: {seen:?}"))?;
    Ok(format!(
        "seed {seed}: {requests} requests, {attempts} attempts: {whole} whole answers, {errors} errors, {broken} broken off, {left} callers left; no wrong byte, the longest {longest:.1?}"
    ))
}
