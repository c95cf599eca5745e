//! The proxies that are compared, each an Envoy of its own.

use super::fleets::{Home, MODEL, Place, Size};
use super::neighbours;
use super::proxy::{self, Proxy};
use anyhow::{Context, Result};
use meridian_tests::world::Block;
use meridian_tests::world::certificates::Certificates;
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
    proxy: Proxy,
}

impl Variant {
    /// Its process.
    pub fn process(&self) -> Result<u32> {
        self.proxy.id()
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

/// Starts all of them.
pub async fn start(dir: &Path, upstream: SocketAddr, block: &Block) -> Result<Proxies> {
    let certificates = Certificates::make(dir, block)?;
    std::fs::write(dir.join("key"), "a key\n")?;
    let IpAddr::V4(ip) = upstream.ip() else {
        anyhow::bail!("{upstream} is not of IPv4");
    };
    let [_, x, y, _] = ip.octets();
    let home = |port, size| {
        let place = Place {
            block: [x, y],
            port,
            upstream,
            certificates: &certificates,
            dir,
        };
        place.home(size)
    };
    let address = |port| SocketAddr::new(Ipv4Addr::new(127, x, y, 1).into(), port);
    let plain = |port, log| bare(address(port), address(port + 2), upstream, log);
    let logged = access_log(&home(8200, SMALL)?.config)?;
    let (chain, small, large) = (home(8300, SMALL)?, home(8400, SMALL)?, home(8500, LARGE)?);
    let routed = route_headers(&chain);
    let all = [
        ("bare Envoy", 8100, plain(8100, Value::Null), Vec::new()),
        (
            "bare Envoy, Meridian's access log",
            8200,
            plain(8200, logged),
            Vec::new(),
        ),
        (
            "Meridian's listener, routes and chain, no filter",
            8300,
            without_plugins(chain.config),
            routed,
        ),
        (
            "Meridian, 3 regions x 1 model",
            8400,
            small.config,
            vec!["cf-ipcountry: US".into()],
        ),
        (
            "Meridian, 30 regions x 10 models",
            8500,
            large.config,
            vec!["cf-ipcountry: US".into()],
        ),
    ];
    let fleets = [(8300, SMALL), (8400, SMALL), (8500, LARGE)];
    let neighbours = neighbours::config([x, y], &certificates, &fleets)?;
    let neighbours = Proxy::start_aside(dir, "neighbours", &neighbours).await?;
    let mut variants = Vec::new();
    for (name, port, config, headers) in all {
        variants.push(Variant {
            name,
            url: format!("http://{}/v1/chat/completions", address(port)),
            headers,
            proxy: Proxy::start(dir, &port.to_string(), &config).await?,
        });
    }
    Ok(Proxies {
        variants,
        _neighbours: neighbours,
    })
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
fn manager(config: &mut Value) -> Result<&mut Value> {
    let listeners = config["static_resources"]["listeners"].as_array_mut();
    let public = listeners
        .into_iter()
        .flatten()
        .find(|listener| listener["name"] == "public");
    let public = public.context("no public listener")?;
    Ok(&mut public["filter_chains"][0]["filters"][0]["typed_config"])
}

fn access_log(config: &Value) -> Result<Value> {
    Ok(manager(&mut config.clone())?["access_log"].take())
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

/// A proxy without a filter.
fn bare(listen: SocketAddr, admin: SocketAddr, pool: SocketAddr, access_log: Value) -> Value {
    let extensions = "type.googleapis.com/envoy.extensions.filters";
    let router = json!({ "@type": format!("{extensions}.http.router.v3.Router") });
    let mut manager = json!({
        "@type": format!("{extensions}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "bare",
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "prefix": "/" }, "route": { "cluster": "pool", "timeout": "30s" } }
        ]}]},
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": router }],
    });
    if !access_log.is_null() {
        manager["access_log"] = access_log;
    }
    json!({
        "admin": { "address": proxy::address(admin) },
        "static_resources": {
            "listeners": [{ "name": "bare", "address": proxy::address(listen), "filter_chains": [{ "filters": [
                { "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }
            ]}]}],
            "clusters": [{ "name": "pool", "type": "STATIC", "load_assignment": { "cluster_name": "pool", "endpoints": [
                { "lb_endpoints": [{ "endpoint": { "address": proxy::address(pool) } }] }
            ]}}],
        },
    })
}
