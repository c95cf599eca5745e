//! A hunt for bytes of pinned callers' requests at places that were never allowed: random edits of zones and fallbacks, faults of
//! gateways, of the control plane and of the links between them, and requests with a marker in each of their parts. The judge reads
//! the definitions as plain data and shares no code with the product.
//!
//! Each version of the fleet file has a number, its generation, which the policies of the gateways carry where it changes nothing. A
//! request has leaked if there is no generation among those that its gateway's filter can have had when it decided, under which all
//! places that saw a byte of the request were allowed for its caller.

mod answers;
mod call;
mod caller;
mod definition;
mod fleet_text;
mod generations;
mod generator;
mod ground;
mod judge;
mod leak;
mod link;
mod marker;
mod place;
mod plan;
mod shrink;
mod sightings;
mod step;
mod tally;
mod traffic;
mod transits;

pub use plan::{Hunt, Kind};

use crate::world::{Options, World};
use anyhow::{Result, bail};
use definition::Definition;
use ground::Ground;
use leak::Leak;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use shrink::Shrinker;
use std::collections::BTreeMap;
use std::time::Duration;
use step::Run;
use tally::Tally;
use tokio::time::Instant;
use traffic::Traffic;

/// What a hunt saw.
#[derive(Debug)]
pub struct Seen {
    seed: u64,
    took: Duration,
    runs: usize,
    tally: Tally,
    leaks: usize,
    /// The leaks by kind.
    kinds: BTreeMap<String, usize>,
    /// The first leak of each run with its steps, and the shortest run.
    stories: Vec<String>,
}

/// The world of a hunt.
pub fn options() -> Options {
    Options {
        limits: generator::LIMITS[0],
        misdirected: "forward",
        ..Options::default()
    }
}

/// A run, and when it began.
struct Played {
    run: Run,
    began: u64,
}

/// Hunts.
///
/// # Errors
/// A gateway has died, or does not get a valid definition without any fault.
pub async fn hunt(world: &mut World, hunt: &Hunt, tell: impl Fn(&str)) -> Result<Seen> {
    let mut ground = Ground::new(world, hunt.older_filter.as_deref()).await?;
    let traffic = Traffic::start(&ground, hunt);
    let begun = Instant::now();
    let mut random = ChaCha8Rng::seed_from_u64(hunt.seed);
    let (mut seen, mut last) = (Seen::new(hunt.seed), None);
    let mut base = Definition::first();
    while begun.elapsed() < hunt.time && traffic.requests() < hunt.requests {
        let run = Run::random(&mut random, &hunt.kinds, ground.text(), &base).await?;
        base = run.last().clone();
        let before = last.take();
        let (began, _) = ground.play(&run).await?;
        let played = Played { run, began };
        seen.runs += 1;
        let leaks = traffic.take_leaks();
        let tally = traffic.tally();
        tell(&format!(
            "{:.0?}: run {}, {} requests, {} leaks",
            begun.elapsed(),
            seen.runs,
            tally.requests,
            leaks.len() + seen.leaks,
        ));
        let has_leaked = seen.tell(&leaks, &[before.as_ref(), Some(&played)], &tell);
        if has_leaked && !hunt.goes_on {
            let leak = surest(&leaks);
            let of_before = before.filter(|_| leak.sent_at < began);
            let played = of_before.unwrap_or(played);
            let shrinker = Shrinker {
                ground: &mut ground,
                traffic: &traffic,
                deadline: Instant::now() + hunt.shrinks,
            };
            if !hunt.shrinks.is_zero() {
                seen.shrunk(shrinker, &played, leak, &tell).await?;
            }
            break;
        }
        last = Some(played);
    }
    traffic.end().await;
    let leaks = traffic.take_leaks();
    seen.tell(&leaks, &[last.as_ref()], &tell);
    seen.tally = traffic.tally();
    seen.took = begun.elapsed();
    Ok(seen)
}

/// The first leak that nothing else explains, or else the first one. There is one at least.
fn surest(leaks: &[Leak]) -> &Leak {
    let sure = leaks.iter().find(|leak| leak.is_sure);
    sure.unwrap_or(&leaks[0])
}

impl Seen {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            took: Duration::ZERO,
            runs: 0,
            tally: Tally::default(),
            leaks: 0,
            kinds: BTreeMap::new(),
            stories: Vec::new(),
        }
    }

    /// Counts leaks and tells of the first one. Whether there is one.
    fn tell(&mut self, leaks: &[Leak], runs: &[Option<&Played>], tell: &impl Fn(&str)) -> bool {
        self.leaks += leaks.len();
        for leak in leaks {
            *self.kinds.entry(leak.kind.clone()).or_default() += 1;
        }
        if leaks.is_empty() {
            return false;
        }
        let leak = surest(leaks);
        let of = runs.iter().rev().flatten();
        let mut of = of.filter(|played| played.began <= leak.sent_at);
        let mut story = format!("leak ({} in this run): {leak}", leaks.len());
        if let Some(Played { run, began }) = of.next() {
            let sent = leak.sent_at - began;
            story += &format!("  sent at {sent} ms of the run\n{}", run.story());
        }
        tell(&story);
        self.stories.push(story);
        true
    }

    /// What led to the first leaks; empty if there was none.
    pub fn stories(&self) -> String {
        let some: Vec<&str> = self.stories.iter().take(3).map(String::as_str).collect();
        some.join("\n")
    }

    async fn shrunk(
        &mut self,
        mut shrinker: Shrinker<'_, '_>,
        played: &Played,
        leak: &Leak,
        tell: &impl Fn(&str),
    ) -> Result<()> {
        let Played { run, began } = played;
        let shortest = shrinker.shrink(run, leak, *began, tell).await?;
        let story = match shortest {
            Some((run, leak)) => format!("the shortest run that leaks:\n{}{leak}", run.story()),
            None => "no leak again in shorter runs".into(),
        };
        tell(&story);
        self.stories.push(story);
        Ok(())
    }
}

/// What a hunt saw, or what was wrong.
///
/// # Errors
/// The leaks by kind, or wrong answers.
pub fn conclude(seen: &Seen) -> Result<String> {
    let Seen {
        seed,
        took,
        runs,
        tally,
        leaks,
        kinds,
        ..
    } = seen;
    let summary = format!("seed {seed}: {runs} runs in {took:.0?}, {tally}");
    if *leaks > 0 {
        let kinds = kinds.iter();
        let kinds = kinds.map(|(kind, count)| format!("\n  {count:>5} {kind}"));
        let kinds: String = kinds.collect();
        bail!("{summary}\n{leaks} leaks:{kinds}");
    }
    if !tally.wrong.is_empty() {
        let some: Vec<&str> = tally.wrong.iter().take(3).map(String::as_str).collect();
        bail!("{summary}\nwrong answers: {}", some.join("\n"));
    }
    if tally.seen == 0 {
        bail!("{summary}\nno place saw a request");
    }
    Ok(format!("{summary}\nno leak"))
}
