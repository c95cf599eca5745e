//! A hunt for requests that notice that the control plane dies. It is killed at random moments: while nothing happens, during edits of the
//! fleet file, while plans move, and during its own start. 200 requests a second go through three gateways meanwhile. Edits, moments and
//! judge share no code with the product.

pub(crate) mod edits;
mod moment;
pub(crate) mod sent;
mod traffic;

use crate::world::{Options, REGIONS, World, wait_for};
use anyhow::{Context, Result, bail};
use edits::Edits;
use moment::{Moment, Plan};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sent::{Counters, Pushes};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};
pub use traffic::{RATE, Tally, Traffic};

/// Answers are short, so that the definitions before an edit are soon dropped.
const LIMITS: &str =
    "{ first_token: 5s, unstreamed: 5s, connect: 5s, gap: 5s, answer: 5s, body: 64MiB }";

/// No renewal of the lease comes between: whatever is sent has another reason.
const LEASE: &str = "1h";

/// Answers after which the requests of a round run.
const RUNNING: u32 = 20;

/// Types that a gateway asks for.
const TYPES: usize = 5;

/// What a hunt saw.
#[derive(Debug)]
pub struct Seen {
    seed: u64,
    kills: u32,
    requests: u32,
    attempts: usize,
    /// Answers of fallbacks that the caller's zone has: an edit that replaces all clusters may lead there for a moment.
    by_fallbacks: u32,
    longest: Duration,
    took: Duration,
    by_moment: BTreeMap<&'static str, Sum>,
    wrong: Vec<String>,
}

/// What was sent after the kills of one kind of moment.
#[derive(Debug, Default)]
struct Sum {
    kills: u32,
    /// Resources that the new process sent.
    after: usize,
    /// Resources that both processes sent and that changed nothing at the gateways.
    again: usize,
}

/// The world of a hunt.
pub fn options() -> Options {
    Options {
        limits: LIMITS,
        lease: LEASE,
        misdirected: "forward",
        ..Options::default()
    }
}

/// Kills the control plane so often.
///
/// # Errors
/// A gateway does not connect again, or is not brought up to date.
pub async fn hunt(world: &mut World, seed: u64, kills: u32, tell: impl Fn(&str)) -> Result<Seen> {
    let begun = Instant::now();
    let mut edits = Edits::new(world.fleet_file()?)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut seen = Seen {
        seed,
        kills,
        requests: 0,
        attempts: 0,
        by_fallbacks: 0,
        longest: Duration::ZERO,
        took: Duration::ZERO,
        by_moment: BTreeMap::new(),
        wrong: Vec::new(),
    };
    until_settled(world).await?;
    let mut moments = Vec::new();
    for number in 0..kills {
        let moment = moments.pop().unwrap_or_else(|| {
            moments = Moment::shuffled(&mut random);
            moments.pop().unwrap_or(Moment::Quiet)
        });
        let plan = Plan::random(moment, &mut random);
        let round = Round {
            world,
            edits: &mut edits,
            plan,
        };
        let line = round
            .run(&mut seen)
            .await
            .with_context(|| format!("kill {number}, {plan:?}"))?;
        tell(&format!(
            "{:.0?}: kill {number}, {plan:?}: {line}",
            begun.elapsed()
        ));
    }
    seen.took = begun.elapsed();
    Ok(seen)
}

/// One kill.
struct Round<'r> {
    world: &'r mut World,
    edits: &'r mut Edits,
    plan: Plan,
}

