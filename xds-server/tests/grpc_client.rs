//! gRPC's own xDS clients, independent implementations of the protocol, find their servers through ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
};
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, Locality, SocketAddress,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::config::listener::v3::{ApiListener, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, WeightedCluster,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_filter,
};
use envoy_types::pb::google::protobuf::UInt32Value;
use envoy_types::util::pack_any;
use meridian_policy::RegionName;
use meridian_xds_server::xds::{Certificates, Clients, Hub, Resource, ResourceType, Resources, Tls, Trust, serve};
use prost::{Message, Name};
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tonic::service::Routes;

const REGION: &str = "us-west-2";
const SERVICE: &str = "echo.example";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// An implementation of gRPC's xDS client.
#[derive(Clone, Copy, Debug)]
enum Client {
    /// grpcio, on gRPC's core in C++.
    Python,
    /// `@grpc/grpc-js-xds`.
    Node,
}

impl Client {
    /// The command that runs its script.
    fn command(self) -> Command {
        let tools = workspace().join(".tools");
        let (program, script, works) = match self {
            Self::Python => (
                tools.join("python/bin/python"),
                "grpc_xds_client.py",
                ["-c", "import grpc, google.protobuf"],
            ),
            Self::Node => (
                tools.join("grpc-js/bin/node"),
                "grpc_js_xds_client.js",
                ["-e", "require('@grpc/grpc-js-xds')"],
            ),
        };
        // Where the packages are.
        let modules = tools.join("grpc-js/node_modules");
        let missing = "run scripts/setup test first";
        let has = Command::new(&program)
            .args(works)
            .env("NODE_PATH", &modules)
            .output();
        let has = has.unwrap_or_else(|error| panic!("{}: {error}; {missing}", program.display()));
        let error = String::from_utf8_lossy(&has.stderr);
        assert!(
            has.status.success(),
            "{}: {error}; {missing}",
            program.display()
        );
        let mut command = Command::new(&program);
        command.env("NODE_PATH", modules);
        command.arg(workspace().join("tests/clients").join(script));
        command
    }

    /// How it calls itself.
    fn user_agent(self) -> &'static str {
        match self {
            Self::Python => "gRPC",
            Self::Node => "gRPC Node",
        }
    }
}

/// The client's script in a process of its own, which ends with the test.
struct Script {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Script {
    fn start(client: Client, arguments: [&str; 2], bootstrap: &str) -> Self {
        let mut process = client
            .command()
            .args(arguments)
            .env("GRPC_XDS_BOOTSTRAP_CONFIG", bootstrap)
            .env("no_proxy", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: process.stdin.take(),
            stdout: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended: {:?}", self.process.wait());
        line.trim().to_owned()
    }

    /// The servers that answered this many calls, with their counts.
    fn call(&mut self, times: u32) -> BTreeMap<String, u32> {
        writeln!(self.stdin.as_mut().unwrap(), "{times}").unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A backend's name, port and share of the calls.
type Backend<'a> = (&'a str, u16, u32);

fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

fn ads() -> Option<ConfigSource> {
    Some(ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        resource_api_version: ApiVersion::V3.into(),
        ..Default::default()
    })
}

fn listener() -> Listener {
    let router = HttpFilter {
        name: "router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(pack_any(
            Router::default(),
        ))),
        ..Default::default()
    };
    let manager = HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: ads(),
            route_config_name: "routes".to_owned(),
        })),
        http_filters: vec![router],
        ..Default::default()
    };
    Listener {
        name: SERVICE.to_owned(),
        api_listener: Some(ApiListener {
            api_listener: Some(pack_any(manager)),
        }),
        ..Default::default()
    }
}

fn routes(backends: &[Backend]) -> RouteConfiguration {
    let clusters = backends.iter().map(|(name, _, share)| ClusterWeight {
        name: (*name).to_owned(),
        weight: number(*share),
        ..Default::default()
    });
    let weighted = ClusterSpecifier::WeightedClusters(WeightedCluster {
        clusters: clusters.collect(),
        ..Default::default()
    });
    let route = Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix(String::new())),
            ..Default::default()
        }),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(weighted),
            ..Default::default()
        })),
        ..Default::default()
    };
    RouteConfiguration {
        name: "routes".to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: "all".to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![route],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn cluster(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: ads(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn endpoints(name: &str, port: u16) -> ClusterLoadAssignment {
    let socket = SocketAddress {
        address: "127.0.0.1".to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address {
                address: Some(AddressKind::SocketAddress(socket)),
            }),
            ..Default::default()
        })),
        ..Default::default()
    };
    ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            locality: Some(Locality {
                region: REGION.to_owned(),
                ..Default::default()
            }),
            lb_endpoints: vec![endpoint],
            load_balancing_weight: number(1),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn publish(hub: &Hub, backends: &[Backend]) {
    fn resource<M: Message + Name>(message: M) -> Resource {
        // These messages have no maps: equal ones are equal bytes.
        let body = pack_any(message);
        let hex = body.value.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Resource { version: hex, body }
    }
    let mut resources = Resources::default();
    resources.insert(ResourceType::Listener, SERVICE, resource(listener()));
    resources.insert(ResourceType::Route, "routes", resource(routes(backends)));
    for (name, port, _) in backends {
        resources.insert(ResourceType::Cluster, *name, resource(cluster(name)));
        resources.insert(
            ResourceType::Endpoint,
            *name,
            resource(endpoints(name, *port)),
        );
    }
    hub.publish([(REGION.parse::<RegionName>().unwrap(), Arc::new(resources))].into());
}

