//! The proxies that are compared, each in processes of its own.

use super::fleets::{Home, MODEL, Place, Size};
use super::proxy::{self, Proxy, Taken};
use super::{ext_proc, litellm, neighbours};
use anyhow::{Context, Result};
use meridian_tests::world::certificates::Certificates;
use meridian_tests::world::{Block, workspace};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// A proxy under test.
pub struct Variant {
    /// How it is called in the report.
    pub name: &'static str,
    /// Where requests are sent.
    pub url: String,
    /// The headers that they need.
    pub headers: Vec<String>,
    /// It takes requests over HTTP/2 without TLS.
    pub http2: bool,
    /// The requests of a load's slices are divided by it. More than 1 for a proxy that is much slower than the others.
    pub slice_divisor: usize,
    /// What serves it.
    pub processes: Vec<Proxy>,
}

impl Variant {
    /// Its processor time so far.
    pub fn taken(&self) -> Result<Taken> {
        let mut all = Taken::default();
        for process in &self.processes {
            let Taken { main, others } = process.taken()?;
            all.main += main;
            all.others += others;
        }
        Ok(all)
    }
}

/// The fleets that are measured.
const SMALL: Size = Size {
    regions: 3,
    models: 1,
};
const LARGE: Size = Size {
    regions: 30,
    models: 10,
};

/// All proxies of a run.
pub struct Proxies {
    /// The first one is what the others are compared with.
    pub variants: Vec<Variant>,
    _neighbours: Proxy,
}

/// Starts all of them. `with_litellm`: LiteLLM's proxy is one of them.
pub async fn start(
    dir: &Path,
    upstream: SocketAddr,
    block: &Block,
    with_litellm: bool,
) -> Result<Proxies> {
    let certificates = Certificates::make(dir, block)?;
    std::fs::write(dir.join("key"), "a key\n")?;
    let IpAddr::V4(ip) = upstream.ip() else {
        anyhow::bail!("{upstream} is not of IPv4");
    };
    let [_, x, y, _] = ip.octets();
    let place = |port| Place {
        block: [x, y],
        port,
        native: false,
        upstream,
        certificates: &certificates,
        dir,
    };
    let fleets = [
        (8300, SMALL),
        (8400, SMALL),
        (8500, LARGE),
        (9000, SMALL),
        (9100, LARGE),
    ];
    let neighbours = neighbours::config([x, y], &certificates, &fleets)?;
    let neighbours = Proxy::start_aside(dir, "neighbours", &neighbours).await?;
    let address = |port| SocketAddr::new(Ipv4Addr::new(127, x, y, 1).into(), port);
    let mut variants = Vec::new();
    for envoy in envoys(address, upstream, place)? {
        let port = envoy.port;
        variants.push(Variant {
            name: envoy.name,
            url: url(address(port)),
            headers: envoy.headers,
            http2: true,
            slice_divisor: 1,
            processes: vec![Proxy::start(dir, &port.to_string(), &envoy.config).await?],
        });
    }
    variants.push(ext_proc::start(dir, address(8700), upstream).await?);
    variants.push(vllm_router(address(8800), upstream).await?);
    if with_litellm {
        variants.push(litellm::start(dir, address(8900), upstream).await?);
    }
    Ok(Proxies {
        variants,
        _neighbours: neighbours,
    })
}

/// Access logs to the control plane of one variant: one alone costs less than the noise.
const REPORTS: usize = 100;

/// An Envoy and its configuration.
struct Envoy {
    name: &'static str,
    port: u16,
    config: Value,
    headers: Vec<String>,
}

fn envoys<'p>(
    address: impl Fn(u16) -> SocketAddr,
    upstream: SocketAddr,
    place: impl Fn(u16) -> Place<'p>,
) -> Result<Vec<Envoy>> {
    let plain = |port| bare(address(port), address(port + 2), upstream);
    let mut logged = plain(8200);
    let log = access_log(&place(8200).home(SMALL)?.config)?;
    logged.manager["access_log"] = log.clone();
    let mut reporting = plain(9200);
    let report = place(9200).home(SMALL)?.report;
    reporting.manager["access_log"] = vec![report; REPORTS].into();
    let mut lean = plain(8600);
    lean.manager["access_log"] = log;
    lean.manager["http_filters"]
        .as_array_mut()
        .context("no filters")?
        .insert(0, lean_plugin("router"));
    lean.cluster["typed_extension_protocol_options"] = upstream_plugin();
    let chain = place(8300).home(SMALL)?;
    let routed = route_headers(&chain);
    let envoy = |name, port, config, headers| Envoy {
        name,
        port,
        config,
        headers,
    };
    let mut envoys = vec![
        envoy("bare Envoy", 8100, plain(8100).config(), Vec::new()),
        envoy(
            "bare Envoy, Meridian's access log",
            8200,
            logged.config(),
            Vec::new(),
        ),
        envoy(
            "bare Envoy, 100 reports that choose no request",
            9200,
            reporting.config(),
            Vec::new(),
        ),
        envoy(
            "the leanest pair of plugins, the same log",
            8600,
            lean.config(),
            Vec::new(),
        ),
        envoy(
            "Meridian's listener, routes and chain, no filter",
            8300,
            without_plugins(chain.config),
            routed,
        ),
    ];
    envoys.extend(meridian(place)?);
    Ok(envoys)
}

