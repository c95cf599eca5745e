//! `/metrics` with the names, labels and buckets of vLLM 0.32.0, and two gauges of the exporters that stand beside it.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use super::behaviour::{Behaviour, Metrics};
use super::generation::{Finish, quoted};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=1.0.0; charset=utf-8";

const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const LATENCY: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];

/// Counted since the start of the fake.
pub(super) struct Counters {
    pub(super) prompt_tokens: u64,
    pub(super) generation_tokens: u64,
    pub(super) finished: BTreeMap<Finish, u64>,
    pub(super) rejections: u64,
    pub(super) time_to_first_token: Histogram,
    pub(super) latency: Histogram,
    /// By handler, method and status class.
    pub(super) http: BTreeMap<(&'static str, String, String), u64>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            prompt_tokens: 0,
            generation_tokens: 0,
            finished: BTreeMap::new(),
            rejections: 0,
            time_to_first_token: Histogram::new(FIRST_TOKEN),
            latency: Histogram::new(LATENCY),
            http: BTreeMap::new(),
        }
    }
}

impl Counters {
    /// Counts one HTTP answer; `handler` is the route's pattern.
    pub(super) fn answered(&mut self, handler: &'static str, method: &str, status: u16) {
        let class = format!("{}xx", status / 100);
        *self
            .http
            .entry((handler, method.to_owned(), class))
            .or_default() += 1;
        if status == 503 {
            self.rejections += 1;
        }
    }
}

pub(super) struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
    count: u64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len()],
            sum: 0.0,
            count: 0,
        }
    }

    /// Buckets are cumulative.
    pub(super) fn observe(&mut self, seconds: f64) {
        for (bound, count) in self.bounds.iter().zip(&mut self.counts) {
            *count += u64::from(seconds <= *bound);
        }
        self.sum += seconds;
        self.count += 1;
    }
}

