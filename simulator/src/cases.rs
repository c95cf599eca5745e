//! The cases: each trace on three and on eight regions, and what happens to fleets.

use crate::case::{Case, Fault, What};
use crate::demand::{Rates, goodput, place};
use crate::outcome::Objective;
use crate::profile::{Fit, Profile, fit, measurements};
use crate::topology::{EIGHT, Place, THREE, fleet, round_trips, sites};
use crate::trace::{self, Job};
use std::f64::consts::TAU;

/// Length of a case, in seconds.
pub const SECONDS: f64 = 1200.0;
/// What comes before this is left out of the figures: a fleet that begins empty.
pub const WARM_UP: f64 = 120.0;
/// Replicas of each region.
const REPLICAS: usize = 6;

/// What is promised to callers.
pub const OBJECTIVE: Objective = Objective {
    first_token: 1.0,
    prompt_token: 0.000_3,
    token: 0.1,
};

/// What is promised to callers who send whole documents.
pub const LONG: Objective = Objective {
    first_token: 10.0,
    ..OBJECTIVE
};

/// Measured times of Llama 2 70B.
pub const TIMES: &str = include_str!("../traces/llama2-70b-times.csv");

/// A server of four H100: 64 sequences are the largest batch that was measured; what four times 80 GB hold besides the weights,
/// at 320 KiB a token.
const SHAPE: Profile = Profile {
    pass: 0.0,
    prompt_token: 0.0,
    prompt_square: 0.0,
    sequence: 0.0,
    context_token: 0.0,
    kv_tokens: 450_000,
    max_running: 64,
    chunk: 2048,
};

/// Why there are no cases.
#[derive(Debug)]
pub struct NoCases(pub String);

impl std::fmt::Display for NoCases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoCases {}

/// The service model, with how well it fits.
///
/// # Errors
/// A table of measurements that cannot be read.
pub fn calibrated() -> Result<Fit, NoCases> {
    let mut rows = measurements(TIMES).map_err(|error| NoCases(format!("times: {error}")))?;
    rows.retain(|row| row.hardware == "h100-80gb" && row.tensor_parallel == 4);
    fit(&rows, SHAPE).map_err(|error| NoCases(format!("times: {error}")))
}

/// All traces.
struct Traces {
    code: Vec<Job>,
    conversation: Vec<Job>,
    mooncake: Vec<Job>,
    day: Vec<f64>,
}

impl Traces {
    fn read() -> Result<Self, NoCases> {
        let named = |name: &'static str| move |broken| NoCases(format!("{name}: {broken}"));
        Ok(Self {
            code: trace::azure(include_str!("../traces/azure-2023-code.csv"))
                .map_err(named("azure-2023-code.csv"))?,
            conversation: trace::azure(include_str!("../traces/azure-2023-conversation.csv"))
                .map_err(named("azure-2023-conversation.csv"))?,
            mooncake: trace::mooncake(include_str!("../traces/mooncake-conversation.jsonl"))
                .map_err(named("mooncake-conversation.jsonl"))?,
            day: trace::day(include_str!("../traces/o365-weekday.csv"))
                .map_err(named("o365-weekday.csv"))?,
        })
    }
}

/// What part of their peak a region's callers ask for at an hour of their own clocks.
struct Clock<'d> {
    day: &'d [f64],
    /// UTC at the begin.
    begin: f64,
    /// Hours that go by in a second.
    speed: f64,
}

impl Clock<'_> {
    fn part(&self, place: &Place, now: f64) -> f64 {
        let hour = self.begin + now * self.speed + place.hours;
        let position = hour.rem_euclid(24.0) / 24.0 * self.day.len() as f64;
        let (slot, rest) = (position as usize, position.fract());
        let at = |slot: usize| self.day[slot % self.day.len()];
        at(slot) * (1.0 - rest) + at(slot + 1) * rest
    }
}

struct Builder<'p> {
    name: &'static str,
    about: &'static str,
    places: &'p [Place],
    objective: Objective,
    faults: Vec<Fault>,
    disturbances: Vec<f64>,
}

impl Builder<'_> {
    /// The case with these requests; `load` is a region's demand over its capacity.
    fn build(self, jobs: &[Job], profile: Profile, load: &impl Rates, seed: u64) -> Case {
        let each = goodput(&profile, REPLICAS, jobs, &self.objective);
        let rate = |region: usize, now: f64| load.rate(region, now) * each;
        Case {
            name: self.name.to_owned(),
            about: self.about.to_owned(),
            fleet: fleet(self.places, REPLICAS),
            regions: sites(self.places, REPLICAS, profile),
            round_trip: round_trips(self.places),
            requests: place(jobs, self.places, &rate, SECONDS, seed),
            objective: self.objective,
            faults: self.faults,
            seconds: SECONDS,
            disturbances: self.disturbances,
        }
    }
}

/// The hour (UTC) of the cases whose clock runs as ours: the afternoon of the American east coast.
const AFTERNOON_IN_THE_EAST: f64 = 22.0;
/// Demand over capacity of the whole fleet when it is highest: it has a quarter to spare, in other places than where it is asked for.
const FLEET: f64 = 0.75;
/// The east's callers for each server, over those of other regions.
const EAST: f64 = 1.5;

