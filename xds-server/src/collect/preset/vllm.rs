//! vLLM: one reading per engine.

use super::samples;
use crate::collect::Why;
use crate::collect::page::{MetricType, Page, Sample};
use crate::collect::refused::Refusals;
use crate::collect::value::{self, MOST_COUNTED, MOST_REQUESTS, Parts};
use meridian_policy::ModelName;
use meridian_policy::fleet::SignalSource;
use meridian_policy::signal::{Answers, Figures, Histogram, Reading};
use std::collections::{BTreeMap, BTreeSet};

const RUNNING: &str = "vllm:num_requests_running";
const WAITING: &str = "vllm:num_requests_waiting";
/// A ratio, whatever its name says.
const KV_CACHE: &str = "vllm:kv_cache_usage_perc";
const ANSWERS: &str = "http_requests_total";

/// A histogram's name, and the names of its parts.
struct Times {
    metric: &'static str,
    bucket: &'static str,
    sum: &'static str,
    count: &'static str,
}

const QUEUE_TIME: Times = Times {
    metric: "vllm:request_queue_time_seconds",
    bucket: "vllm:request_queue_time_seconds_bucket",
    sum: "vllm:request_queue_time_seconds_sum",
    count: "vllm:request_queue_time_seconds_count",
};
/// Counts requests that are not streamed as well.
const FIRST_TOKEN: Times = Times {
    metric: "vllm:time_to_first_token_seconds",
    bucket: "vllm:time_to_first_token_seconds_bucket",
    sum: "vllm:time_to_first_token_seconds_sum",
    count: "vllm:time_to_first_token_seconds_count",
};

/// With several API servers the gauges are there from the first request on only, the histograms from the start.
pub(super) const KNOWN: &[&str] = &[
    RUNNING,
    WAITING,
    KV_CACHE,
    QUEUE_TIME.count,
    FIRST_TOKEN.count,
];

/// More engines than one page is about.
const MOST_ENGINES: usize = 256;
/// Longer than the name of an engine, in bytes.
const LONGEST_ENGINE: usize = 64;

/// A pool's model and the label `engine`.
type Key = (ModelName, String);

pub(super) fn read(
    page: &Page<'_>,
    signal: &SignalSource,
    pools: &BTreeSet<ModelName>,
    refusals: &mut Refusals,
) -> Vec<Reading> {
    let mut engines = Engines {
        page,
        signal,
        pools,
        refusals,
        figures: BTreeMap::new(),
    };
    engines.gauge(RUNNING, requests, |figures| &mut figures.running);
    engines.gauge(WAITING, requests, |figures| &mut figures.waiting);
    engines.gauge(KV_CACHE, value::ratio, |figures| &mut figures.kv_cache);
    engines.times(&QUEUE_TIME, |figures| &mut figures.queue_time);
    engines.times(&FIRST_TOKEN, |figures| &mut figures.first_token);
    let mut figures = engines.figures;
    figures.retain(|_, figures| *figures != Figures::default());
    // The counter is about the whole server: with every engine it would count as often as there are engines.
    if let Some(mut first) = figures.first_entry() {
        first.get_mut().answers = answers(page, refusals);
    }
    figures
        .into_iter()
        .map(|((model, engine), mut figures)| {
            figures.max_running = signal.max_running.map(f64::from);
            Reading::Server {
                model,
                engine,
                figures,
            }
        })
        .collect()
}

fn requests(value: f64) -> Result<f64, Why> {
    value::amount(value, MOST_REQUESTS)
}

struct Engines<'p, 'a> {
    page: &'p Page<'a>,
    signal: &'p SignalSource,
    pools: &'p BTreeSet<ModelName>,
    refusals: &'p mut Refusals,
    figures: BTreeMap<Key, Figures>,
}

impl Engines<'_, '_> {
    fn gauge(
        &mut self,
        metric: &'static str,
        check: fn(f64) -> Result<f64, Why>,
        place: fn(&mut Figures) -> &mut Option<f64>,
    ) {
        for sample in samples(self.page, metric, MetricType::Gauge, self.refusals) {
            let Some(key) = self.key(metric, sample) else {
                continue;
            };
            if let Some(value) = self.refusals.believe(metric, check(sample.value), sample) {
                self.put(metric, key, place, value, sample);
            }
        }
    }

