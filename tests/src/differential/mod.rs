//! The same random exchanges through two fleets that differ in the kind of the filter, Wasm and the dynamic module. Everything that can be
//! seen from outside must be the same: what the callers got, what the servers got, access logs, the filter's metrics, and its lines in
//! Envoy's log.
//!
//! Nothing is left to chance. Each fleet has clocks that stand still until the test steps them ([`crate::world::SteppedClock`]), by the same
//! steps in both. Callers and servers send the next piece when nothing else can happen ([`gate`]). So the same things happen in the same
//! order at the same times, to the millisecond, and what is compared are texts. Generator, servers and comparison share no code with the
//! product.
//!
//! Not compared, since it differs or may differ whatever the filter does:
//! - What [`seen`] makes the same.
//! - Gateways with several workers: the kernel chooses the worker of a connection.
//! - Servers that Envoy ejects, and health checks that fail: their times begin with the process. No server is ejected here, and all
//!   health checks pass.
//! - A chain of one server that waits out a `Retry-After`: Envoy waits for a random time more. Here all chains are longer.
//! - What only a control plane brings: shares, leases, edits. The policy is the same resource for both kinds, byte for byte, which a
//!   test of the control plane compares.
//! - Which requests share a connection to a server. Where the end of an answer and the end of its attempt come at one moment, the order in
//!   which Envoy reads them decides whether it keeps the connection.
//! - The borders of the pieces in which bodies come: they are the network's.

mod answers;
mod bodies;
mod caller;
mod gate;
mod message;
mod plan;
mod random;
mod seen;
mod server;
mod side;
mod steps;

pub use side::Place;

use crate::world::{Configured, Options, REGIONS, World};
use anyhow::{Context, Result, bail};
use caller::Heard;
use meridian_policy::egress_policy::ClaudeHost;
use message::status;
use plan::{MEMBERS, Plan, request_id};
use seen::{difference, gunzipped, samples};
use side::Side;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use steps::{GAP_STEP_MS, SHORT_STEPS, STEP_MS};
use tokio::task::JoinHandle;

/// Short limits, so that silence takes few steps. That of an answer is no multiple of a step: Envoy's timers that are due at the same
/// moment run in any order.
const LIMITS: &str = "{ first_token: 300ms, unstreamed: 300ms, connect: 250ms, gap: 1s, answer: 11950ms, body: 512KiB }";

/// An exchange without an end ends after this time.
const END_MS: u64 = 40_000;

/// Exchanges between two looks at logs and metrics.
const LOOK_EVERY: u64 = 25;

/// Steps of [`GAP_STEP_MS`] after which Envoy has written its logs, and shows what its histograms have.
const UNTIL_SHOWN: u64 = 6;

/// How long Envoy's threads may take to write files, by the machine's clock.
const WRITTEN: Duration = Duration::from_secs(10);

/// What to compare.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// What the random numbers begin with.
    pub seed: u64,
    /// The number of the first exchange.
    pub from: u64,
    /// Exchanges.
    pub requests: u64,
    /// Exchanges after which the lease of the policy runs out; at most [`MOST_IN_LEASE`]. `None`: it has none.
    pub in_lease: Option<u64>,
    /// Differences after which it ends.
    pub most: usize,
}

/// Exchanges that take less time than the lease.
pub const MOST_IN_LEASE: u64 = 200;
/// The lease. It begins with the process, so the two fleets' leases do not run out at one time.
const LEASE: Duration = Duration::from_secs(3600);

/// What was seen.
#[derive(Debug, Default)]
pub struct Tally {
    /// How often something was seen, by its name.
    pub counts: BTreeMap<String, u64>,
    /// What differed.
    pub differences: Vec<String>,
}

/// The world of one kind of the filter; the other world has the other kind.
pub fn options(claude: Option<ClaudeHost>) -> Options {
    Options {
        limits: LIMITS,
        configured: Configured::ByFile,
        claude,
        stepped: true,
        ..Options::default()
    }
}

