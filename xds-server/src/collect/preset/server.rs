//! Inference servers: one reading per engine. Each server has a table of its metric names.

use crate::collect::page::{MetricType, Page, Sample};
use crate::collect::refused::RefusalReason;
use crate::collect::refused::Refusals;
use crate::collect::samples::samples_of_type;
use crate::collect::value::{self, MOST_COUNTED, MOST_REQUESTS, Parts};
use meridian_planner::signal::{Answers, Figures, Histogram, Reading};
use meridian_policy::ModelName;
use meridian_policy::source::SignalSource;
use std::collections::{BTreeMap, BTreeSet};

/// The metric names of a server. Of several gauges for one figure, the first one on the page is read.
pub(super) struct ServerMetrics {
    running: &'static [Gauge],
    waiting: &'static [Gauge],
    kv_cache: &'static [Gauge],
    /// In seconds.
    queue_time: Option<Times>,
    first_token: Option<Times>,
    /// Whether it counts its responses in `http_requests_total`, as vLLM does.
    counts_answers: bool,
    /// The label that names the model.
    model: Option<&'static str>,
    /// The label that names the engine.
    engine: Option<&'static str>,
}

/// A gauge and the values that its labels must have if they are present. A series with other values covers a part only.
struct Gauge(&'static str, &'static [(&'static str, &'static str)]);

/// A histogram: its name, the names of its series, and the values that its labels must have.
struct Times {
    metric: &'static str,
    bucket: &'static str,
    sum: &'static str,
    count: &'static str,
    only: &'static [(&'static str, &'static str)],
}

macro_rules! times {
    ($metric:literal, $only:expr) => {
        Some(Times {
            metric: $metric,
            bucket: concat!($metric, "_bucket"),
            sum: concat!($metric, "_sum"),
            count: concat!($metric, "_count"),
            only: $only,
        })
    };
}

/// `kv_cache_usage_perc` is a ratio despite its name. The time to first token includes requests that are not streamed.
/// With several API servers the gauges appear with the first request, the histograms at the start.
pub(super) const VLLM: ServerMetrics = ServerMetrics {
    running: &[Gauge("vllm:num_requests_running", &[])],
    waiting: &[Gauge("vllm:num_requests_waiting", &[])],
    kv_cache: &[
        Gauge("vllm:kv_cache_usage_perc", &[]),
        // The name until 2025; versions in between have both.
        Gauge("vllm:gpu_cache_usage_perc", &[]),
    ],
    queue_time: times!("vllm:request_queue_time_seconds", &[]),
    first_token: times!("vllm:time_to_first_token_seconds", &[]),
    counts_answers: true,
    model: Some("model_name"),
    engine: Some("engine"),
};

/// The gauges exist per priority as well; the series without one is the total. With tensor or pipeline parallelism each
/// rank reports the whole engine, so only rank 0 counts.
pub(super) const SGLANG: ServerMetrics = ServerMetrics {
    running: &[Gauge("sglang:num_running_reqs", SGLANG_TOTAL)],
    waiting: &[Gauge("sglang:num_queue_reqs", SGLANG_TOTAL)],
    kv_cache: &[Gauge("sglang:token_usage", SGLANG_TOTAL)],
    queue_time: times!("sglang:queue_time_seconds", SGLANG_TOTAL),
    first_token: times!(
        "sglang:time_to_first_token_seconds",
        &[("is_streaming", "true")]
    ),
    counts_answers: false,
    model: Some("model_name"),
    engine: Some("dp_rank"),
};

const SGLANG_TOTAL: &[(&str, &str)] = &[
    ("priority", ""),
    ("tp_rank", "0"),
    ("pp_rank", "0"),
    ("moe_ep_rank", "0"),
];

/// TGI reports no KV-cache usage and no time to first token.
pub(super) const TGI: ServerMetrics = ServerMetrics {
    running: &[Gauge("tgi_batch_current_size", &[])],
    waiting: &[Gauge("tgi_queue_size", &[])],
    kv_cache: &[],
    queue_time: times!("tgi_request_queue_duration", &[]),
    first_token: None,
    counts_answers: false,
    model: None,
    engine: None,
};

/// llama.cpp has no histograms, and reports its KV-cache usage on another page.
pub(super) const LLAMACPP: ServerMetrics = ServerMetrics {
    running: &[Gauge("llamacpp:requests_processing", &[])],
    waiting: &[Gauge("llamacpp:requests_deferred", &[])],
    kv_cache: &[],
    queue_time: None,
    first_token: None,
    counts_answers: false,
    model: None,
    engine: None,
};

