//! A real Envoy with a tiny Wasm module that defines metrics as the filter does.

use super::noon;
use super::stream::names;
use crate::collect::gateway::{GatewayEvent, GatewayReport, Gateways, Names, stats_tags};
use crate::collect::page::{MetricType, Page};
use arc_swap::ArcSwap;
use envoy_types::pb::envoy::config::metrics::v3::tag_specifier::TagValue;
use meridian_planner::signal::Reading;
use meridian_policy::filter_policy::Lane;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::TcpListenerStream;

const DEADLINE: Duration = Duration::from_secs(60);

/// Counts 7 answers in every VM when it starts, then a time of 300 ms every 100 ms.
const MODULE: &str = include_str!("metrics.wat");

/// Ends with the test.
struct Envoy {
    process: Child,
    admin: SocketAddr,
    directory: PathBuf,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Envoy {
    fn start(collector: SocketAddr) -> Self {
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/envoy");
        assert!(
            binary.exists(),
            "{} is missing; run scripts/setup first",
            binary.display()
        );
        // The port was free a moment ago; Envoy exits if it is taken now.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = free.local_addr().unwrap();
        drop(free);
        let directory = std::env::temp_dir().join(format!("meridian-collect-{}", admin.port()));
        std::fs::create_dir_all(&directory).unwrap();
        let module = directory.join("metrics.wasm");
        std::fs::write(&module, wat::parse_str(MODULE).unwrap()).unwrap();
        let file = directory.join("envoy.json");
        let config = config(admin, collector, &module);
        std::fs::write(&file, config.to_string()).unwrap();
        let log = std::fs::File::create(directory.join("log")).unwrap();
        // Even if this process is killed, its Envoy ends with it.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary)
            .arg("--config-path")
            .arg(file)
            .args(["--concurrency", "1", "--disable-hot-restart"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            process,
            admin,
            directory,
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

fn cluster(name: &str, stat: &str, ports: &[u16]) -> Value {
    let endpoint = |port: &u16| {
        json!({ "endpoint": { "address": { "socket_address": {
            "address": "127.0.0.1", "port_value": port } } } })
    };
    let endpoints: Vec<Value> = ports.iter().map(endpoint).collect();
    json!({
        "name": name, "alt_stat_name": stat, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] },
    })
}

fn config(admin: SocketAddr, collector: SocketAddr, module: &Path) -> Value {
    let tags: Vec<Value> = stats_tags()
        .into_iter()
        .map(|tag| match tag.tag_value {
            Some(TagValue::Regex(regex)) => json!({ "tag_name": tag.tag_name, "regex": regex }),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut to_us = cluster("control-plane", "control-plane", &[collector.port()]);
    to_us["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    json!({
        "node": { "id": "gateway-1", "cluster": "meridian", "locality": { "region": "us-west-2" } },
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": admin.port() } } },
        "stats_flush_interval": "0.2s",
        "stats_config": { "stats_tags": tags },
        "stats_sinks": [{
            "name": "envoy.stat_sinks.metrics_service",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig",
                "transport_api_version": "V3",
                "emit_tags_as_labels": true,
                "grpc_service": { "envoy_grpc": { "cluster_name": "control-plane" } },
            },
        }],
        "bootstrap_extensions": [{
            "name": "envoy.bootstrap.wasm",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.wasm.v3.WasmService",
                "singleton": true,
                "config": { "name": "metrics", "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8", "vm_id": "metrics",
                    "code": { "local": { "filename": module } } } },
            },
        }],
        "static_resources": { "clusters": [
            to_us,
            cluster("pool/us-west-2/llama-3.1-70b", "pool_us-west-2_llama-3_1-70b", &[1, 2]),
            cluster("peer/eu-west-1/llama-3.1-70b", "peer_eu-west-1_llama-3_1-70b", &[1]),
        ] },
    })
}

/// The control plane's side of the streams.
struct ControlPlane {
    address: SocketAddr,
    heard: mpsc::Receiver<GatewayEvent>,
    names: Arc<ArcSwap<Names>>,
    /// Streams that were opened.
    streams: watch::Receiver<usize>,
}

impl ControlPlane {
    async fn start() -> Self {
        let (sender, heard) = mpsc::channel(64);
        let names = Arc::new(ArcSwap::from_pointee(names()));
        let (opened, streams) = watch::channel(0);
        let identify = move |_: &_| {
            opened.send_modify(|streams| *streams += 1);
            Ok(None)
        };
        let gateways = Gateways::new(identify, Arc::clone(&names), sender, noon);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(gateways);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self {
            address,
            heard,
            names,
            streams,
        }
    }