/// Gateways with all of Meridian.
fn meridian<'p>(place: impl Fn(u16) -> Place<'p>) -> Result<Vec<Envoy>> {
    let envoy = |name, port, native, size| {
        let place = Place {
            native,
            ..place(port)
        };
        Ok(Envoy {
            name,
            port,
            config: place.home(size)?.config,
            headers: vec!["cf-ipcountry: US".to_owned()],
        })
    };
    let wasm = |name, port, size| envoy(name, port, false, size);
    let module = |name, port, size| envoy(name, port, true, size);
    [
        wasm("Meridian, 3 regions x 1 model", 8400, SMALL),
        wasm("Meridian, 30 regions x 10 models", 8500, LARGE),
        module(
            "Meridian as a dynamic module, 3 regions x 1 model",
            9000,
            SMALL,
        ),
        module(
            "Meridian as a dynamic module, 30 regions x 10 models",
            9100,
            LARGE,
        ),
    ]
    .into_iter()
    .collect()
}

/// Where chats are sent to.
pub fn url(address: SocketAddr) -> String {
    format!("http://{address}/v1/chat/completions")
}

/// The router of the vLLM project, which picks a server, in its own process.
async fn vllm_router(listen: SocketAddr, upstream: SocketAddr) -> Result<Variant> {
    let program = workspace().join(".tools/vllm-router/bin/vllm-router");
    let (host, port) = (listen.ip().to_string(), listen.port().to_string());
    let worker = format!("http://{upstream}");
    let metrics = (listen.port() + 1).to_string();
    let arguments = [
        "--host",
        &host,
        "--port",
        &port,
        "--worker-urls",
        &worker,
        "--policy",
        "round_robin",
        "--prometheus-host",
        &host,
        "--prometheus-port",
        &metrics,
        "--log-level",
        "error",
    ];
    Ok(Variant {
        name: "vLLM's router",
        url: url(listen),
        headers: Vec::new(),
        http2: false,
        slice_divisor: 1,
        processes: vec![Proxy::start_other(&program, &arguments, listen).await?],
    })
}

/// A plugin of the leanest pair. Both share a VM, as Meridian's do.
fn lean_plugin(root: &str) -> Value {
    let file = workspace().join("target/filter/lean.wasm");
    json!({ "name": format!("lean.{root}"), "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": { "name": root, "root_id": root, "allow_on_headers_stop_iteration": true, "vm_config": {
            "vm_id": "lean", "runtime": "envoy.wasm.runtime.v8", "code": { "local": { "filename": file } },
        }},
    }})
}

fn upstream_plugin() -> Value {
    let codec = json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec" });
    json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http_protocol_options": {} },
        "http_filters": [
            lean_plugin("guard"),
            { "name": "envoy.filters.http.upstream_codec", "typed_config": codec },
        ],
    }})
}

/// The headers that the filter would set for a request that stays at home.
fn route_headers(home: &Home) -> Vec<String> {
    let all = [
        ("definition", home.definition.as_str()),
        ("zone", "global"),
        ("model", MODEL),
        ("lane", "home"),
        ("stream", "0"),
        ("slot", "7"),
    ];
    all.map(|(name, value)| format!("x-meridian-{name}: {value}"))
        .into()
}

/// The connection manager of the public listener.
fn public_manager(config: &mut Value) -> Result<&mut Value> {
    let listeners = config["static_resources"]["listeners"].as_array_mut();
    let public = listeners
        .into_iter()
        .flatten()
        .find(|listener| listener["name"] == "public");
    let public = public.context("no public listener")?;
    Ok(&mut public["filter_chains"][0]["filters"][0]["typed_config"])
}

fn access_log(config: &Value) -> Result<Value> {
    Ok(public_manager(&mut config.clone())?["access_log"].take())
}

/// Everything but the Wasm filters.
fn without_plugins(mut config: Value) -> Value {
    remove_plugins(&mut config);
    config
}

fn remove_plugins(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(remove_plugins),
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "http_filters"
                    && let Some(filters) = value.as_array_mut()
                {
                    let is_wasm = |filter: &Value| {
                        filter["typed_config"]["@type"]
                            .as_str()
                            .is_some_and(|kind| kind.ends_with(".Wasm"))
                    };
                    filters.retain(|filter| !is_wasm(filter));
                }
                remove_plugins(value);
            }
        }
        _ => {}
    }
}

/// An Envoy without a filter, in parts.
pub struct Bare {
    /// Its connection manager.
    pub manager: Value,
    /// The cluster of its one pool.
    pub cluster: Value,
    listen: SocketAddr,
    admin: SocketAddr,
}

/// A connection manager without a filter. `action`: what its one route does, a field of the route.
pub fn manager(action: (&str, Value)) -> Value {
    let extensions = "type.googleapis.com/envoy.extensions.filters";
    let router = json!({ "@type": format!("{extensions}.http.router.v3.Router") });
    let mut route = json!({ "match": { "prefix": "/" } });
    route[action.0] = action.1;
    json!({
        "@type": format!("{extensions}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "bare",
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [route] }] },
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": router }],
    })
}

/// An Envoy without a filter.
pub fn bare(listen: SocketAddr, admin: SocketAddr, pool: SocketAddr) -> Bare {
    let manager = manager(("route", json!({ "cluster": "pool", "timeout": "30s" })));
    Bare {
        manager,
        cluster: cluster("pool", pool),
        listen,
        admin,
    }
}

/// A cluster of one server.
pub fn cluster(name: &str, server: SocketAddr) -> Value {
    json!({ "name": name, "type": "STATIC", "load_assignment": { "cluster_name": name, "endpoints": [
        { "lb_endpoints": [{ "endpoint": { "address": proxy::address(server) } }] }
    ]}})
}

impl Bare {
    /// The configuration.
    pub fn config(self) -> Value {
        json!({
            "admin": { "address": proxy::address(self.admin) },
            "static_resources": {
                "listeners": [{ "name": "bare", "address": proxy::address(self.listen), "filter_chains": [{ "filters": [
                    { "name": "envoy.filters.network.http_connection_manager", "typed_config": self.manager }
                ]}]}],
                "clusters": [self.cluster],
            },
        })
    }
}