/// Triton with TensorRT-LLM; with other backends it reports waiting requests only.
pub(super) const TRITON: ServerMetrics = ServerMetrics {
    running: &[Gauge(
        "nv_trt_llm_request_metrics",
        &[("request_type", "scheduled")],
    )],
    waiting: &[
        Gauge("nv_trt_llm_request_metrics", &[("request_type", "waiting")]),
        Gauge("nv_inference_pending_request_count", &[]),
    ],
    kv_cache: &[Gauge(
        "nv_trt_llm_kv_cache_block_metrics",
        &[("kv_cache_block_type", "fraction")],
    )],
    queue_time: None,
    first_token: None,
    counts_answers: false,
    model: Some("model"),
    engine: None,
};

impl ServerMetrics {
    /// Every metric that is read, except the count of responses, which other servers have as well.
    pub(super) fn known(&self) -> Vec<&'static str> {
        let gauges = [self.running, self.waiting, self.kv_cache];
        let gauges = gauges.into_iter().flatten().map(|Gauge(metric, _)| *metric);
        let times = self.queue_time.iter().chain(&self.first_token);
        gauges.chain(times.map(|times| times.count)).collect()
    }
}

const ANSWERS: &str = "http_requests_total";

/// Limit of engines per page.
const MOST_ENGINES: usize = 256;
/// Longest name of an engine, in bytes.
const LONGEST_ENGINE: usize = 64;

/// An engine: the model of its pool, and its name.
type Key = (ModelName, String);

