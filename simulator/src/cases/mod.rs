//! The cases: each trace on three and on eight regions, and what happens to fleets.

mod load;
mod replay;

pub use load::SECONDS;
pub use replay::{Format, Given};

use crate::case::{Case, Fault, What};
use crate::demand::{goodput, place};
use crate::objective::Objective;
use crate::profile::{Fit, Profile, fit, measurements};
use crate::topology::{EIGHT, Place, THREE, fleet, round_trips, sites};
use crate::trace::{self, Broken, Job};
use load::Load;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What comes before this is left out of the figures, in seconds: a fleet that begins empty.
pub const WARM_UP: f64 = 120.0;
/// Replicas of a region, where a case does not say otherwise.
pub const REPLICAS: usize = 6;

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
pub const TIMES: &str = include_str!("../../traces/llama2-70b-times.csv");

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
#[derive(Debug, thiserror::Error)]
pub enum NoCases {
    /// A trace cannot be read.
    #[error("{file}: {broken}")]
    Broken {
        /// Which.
        file: String,
        /// Where, and what was expected.
        broken: Broken,
    },
    /// A trace has no requests.
    #[error("{0}: it has no requests")]
    Empty(String),
    /// The service model cannot be fitted.
    #[error("the measured times: {0}")]
    Times(String),
    /// Servers like the simulated ones serve next to nothing of a trace in time.
    #[error(
        "{0}: a region of {REPLICAS} servers serves less than one of its requests a minute as promised: are its prompts too long?"
    )]
    TooSlow(String),
}

/// The service model, with how well it fits.
///
/// # Errors
/// A table of measurements that cannot be read.
pub fn calibrated() -> Result<Fit, NoCases> {
    let mut rows = measurements(TIMES).map_err(|error| NoCases::Times(error.to_string()))?;
    rows.retain(|row| row.hardware == "h100-80gb" && row.tensor_parallel == 4);
    fit(&rows, SHAPE).map_err(|error| NoCases::Times(error.to_string()))
}

/// Which requests a case plays.
#[derive(Clone, Debug)]
enum Jobs {
    Code,
    Conversation,
    Mooncake,
    ServeGen(Arc<str>),
    Given(Arc<[Job]>),
}

/// How a case is made.
pub struct Recipe {
    name: String,
    about: String,
    places: &'static [Place],
    /// Replicas of each region.
    sizes: Vec<usize>,
    jobs: Jobs,
    load: Load,
    /// Its own shape of a day.
    day: Option<Vec<f64>>,
    faults: Vec<Fault>,
    disturbances: Vec<f64>,
}

impl Recipe {
    fn new(name: &str, about: &str, places: &'static [Place], jobs: Jobs, load: Load) -> Self {
        Self {
            name: name.to_owned(),
            about: about.to_owned(),
            places,
            sizes: vec![REPLICAS; places.len()],
            jobs,
            load,
            day: None,
            faults: Vec::new(),
            disturbances: Vec::new(),
        }
    }

    /// The same with a fault for seven minutes.
    fn with(mut self, region: Option<usize>, what: What) -> Self {
        let (from, to) = (400.0, 800.0);
        self.faults.push(Fault {
            region,
            from,
            to,
            what,
        });
        self.disturbed(&[from, to])
    }

    fn sized(mut self, sizes: &[usize]) -> Self {
        self.sizes = sizes.to_vec();
        self
    }

    fn disturbed(mut self, times: &[f64]) -> Self {
        self.disturbances = times.to_vec();
        self
    }

    /// The case's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What happens in it, in a sentence.
    pub fn about(&self) -> &str {
        &self.about
    }

    fn objective(&self) -> Objective {
        match self.jobs {
            Jobs::Mooncake => LONG,
            _ => OBJECTIVE,
        }
    }
}

/// All that cases are made of: the traces, and the service model.
pub struct Library {
    code: Vec<Job>,
    conversation: Vec<Job>,
    mooncake: Vec<Job>,
    day: Vec<f64>,
    /// The service model, with how well it fits.
    pub fit: Fit,
}

const SERVEGEN: &str = include_str!("../../traces/servegen-m-large-day.csv");

impl Library {
    /// Reads the traces.
    ///
    /// # Errors
    /// A trace that cannot be read.
    pub fn read() -> Result<Self, NoCases> {
        let named = |file: &str| {
            let file = file.to_owned();
            move |broken| NoCases::Broken { file, broken }
        };
        Ok(Self {
            code: trace::azure(include_str!("../../traces/azure-2023-code.csv"))
                .map_err(named("azure-2023-code.csv"))?,
            conversation: trace::azure(include_str!("../../traces/azure-2023-conversation.csv"))
                .map_err(named("azure-2023-conversation.csv"))?,
            mooncake: trace::mooncake(include_str!("../../traces/mooncake-conversation.jsonl"))
                .map_err(named("mooncake-conversation.jsonl"))?,
            day: trace::day(include_str!("../../traces/o365-weekday.csv"))
                .map_err(named("o365-weekday.csv"))?,
            fit: calibrated()?,
        })
    }