/// Compares a world of [`options`] with another one of the other kind, which it starts.
///
/// # Errors
/// A gateway does not start, dies, or does not come to rest.
pub async fn compare(world: &mut World, claude: Option<ClaudeHost>, task: Task) -> Result<Tally> {
    let is_native = world.fleet_file()?.contains("  filter: native\n");
    let mut other = World::start(&Options {
        native: !is_native,
        ..options(claude)
    })
    .await?;
    let places = match is_native {
        false => vec![Place::of(world, "wasm")?, Place::of(&other, "native")?],
        true => vec![Place::of(&other, "wasm")?, Place::of(world, "native")?],
    };
    let compared = compare_two((world, &mut other), places, claude, task).await;
    let compared = compared.and_then(|tally| other.has_no_filter_faults().map(|()| tally));
    match &compared {
        Ok(tally) if tally.differences.is_empty() => other.end().await,
        _ => {
            let kept = other.keep().await;
            return compared.with_context(|| format!("the other logs are in {}", kept.display()));
        }
    }
    compared
}

async fn compare_two(
    (world, other): (&mut World, &mut World),
    places: Vec<Place>,
    claude: Option<ClaudeHost>,
    task: Task,
) -> Result<Tally> {
    let lease = task.in_lease.map(|_| LEASE);
    Place::prepare(world, lease).await?;
    Place::prepare(other, lease).await?;
    let (started, starts) = tokio::sync::oneshot::channel();
    let (go, goes) = std::sync::mpsc::channel();
    // A thread and a runtime of its own: what callers and servers can do is done when it has nothing to do.
    let running = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut pair = Pair::start(places, claude)?;
            let _ = started.send(());
            while goes.try_recv().is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            pair.run(task).await?;
            Ok(pair.tally)
        })
    });
    let begun = async {
        starts.await.context("the servers do not start")?;
        for world in [&mut *world, &mut *other] {
            for region in REGIONS.into_iter().rev() {
                world.restart_gateway(region).await?;
            }
            world.until_healthy().await?;
        }
        anyhow::Ok(())
    };
    let begun = begun.await;
    let _ = go.send(());
    let tally = tokio::task::spawn_blocking(move || running.join()).await?;
    begun?;
    tally.map_err(|_| anyhow::anyhow!("the comparison has panicked"))?
}

/// How long the threads of an Envoy may work without a pause.
const PATIENCE: Duration = Duration::from_secs(30);

/// The two fleets, Wasm first.
struct Pair {
    sides: [Side; 2],
    /// How often the gateways were asked whether they have nothing to do.
    round: u32,
    /// Since the clocks were stopped.
    passed_ms: u64,
    /// The wall clock when it was stopped.
    wall: Duration,
    claude: Option<ClaudeHost>,
    /// The clocks were stepped while the last exchange waited.
    has_waited: bool,
    /// The ids of requests whose answers came in gzip.
    encoded: BTreeSet<String>,
    tally: Tally,
}

impl Pair {
    /// Starts the servers of both.
    fn start(places: Vec<Place>, claude: Option<ClaudeHost>) -> Result<Self> {
        let sides: Result<Vec<Side>> = places.into_iter().map(Side::start).collect();
        let sides = <[Side; 2]>::try_from(sides?);
        Ok(Self {
            sides: sides.ok().context("two sides")?,
            round: 0,
            passed_ms: 0,
            wall: Duration::ZERO,
            claude,
            has_waited: false,
            encoded: BTreeSet::new(),
            tally: Tally::default(),
        })
    }

    async fn run(&mut self, task: Task) -> Result<()> {
        let uptime = std::fs::read_to_string("/proc/uptime")?;
        let uptime: f64 = uptime.split(' ').next().context("no uptime")?.parse()?;
        let monotonic = Duration::from_secs_f64(uptime.ceil() + 1.0);
        self.wall = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_secs(1);
        for side in &mut self.sides {
            side.stop_clocks(monotonic, self.wall)?;
        }
        // Until all threads have seen it.
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.pass(GAP_STEP_MS).await?;
        for id in task.from..task.from + task.requests {
            if task.in_lease == Some(id - task.from) {
                self.pass(u64::try_from(LEASE.as_millis())?).await?;
            }
            let plan = Plan::random(task.seed, id, self.claude);
            let exchanged = self.exchange(&plan).await;
            if let Some(difference) = exchanged.with_context(|| plan.explain())? {
                self.note(&plan, &difference);
            }
            let is_last = id + 1 == task.from + task.requests;
            if (id + 1) % LOOK_EVERY == 0 || is_last {
                self.look(id).await?;
            }
            if self.tally.differences.len() >= task.most {
                break;
            }
        }
        Ok(())
    }