impl Round<'_> {
    async fn run(mut self, seen: &mut Seen) -> Result<String> {
        if matches!(self.plan.moment, Moment::Quiet | Moment::Start) {
            until_batch_is_back(self.world).await?;
        }
        let traffic = Traffic::start(self.world)?;
        traffic.until_answered(RUNNING).await?;
        let planned = self.world.report().await?.placements;
        let before = Counters::read(self.world).await?;
        let sent_before = self.sent()?;
        self.until_moment().await?;
        let by_killed = self.kill().await?.without(&sent_before);
        self.come_back().await?;
        until_settled(self.world).await?;
        let after = self.sent()?;
        let pushes = by_killed.with(&after);
        let counted = sent::counted(&self.world.metrics().await?);
        let changes = Counters::read(self.world).await?.since(&before);
        let tally = traffic.stop(self.world).await?;
        let kind = self.plan.moment.name();
        let moved = self.world.report().await?.placements != planned;
        let allowed = self.plan.moment.changes(moved);
        let sources = [
            ("logged as sent", after.kinds()),
            ("counted as sent", counted),
            ("taken by a gateway", changes.kinds()),
        ];
        for (what, kinds) in sources {
            let wrong = kinds
                .iter()
                .filter(|kind| !allowed.contains(&kind.as_str()));
            seen.wrong
                .extend(wrong.map(|kind| format!("{:?}: {kind} {what}", self.plan)));
        }
        let sum = seen.by_moment.entry(kind).or_default();
        sum.kills += 1;
        if tally.by_fallbacks > 0 && !self.plan.moment.is_edit() {
            seen.wrong.push(format!(
                "{:?}: {} by fallbacks",
                self.plan, tally.by_fallbacks
            ));
        }
        seen.by_fallbacks += tally.by_fallbacks;
        sum.after += after.resources();
        sum.again += changes.unchanged(&pushes);
        seen.requests += tally.requests;
        seen.attempts += tally.attempts;
        seen.longest = seen.longest.max(tally.longest);
        let wrong = tally.wrong.iter();
        seen.wrong
            .extend(wrong.map(|wrong| format!("{:?}: {wrong}", self.plan)));
        Ok(format!(
            "{} requests, {} by fallbacks, {} wrong so far; plans moved: {moved}; sent after it {after}, in all {pushes}, changed {changes}",
            tally.requests,
            tally.by_fallbacks,
            seen.wrong.len()
        ))
    }

    /// Brings the moment about.
    async fn until_moment(&mut self) -> Result<()> {
        let hot = self.world.pool(self.plan.region);
        match self.plan.moment {
            Moment::Quiet | Moment::Start | Moment::BeforeEdit => {}
            Moment::AfterEdit => self.world.edit(self.edits.next(self.plan.edit))?,
            Moment::Handover => {
                let reloads = self.world.report().await?.counts.reloads;
                self.world.edit(self.edits.next(self.plan.edit))?;
                let world = &*self.world;
                wait_for("the edit to be taken", || async {
                    Ok(world.report().await?.counts.reloads > reloads)
                })
                .await?;
            }
            Moment::Hot => hot.update(|behaviour| behaviour.kv_cache_usage = 0.95),
            Moment::Cooling => {
                hot.update(|behaviour| behaviour.kv_cache_usage = 0.95);
                until_shed(self.world, self.plan.region).await?;
                hot.update(|behaviour| behaviour.kv_cache_usage = 0.4);
            }
        }
        sleep(self.plan.after).await;
        Ok(())
    }

    /// Kills it, and once more during its start. Returns what the killed processes have sent.
    async fn kill(&mut self) -> Result<Pushes> {
        self.world.control_plane()?.kill().await?;
        let mut sent = self.sent()?;
        if self.plan.moment == Moment::Start {
            self.world.control_plane()?.spawn()?;
            sleep(self.plan.after).await;
            self.world.control_plane()?.kill().await?;
            sent = sent.with(&self.sent()?);
        }
        if self.plan.moment == Moment::BeforeEdit {
            self.world.edit(self.edits.next(self.plan.edit))?;
        }
        sleep(self.plan.away).await;
        Ok(sent)
    }

    /// Starts it again, and ends what the moment began.
    async fn come_back(&mut self) -> Result<()> {
        self.world.control_plane()?.restart().await?;
        if self.plan.moment == Moment::Hot {
            until_shed(self.world, self.plan.region).await?;
            let hot = self.world.pool(self.plan.region);
            hot.update(|behaviour| behaviour.kv_cache_usage = 0.4);
        }
        Ok(())
    }

    /// What the process that was started last has sent.
    fn sent(&mut self) -> Result<Pushes> {
        Ok(Pushes::of(&self.world.control_plane()?.log()?))
    }
}

/// Waits until all pools take all batch requests again: a pool that was hot is given them back in steps.
async fn until_batch_is_back(world: &World) -> Result<()> {
    wait_for("batch requests to be taken", || async {
        let report = world.report().await?;
        let regions = report.regions.values();
        let mut pools = regions.flat_map(|region| region.pools.values());
        Ok(pools.all(|pool| pool.batch == 100))
    })
    .await
}

async fn until_shed(world: &World, region: &str) -> Result<()> {
    wait_for("the hot pool to shed", || async {
        let report = world.report().await?;
        let zones = report.placements.get(region).context("no plan")?;
        let mut placements = zones.values().flat_map(|models| models.values());
        Ok(placements.any(|placement| placement.home_share < 100))
    })
    .await
}

/// Waits until all gateways have everything, no definition of an earlier edit is kept, and no plan moves.
async fn until_settled(world: &World) -> Result<()> {
    wait_for("the fleet to settle", || async {
        let report = world.report().await?;
        let has_all = report.envoys.len() == REGIONS.len()
            && report.envoys.iter().all(|envoy| {
                let mut types = envoy.types.values();
                envoy.types.len() >= TYPES
                    && types
                        .all(|of| of.in_flight.is_none() && of.acked.is_some() && of.nack.is_none())
            });
        let mut placements = report
            .placements
            .values()
            .flat_map(|zones| zones.values())
            .flat_map(|models| models.values());
        let is_calm = placements.all(|placement| placement.home_share == 100);
        Ok(has_all && report.fleet.kept.is_empty() && is_calm)
    })
    .await?;
    // Envoy accepts clusters before it has checked them.
    world.until_healthy().await
}

/// What a hunt saw, or what was wrong with it.
///
/// # Errors
/// A request failed, or something was sent that had not changed.
pub fn conclude(seen: &Seen) -> Result<String> {
    let Seen {
        seed,
        kills,
        requests,
        attempts,
        by_fallbacks,
        longest,
        took,
        by_moment,
        wrong,
    } = seen;
    if !wrong.is_empty() {
        let some: Vec<&str> = wrong.iter().take(5).map(String::as_str).collect();
        bail!("seed {seed}: {} wrong: {}", wrong.len(), some.join("\n"));
    }
    let moments: Vec<String> = by_moment
        .iter()
        .map(|(name, sum)| {
            format!(
                "{name} {} times ({} resources sent, {} of them again)",
                sum.kills, sum.after, sum.again
            )
        })
        .collect();
    let again: usize = by_moment.values().map(|sum| sum.again).sum();
    Ok(format!(
        "seed {seed}: killed {kills} times in {took:.0?}: {}; {requests} requests at {}/s by {attempts} attempts, none failed, \
         {by_fallbacks} by a fallback after an edit, the longest {longest:.1?}; {again} resources sent again in all",
        moments.join(", "),
        RATE
    ))
}