    fn times(&mut self, times: &Times, place: fn(&mut Figures) -> &mut Option<Histogram>) {
        let said = self.page.kind(times.metric);
        if said != MetricType::Histogram && said != MetricType::Untyped {
            self.refusals
                .add(times.metric, Why::WrongType, &format!("{said:?}"));
            return;
        }
        let mut parts: BTreeMap<Key, Parts> = BTreeMap::new();
        for sample in self.page.samples(times.bucket) {
            let bound = sample.label("le").and_then(|bound| bound.parse().ok());
            let Some(bound) = bound else {
                self.refusals.add(times.metric, Why::MissingLabel, sample);
                continue;
            };
            if let Some(key) = self.key(times.metric, sample) {
                let bucket = (bound, sample.value);
                parts.entry(key).or_default().buckets.push(bucket);
            }
        }
        for sample in self.page.samples(times.sum) {
            if let Some(key) = self.key(times.metric, sample) {
                parts.entry(key).or_default().sum = Some(sample.value);
            }
        }
        for sample in self.page.samples(times.count) {
            if let Some(key) = self.key(times.metric, sample) {
                parts.entry(key).or_default().count = Some(sample.value);
            }
        }
        for (key, parts) in parts {
            let example = format!("engine={}", key.1);
            let times_of = self
                .refusals
                .believe(times.metric, parts.assemble(1.0), &example);
            if let Some(histogram) = times_of {
                self.put(times.metric, key, place, histogram, &example);
            }
        }
    }

    fn put<T>(
        &mut self,
        metric: &'static str,
        key: Key,
        place: fn(&mut Figures) -> &mut Option<T>,
        value: T,
        example: &dyn std::fmt::Display,
    ) {
        if self.figures.len() >= MOST_ENGINES && !self.figures.contains_key(&key) {
            return self.refusals.add(metric, Why::TooMany, example);
        }
        let place = place(self.figures.entry(key).or_default());
        match place {
            Some(_) => self.refusals.add(metric, Why::Twice, example),
            None => *place = Some(value),
        }
    }

    /// Whose value it is: a pool of the region, or nobody's.
    fn key(&mut self, metric: &'static str, sample: &Sample<'_>) -> Option<Key> {
        // Versions without the label have one engine.
        let engine = sample.label("engine").unwrap_or("0").to_owned();
        if engine.len() > LONGEST_ENGINE {
            self.refusals.add(metric, Why::TooLarge, sample);
            return None;
        }
        if let Some(model) = &self.signal.model {
            return Some((model.clone(), engine));
        }
        let Some(name) = sample.label("model_name") else {
            self.refusals.add(metric, Why::MissingLabel, sample);
            return None;
        };
        let Some(model) = self.pools.get(name) else {
            self.refusals.add(metric, Why::UnknownName, sample);
            return None;
        };
        Some((model.clone(), engine))
    }
}

/// Inference requests that the server answered; `None` if it does not count them. The first one makes the first sample.
fn answers(page: &Page<'_>, refusals: &mut Refusals) -> Option<Answers> {
    if !page.mentions(ANSWERS) {
        return None;
    }
    let series = samples(page, ANSWERS, MetricType::Counter, refusals);
    if series.is_empty() && !page.samples(ANSWERS).is_empty() {
        return None;
    }
    let mut answers = Answers::default();
    for sample in series {
        let handler = sample.label("handler").unwrap_or_default();
        // Loading an adapter is a POST under /v1 as well.
        let inference = handler.starts_with("/v1/") && !handler.ends_with("_lora_adapter");
        if !inference || sample.label("method") != Some("POST") {
            continue;
        }
        let Some(status) = sample.label("status") else {
            refusals.add(ANSWERS, Why::MissingLabel, sample);
            continue;
        };
        let count = value::amount(sample.value, MOST_COUNTED);
        // Without one of its parts the sum would seem to fall.
        let count = refusals.believe(ANSWERS, count, sample)?;
        answers.all += count;
        if status.starts_with('5') {
            answers.failed += count;
        }
    }
    Some(answers)
}
