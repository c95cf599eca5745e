//! The traces in the repository and the service model, from which cases are built.

use super::load::SECONDS;
use super::spec::{CaseError, CaseSpec, TraceSource};
use crate::case::Case;
use crate::demand::{assign, goodput};
use crate::objective::Objective;
use crate::profile::{Fit, Profile, fit, measurements};
use crate::topology::{fleet, region_specs, round_trips};
use crate::trace::{self, TraceRequest};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Warm-up in seconds: requests that arrive before it are not part of the metrics, because the fleet starts empty.
pub const WARM_UP: f64 = 120.0;

/// Service-level objective of all cases but those with long prompts.
pub const OBJECTIVE: Objective = Objective {
    first_token: 1.0,
    prompt_token: 0.000_3,
    token: 0.1,
};

/// Service-level objective of the Mooncake trace, whose prompts are whole documents.
const LONG_PROMPTS: Objective = Objective {
    first_token: 10.0,
    ..OBJECTIVE
};

/// Measured times of Llama 2 70B.
const TIMES: &str = include_str!("../../traces/llama2-70b-times.csv");

/// A server of four H100 GPUs. The batch limit is the largest measured batch. The KV cache is what 4 x 80 GB hold besides the
/// weights, at 320 KiB per token.
const SERVER: Profile = Profile {
    pass: 0.0,
    prompt_token: 0.0,
    prompt_square: 0.0,
    sequence: 0.0,
    context_token: 0.0,
    kv_tokens: 450_000,
    max_running: 64,
    chunk: 2048,
};

/// Lowest goodput of a region for which a case is simulated, in requests per second.
const MIN_GOODPUT: f64 = 1.0 / 60.0;

/// Fits the service model to the measured times.
///
/// # Errors
/// The measurements cannot be parsed or fitted.
pub fn calibrated() -> Result<Fit, CaseError> {
    let mut rows =
        measurements(TIMES).map_err(|error| CaseError::ServiceTimes(error.to_string()))?;
    rows.retain(|row| row.hardware == "h100-80gb" && row.tensor_parallel == 4);
    fit(&rows, SERVER).map_err(|error| CaseError::ServiceTimes(error.to_string()))
}

/// Parsed traces and the service model.
pub struct Library {
    code: Vec<TraceRequest>,
    conversation: Vec<TraceRequest>,
    mooncake: Vec<TraceRequest>,
    /// Load over a day in half hours, at most 1.
    day: Vec<f64>,
    /// The service model with its errors.
    pub fit: Fit,
}

impl Library {
    /// Parses the traces in the repository and fits the service model.
    ///
    /// # Errors
    /// A trace that cannot be parsed, or measured times that cannot be fitted.
    pub fn read() -> Result<Self, CaseError> {
        let named = |file: &str| {
            let file = file.to_owned();
            move |error| CaseError::Trace { file, error }
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

    /// The requests of a case's trace.
    fn trace(&self, spec: &CaseSpec, seed: u64) -> Result<Cow<'_, [TraceRequest]>, CaseError> {
        Ok(match &spec.trace {
            TraceSource::Code => Cow::Borrowed(&self.code),
            TraceSource::Conversation => Cow::Borrowed(&self.conversation),
            TraceSource::Mooncake => Cow::Borrowed(&self.mooncake),
            TraceSource::Custom(requests) => Cow::Owned(requests.to_vec()),
            TraceSource::ServeGen(clients) => {
                let speed = 24.0 * 3600.0 / SECONDS;
                let requests = trace::servegen(clients, &self.conversation, speed, seed);
                Cow::Owned(requests.map_err(|error| CaseError::Trace {
                    file: spec.name.clone(),
                    error,
                })?)
            }
        })
    }

    /// Builds a case.
    ///
    /// # Errors
    /// A trace that is invalid, is empty, or has prompts that are too long for the simulated servers.
    pub fn build(&self, spec: &CaseSpec, seed: u64) -> Result<Case, CaseError> {
        let trace = self.trace(spec, seed)?;
        if trace.is_empty() {
            return Err(CaseError::Empty(spec.name.clone()));
        }
        let (locations, profile) = (spec.locations, self.fit.profile);
        let objective = match spec.trace {
            TraceSource::Mooncake => LONG_PROMPTS,
            _ => OBJECTIVE,
        };
        let mut by_size = BTreeMap::new();
        for size in &spec.sizes {
            let goodput = || goodput(&profile, *size, &trace, &objective);
            by_size.entry(*size).or_insert_with(goodput);
        }
        let capacity: Vec<f64> = spec.sizes.iter().map(|size| by_size[size]).collect();
        if capacity.iter().any(|capacity| *capacity < MIN_GOODPUT) {
            return Err(CaseError::TooSlow(spec.name.clone()));
        }
        let day = spec.day.as_deref().unwrap_or(&self.day);
        let load = spec.load.over_time(locations, day);
        let rate = |region: usize, now: f64| load(region, now) * capacity[region];
        Ok(Case {
            name: spec.name.clone(),
            description: spec.description.clone(),
            fleet: fleet(locations, &spec.sizes),
            regions: region_specs(locations, &spec.sizes, profile),
            round_trip: round_trips(locations),
            requests: assign(&trace, locations, rate, SECONDS, seed),
            objective,
            capacity,
            faults: spec.faults.clone(),
            seconds: SECONDS,
            disturbances: spec.disturbances.clone(),
        })
    }
}