    fn note(&mut self, plan: &Plan, difference: &str) {
        let plan = plan.explain();
        self.tally.differences.push(format!("{plan}: {difference}"));
    }

    /// Waits until nothing more happens before the gates are opened or the clocks are stepped.
    async fn settle(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.round += 1;
            let mut before = Vec::new();
            for side in &self.sides {
                before.push(side.begin_round(self.round)?);
            }
            while !(self.sides[0].is_quiet(self.round)? && self.sides[1].is_quiet(self.round)?) {
                if begun.elapsed() > PATIENCE {
                    bail!("a gateway has died, or does not come to rest");
                }
                // Not by the runtime's timer, whose steps are longer than what is waited for.
                std::thread::sleep(Duration::from_micros(50));
                tokio::task::yield_now().await;
            }
            // Each time all that can be read is read, and all that then can be done is done.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            let after = [self.sides[0].activity()?, self.sides[1].activity()?];
            if before == after {
                return Ok(());
            }
        }
    }

    fn step(&mut self, by_ms: u64) -> Result<()> {
        self.passed_ms += by_ms;
        self.set_clocks(None)
    }

    /// Sets the clocks of all gateways, or of one.
    fn set_clocks(&self, only: Option<&str>) -> Result<()> {
        let passed = Duration::from_millis(self.passed_ms);
        let mut sides = self.sides.iter();
        sides.try_for_each(|side| side.step_to(passed, self.wall, only))
    }

    /// A step while an exchange waits. Later on the gateway that was asked goes first: it and the peer that it asked give up an answer
    /// at the same time.
    async fn wait(&mut self, steps: u64, gateway: &str) -> Result<()> {
        if steps <= SHORT_STEPS {
            return self.step(STEP_MS);
        }
        self.passed_ms += STEP_MS;
        self.set_clocks(Some(gateway))?;
        self.settle().await?;
        self.set_clocks(None)
    }

    /// Lets time pass: none, or a step at least.
    async fn pass(&mut self, by_ms: u64) -> Result<()> {
        let mut left = by_ms;
        while left > 0 {
            let step = if left < 2 * GAP_STEP_MS {
                left
            } else {
                GAP_STEP_MS
            };
            self.step(step)?;
            self.settle().await?;
            left -= step;
        }
        Ok(())
    }

    /// One exchange in both fleets. What differs.
    async fn exchange(&mut self, plan: &Plan) -> Result<Option<String>> {
        // A gateway that was not asked last has looked for slow answers meanwhile in Wasm only: see `GAP_STEP_MS`.
        let least_ms = if self.has_waited { GAP_STEP_MS } else { 0 };
        self.pass(plan.gap_ms.max(least_ms)).await?;
        let begun_ms = self.passed_ms;
        let callers = [0, 1].map(|side| self.sides[side].begin(plan));
        let (mut turns, mut steps) = (0, 0);
        loop {
            self.settle().await?;
            turns += 1;
            let is_over = callers.iter().all(JoinHandle::is_finished);
            let leaves = plan.leaves_after.is_some_and(|after| turns > after);
            if is_over || leaves || self.passed_ms - begun_ms > END_MS {
                break;
            }
            let opened = [0, 1].map(|side| self.sides[side].open_gate());
            if opened == [false, false] {
                steps += 1;
                self.wait(steps, plan.gateway).await?;
            }
        }
        self.has_waited = steps > 0;
        let mut lines = Vec::new();
        for (side, caller) in callers.into_iter().enumerate() {
            lines.push(self.lines_of(side, plan.id, caller).await);
        }
        // What the caller has left ends as well.
        self.settle().await?;
        for (side, lines) in lines.iter_mut().enumerate() {
            let received = self.sides[side].received();
            lines.extend(self.sides[side].place.received(&received));
            if side == 0 {
                self.count(&received);
            }
        }
        Ok(difference(&lines[0], &lines[1]))
    }

    async fn lines_of(
        &mut self,
        side: usize,
        id: u64,
        caller: JoinHandle<Result<Heard>>,
    ) -> Vec<String> {
        if !caller.is_finished() {
            caller.abort();
            let _ = caller.await;
            self.add("without an end, or left");
            return vec!["caller: left".into()];
        }
        match caller.await {
            Ok(Ok(heard)) => {
                if heard.answer.as_ref().and_then(gunzipped).is_some() {
                    self.encoded.insert(request_id(id));
                }
                if side == 0 {
                    self.count_heard(&heard);
                }
                self.sides[side].place.heard(&heard)
            }
            Ok(Err(error)) => vec![format!("caller: failed: {error:#}")],
            Err(error) => vec![format!("caller: panicked: {error:#}")],
        }
    }

    fn count_heard(&mut self, heard: &Heard) {
        let Some(answer) = &heard.answer else {
            return self.add("no answer");
        };
        let head = String::from_utf8_lossy(&answer.head).into_owned();
        self.add(&format!("status {}", status(&answer.head)));
        if answer.is_cut {
            self.add("cut");
        }
        let decision = head
            .lines()
            .find_map(|line| line.strip_prefix("x-meridian-decision: "));
        if let Some(lane) = decision.and_then(|decision| decision.split("lane=").nth(1)) {
            let lane = lane.split(' ').next().unwrap_or_default().trim();
            self.add(&format!("lane {lane}"));
        }
    }

    fn count(&mut self, received: &[Vec<server::Received>]) {
        let attempts: usize = received.iter().map(Vec::len).sum();
        self.add(&format!("{attempts} attempts"));
        for (member, received) in MEMBERS.iter().zip(received) {
            if !received.is_empty() {
                self.add(&format!("at {member}"));
            }
        }
    }

    fn add(&mut self, what: &str) {
        *self.tally.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// Compares logs and metrics.
    async fn look(&mut self, id: u64) -> Result<()> {
        self.pass(UNTIL_SHOWN * GAP_STEP_MS).await?;
        let begun = Instant::now();
        // Envoy's threads write a moment later.
        let mut differs = self.shown().await?;
        while differs.is_some() && begun.elapsed() < WRITTEN {
            tokio::time::sleep(Duration::from_millis(20)).await;
            differs = self.shown().await?;
        }
        if let Some(difference) = differs {
            let after = format!("after request {id}, in what {difference}");
            self.tally.differences.push(after);
            // What differs goes on to differ.
            bail!("{}", self.tally.differences.join("\n"));
        }
        Ok(())
    }

    async fn shown(&self) -> Result<Option<String>> {
        for (at, region) in REGIONS.into_iter().enumerate() {
            let mut all = Vec::new();
            for side in &self.sides {
                let place = &side.place;
                let metrics = samples(&side.metrics(at).await?)?;
                all.push([
                    place.access_log(region, &self.encoded)?,
                    place.log(region)?,
                    metrics,
                ]);
            }
            for (what, (wasm, native)) in ["access log", "log", "metrics"]
                .iter()
                .zip(all[0].iter().zip(&all[1]))
            {
                if let Some(difference) = difference(wasm, native) {
                    return Ok(Some(format!("{region} shows as its {what}: {difference}")));
                }
            }
        }
        Ok(None)
    }
}

