//! Sources of signals, as they are written.

use meridian_policy::source::{Figure, Preset};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A source of signals. Give `prometheus` with one of `preset`, `metrics` (both read a page of metrics) and `queries` (PromQL that a
/// Prometheus, Thanos or Mimir answers); or `push` with `figures`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSignal {
    /// URL of a page in Prometheus' text format, e.g. `http://10.0.1.10:8000/metrics`. With `queries`: the base URL of the server,
    /// without `/api/v1/query`, e.g. `http://prometheus:9090` or `https://mimir.example.com/prometheus`.
    pub prometheus: Option<String>,
    /// In place of `prometheus`: SPIFFE ID of the client that pushes `figures` to the control plane by gRPC, e.g.
    /// `spiffe://meridian/source/loads`. Its certificate is signed by the CA of the gateways.
    pub push: Option<String>,
    /// With `push`: the figures that this client may push.
    #[schemars(with = "Option<Vec<RawFigure>>")]
    pub figures: Option<Vec<Figure>>,
    /// The server or exporter whose metric names the page has.
    #[schemars(with = "Option<RawPreset>")]
    pub preset: Option<Preset>,
    /// Metric names of your own: the metric of the page for each figure. Series with equal labels (apart from those of `labels` and the
    /// model's) belong to one engine. Counters are added up.
    pub metrics: Option<RawFigures<RawMetric>>,
    /// The PromQL expression for each figure: a scalar or an instant vector. Series with equal labels (apart from the model's) belong to
    /// one engine. Samples older than `policy.unhealthy.signal_ttl` are refused. The age of a sample is known for a plain selector;
    /// the result of a computation counts as new.
    pub queries: Option<RawFigures<String>>,
    /// For inference servers: the model that the source tells about. Default: the metrics' model label. The metrics of `tgi` and
    /// `llamacpp` have no such label: with several pools in the region, the field is required for them.
    pub model: Option<String>,
    /// With `metrics` or `queries`: the metric label that names the model. Default: `model_name`.
    pub model_label: Option<String>,
    /// For inference servers: the number of requests that one engine runs at once (vLLM's `--max-num-seqs`, SGLang's
    /// `--max-running-requests`, TGI's `--max-batch-size`, llama.cpp's `--parallel`). Without it the number of running requests does
    /// not count as utilization.
    pub max_running: Option<u32>,
    /// With `queries`: the tenant, sent as the header `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// File with a bearer token for the source's server, on the control plane's machine. Read again for every request. Needs `https` or
    /// loopback.
    pub token: Option<String>,
    /// With `https`: CA and client certificate for the source's server.
    pub tls: Option<RawSourceTls>,
    /// Interval at which the source is read, or at which the client pushes. At least `100ms`, at most half of
    /// `policy.unhealthy.signal_ttl`. With `queries`, not shorter than the scrape interval of that Prometheus. Default: `2s`.
    pub every: Option<String>,
}

/// Certificate files on the control plane's machine, absolute paths, PEM. Read again for every request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSourceTls {
    /// CA of the source's server. Default: the CAs that the machine trusts.
    pub ca: Option<String>,
    /// Client certificate, for a server that requires one.
    pub certificate: Option<String>,
    /// Private key of `certificate`.
    pub key: Option<String>,
}

/// The figures that a source gives: for each, a metric or a PromQL expression.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFigures<T> {
    /// Requests that an engine runs.
    pub running: Option<T>,
    /// Requests that wait in an engine's queue.
    pub waiting: Option<T>,
    /// KV cache of an engine in use, 0 to 1.
    pub kv_cache: Option<T>,
    /// Load of an engine in a measure of your own; 1 is full, more is overload.
    pub utilization: Option<T>,
    /// Counter of answered requests.
    pub answers: Option<T>,
    /// Counter of those `answers` that failed by the server's fault, with the same labels as `answers`.
    pub failures: Option<T>,
    /// Part of the time in which a kernel ran on the region's GPUs, 0 to 1.
    pub gpu_busy: Option<T>,
    /// Part of the time in which the engines of the region's GPUs were active, 0 to 1. Counts as utilization with
    /// `policy.overflow.gpu`.
    pub gpu_active: Option<T>,
    /// Seconds that the region's data store is behind its primary. The largest value counts.
    pub replication_lag: Option<T>,
}

impl<T> RawFigures<T> {
    /// The figures that are present.
    pub fn given(self) -> BTreeMap<Figure, T> {
        let all = [
            (Figure::Running, self.running),
            (Figure::Waiting, self.waiting),
            (Figure::KvCache, self.kv_cache),
            (Figure::Utilization, self.utilization),
            (Figure::Answers, self.answers),
            (Figure::Failures, self.failures),
            (Figure::GpuBusy, self.gpu_busy),
            (Figure::GpuActive, self.gpu_active),
            (Figure::ReplicationLag, self.replication_lag),
        ];
        all.into_iter()
            .filter_map(|(figure, given)| Some((figure, given?)))
            .collect()
    }
}

/// A figure that a client may push.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)] // The schema of `Figure`, which the policy crate owns.
enum RawFigure {
    /// Requests that an engine runs.
    Running,
    /// Requests that wait in an engine's queue.
    Waiting,
    /// KV cache of an engine in use, 0 to 1.
    KvCache,
    /// Load of an engine in a measure of your own; 1 is full, more is overload.
    Utilization,
    /// Counter of answered requests.
    Answers,
    /// Counter of those `answers` that failed by the server's fault.
    Failures,
    /// Part of the time in which a kernel ran on the region's GPUs, 0 to 1.
    GpuBusy,
    /// Part of the time in which the engines of the region's GPUs were active, 0 to 1.
    GpuActive,
    /// Seconds that the region's data store is behind its primary.
    ReplicationLag,
}

/// A metric of a page of metrics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMetric {
    /// Name of the metric, e.g. `my_server_batch_size`.
    pub name: String,
    /// Labels and the values that they must have. Other series of the metric are left out. Default: none.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Factor for the values, e.g. `0.01` for a metric in percent or `0.001` for one in milliseconds. Default: `1`.
    pub scale: Option<f64>,
}

/// The server or exporter whose metric names a page has.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)] // The schema of `Preset`, which the policy crate owns.
enum RawPreset {
    /// vLLM: load of a pool.
    Vllm,
    /// SGLang: load of a pool.
    Sglang,
    /// Hugging Face's TGI: load of a pool.
    Tgi,
    /// llama.cpp's server: load of a pool.
    Llamacpp,
    /// NVIDIA's Triton, with TensorRT-LLM: load of a pool.
    Triton,
    /// NVIDIA's DCGM exporter: GPU activity.
    Dcgm,
    /// The PostgreSQL exporter beside a replica: replication lag.
    Postgres,
    /// Milvus, or its tool for change data capture: replication lag.
    Milvus,
}
