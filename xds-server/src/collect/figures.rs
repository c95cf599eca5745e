//! Turns samples of configured figures into readings: from metrics of any name, from query results and from pushes.

use super::interpreted::Interpreted;
use super::refused::RefusalReason;
use super::refused::Refusals;
use super::value::{self, MOST_COUNTED, MOST_REQUESTS, MOST_SECONDS};
use meridian_planner::signal::{Answers, Figures, Reading};
use meridian_policy::ModelName;
use meridian_policy::source::{Figure, SignalSource, Subject};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// Limit of engines per source, against sources that invent names.
const MOST_ENGINES: usize = 256;
/// Largest believable utilization. An overloaded engine may exceed 1; a percentage, e.g. 80, is refused.
const MOST_UTILIZATION: f64 = 10.0;

/// An engine: the model of its pool, and its name.
type Key = (ModelName, String);

/// One value of a figure.
pub(super) struct FigureSample<'v> {
    pub(super) figure: Figure,
    /// The metric's or figure's name in messages.
    pub(super) metric: Cow<'static, str>,
    /// The model that the sample names.
    pub(super) model: Option<&'v str>,
    /// The name of the engine within the source.
    pub(super) engine: String,
    pub(super) value: f64,
}

/// Collects samples of one source into readings.
pub(super) struct FigureReader<'s> {
    signal: &'s SignalSource,
    pools: &'s BTreeSet<ModelName>,
    pub(super) refusals: Refusals,
    engines: BTreeMap<Key, Figures>,
    counts: BTreeMap<(Figure, Key), Count>,
    busy: Mean,
    active: Mean,
    lag: Option<f64>,
}

/// A counter, summed over several series.
struct Count {
    metric: Cow<'static, str>,
    /// `None` if one of the series was refused: without it the sum would seem to fall.
    sum: Option<f64>,
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

impl<'s> FigureReader<'s> {
    /// A reader for a source in a region with these pools.
    pub(super) fn new(signal: &'s SignalSource, pools: &'s BTreeSet<ModelName>) -> Self {
        Self {
            signal,
            pools,
            refusals: Refusals::default(),
            engines: BTreeMap::new(),
            counts: BTreeMap::new(),
            busy: Mean::default(),
            active: Mean::default(),
            lag: None,
        }
    }

    /// Adds a sample. Returns whether it was accepted.
    pub(super) fn add(&mut self, sample: FigureSample<'_>, example: &dyn Display) -> bool {
        let (figure, metric) = (sample.figure, sample.metric.clone());
        let value = check(figure, sample.value);
        let added = match figure.subject() {
            Subject::Servers => self.add_to_engine(sample, value),
            Subject::Gpus | Subject::Store => value.map(|value| self.add_to_region(figure, value)),
        };
        self.refusals.accept(metric, added, example).is_some()
    }

    fn add_to_region(&mut self, figure: Figure, value: f64) {
        match figure {
            Figure::GpuBusy => self.busy.add(value),
            Figure::GpuActive => self.active.add(value),
            _ => self.lag = Some(self.lag.map_or(value, |other| other.max(value))),
        }
    }

    fn add_to_engine(
        &mut self,
        sample: FigureSample<'_>,
        value: Result<f64, RefusalReason>,
    ) -> Result<(), RefusalReason> {
        let model = self.model(sample.model)?;
        let key = (model, sample.engine);
        if sample.figure.is_counter() {
            let key = (sample.figure, key);
            if self.counts.len() >= MOST_ENGINES && !self.counts.contains_key(&key) {
                return Err(RefusalReason::TooMany);
            }
            let count = self.counts.entry(key).or_insert(Count {
                metric: sample.metric,
                sum: Some(0.0),
            });
            count.sum = count.sum.zip(value.ok()).map(|(sum, value)| sum + value);
            return value.map(|_| ());
        }
        let value = value?;
        if self.engines.len() >= MOST_ENGINES && !self.engines.contains_key(&key) {
            return Err(RefusalReason::TooMany);
        }
        let figures = self.engines.entry(key).or_default();
        let place = match sample.figure {
            Figure::Running => &mut figures.running,
            Figure::Waiting => &mut figures.waiting,
            Figure::KvCache => &mut figures.kv_cache,
            _ => &mut figures.utilization,
        };
        if place.is_some() {
            return Err(RefusalReason::Twice);
        }
        *place = Some(value);
        Ok(())
    }

    /// The pool of a sample: from the fleet file, else from the sample's label, else the region's only pool.
    fn model(&self, label: Option<&str>) -> Result<ModelName, RefusalReason> {
        let mut pools = self.pools.iter();
        match (&self.signal.model, label, pools.next(), pools.next()) {
            (Some(model), ..) => Ok(model.clone()),
            (None, Some(said), ..) => self
                .pools
                .get(said)
                .cloned()
                .ok_or(RefusalReason::UnknownName),
            (None, None, Some(only), None) => Ok(only.clone()),
            (None, None, ..) => Err(RefusalReason::MissingLabel),
        }
    }

    /// The readings, and the refused values.
    pub(super) fn finish(mut self) -> Interpreted {
        self.count_answers();
        let mut readings: Vec<Reading> = Vec::new();
        for ((model, engine), mut figures) in self.engines {
            figures.max_running = self.signal.max_running.map(f64::from);
            readings.push(Reading::Server {
                model,
                engine,
                figures,
            });
        }
        let (busy, engine_active) = (self.busy.value(), self.active.value());
        if busy.is_some() || engine_active.is_some() {
            readings.push(Reading::Gpu {
                busy,
                engine_active,
            });
        }
        readings.extend(self.lag.map(|seconds| Reading::ReplicationLag { seconds }));
        Interpreted {
            readings,
            refused: self.refusals.into_vec(),
        }
    }

    fn count_answers(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        for ((figure, key), count) in &counts {
            let example = format!("engine={}", key.1);
            if *figure == Figure::Failures {
                if !counts.contains_key(&(Figure::Answers, key.clone())) {
                    self.refusals
                        .add(count.metric.clone(), RefusalReason::Contradicts, &example);
                }
                continue;
            }
            let failed = counts.get(&(Figure::Failures, key.clone()));
            let failed = failed.map_or(Some(0.0), |count| count.sum);
            match count.sum.zip(failed) {
                Some((all, failed)) if failed <= all => {
                    let figures = self.engines.entry(key.clone()).or_default();
                    figures.answers = Some(Answers { all, failed });
                }
                Some(_) => {
                    self.refusals
                        .add(count.metric.clone(), RefusalReason::Contradicts, &example)
                }
                None => {}
            }
        }
    }
}

fn check(figure: Figure, value: f64) -> Result<f64, RefusalReason> {
    match figure {
        Figure::Running | Figure::Waiting => value::amount(value, MOST_REQUESTS),
        Figure::KvCache | Figure::GpuBusy | Figure::GpuActive => value::ratio(value),
        Figure::Utilization => value::amount(value, MOST_UTILIZATION),
        Figure::Answers | Figure::Failures => value::amount(value, MOST_COUNTED),
        Figure::ReplicationLag => value::amount(value, MOST_SECONDS),
    }
}

/// A short name for an engine that is known by its labels only.
pub(super) fn engine<'l>(labels: impl IntoIterator<Item = (&'l str, &'l str)>) -> String {
    let labels: BTreeMap<&str, &str> = labels
        .into_iter()
        .filter(|(_, it)| !it.is_empty())
        .collect();
    if labels.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    for (name, value) in labels {
        // Both are escaped, so the separators are unambiguous.
        text += &format!("{name:?}={value:?},");
    }
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}