/// Without these a comparison says little.
const MUST_BE_SEEN: [&str; 15] = [
    "status 200",
    "status 400",
    "status 404",
    "status 405",
    "status 421",
    "status 502",
    "status 503",
    "0 attempts",
    "1 attempts",
    "3 attempts",
    "at claude",
    "at claude-eu",
    "lane home",
    "cut",
    "without an end, or left",
];

/// What was seen, or what differed.
///
/// # Errors
/// The differences, or that something was never seen.
pub fn conclude(task: Task, tally: &Tally) -> Result<String> {
    let Task { seed, from, .. } = task;
    let Tally {
        counts,
        differences,
    } = tally;
    if !differences.is_empty() {
        let count = differences.len();
        bail!(
            "seed {seed}: {count} differences:\n{}",
            differences.join("\n")
        );
    }
    let never: Vec<&str> = MUST_BE_SEEN
        .into_iter()
        .filter(|what| !counts.contains_key(*what))
        .collect();
    if !never.is_empty() {
        bail!("seed {seed}: never seen: {never:?}");
    }
    let counted = counts
        .iter()
        .map(|(what, count)| format!("{what}: {count}"));
    let counted: Vec<String> = counted.collect();
    Ok(format!(
        "seed {seed}: {} requests from {from} on, the same with both kinds of the filter: {}",
        task.requests,
        counted.join(", ")
    ))
}
