//! The steps of a run: edits and faults at random times.

use super::definition::{Definition, JURISDICTIONS};
use super::fleet_text::FleetText;
use super::generator::{anew, edited};
use super::link;
use super::place::FailureMode;
use super::plan::Kind;
use crate::world::REGIONS;
use anyhow::{Result, bail};
use rand::{Rng, RngExt};
use std::collections::BTreeSet;

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When, in milliseconds since the run began.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What a step is. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The fleet file is edited.
    Edit(Definition),
    /// A gateway is stopped for a time.
    Stop(&'static str, u64),
    /// A gateway is killed and started again at once.
    Restart(&'static str),
    /// The control plane is killed; it starts again after a time, with an edited file if there is one.
    ControlPlane(u64, Option<Definition>),
    /// A link is cut for a time.
    Cut(&'static str, u64),
    /// A link passes on so many bytes, and then nothing for a time.
    Stall(&'static str, usize, u64),
    /// A region's pools fail for a time.
    PoolFails(&'static str, FailureMode, u64),
    /// A provider fails for a time.
    ProviderFails(usize, FailureMode, u64),
}

/// An instant part of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// The fleet file is written.
    Edit(Definition),
    /// SIGSTOP for a gateway.
    Stop(&'static str),
    /// SIGCONT.
    Continue(&'static str),
    /// A gateway is killed and started again.
    Restart(&'static str),
    /// The control plane is killed.
    KillControlPlane,
    /// It is started, unless it runs.
    StartControlPlane,
    /// A link changes.
    Link(&'static str, link::State),
    /// A region's pools change their mode.
    Pool(&'static str, FailureMode),
    /// A provider changes its mode.
    Provider(usize, FailureMode),
}

impl Step {
    /// Its parts, with their times.
    pub fn acts(&self) -> Vec<(u64, Act)> {
        let at = self.at;
        let lasting = |begin: Act, time: u64, end: Act| vec![(at, begin), (at + time, end)];
        let open = |region| Act::Link(region, link::State::Open);
        match &self.what {
            What::Edit(definition) => vec![(at, Act::Edit(definition.clone()))],
            What::Restart(region) => vec![(at, Act::Restart(region))],
            What::Stop(region, time) => lasting(Act::Stop(region), *time, Act::Continue(region)),
            What::ControlPlane(time, definition) => {
                let mut acts = lasting(Act::KillControlPlane, *time, Act::StartControlPlane);
                let edit = definition.clone().map(|next| (at, Act::Edit(next)));
                acts.extend(edit);
                acts
            }
            What::Cut(region, time) => {
                let cut = Act::Link(region, link::State::Cut);
                lasting(cut, *time, open(region))
            }
            What::Stall(region, bytes, time) => {
                let stall = Act::Link(region, link::State::StallsAfter(*bytes));
                lasting(stall, *time, open(region))
            }
            What::PoolFails(region, mode, time) => lasting(
                Act::Pool(region, *mode),
                *time,
                Act::Pool(region, FailureMode::FINE),
            ),
            What::ProviderFails(provider, mode, time) => lasting(
                Act::Provider(*provider, *mode),
                *time,
                Act::Provider(*provider, FailureMode::FINE),
            ),
        }
    }

    /// The definition that it brings.
    pub fn definition(&self) -> Option<&Definition> {
        match &self.what {
            What::Edit(definition) | What::ControlPlane(_, Some(definition)) => Some(definition),
            _ => None,
        }
    }
}

/// Steps on a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What all gateways have at the beginning.
    pub base: Definition,
    /// The steps, by time.
    pub steps: Vec<Step>,
}

/// The length of a random run, in milliseconds.
const LENGTH: u64 = 18_000;

/// The shortest and the longest time between two edits, in milliseconds.
const BETWEEN_EDITS: (u64, u64) = (600, 3_500);

impl Run {
    /// A random run on a definition. Every other definition in it is one that `meridian validate` accepts.
    pub async fn random(
        random: &mut (impl Rng + Send),
        kinds: &BTreeSet<Kind>,
        text: &FleetText,
        base: &Definition,
    ) -> Result<Self> {
        let (mut steps, mut last, mut at) = (Vec::new(), base.clone(), 500);
        while at < LENGTH && kinds.contains(&Kind::Edit) {
            last = valid(text, || next(&last, random, steps.is_empty())).await?;
            steps.extend(edit(random, kinds, at, &last));
            at += random.random_range(BETWEEN_EDITS.0..BETWEEN_EDITS.1);
        }
        for _ in 0..random.random_range(6..13) {
            steps.extend(fault(random, kinds));
        }
        steps.sort_by_key(|step| step.at);
        Ok(Self {
            base: base.clone(),
            steps,
        })
    }

    /// The definition at the end.
    pub fn last(&self) -> &Definition {
        let mut definitions = self.steps.iter().filter_map(Step::definition);
        definitions.next_back().unwrap_or(&self.base)
    }

    /// The steps, each with what it changes.
    pub fn story(&self) -> String {
        let (mut text, mut last) = (format!("  begins with {}\n", self.base), &self.base);
        for step in &self.steps {
            let what = match (&step.what, step.definition()) {
                (What::ControlPlane(time, _), Some(next)) => {
                    format!(
                        "control plane killed for {time} ms, and {}",
                        next.changes(last)
                    )
                }
                (_, Some(next)) => next.changes(last),
                (what, None) => format!("{what:?}"),
            };
            text += &format!("  {:>6} ms: {what}\n", step.at);
            last = step.definition().unwrap_or(last);
        }
        text
    }

    /// All parts of all steps, by time.
    pub fn acts(&self) -> Vec<(u64, Act)> {
        let mut acts: Vec<_> = self.steps.iter().flat_map(Step::acts).collect();
        acts.sort_by_key(|(at, _)| *at);
        acts
    }
}

/// The next definition. Half of the runs begin with one that has nothing to do with those before.
fn next(last: &Definition, random: &mut impl Rng, is_first: bool) -> Definition {
    if is_first && random.random_ratio(1, 2) {
        return anew(random);
    }
    edited(last, random)
}

/// A definition that the control plane takes; most are.
async fn valid(text: &FleetText, mut next: impl FnMut() -> Definition) -> Result<Definition> {
    let mut said = None;
    for _ in 0..20 {
        let definition = next();
        said = text.problems(&definition).await?;
        if said.is_none() {
            return Ok(definition);
        }
    }
    bail!("no definition is valid: {said:?}")
}

/// An edit with what goes wrong just then.
fn edit(
    random: &mut impl Rng,
    kinds: &BTreeSet<Kind>,
    at: u64,
    definition: &Definition,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut pushed_at = at;
    let mut what = What::Edit(definition.clone());
    if kinds.contains(&Kind::ControlPlane) && random.random_ratio(1, 6) {
        let time = random.random_range(200..3000);
        what = What::ControlPlane(time, Some(definition.clone()));
        pushed_at += time;
    }
    steps.push(Step { at, what });
    let stalls = kinds.contains(&Kind::Stall);
    if kinds.contains(&Kind::Cut) && random.random_ratio(1, 6) {
        // So long that the others do not wait. Then all of it comes in one push, which may stall.
        let (region, time) = (region(random), random.random_range(1000..4500));
        let what = What::Cut(region, time);
        steps.push(Step { at, what });
        if stalls && random.random_ratio(2, 3) {
            steps.push(stall(random, at + time, region));
        }
    } else if stalls && random.random_ratio(1, 3) {
        let region = region(random);
        steps.push(stall(random, pushed_at, region));
    }
    steps
}

/// Midway through a push: some of it comes through, be the push short or long.
fn stall(random: &mut impl Rng, at: u64, region: &'static str) -> Step {
    let bytes = 500.0 * 2_f64.powf(random.random_range(0.0..10.0));
    let what = What::Stall(region, bytes as usize, random.random_range(1000..6000));
    Step { at, what }
}

fn region(random: &mut impl Rng) -> &'static str {
    REGIONS[random.random_range(0..REGIONS.len())]
}

fn fault(random: &mut impl Rng, kinds: &BTreeSet<Kind>) -> Option<Step> {
    const FAULTS: [Kind; 10] = [
        Kind::Failure,
        Kind::Failure,
        Kind::Failure,
        Kind::Failure,
        Kind::Failure,
        Kind::Stop,
        Kind::Restart,
        Kind::ControlPlane,
        Kind::Cut,
        Kind::Stall,
    ];
    let kind = FAULTS[random.random_range(0..FAULTS.len())];
    let at = random.random_range(0..LENGTH);
    let time = random.random_range(500..5000);
    let what = match kind {
        Kind::Stop => What::Stop(region(random), time),
        Kind::Restart => What::Restart(region(random)),
        Kind::ControlPlane => What::ControlPlane(time, None),
        Kind::Cut => What::Cut(region(random), time),
        Kind::Stall => {
            let region = region(random);
            stall(random, at, region).what
        }
        _ => failure(random),
    };
    Some(Step { at, what }).filter(|_| kinds.contains(&kind))
}

fn failure(random: &mut impl Rng) -> What {
    let shortest = random.random_range(300..1200);
    let mode = FailureMode {
        fails: random.random_range(40..95),
        after_ms: (shortest, shortest + random.random_range(100..2000)),
    };
    let time = random.random_range(4000..12_000);
    if random.random_ratio(1, 4) {
        What::ProviderFails(random.random_range(0..JURISDICTIONS.len()), mode, time)
    } else {
        What::PoolFails(region(random), mode, time)
    }
}
