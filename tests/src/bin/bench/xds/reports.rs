//! Statistics of gateways: as many streams of them as there are gateways, each with a message a second. A message has the series that an
//! Envoy of the fleet without traffic sends, and attempts.

use super::fleet::{model_name, region};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::{Locality, Node};
use envoy_types::pb::envoy::service::metrics::v3::StreamMetricsResponse;
use envoy_types::pb::envoy::service::metrics::v3::stream_metrics_message::Identifier;
use envoy_types::pb::io::prometheus::client::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use futures_util::stream;
use prost::Message;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

/// What Envoy 1.40 sends of a cluster whose servers are all dead, each second.
const COUNTERS: [&str; 7] = [
    "client_ssl_socket_factory.upstream_context_secrets_not_ready",
    "health_check.attempt",
    "health_check.failure",
    "health_check.network_failure",
    "membership_change",
    "update_attempt",
    "update_success",
];
const GAUGES: [&str; 11] = [
    "default.total_match_count",
    "http2.nghttp2_upstream_connections",
    "http2.outbound_frames_active",
    "http2.streams_active",
    "max_host_weight",
    "membership_degraded",
    "membership_excluded",
    "membership_healthy",
    "membership_total",
    "version",
    "warming_state",
];
const HISTOGRAMS: [&str; 2] = ["update_duration", "update_time"];
const BUCKETS: usize = 20;
/// Regions to which a gateway has sent requests for each model.
const TARGETS: usize = 4;
const EVERY: Duration = Duration::from_secs(1);

/// `StreamMetricsMessage`, with encoded families.
#[derive(Clone, PartialEq, Message)]
struct Statistics {
    #[prost(message, optional, tag = "1")]
    identifier: Option<Identifier>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    families: Vec<Bytes>,
}

/// The streams of all gateways; they end when this is dropped.
pub struct Reports {
    streams: JoinSet<Result<()>>,
    sent: Arc<AtomicU64>,
    /// Bytes of a message.
    pub bytes: usize,
}

impl Reports {
    /// Opens the streams. `clusters`: the names of a gateway's clusters.
    pub fn start(
        xds: SocketAddr,
        clusters: &[Arc<str>],
        fleet: (usize, usize),
        count: usize,
    ) -> Self {
        let clusters: Arc<Vec<Bytes>> = Arc::new(families(clusters));
        let sent = Arc::new(AtomicU64::new(0));
        let (regions, models) = fleet;
        let bytes = message(&clusters, models, 0).encoded_len();
        let mut streams = JoinSet::new();
        let begun = Instant::now();
        for number in 0..count {
            let (clusters, sent) = (Arc::clone(&clusters), Arc::clone(&sent));
            let home = region(number % regions);
            let first = begun + EVERY.mul_f64(number as f64 / count as f64);
            streams.spawn(report(xds, home, number, first, move |sequence| {
                sent.fetch_add(1, Ordering::Relaxed);
                message(&clusters, models, sequence)
            }));
        }
        Self {
            streams,
            sent,
            bytes,
        }
    }

    /// Messages that were sent so far.
    ///
    /// # Errors
    /// A stream has ended.
    pub async fn sent(&mut self) -> Result<u64> {
        let ended = self.streams.try_join_next();
        if let Some(ended) = ended {
            ended?.context("a stream of statistics")?;
        }
        ensure!(!self.streams.is_empty(), "no stream of statistics is left");
        Ok(self.sent.load(Ordering::Relaxed))
    }
}

/// Sends a message a second until it is dropped.
async fn report(
    xds: SocketAddr,
    region: String,
    number: usize,
    first: Instant,
    message: impl Fn(u64) -> Statistics + Send + 'static,
) -> Result<()> {
    let channel = Endpoint::from_shared(format!("http://{xds}"))?;
    let mut grpc = Grpc::new(channel.connect().await?);
    grpc.ready().await?;
    let identifier = Identifier {
        node: Some(Node {
            id: format!("reports-{number}"),
            locality: Some(Locality {
                region,
                ..Default::default()
            }),
            ..Default::default()
        }),
    };
    let messages = stream::unfold(
        (0, Some(identifier), first),
        move |(sequence, identifier, at)| {
            let mut next = message(sequence);
            async move {
                sleep_until(at).await;
                next.identifier = identifier;
                Some((next, (sequence + 1, None, at + EVERY)))
            }
        },
    );
    let path = "/envoy.service.metrics.v3.MetricsService/StreamMetrics".parse()?;
    let codec = ProstCodec::<Statistics, StreamMetricsResponse>::default();
    grpc.client_streaming(Request::new(messages), path, codec)
        .await?;
    Ok(())
}

fn message(clusters: &[Bytes], models: usize, sequence: u64) -> Statistics {
    let attempts = (0..models).flat_map(|model| (0..TARGETS).map(move |to| (model, to)));
    let attempts = attempts.map(|(model, to)| {
        let labels = [
            ("zone", "global".to_owned()),
            ("model", model_name(model)),
            ("lane", "home".to_owned()),
            ("to", region(to)),
            ("outcome", "answered".to_owned()),
        ];
        let metric = Metric {
            counter: Some(Counter {
                value: Some(sequence as f64),
                ..Default::default()
            }),
            ..Default::default()
        };
        family(
            "wasmcustom.meridian_attempts",
            MetricType::Counter,
            &labels,
            metric,
        )
    });
    Statistics {
        identifier: None,
        families: clusters.iter().cloned().chain(attempts).collect(),
    }
}

/// What is sent of clusters: Envoy has series of those that it checks.
fn families(clusters: &[Arc<str>]) -> Vec<Bytes> {
    let checked = clusters
        .iter()
        .filter(|cluster| cluster.starts_with("peer/"));
    let each = checked.flat_map(|cluster| {
        // As in Envoy's statistics.
        let labels = [("envoy.cluster_name", cluster.replace('/', "_"))];
        let one = |kind, metric: Metric| {
            let labels = labels.clone();
            move |name: &&str| family(&format!("cluster.{name}"), kind, &labels, metric.clone())
        };
        let counter = Metric {
            counter: Some(Counter {
                value: Some(27.0),
                ..Default::default()
            }),
            ..Default::default()
        };
        let gauge = Metric {
            gauge: Some(Gauge { value: Some(1.0) }),
            ..Default::default()
        };
        let counters = COUNTERS.iter().map(one(MetricType::Counter, counter));
        let gauges = GAUGES.iter().map(one(MetricType::Gauge, gauge));
        let histograms = HISTOGRAMS
            .iter()
            .map(one(MetricType::Histogram, histogram()));
        counters.chain(gauges).chain(histograms).collect::<Vec<_>>()
    });
    each.collect()
}

fn histogram() -> Metric {
    let buckets = (0..BUCKETS).map(|at| Bucket {
        cumulative_count: Some(0),
        upper_bound: Some(at as f64),
        ..Default::default()
    });
    Metric {
        histogram: Some(Histogram {
            sample_count: Some(0),
            sample_sum: Some(0.0),
            bucket: buckets.collect(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn family(name: &str, kind: MetricType, labels: &[(&str, String)], metric: Metric) -> Bytes {
    let labels = labels.iter().map(|(name, value)| LabelPair {
        name: Some((*name).to_owned()),
        value: Some(value.clone()),
    });
    let metric = Metric {
        label: labels.collect(),
        timestamp_ms: Some(1),
        ..metric
    };
    let family = MetricFamily {
        name: Some(name.to_owned()),
        r#type: Some(kind.into()),
        metric: vec![metric],
        ..Default::default()
    };
    family.encode_to_vec().into()
}