    fn jobs(&self, recipe: &Recipe, seed: u64) -> Result<Cow<'_, [Job]>, NoCases> {
        Ok(match &recipe.jobs {
            Jobs::Code => Cow::Borrowed(&self.code),
            Jobs::Conversation => Cow::Borrowed(&self.conversation),
            Jobs::Mooncake => Cow::Borrowed(&self.mooncake),
            Jobs::Given(jobs) => Cow::Owned(jobs.to_vec()),
            Jobs::ServeGen(clients) => {
                let speed = 24.0 * 3600.0 / SECONDS;
                let jobs = trace::servegen(clients, &self.conversation, speed, seed);
                Cow::Owned(jobs.map_err(|broken| NoCases::Broken {
                    file: recipe.name.clone(),
                    broken,
                })?)
            }
        })
    }

    /// A case, by a seed.
    ///
    /// # Errors
    /// A trace that cannot be played.
    pub fn build(&self, recipe: &Recipe, seed: u64) -> Result<Case, NoCases> {
        let jobs = self.jobs(recipe, seed)?;
        if jobs.is_empty() {
            return Err(NoCases::Empty(recipe.name.clone()));
        }
        let (places, profile) = (recipe.places, self.fit.profile);
        let objective = recipe.objective();
        let mut of_size = BTreeMap::new();
        for size in &recipe.sizes {
            let goodput = || goodput(&profile, *size, &jobs, &objective);
            of_size.entry(*size).or_insert_with(goodput);
        }
        let capacity: Vec<f64> = recipe.sizes.iter().map(|size| of_size[size]).collect();
        if capacity.iter().any(|capacity| *capacity < 1.0 / 60.0) {
            return Err(NoCases::TooSlow(recipe.name.clone()));
        }
        let day = recipe.day.as_deref().unwrap_or(&self.day);
        let load = recipe.load.over_time(places, day);
        let rate = |region: usize, now: f64| load(region, now) * capacity[region];
        Ok(Case {
            name: recipe.name.clone(),
            about: recipe.about.clone(),
            fleet: fleet(places, &recipe.sizes),
            regions: sites(places, &recipe.sizes, profile),
            round_trip: round_trips(places),
            requests: place(&jobs, places, rate, SECONDS, seed),
            objective,
            capacity,
            faults: recipe.faults.clone(),
            seconds: SECONDS,
            disturbances: recipe.disturbances.clone(),
        })
    }
}

/// All cases.
pub fn all() -> Vec<Recipe> {
    let mut all = Vec::new();
    for (name, about, jobs, load) in [
        (
            "azure-code",
            "Azure's code completions",
            Jobs::Code,
            [Load::Hour, Load::Hour],
        ),
        (
            "azure-chat",
            "Azure's conversations",
            Jobs::Conversation,
            [Load::Hour, Load::Hour],
        ),
        (
            "mooncake",
            "Mooncake's conversations",
            Jobs::Mooncake,
            [Load::Hour, Load::Hour],
        ),
        (
            "servegen",
            "ServeGen's clients, a day in twenty minutes",
            Jobs::ServeGen(SERVEGEN.into()),
            [Load::Hour, Load::Hour],
        ),
        (
            "o365-day",
            "the shape of an Office 365 day in twenty minutes, by each region's clock",
            Jobs::Conversation,
            [Load::WholeDay, Load::WholeDay],
        ),
    ] {
        let places: [&'static [Place]; 2] = [&THREE, &EIGHT];
        for (places, load) in places.into_iter().zip(load) {
            let name = format!("{name}-{}", places.len());
            all.push(Recipe::new(&name, about, places, jobs.clone(), load));
        }
    }
    let chat = |name: &str, about: &str, places, load| {
        Recipe::new(name, about, places, Jobs::Conversation, Load::Own(load))
    };
    let east = Some(load::east(&EIGHT));
    all.extend([
        chat(
            "step",
            "a region's demand more than doubles for seven minutes",
            &THREE,
            load::step,
        )
        .disturbed(&[400.0, 800.0]),
        chat(
            "diurnals",
            "offset days: each region's demand goes up and down once",
            &EIGHT,
            load::offset_days,
        ),
        chat(
            "promotion",
            "three times the demand of a region within half a minute, then less and less",
            &EIGHT,
            load::promotion,
        )
        .disturbed(&[400.0]),
        chat(
            "region-loss",
            "a region is gone for seven minutes",
            &EIGHT,
            load::steady,
        )
        .with(east, What::Lost),
        chat(
            "slower",
            "every region does a tenth less for seven minutes",
            &EIGHT,
            load::uneven,
        )
        .with(None, What::Slower(1.0 / 0.9)),
        chat(
            "lies",
            "the busiest region's pages say that it is idle",
            &EIGHT,
            load::busy_east,
        )
        .with(east, What::SaysIdle),
        chat(
            "sizes",
            "regions of eight, six and four servers, whose callers ask for as much",
            &THREE,
            load::alike,
        )
        .sized(&[8, 6, 4]),
    ]);
    all
}