/// All cases, by a seed.
///
/// # Errors
/// A trace that cannot be read.
pub fn all(seed: u64) -> Result<Vec<Case>, NoCases> {
    let traces = Traces::read()?;
    let profile = calibrated()?.profile;
    let lengths = &traces.conversation;
    let clients = include_str!("../traces/servegen-m-large-day.csv");
    let servegen = trace::servegen(clients, lengths, 24.0 * 3600.0 / SECONDS, seed)
        .map_err(|broken| NoCases(format!("servegen-m-large-day.csv: {broken}")))?;
    let simple = |name: &'static str, about, places| Builder {
        name,
        about,
        places,
        objective: if name.starts_with("mooncake") {
            LONG
        } else {
            OBJECTIVE
        },
        faults: Vec::new(),
        disturbances: Vec::new(),
    };
    let hour = Clock {
        day: &traces.day,
        begin: AFTERNOON_IN_THE_EAST,
        speed: 1.0 / 3600.0,
    };
    let whole_day = Clock {
        speed: 24.0 / SECONDS,
        ..hour
    };
    let of = |clock: &Clock<'_>, places: &'static [Place]| {
        let weight = |place: &Place| if place.name == "us-east-1" { EAST } else { 1.0 };
        let loads = |now: u32| -> Vec<f64> {
            let at = |place: &Place| weight(place) * clock.part(place, f64::from(now));
            places.iter().map(at).collect()
        };
        let loads: Vec<Vec<f64>> = (0..=SECONDS as u32).map(loads).collect();
        let most = loads
            .iter()
            .map(|loads| loads.iter().sum())
            .fold(0.0, f64::max);
        let scale = FLEET * places.len() as f64 / most;
        move |region: usize, now: f64| scale * loads[(now as usize).min(SECONDS as usize)][region]
    };
    let three = of(&hour, &THREE);
    let eight = of(&hour, &EIGHT);
    let mut cases = Vec::new();
    for (name, about, jobs) in [
        ("azure-code", "Azure's code completions", &traces.code),
        ("azure-chat", "Azure's conversations", &traces.conversation),
        ("mooncake", "Mooncake's conversations", &traces.mooncake),
        (
            "servegen",
            "ServeGen's clients, a day in twenty minutes",
            &servegen,
        ),
    ] {
        let names: [&'static str; 2] = match name {
            "azure-code" => ["azure-code-3", "azure-code-8"],
            "azure-chat" => ["azure-chat-3", "azure-chat-8"],
            "mooncake" => ["mooncake-3", "mooncake-8"],
            _ => ["servegen-3", "servegen-8"],
        };
        cases.push(simple(names[0], about, &THREE[..]).build(jobs, profile, &three, seed));
        cases.push(simple(names[1], about, &EIGHT[..]).build(jobs, profile, &eight, seed));
    }
    let day = "the shape of an Office 365 day in twenty minutes, by each region's clock";
    cases.push(simple("o365-day-3", day, &THREE[..]).build(
        lengths,
        profile,
        &of(&whole_day, &THREE),
        seed,
    ));
    cases.push(simple("o365-day-8", day, &EIGHT[..]).build(
        lengths,
        profile,
        &of(&whole_day, &EIGHT),
        seed,
    ));

    let steady = |_: usize, _: f64| 0.6;
    let east = |places: &[Place]| {
        places
            .iter()
            .position(|place| place.name == "us-east-1")
            .unwrap_or(0)
    };
    let between = |from: f64, to: f64| move |now: f64| (from..to).contains(&now);
    let within = between(400.0, 800.0);
    let step = |region: usize, now: f64| {
        let times = if region == east(&THREE) && within(now) {
            2.2
        } else {
            1.0
        };
        0.55 * times
    };
    cases.push(
        Builder {
            disturbances: vec![400.0, 800.0],
            ..simple(
                "step",
                "a region's demand more than doubles for seven minutes",
                &THREE[..],
            )
        }
        .build(lengths, profile, &step, seed),
    );
    let offset = |region: usize, now: f64| {
        let phase = now / SECONDS + EIGHT[region].hours / 24.0;
        let top = if EIGHT[region].eea { 0.9 } else { 1.15 };
        top * (0.6 + 0.4 * (phase * TAU).sin())
    };
    cases.push(
        simple(
            "diurnals",
            "offset days: each region's demand goes up and down once",
            &EIGHT[..],
        )
        .build(lengths, profile, &offset, seed),
    );
    let spike = |region: usize, now: f64| {
        if region != east(&EIGHT) || now < 400.0 {
            return 0.55;
        }
        0.55 * (1.0
            + 2.0 * ((now - 400.0) / 30.0).min(1.0) * (-(now - 430.0).max(0.0) / 120.0).exp())
    };
    cases.push(
        Builder {
            disturbances: vec![400.0],
            ..simple(
                "promotion",
                "three times the demand of a region within half a minute, then less and less",
                &EIGHT[..],
            )
        }
        .build(lengths, profile, &spike, seed),
    );
    let fault = |region: Option<usize>, what| Fault {
        region,
        from: 400.0,
        to: 800.0,
        what,
    };
    let faulty = |name, about, fault| Builder {
        faults: vec![fault],
        disturbances: vec![400.0, 800.0],
        ..simple(name, about, &EIGHT[..])
    };
    cases.push(
        faulty(
            "region-loss",
            "a region is gone for seven minutes",
            fault(Some(east(&EIGHT)), What::Lost),
        )
        .build(lengths, profile, &steady, seed),
    );
    let uneven = |region: usize, _: f64| [0.9, 0.5, 0.8, 0.7, 0.75, 0.6, 0.95, 0.85][region];
    cases.push(
        faulty(
            "slower",
            "every region does a tenth less for seven minutes",
            fault(None, What::Slower(1.0 / 0.9)),
        )
        .build(lengths, profile, &uneven, seed),
    );
    let busy = |region: usize, _: f64| if region == east(&EIGHT) { 0.95 } else { 0.6 };
    cases.push(
        faulty(
            "lies",
            "the busiest region's pages say that it is idle",
            fault(Some(east(&EIGHT)), What::SaysIdle),
        )
        .build(lengths, profile, &busy, seed),
    );
    Ok(cases)
}