    /// The next report; ends of streams are skipped.
    async fn report(&mut self) -> GatewayReport {
        loop {
            if let GatewayEvent::Report(report) = self.heard.recv().await.unwrap() {
                return report;
            }
        }
    }
}

/// The readings of a report: attempts answered, endpoints, first tokens.
fn told(report: &GatewayReport) -> (Option<f64>, Option<(u64, u64)>, Option<f64>) {
    let mut told = (None, None, None);
    let readings = report.observation.iter().flat_map(|it| &it.readings);
    for reading in readings {
        match reading {
            Reading::Attempts {
                zone,
                model,
                lane,
                to,
                counts,
            } => {
                let about = (zone.as_str(), model.as_str(), *lane, to.as_str());
                assert_eq!(about, ("eea", "llama-3.1-70b", Lane::Home, "eu-west-1"));
                told.0 = Some(counts.answered);
            }
            Reading::Endpoints {
                model,
                healthy,
                total,
            } => {
                assert_eq!(model.as_str(), "llama-3.1-70b");
                told.1 = Some((*healthy, *total));
            }
            Reading::FirstToken { model, to, times } => {
                assert_eq!(
                    (model.as_str(), to.as_str()),
                    ("llama-3.1-70b", "eu-west-1")
                );
                // 300 ms each, to about 2%.
                let mean = times.sum / times.count;
                assert!(times.count == 0.0 || (0.29..0.31).contains(&mean), "{mean}");
                let half = times.buckets.iter().find(|it| it.0 == 0.5).unwrap();
                assert_eq!(half.1, times.count);
                told.2 = Some(times.count);
            }
            other => panic!("{other:?}"),
        }
    }
    told
}

#[tokio::test]
async fn a_real_envoy_is_understood() {
    let mut control_plane = ControlPlane::start().await;
    let envoy = Envoy::start(control_plane.address);
    let mut counts: Vec<f64> = Vec::new();
    let understood = async {
        loop {
            let report = control_plane.report().await;
            assert_eq!(
                (report.region.as_str(), report.source.as_str()),
                ("us-west-2", "gateway-1")
            );
            assert_eq!(report.refused, []);
            if let (Some(answered), Some(endpoints), Some(count)) = told(&report) {
                // Counted once per VM; each message has the total.
                assert!(
                    answered >= 7.0 && answered % 7.0 == 0.0 && answered < 70.0,
                    "{answered}"
                );
                assert_eq!(endpoints, (2, 2));
                assert!(
                    counts.last().is_none_or(|last| *last <= count),
                    "{counts:?} {count}"
                );
                counts.push(count);
            }
            if counts.len() >= 5 && counts.last().is_some_and(|last| *last >= 10.0) {
                return;
            }
        }
    };
    if tokio::time::timeout(DEADLINE, understood).await.is_err() {
        panic!("{counts:?}; Envoy's last words:\n{}", envoy.last_words());
    }
    the_admin_page_has_the_labels(&envoy, counts.last().copied().unwrap()).await;

    // Envoy reopens a stream that the server ends, and identifies itself again.
    control_plane.names.store(Arc::new(Names::default()));
    let opened = *control_plane.streams.borrow();
    let again = control_plane
        .streams
        .wait_for(|streams| *streams > opened + 1);
    tokio::time::timeout(DEADLINE, again)
        .await
        .unwrap()
        .unwrap();
    while control_plane.heard.try_recv().is_ok() {}
    control_plane.names.store(Arc::new(names()));
    let report = tokio::time::timeout(DEADLINE, control_plane.report()).await;
    assert_eq!(report.unwrap().source, "gateway-1");
}

async fn the_admin_page_has_the_labels(envoy: &Envoy, at_least: f64) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/stats/prometheus", envoy.admin);
    let text = client.get(url).send().await.unwrap().text().await.unwrap();
    let page = Page::parse(text.as_bytes()).unwrap();
    assert_eq!(page.bad_lines(), None);
    assert_eq!(page.kind("meridian_attempts"), MetricType::Counter);
    let [attempts] = page.samples("meridian_attempts") else {
        panic!("{text}");
    };
    let labels =
        ["zone", "model", "lane", "to", "outcome"].map(|label| attempts.label(label).unwrap());
    assert_eq!(
        labels,
        ["eea", "llama-3_1-70b", "home", "eu-west-1", "answered"]
    );
    let [count] = page.samples("meridian_first_token_ms_count") else {
        panic!("{text}");
    };
    // Envoy's own totals, to compare with ours.
    assert!(count.value >= at_least, "{} < {at_least}", count.value);
    assert_eq!(count.label("model"), Some("llama-3_1-70b"));
}