pub(super) fn read(
    names: &'static ServerMetrics,
    page: &Page<'_>,
    signal: &SignalSource,
    pools: &BTreeSet<ModelName>,
    refusals: &mut Refusals,
) -> Vec<Reading> {
    let mut engines = Engines {
        names,
        page,
        signal,
        pools,
        refusals,
        figures: BTreeMap::new(),
    };
    engines.gauge(names.running, requests, |figures| &mut figures.running);
    engines.gauge(names.waiting, requests, |figures| &mut figures.waiting);
    engines.gauge(names.kv_cache, value::ratio, |figures| {
        &mut figures.kv_cache
    });
    engines.expect_kv_cache();
    engines.times(&names.queue_time, |figures| &mut figures.queue_time);
    engines.times(&names.first_token, |figures| &mut figures.first_token);
    let mut figures = engines.figures;
    figures.retain(|_, figures| *figures != Figures::default());
    // The counter covers the whole server, so only one engine carries it.
    if names.counts_answers
        && let Some(mut first) = figures.first_entry()
    {
        first.get_mut().answers = responses(page, refusals);
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

fn requests(value: f64) -> Result<f64, RefusalReason> {
    value::amount(value, MOST_REQUESTS)
}

struct Engines<'p, 'a> {
    names: &'static ServerMetrics,
    page: &'p Page<'a>,
    signal: &'p SignalSource,
    pools: &'p BTreeSet<ModelName>,
    refusals: &'p mut Refusals,
    figures: BTreeMap<Key, Figures>,
}

impl Engines<'_, '_> {
    fn gauge(
        &mut self,
        gauges: &'static [Gauge],
        check: fn(f64) -> Result<f64, RefusalReason>,
        place: fn(&mut Figures) -> &mut Option<f64>,
    ) {
        let on_page = |Gauge(metric, _): &&Gauge| !self.page.samples(metric).is_empty();
        let Some(Gauge(metric, only)) = gauges.iter().find(on_page) else {
            return;
        };
        for sample in samples_of_type(self.page, *metric, MetricType::Gauge, self.refusals) {
            if !has_labels(sample, only) {
                continue;
            }
            let Some(key) = self.key(metric, sample) else {
                continue;
            };
            if let Some(value) = self.refusals.accept(*metric, check(sample.value), sample) {
                self.put(metric, key, place, value, sample);
            }
        }
    }

    /// A server that reports running requests but no KV cache by a known name is of another version: it would look idle with a
    /// full cache.
    fn expect_kv_cache(&mut self) {
        let on_page = |Gauge(metric, _): &Gauge| !self.page.samples(metric).is_empty();
        let expected = self.names.kv_cache;
        if self.names.running.iter().any(on_page)
            && !expected.is_empty()
            && !expected.iter().any(on_page)
        {
            let names: Vec<&str> = expected.iter().map(|Gauge(metric, _)| *metric).collect();
            self.refusals
                .add("kv_cache", RefusalReason::Nothing, &names.join(", "));
        }
    }

    fn times(
        &mut self,
        times: &'static Option<Times>,
        place: fn(&mut Figures) -> &mut Option<Histogram>,
    ) {
        let Some(times) = times else { return };
        let of = |name| {
            let samples = self.page.samples(name).iter();
            samples.filter(|sample| has_labels(sample, times.only))
        };
        let kind = self.page.kind(times.metric);
        if kind != MetricType::Histogram && kind != MetricType::Untyped {
            self.refusals
                .add(times.metric, RefusalReason::WrongType, &format!("{kind:?}"));
            return;
        }
        let mut parts: BTreeMap<Key, Parts> = BTreeMap::new();
        for sample in of(times.bucket) {
            let bound = sample.label("le").and_then(|bound| bound.parse().ok());
            let Some(bound) = bound else {
                self.refusals
                    .add(times.metric, RefusalReason::MissingLabel, sample);
                continue;
            };
            if let Some(key) = self.key(times.metric, sample) {
                let bucket = (bound, sample.value);
                parts.entry(key).or_default().buckets.push(bucket);
            }
        }
        for sample in of(times.sum) {
            if let Some(key) = self.key(times.metric, sample) {
                parts.entry(key).or_default().sum = Some(sample.value);
            }
        }
        for sample in of(times.count) {
            if let Some(key) = self.key(times.metric, sample) {
                parts.entry(key).or_default().count = Some(sample.value);
            }
        }
        for (key, parts) in parts {
            let example = format!("engine={}", key.1);
            let times_of = self
                .refusals
                .accept(times.metric, parts.assemble(1.0), &example);
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
            return self.refusals.add(metric, RefusalReason::TooMany, example);
        }
        let place = place(self.figures.entry(key).or_default());
        match place {
            Some(_) => self.refusals.add(metric, RefusalReason::Twice, example),
            None => *place = Some(value),
        }
    }

    /// The engine of a sample; `None` if its pool is not one of the region.
    fn key(&mut self, metric: &'static str, sample: &Sample<'_>) -> Option<Key> {
        // Server versions without the label have one engine.
        let engine = self.names.engine.and_then(|label| sample.label(label));
        let engine = engine.unwrap_or("0").to_owned();
        if engine.len() > LONGEST_ENGINE {
            self.refusals.add(metric, RefusalReason::TooLarge, sample);
            return None;
        }
        if let Some(model) = &self.signal.model {
            return Some((model.clone(), engine));
        }
        // A page without model names belongs to the region's only pool.
        if let (None, [only]) = (
            self.names.model,
            self.pools.iter().collect::<Vec<_>>().as_slice(),
        ) {
            return Some(((*only).clone(), engine));
        }
        let Some(name) = self.names.model.and_then(|label| sample.label(label)) else {
            self.refusals
                .add(metric, RefusalReason::MissingLabel, sample);
            return None;
        };
        let Some(model) = self.pools.get(name) else {
            self.refusals
                .add(metric, RefusalReason::UnknownName, sample);
            return None;
        };
        Some((model.clone(), engine))
    }
}

/// Whether each of these labels has its value or is missing.
fn has_labels(sample: &Sample<'_>, only: &[(&str, &str)]) -> bool {
    only.iter()
        .all(|(label, value)| sample.label(label).is_none_or(|has| has == *value))
}

/// Inference requests that the server completed; `None` if it does not count them. A server without requests has no
/// sample.
fn responses(page: &Page<'_>, refusals: &mut Refusals) -> Option<Answers> {
    if !page.mentions(ANSWERS) {
        return None;
    }
    let series = samples_of_type(page, ANSWERS, MetricType::Counter, refusals);
    if series.is_empty() && !page.samples(ANSWERS).is_empty() {
        return None;
    }
    let mut answers = Answers::default();
    for sample in series {
        let handler = sample.label("handler").unwrap_or_default();
        // Loading an adapter is a POST under /v1 too.
        let inference = handler.starts_with("/v1/") && !handler.ends_with("_lora_adapter");
        if !inference || sample.label("method") != Some("POST") {
            continue;
        }
        let Some(status) = sample.label("status") else {
            refusals.add(ANSWERS, RefusalReason::MissingLabel, sample);
            continue;
        };
        let count = value::amount(sample.value, MOST_COUNTED);
        // Without one of its series the sum would seem to fall.
        let count = refusals.accept(ANSWERS, count, sample)?;
        answers.all += count;
        if status.starts_with('5') {
            answers.failed += count;
        }
    }
    Some(answers)
}