/// The page of a pool whose first model is `model`; `running` counts the requests in work.
pub(super) fn page(model: &str, running: u32, shown: &Behaviour, counters: &Counters) -> String {
    let model = format!("model_name={}", quoted(model));
    let engine = format!(r#"engine="0",{model}"#);
    let mut page = Page(String::new());
    page.load(&engine, running, shown);
    page.finished(&engine, &model, counters);
    page.rejected(&model, counters);
    page.times(&engine, &model, counters);
    page.cache();
    page.http(counters);
    page.machine(shown);
    page.0
}

/// Families of the page, in vLLM's order; then those of DCGM's and Postgres's exporters.
impl Page {
    fn load(&mut self, engine: &str, running: u32, shown: &Behaviour) {
        self.family(
            "vllm:num_requests_running",
            "gauge",
            "Number of requests in model execution batches.",
        );
        self.sample(
            "vllm:num_requests_running",
            engine,
            if shown.metrics == Metrics::Lies {
                1e300
            } else {
                f64::from(shown.running + running)
            },
        );
        self.family(
            "vllm:num_requests_waiting",
            "gauge",
            "Number of requests waiting to be processed.",
        );
        if shown.metrics == Metrics::Lies {
            self.sample("vllm:num_requests_waiting", engine, -1e300);
        } else {
            self.sample("vllm:num_requests_waiting", engine, shown.waiting);
        }
        self.family(
            "vllm:num_requests_waiting_by_reason",
            "gauge",
            "Number of waiting requests by reason.",
        );
        self.sample(
            "vllm:num_requests_waiting_by_reason",
            &format!(r#"{engine},reason="capacity""#),
            shown.waiting,
        );
        self.sample(
            "vllm:num_requests_waiting_by_reason",
            &format!(r#"{engine},reason="deferred""#),
            0,
        );
        self.family(
            "vllm:kv_cache_usage_perc",
            "gauge",
            "KV-cache usage. 1 means 100 percent usage.",
        );
        let kv_cache = if shown.metrics == Metrics::Lies {
            f64::NAN
        } else {
            shown.kv_cache_usage
        };
        self.sample("vllm:kv_cache_usage_perc", engine, kv_cache);
    }

    fn finished(&mut self, engine: &str, model: &str, counters: &Counters) {
        self.family(
            "vllm:prompt_tokens_total",
            "counter",
            "Number of prefill tokens processed.",
        );
        self.sample(
            "vllm:prompt_tokens_total",
            engine,
            counters.prompt_tokens as f64,
        );
        self.family(
            "vllm:generation_tokens_total",
            "counter",
            "Number of generation tokens processed.",
        );
        self.sample(
            "vllm:generation_tokens_total",
            engine,
            counters.generation_tokens as f64,
        );
        self.family(
            "vllm:request_success_total",
            "counter",
            "Count of successfully processed requests.",
        );
        for reason in ["stop", "length", "abort", "error", "repetition"] {
            let finished = counters
                .finished
                .iter()
                .find(|(finish, _)| finish.openai() == reason);
            let labels = format!(r#"engine="0",finished_reason="{reason}",{model}"#);
            self.sample(
                "vllm:request_success_total",
                &labels,
                finished.map_or(0.0, |(_, count)| *count as f64),
            );
        }
    }

    fn rejected(&mut self, model: &str, counters: &Counters) {
        self.family(
            "vllm:admission_rejections_total",
            "counter",
            "Number of admission attempts rejected by a queue limit, by reason.",
        );
        for (reason, count) in [
            ("max_num_queued_reqs", counters.rejections),
            ("max_num_queued_tokens", 0),
        ] {
            self.sample(
                "vllm:admission_rejections_total",
                &format!(r#"{model},reason="{reason}""#),
                count as f64,
            );
        }
    }

    fn times(&mut self, engine: &str, model: &str, counters: &Counters) {
        let name = "vllm:time_to_first_token_seconds";
        self.family(
            name,
            "histogram",
            "Histogram of time to first token in seconds.",
        );
        self.histogram(name, engine, model, &counters.time_to_first_token);
        let name = "vllm:e2e_request_latency_seconds";
        self.family(
            name,
            "histogram",
            "Histogram of e2e request latency in seconds.",
        );
        self.histogram(name, engine, model, &counters.latency);
    }

    fn cache(&mut self) {
        self.family(
            "vllm:cache_config_info",
            "gauge",
            "Information of the LLMEngine CacheConfig",
        );
        let config = concat!(
            r#"block_size="16",cache_dtype="auto",enable_prefix_caching="True",engine="0","#,
            r#"kv_cache_size_tokens="131072",num_gpu_blocks="8192""#,
        );
        self.sample("vllm:cache_config_info", config, 1);
    }

    fn http(&mut self, counters: &Counters) {
        if !counters.http.is_empty() {
            self.family(
                "http_requests_total",
                "counter",
                "Total number of requests by method, status and handler.",
            );
        }
        for ((handler, method, class), count) in &counters.http {
            let labels = format!(r#"handler="{handler}",method="{method}",status="{class}""#);
            self.sample("http_requests_total", &labels, *count as f64);
        }
    }

    fn machine(&mut self, shown: &Behaviour) {
        self.family("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %).");
        let gpu = r#"gpu="0",UUID="GPU-00000000-0000-0000-0000-000000000000",device="nvidia0",modelName="Fake""#;
        self.sample("DCGM_FI_DEV_GPU_UTIL", gpu, shown.gpu_utilization);
        self.family(
            "pg_replication_lag_seconds",
            "gauge",
            "Replication lag behind master in seconds",
        );
        self.sample(
            "pg_replication_lag_seconds",
            "",
            shown.replication_lag_seconds,
        );
    }
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Into<f64>) {
        let value = value.into();
        // `{:?}` writes 4.0 as vLLM does, where `{}` would write 4.
        if labels.is_empty() {
            self.line(format_args!("{name} {value:?}"));
        } else {
            self.line(format_args!("{name}{{{labels}}} {value:?}"));
        }
    }

    fn histogram(&mut self, name: &str, engine: &str, model: &str, histogram: &Histogram) {
        for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
            self.sample(
                &format!("{name}_bucket"),
                &format!(r#"engine="0",le="{bound:?}",{model}"#),
                *count as f64,
            );
        }
        let count = histogram.count as f64;
        self.sample(
            &format!("{name}_bucket"),
            &format!(r#"engine="0",le="+Inf",{model}"#),
            count,
        );
        self.sample(&format!("{name}_count"), engine, count);
        self.sample(&format!("{name}_sum"), engine, histogram.sum);
    }

    fn line(&mut self, line: impl Display) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}
