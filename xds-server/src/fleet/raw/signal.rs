//! Sources of signals, as they are written.

use meridian_policy::source::{Figure, Preset};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A source of signals: a page of metrics, with a `preset` or with `metrics` of any names; the answers of a Prometheus, Thanos or
/// Mimir to `queries`; or one that pushes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSignal {
    /// URL of a page in Prometheus' text format, e.g. `http://10.0.1.10:8000/metrics`. With `queries`: what `/api/v1/query` is under,
    /// e.g. `http://prometheus:9090`, or Mimir's `https://mimir.example.com/prometheus`.
    pub prometheus: Option<String>,
    /// In place of `prometheus`: the SPIFFE ID of who pushes `figures` by itself, to `control_plane` with a certificate of the gateways'
    /// authority, e.g. `spiffe://meridian/source/loads`.
    pub push: Option<String>,
    /// With `push`: what may be pushed.
    #[schemars(with = "Option<Vec<RawFigure>>")]
    pub figures: Option<Vec<Figure>>,
    /// Whose names the page's metrics have: `vllm`, `sglang`, `tgi`, `llamacpp`, `triton` (load of a pool), `dcgm` (GPUs), `postgres`,
    /// `milvus` (replication lag).
    #[schemars(with = "Option<RawPreset>")]
    pub preset: Option<Preset>,
    /// Which metrics of the page give which figures, where no preset has their names. Series whose labels are the same, but for those
    /// of `labels` and the model's, are one engine; counters are added up.
    pub metrics: Option<RawFigures<RawMetric>>,
    /// Which PromQL expressions give which figures: each a scalar, or an instant vector whose series with the same labels, but for the
    /// model's, are one engine. Samples older than `signal_ttl` say nothing; how old one is can be told of a plain selector, while the
    /// result of a computation is as new as the query.
    pub queries: Option<RawFigures<String>>,
    /// Of inference servers: the model that is served there. Default: the metrics' own label; those of `tgi` and `llamacpp` have
    /// none.
    pub model: Option<String>,
    /// With `metrics` or `queries`: the label that names the model. Default: `model_name`.
    pub model_label: Option<String>,
    /// Of an inference server: how many requests an engine works on at once (vLLM's `--max-num-seqs`, SGLang's
    /// `--max-running-requests`, TGI's `--max-batch-size`, llama.cpp's `--parallel`); its metrics do not tell. Without it the number of running
    /// requests says nothing about utilization.
    pub max_running: Option<u32>,
    /// With `queries`: the tenant, sent as `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// A file with the bearer token that its server wants, on the control plane's machine; read again at every look. Over `https`, or
    /// on loopback.
    pub token: Option<String>,
    /// With `https`: how its server is known and how it knows us.
    pub tls: Option<RawSourceTls>,
    /// How often it is read, or pushed. With `queries` no more often than the Prometheus itself reads. Default: `2s`.
    pub every: Option<String>,
}

/// Paths on the control plane's machine, PEM; read again at every look.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSourceTls {
    /// The authority of its server. Default: those that the machine trusts.
    pub ca: Option<String>,
    /// Our certificate, where it wants one.
    pub certificate: Option<String>,
    /// Its private key.
    pub key: Option<String>,
}

/// One of these for each figure that a source gives.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFigures<T> {
    /// Requests in work at an engine.
    pub running: Option<T>,
    /// Requests that wait at an engine.
    pub waiting: Option<T>,
    /// KV-cache of an engine in use, a ratio.
    pub kv_cache: Option<T>,
    /// How full an engine is in a measure of your own, a ratio; above 1 is too full.
    pub utilization: Option<T>,
    /// Requests answered: a counter.
    pub answers: Option<T>,
    /// Those of `answers` that failed by the server's fault: a counter, with the labels of `answers`.
    pub failures: Option<T>,
    /// GPUs of the region with a kernel running, a ratio.
    pub gpu_busy: Option<T>,
    /// GPUs of the region with active engines, a ratio; load with `overflow: { gpu: true }`.
    pub gpu_active: Option<T>,
    /// Seconds that the region's data store is behind: the largest counts.
    pub replication_lag: Option<T>,
}

impl<T> RawFigures<T> {
    /// Those that are there, by what they are.
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

/// What a source may push.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)] // The schema of `Figure`, which the policy crate owns.
enum RawFigure {
    /// Requests in work at an engine.
    Running,
    /// Requests that wait at an engine.
    Waiting,
    /// KV-cache of an engine in use, a ratio.
    KvCache,
    /// How full an engine is in a measure of your own, a ratio; above 1 is too full.
    Utilization,
    /// Requests answered: a counter.
    Answers,
    /// Those of `answers` that failed by the server's fault: a counter.
    Failures,
    /// GPUs of the region with a kernel running, a ratio.
    GpuBusy,
    /// GPUs of the region with active engines, a ratio.
    GpuActive,
    /// Seconds that the region's data store is behind.
    ReplicationLag,
}

/// A metric of a page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMetric {
    /// Its name, e.g. `my_server_batch_size`.
    pub name: String,
    /// Labels, and the values that they must have.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What its values are multiplied by, e.g. `0.01` for one in percent, `0.001` for milliseconds. Default: `1`.
    pub scale: Option<f64>,
}

/// Whose names the metrics have.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)] // The schema of `Preset`, which the policy crate owns.
enum RawPreset {
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// Hugging Face's TGI.
    Tgi,
    /// llama.cpp's server.
    Llamacpp,
    /// NVIDIA's Triton, with TensorRT-LLM.
    Triton,
    /// NVIDIA's DCGM exporter.
    Dcgm,
    /// The PostgreSQL exporter beside a replica.
    Postgres,
    /// Milvus, or its tool for change data capture.
    Milvus,
}