fn bootstrap(port: u16, credentials: &serde_json::Value) -> String {
    serde_json::json!({
        "xds_servers": [{
            "server_uri": format!("localhost:{port}"),
            "channel_creds": [credentials],
            "server_features": ["xds_v3"],
        }],
        "node": { "id": "grpc-client", "locality": { "region": REGION } },
    })
    .to_string()
}

/// Serves, and drives the client from states to calls.
async fn tour(client: Client, tls: Option<Tls>, credentials: serde_json::Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let hub = Arc::new(Hub::default());
    let trust = Arc::new(Trust::new(
        "meridian",
        [REGION.parse::<RegionName>().unwrap()].into(),
    ));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let serving = tokio::spawn(serve(
        listener,
        tls.map(|tls| Arc::new(Certificates::new(&tls).unwrap())),
        Arc::clone(&hub),
        trust,
        Routes::default(),
        shutdown,
    ));
    let conversation = {
        let hub = Arc::clone(&hub);
        tokio::task::spawn_blocking(move || converse(client, &hub, &bootstrap(port, &credentials)))
    };
    conversation.await.unwrap();
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}

fn converse(kind: Client, hub: &Hub, bootstrap: &str) {
    let mut servers = ["one", "two"].map(|name| Script::start(kind, ["serve", name], ""));
    let [one, two] = servers
        .each_mut()
        .map(|server| server.line().parse().unwrap());
    publish(hub, &[("one", one, 1)]);
    let mut client = Script::start(kind, ["call", &format!("xds:///{SERVICE}")], bootstrap);
    assert_eq!(client.call(20), [("one".to_owned(), 20)].into());

    // A new cluster with three quarters of the calls: no call fails.
    publish(hub, &[("one", one, 1), ("two", two, 3)]);
    eventually(hub, &mut client, |share| (550..=950).contains(&share));
    // The old cluster is removed.
    publish(hub, &[("two", two, 1)]);
    eventually(hub, &mut client, |share| share == 1_000);
    // Its endpoints move to another port: the same cluster, another server.
    publish(hub, &[("two", one, 1)]);
    eventually(hub, &mut client, |share| share == 0);

    let counts = hub.counts();
    for (kind, nacks) in counts.nacks.iter() {
        assert_eq!(*nacks, 0, "{kind:?}: {:?}", hub.clients());
    }
    for kind in [
        ResourceType::Listener,
        ResourceType::Route,
        ResourceType::Cluster,
    ] {
        assert_eq!(counts.acks[kind], counts.pushes[kind], "{kind:?}");
    }
    let [status] = &hub.clients()[..] else {
        panic!("one client: {:?}", hub.clients())
    };
    assert_eq!(
        (status.client.node.as_str(), status.client.region.as_str()),
        ("grpc-client", REGION)
    );
    let user_agent = &status.client.user_agent;
    assert!(user_agent.starts_with(kind.user_agent()), "{status:?}");
}

/// Calls until server `two` has a fitting share of 1,000 calls.
fn eventually(hub: &Hub, client: &mut Script, fits: impl Fn(u32) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answered = client.call(1_000);
        if fits(answered.get("two").copied().unwrap_or_default()) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{answered:?} {:?}",
            hub.clients()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_finds_its_servers() {
    let credentials = serde_json::json!({ "type": "insecure" });
    tour(Client::Python, None, credentials).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_for_node_finds_its_servers() {
    let credentials = serde_json::json!({ "type": "insecure" });
    tour(Client::Node, None, credentials).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_finds_its_servers_over_mutual_tls() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL considers a certificate self-signed if issuer and subject have the same name.
    params
        .distinguished_name
        .push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let issue = |name: SanType| {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![name];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let spiffe = format!("spiffe://meridian/region/{REGION}");
    let client = issue(SanType::URI(Ia5String::try_from(spiffe).unwrap()));
    let server = issue(SanType::DnsName(Ia5String::try_from("localhost").unwrap()));
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let credentials = serde_json::json!({ "type": "tls", "config": {
        "ca_certificate_file": file("ca.crt", &authority.pem()),
        "certificate_file": file("client.crt", &client.0),
        "private_key_file": file("client.key", &client.1),
    }});
    let tls = Tls {
        certificate: server.0.into_bytes(),
        key: server.1.into_bytes(),
        ca: authority.pem().into_bytes(),
        clients: Clients::Certified,
    };
    tour(Client::Python, Some(tls), credentials).await;
}
