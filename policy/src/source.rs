//! Sources of signals: where the control plane reads the state of a region.

use crate::listener::KeyPair;
use crate::name::ModelName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A source of signals about a region.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalSource {
    /// HTTP or HTTPS URL: a metrics page, or the base of `/api/v1/query`. The SPIFFE ID of a source that pushes.
    pub url: String,
    /// The format and content of the signals.
    pub format: SignalFormat,
    /// The model of the inference server figures. `None`: a label names the model.
    pub model: Option<ModelName>,
    /// Maximum concurrent requests of one engine: vLLM's `--max-num-seqs`, which its metrics do not report.
    pub max_running: Option<u32>,
    /// Path of the source's bearer token on the control plane's machine.
    pub token: Option<String>,
    /// TLS settings of the source. `None`: the machine's CAs verify the server, and there is no client certificate.
    pub tls: Option<SourceTls>,
    /// Interval of reads or pushes.
    pub every: Duration,
}

/// TLS settings of a source, as paths of PEM files on the control plane's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTls {
    /// The CA of the source's server. `None`: the CAs of the machine.
    pub ca: Option<String>,
    /// The client certificate for the source.
    pub identity: Option<KeyPair>,
}

/// The format of a source.
#[derive(Clone, Debug, PartialEq)]
pub enum SignalFormat {
    /// A page in Prometheus' text format, with the metric names of a known server or exporter.
    Preset(Preset),
    /// A page in Prometheus' text format, with configured metric names.
    Metrics {
        /// The metric of each figure.
        metrics: BTreeMap<Figure, Metric>,
        /// The label that names the model.
        model_label: String,
    },
    /// Query results of Prometheus, Thanos or Mimir.
    Queries {
        /// The PromQL expression of each figure.
        queries: BTreeMap<Figure, String>,
        /// The label that names the model.
        model_label: String,
        /// The value of `X-Scope-OrgID`.
        tenant: Option<String>,
    },
    /// The source pushes these figures.
    Pushed(BTreeSet<Figure>),
}

/// A figure that a source can report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Running requests of an engine.
    Running,
    /// Waiting requests of an engine.
    Waiting,
    /// KV-cache of an engine in use, as a ratio.
    KvCache,
    /// Utilization of an engine by the source's own measure, as a ratio. Above 1 the engine is overloaded.
    Utilization,
    /// Requests that an engine has answered since its start.
    Answers,
    /// Requests that have failed at an engine by its own fault since its start.
    Failures,
    /// GPUs of the region with a running kernel, as a ratio.
    GpuBusy,
    /// GPUs of the region with active engines, as a ratio.
    GpuActive,
    /// Replication lag of the region's data store, in seconds.
    ReplicationLag,
}

/// A metric on a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The name of the metric.
    pub name: String,
    /// Labels with their required values.
    pub labels: BTreeMap<String, String>,
    /// Factor of the values: 0.01 for a metric in percent.
    pub scale: f64,
}

/// The server or exporter that defines the metric names of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
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
    /// The PostgreSQL exporter of a replica.
    Postgres,
    /// Milvus, or its change data capture tool.
    Milvus,
}

/// The main subject of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Inference servers: the load of pools.
    Servers,
    /// The region's GPUs.
    Gpus,
    /// The region's data store: its replication lag.
    Store,
}

impl SignalSource {
    /// A key that is unique among the sources of a region. It does not depend on the order in the fleet file.
    pub fn key(&self) -> String {
        match &self.format {
            SignalFormat::Preset(preset) => format!("{} {}", preset.as_str(), self.url),
            SignalFormat::Metrics { metrics, .. } => self.named("metrics", metrics.keys()),
            SignalFormat::Queries { queries, .. } => self.named("queries", queries.keys()),
            SignalFormat::Pushed(_) => format!("push {}", self.url),
        }
    }

    fn named<'f>(&self, kind: &str, figures: impl Iterator<Item = &'f Figure>) -> String {
        let figures: Vec<&str> = figures.map(|figure| figure.as_str()).collect();
        let model = self.model.as_ref().map(|model| format!(" of {model}"));
        let model = model.unwrap_or_default();
        format!("{kind} {} {}{model}", self.url, figures.join(","))
    }

    /// Whether the source reports the replication lag of the region's data store.
    pub fn reports_lag(&self) -> bool {
        match &self.format {
            SignalFormat::Preset(preset) => preset.subject() == Subject::Store,
            SignalFormat::Metrics { metrics, .. } => metrics.contains_key(&Figure::ReplicationLag),
            SignalFormat::Queries { queries, .. } => queries.contains_key(&Figure::ReplicationLag),
            SignalFormat::Pushed(figures) => figures.contains(&Figure::ReplicationLag),
        }
    }

    /// The subject of the source. For several subjects, the first in the order of [`Subject`].
    pub fn subject(&self) -> Subject {
        match &self.format {
            SignalFormat::Preset(preset) => preset.subject(),
            SignalFormat::Metrics { metrics, .. } => subject(metrics.keys()),
            SignalFormat::Queries { queries, .. } => subject(queries.keys()),
            SignalFormat::Pushed(figures) => subject(figures.iter()),
        }
    }
}

fn subject<'f>(figures: impl Iterator<Item = &'f Figure>) -> Subject {
    let subjects: Vec<Subject> = figures.map(|figure| figure.subject()).collect();
    [Subject::Servers, Subject::Gpus]
        .into_iter()
        .find(|subject| subjects.contains(subject))
        .unwrap_or(Subject::Store)
}

impl Figure {
    /// All figures.
    pub const ALL: [Self; 9] = [
        Self::Running,
        Self::Waiting,
        Self::KvCache,
        Self::Utilization,
        Self::Answers,
        Self::Failures,
        Self::GpuBusy,
        Self::GpuActive,
        Self::ReplicationLag,
    ];

    /// The subject of the figure.
    pub fn subject(self) -> Subject {
        match self {
            Self::Running
            | Self::Waiting
            | Self::KvCache
            | Self::Utilization
            | Self::Answers
            | Self::Failures => Subject::Servers,
            Self::GpuBusy | Self::GpuActive => Subject::Gpus,
            Self::ReplicationLag => Subject::Store,
        }
    }

    /// Whether the figure is a counter: it only grows, until a restart of the server.
    pub fn is_counter(self) -> bool {
        matches!(self, Self::Answers | Self::Failures)
    }

    /// The name in the fleet file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::KvCache => "kv_cache",
            Self::Utilization => "utilization",
            Self::Answers => "answers",
            Self::Failures => "failures",
            Self::GpuBusy => "gpu_busy",
            Self::GpuActive => "gpu_active",
            Self::ReplicationLag => "replication_lag",
        }
    }
}

impl Preset {
    /// The subject of the preset's pages.
    pub fn subject(self) -> Subject {
        match self {
            Self::Vllm | Self::Sglang | Self::Tgi | Self::Llamacpp | Self::Triton => {
                Subject::Servers
            }
            Self::Dcgm => Subject::Gpus,
            Self::Postgres | Self::Milvus => Subject::Store,
        }
    }

    /// Whether the preset's pages have a label with the name of the model.
    pub fn has_model_label(self) -> bool {
        matches!(self, Self::Vllm | Self::Sglang | Self::Triton)
    }

    /// The name in the fleet file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Dcgm => "dcgm",
            Self::Postgres => "postgres",
            Self::Milvus => "milvus",
            Self::Sglang => "sglang",
            Self::Tgi => "tgi",
            Self::Llamacpp => "llamacpp",
            Self::Triton => "triton",
        }
    }
}
