//! Sources of signals: where the control plane learns how a region is, and what of it it learns there.

use crate::listener::KeyPair;
use crate::name::ModelName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A source of signals about a region.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalSource {
    /// Its URL, over HTTP or HTTPS: a page of metrics, or what `/api/v1/query` is under. Of one that pushes, its SPIFFE ID.
    pub url: String,
    /// How it tells, and what.
    pub format: SignalFormat,
    /// The model that its figures of inference servers are about; `None` takes it from a label.
    pub model: Option<ModelName>,
    /// Requests that one engine can have in work: vLLM's `--max-num-seqs`, which its metrics do not tell.
    pub max_running: Option<u32>,
    /// Where its bearer token is, a path on the control plane's machine.
    pub token: Option<String>,
    /// How its server is known, and how it knows us; `None` by the machine's authorities, and not at all.
    pub tls: Option<SourceTls>,
    /// How often it is read, or pushes.
    pub every: Duration,
}

/// TLS with a source: paths on the control plane's machine, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTls {
    /// The authority of its server; `None` for those of the machine.
    pub ca: Option<String>,
    /// Our certificate for it.
    pub identity: Option<KeyPair>,
}

/// How a source tells.
#[derive(Clone, Debug, PartialEq)]
pub enum SignalFormat {
    /// A page in Prometheus' text format, with the names of a known server or exporter.
    Preset(Preset),
    /// Such a page, with metrics of any names.
    Metrics {
        /// Which metric gives which figure.
        metrics: BTreeMap<Figure, Metric>,
        /// The label that names the model.
        model_label: String,
    },
    /// Answers of a Prometheus, Thanos or Mimir.
    Queries {
        /// Which PromQL expression gives which figure.
        queries: BTreeMap<Figure, String>,
        /// The label that names the model.
        model_label: String,
        /// The value of `X-Scope-OrgID`.
        tenant: Option<String>,
    },
    /// It pushes these figures by itself.
    Pushed(BTreeSet<Figure>),
}

/// What a source may be said to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Requests in work at an engine.
    Running,
    /// Requests that wait at an engine.
    Waiting,
    /// KV-cache of an engine in use, a ratio.
    KvCache,
    /// How full an engine is in the source's own measure, a ratio; above 1 is too full.
    Utilization,
    /// Requests that an engine has answered, counted since its start.
    Answers,
    /// Those of them that failed by its own fault.
    Failures,
    /// GPUs of the region with a kernel running, a ratio.
    GpuBusy,
    /// GPUs of the region with active engines, a ratio.
    GpuActive,
    /// Seconds that the region's data store is behind.
    ReplicationLag,
}

/// A metric of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Labels, and the values that they must have.
    pub labels: BTreeMap<String, String>,
    /// What its values are multiplied by: 0.01 for one in percent.
    pub scale: f64,
}

/// Whose names the metrics of a page have.
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
    /// The PostgreSQL exporter beside a replica.
    Postgres,
    /// Milvus, or its tool for change data capture.
    Milvus,
}

/// What a source tells of, in the first place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Inference servers: the load of pools.
    Servers,
    /// The region's GPUs.
    Gpus,
    /// The region's data store: how far it is behind.
    Store,
}

impl SignalSource {
    /// What tells it from all others of its region, wherever it stands in the file.
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

    /// Whether it tells how far the region's data store is behind.
    pub fn reports_lag(&self) -> bool {
        match &self.format {
            SignalFormat::Preset(preset) => preset.subject() == Subject::Store,
            SignalFormat::Metrics { metrics, .. } => metrics.contains_key(&Figure::ReplicationLag),
            SignalFormat::Queries { queries, .. } => queries.contains_key(&Figure::ReplicationLag),
            SignalFormat::Pushed(figures) => figures.contains(&Figure::ReplicationLag),
        }
    }

    /// What it tells of: of several things, the first of [`Subject`].
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
    /// Every figure.
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

    /// What it is about.
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

    /// Whether it only grows, until whoever counts begins anew.
    pub fn is_counter(self) -> bool {
        matches!(self, Self::Answers | Self::Failures)
    }

    /// Its name in the fleet file.
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
    /// What its pages are about.
    pub fn subject(self) -> Subject {
        match self {
            Self::Vllm | Self::Sglang | Self::Tgi | Self::Llamacpp | Self::Triton => {
                Subject::Servers
            }
            Self::Dcgm => Subject::Gpus,
            Self::Postgres | Self::Milvus => Subject::Store,
        }
    }

    /// Whether its pages say whose metrics they are, by the name of a model.
    pub fn has_model_label(self) -> bool {
        matches!(self, Self::Vllm | Self::Sglang | Self::Triton)
    }

    /// Its name in the fleet file.
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
