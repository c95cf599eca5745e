//! A gateway's stream of messages, made by hand.

use super::noon;
use crate::collect::gateway::{GatewayEvent, GatewayReport, Gateways, Names};
use crate::fleet::parse;
use arc_swap::ArcSwap;
use envoy_types::pb::envoy::config::core::v3::{Locality, Node};
use envoy_types::pb::envoy::service::metrics::v3::metrics_service_client::MetricsServiceClient;
use envoy_types::pb::envoy::service::metrics::v3::{
    StreamMetricsMessage, stream_metrics_message::Identifier,
};
use envoy_types::pb::io::prometheus::client::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use meridian_policy::RegionName;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::Status;

pub const DEADLINE: Duration = Duration::from_secs(20);
pub const ATTEMPTS: &str = "wasmcustom.meridian_attempts";
pub const FIRST_TOKEN: &str = "wasmcustom.meridian_first_token_ms";
pub const HEALTHY: &str = "cluster.membership_healthy";
pub const MEMBERS: &str = "cluster.membership_total";
pub const LLAMA: [(&str, &str); 2] = [("model", "llama-3_1-70b"), ("to", "eu-west-1")];
pub const LLAMA_POOL: [(&str, &str); 1] = [("envoy.cluster_name", "pool_us-west-2_llama-3_1-70b")];

pub fn names() -> Names {
    Names::from(&parse(super::FLEET).unwrap())
}

/// One gateway's stream, and its events.
pub struct Stream {
    pub messages: mpsc::Sender<StreamMetricsMessage>,
    pub heard: mpsc::Receiver<GatewayEvent>,
    pub names: Arc<ArcSwap<Names>>,
    ended: tokio::task::JoinHandle<Result<(), Status>>,
    pub url: String,
}

impl Stream {
    /// A stream to a service that identifies all streams as this region.
    pub async fn open(known: Result<Option<RegionName>, Status>, room: usize) -> Self {
        let names = Arc::new(ArcSwap::from_pointee(names()));
        let (sender, heard) = mpsc::channel(room);
        let gateways = Gateways::new(move |_| known.clone(), Arc::clone(&names), sender, noon);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(gateways);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let (messages, ended) = connect(&url).await;
        Self {
            messages,
            heard,
            names,
            ended,
            url,
        }
    }

    pub async fn send(&self, families: Vec<MetricFamily>) {
        let message = StreamMetricsMessage {
            identifier: None,
            envoy_metrics: families,
        };
        self.messages.send(message).await.unwrap();
    }

    pub async fn introduce(&self, id: &str, region: &str, families: Vec<MetricFamily>) {
        let node = Node {
            id: id.to_owned(),
            locality: Some(Locality {
                region: region.to_owned(),
                ..Locality::default()
            }),
            ..Node::default()
        };
        let message = StreamMetricsMessage {
            identifier: Some(Identifier { node: Some(node) }),
            envoy_metrics: families,
        };
        self.messages.send(message).await.unwrap();
    }

    pub async fn heard(&mut self) -> GatewayEvent {
        let heard = tokio::time::timeout(DEADLINE, self.heard.recv()).await;
        heard.expect("something within the deadline").unwrap()
    }

    pub async fn report(&mut self) -> GatewayReport {
        match self.heard().await {
            GatewayEvent::Report(report) => report,
            ended @ GatewayEvent::StreamEnded { .. } => panic!("{ended:?}"),
        }
    }

    /// The source of the stream that has ended.
    pub async fn ended(&mut self) -> String {
        match self.heard().await {
            GatewayEvent::StreamEnded { source, .. } => source,
            report @ GatewayEvent::Report(_) => panic!("{report:?}"),
        }
    }

    /// Disconnects.
    pub fn hang_up(&self) {
        self.ended.abort();
    }

    /// Another stream to the same service; the first one stays open.
    pub async fn another(&mut self) -> mpsc::Sender<StreamMetricsMessage> {
        let (messages, _ended) = connect(&self.url).await;
        std::mem::replace(&mut self.messages, messages)
    }

    pub async fn end(self) -> Result<(), Status> {
        drop(self.messages);
        let ended = tokio::time::timeout(DEADLINE, self.ended).await;
        ended.expect("the stream ends").unwrap()
    }
}

pub async fn connect(
    url: &str,
) -> (
    mpsc::Sender<StreamMetricsMessage>,
    tokio::task::JoinHandle<Result<(), Status>>,
) {
    let mut client = MetricsServiceClient::connect(url.to_owned()).await.unwrap();
    let (messages, stream) = mpsc::channel(8);
    let ended = tokio::spawn(async move {
        let answer = client.stream_metrics(ReceiverStream::new(stream)).await;
        answer.map(|_| ())
    });
    (messages, ended)
}

pub fn family(
    name: &str,
    kind: MetricType,
    labels: &[(&str, &str)],
    set: impl FnOnce(&mut Metric),
) -> MetricFamily {
    let label = |(name, value): &(&str, &str)| LabelPair {
        name: Some((*name).to_owned()),
        value: Some((*value).to_owned()),
    };
    let mut metric = Metric {
        label: labels.iter().map(label).collect(),
        ..Metric::default()
    };
    set(&mut metric);
    MetricFamily {
        name: Some(name.to_owned()),
        r#type: Some(kind.into()),
        metric: vec![metric],
        ..MetricFamily::default()
    }
}

pub fn counter(name: &str, labels: &[(&str, &str)], value: f64) -> MetricFamily {
    family(name, MetricType::Counter, labels, |metric| {
        metric.counter = Some(Counter {
            value: Some(value),
            ..Counter::default()
        });
    })
}

pub fn gauge(name: &str, labels: &[(&str, &str)], value: f64) -> MetricFamily {
    family(name, MetricType::Gauge, labels, |metric| {
        metric.gauge = Some(Gauge { value: Some(value) });
    })
}

pub fn histogram(
    labels: &[(&str, &str)],
    buckets: &[(f64, u64)],
    sum: f64,
    count: u64,
) -> MetricFamily {
    let bucket = |(bound, up_to): &(f64, u64)| Bucket {
        upper_bound: Some(*bound),
        cumulative_count: Some(*up_to),
        ..Bucket::default()
    };
    family(FIRST_TOKEN, MetricType::Histogram, labels, |metric| {
        metric.histogram = Some(Histogram {
            sample_count: Some(count),
            sample_sum: Some(sum),
            bucket: buckets.iter().map(bucket).collect(),
            ..Histogram::default()
        });
    })
}

pub fn attempts<'l>(model: &'l str, outcome: &'l str) -> [(&'l str, &'l str); 5] {
    [
        ("zone", "eea"),
        ("model", model),
        ("lane", "home"),
        ("to", "eu-west-1"),
        ("outcome", outcome),
    ]
}
