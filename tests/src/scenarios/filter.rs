//! The filter's configuration in a real Envoy: none, a broken one, a new one; and requests of an unusual form.

use super::ensure;
use crate::world::{DEADLINE, DRAIN_S, Envoy, MODEL, World, wait_for};
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meridian_xds_server::name::{ROUTER, native};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::time::timeout;

const REGION: &str = "us-west-2";

/// The configuration of a gateway that a running world uses, once more, to be changed.
pub(super) struct Copy {
    bootstrap: Value,
    path: PathBuf,
}

impl Copy {
    pub(super) fn of(world: &World) -> Result<Self> {
        let bootstrap = std::fs::read(world.dir().join(format!("{REGION}.yaml")))?;
        Ok(Self {
            bootstrap: serde_json::from_slice(&bootstrap)?,
            path: world.dir().join("copy.yaml"),
        })
    }

    fn listeners(&mut self) -> &mut Value {
        &mut self.bootstrap["static_resources"]["listeners"]
    }

    /// All that it has from the start.
    pub(super) fn resources(&mut self) -> &mut Value {
        &mut self.bootstrap["static_resources"]
    }

    /// Runs it in place of the gateway.
    pub(super) async fn start(&self, world: &mut World) -> Result<Envoy> {
        world.gateway_mut(REGION).kill().await?;
        std::fs::write(&self.path, self.bootstrap.to_string())?;
        Envoy::start(
            "copy",
            &self.path,
            world.block().admin(REGION),
            None,
            DRAIN_S,
        )
        .await
    }
}

/// The element of an array that has this name.
fn named<'v>(array: &'v mut Value, name: &str) -> Result<&'v mut Value> {
    let mut elements = array.as_array_mut().into_iter().flatten();
    let element = elements.find(|element| element["name"] == name);
    element.with_context(|| format!("no {name}"))
}

/// The configuration of the filter in the public listener, and the field that has its policy.
fn plugin(listeners: &mut Value) -> Result<(&mut Value, &'static str)> {
    let public = named(listeners, "public")?;
    let manager = &mut public["filter_chains"][0]["filters"][0]["typed_config"];
    let filters = &mut manager["http_filters"];
    Ok(match named(filters, &native(ROUTER)) {
        Ok(_) => {
            let filter = named(filters, &native(ROUTER))?;
            (&mut filter["typed_config"], "filter_config")
        }
        Err(_) => {
            let filter = named(filters, ROUTER)?;
            (&mut filter["typed_config"]["config"], "configuration")
        }
    })
}

/// Its policy, changed.
fn change_policy(listeners: &mut Value, change: impl FnOnce(&mut Value)) -> Result<()> {
    let (plugin, field) = plugin(listeners)?;
    let configuration = &mut plugin[field]["value"];
    let text = configuration.as_str().context("no policy")?;
    let mut policy: Value = serde_json::from_str(text)?;
    change(&mut policy);
    *configuration = Value::String(policy.to_string());
    Ok(())
}

fn remove(from: &mut Value, field: &str) -> Result<()> {
    let removed = from.as_object_mut().and_then(|fields| fields.remove(field));
    removed.map(drop).with_context(|| format!("no {field}"))
}

/// A gateway that starts while its name server is silent serves the models whose servers have plain addresses, before the deadline
/// of all scenarios: Envoy's own limits take two minutes.
pub async fn silent_name_server(world: &mut World) -> Result<String> {
    let silent = std::net::UdpSocket::bind((world.block().status().ip(), 0))?;
    let mut copy = Copy::of(world)?;
    let address =
        json!({ "address": silent.local_addr()?.ip(), "port_value": silent.local_addr()?.port() });
    copy.bootstrap["typed_dns_resolver_config"]["typed_config"]["resolvers"] =
        json!([{ "socket_address": address }]);
    let clusters = &mut copy.bootstrap["static_resources"]["clusters"];
    let mut named = named(clusters, &format!("pool/{REGION}/{MODEL}"))?.clone();
    named["name"] = json!("named");
    named["type"] = json!("STRICT_DNS");
    named["load_assignment"]["cluster_name"] = json!("named");
    let endpoint = &mut named["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    endpoint["address"]["socket_address"]["address"] = json!("llm.example.com");
    clusters.as_array_mut().context("no clusters")?.push(named);
    let begun = tokio::time::Instant::now();
    let _copy = copy.start(world).await?;
    let took = begun.elapsed();
    wait_for("the pool to serve", || async {
        let answer = world.ask(REGION).country("US").send().await;
        Ok(answer.is_ok_and(|answer| answer.status == 200 && answer.region() == REGION))
    })
    .await?;
    Ok(format!("it serves {took:.1?} after its start"))
}

/// Written as a whole: Envoy reads the file when it is moved into place.
fn publish(path: &Path, listeners: &Value) -> Result<()> {
    let mut resources = listeners.clone();
    for listener in resources.as_array_mut().into_iter().flatten() {
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    }
    let next = path.with_extension("next");
    std::fs::write(&next, json!({ "resources": resources }).to_string())?;
    Ok(std::fs::rename(next, path)?)
}

/// Without a policy the filter refuses everything.
pub async fn no_policy(world: &mut World) -> Result<String> {
    let mut copy = Copy::of(world)?;
    let (plugin, field) = plugin(copy.listeners())?;
    remove(plugin, field)?;
    let _envoy = copy.start(world).await?;
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/models"] {
        let ask = world.ask(REGION).country("US").path(path);
        let answer = ask.send().await?;
        let refused = (answer.status, answer.header("retry-after")) == (503, "2");
        let says = answer.text().contains("not been given a routing policy");
        ensure(refused && says, || {
            format!("{path}: {} {}", answer.status, answer.text())
        })?;
        ensure(world.reached(ask.marker()).is_empty(), || {
            format!("{path} reached {:?}", world.reached(ask.marker()))
        })?;
    }
    Ok("a gateway whose filter has no policy: 503 for every API, and nothing leaves".into())
}

/// With a broken policy Envoy does not start.
pub async fn broken_policy(world: &mut World) -> Result<String> {
    let mut copy = Copy::of(world)?;
    change_policy(copy.listeners(), |policy| {
        policy["no_such_field"] = json!(1);
    })?;
    let started = copy.start(world).await;
    let error = started.map(drop).err().context("it has started")?;
    let error = error.to_string();
    ensure(
        ["no_such_field", "wasm", "in-module filter"]
            .iter()
            .any(|said| error.contains(said)),
        || error.clone(),
    )?;
    Ok("a policy with an unknown field: Envoy does not start".into())
}

/// A broken policy that comes later is refused, and the one before stays; a good one takes its place.
pub async fn new_policy(world: &mut World) -> Result<String> {
    let mut copy = Copy::of(world)?;
    let file = world.dir().join("listeners.json");
    let good = copy.listeners().take();
    publish(&file, &good)?;
    remove(&mut copy.bootstrap["static_resources"], "listeners")?;
    copy.bootstrap["dynamic_resources"] =
        json!({ "lds_config": { "path_config_source": { "path": file } } });
    let envoy = copy.start(world).await?;
    until_it_serves(world).await?;

    let mut listeners = good.clone();
    change_policy(&mut listeners, |policy| {
        policy["zones"] = json!("everywhere");
    })?;
    publish(&file, &listeners)?;
    let rejected = "^listener_manager.lds.update_rejected$";
    wait_for("the refusal", || async {
        Ok(envoy.counter(rejected).await? == 1)
    })
    .await?;
    for _ in 0..20 {
        let answer = world.ask(REGION).country("US").send().await?;
        ensure((answer.status, answer.region()) == (200, REGION), || {
            format!("{} {}", answer.status, answer.text())
        })?;
    }

    let mut listeners = good;
    let mut had_model = false;
    change_policy(&mut listeners, |policy| {
        let models = &mut policy["zones"]["global"]["models"];
        had_model = remove(models, "llama-3.1-70b").is_ok();
    })?;
    ensure(had_model, || "the policy had no such model".into())?;
    publish(&file, &listeners)?;
    wait_for("the new policy", || async {
        Ok(world.ask(REGION).country("US").send().await?.status == 404)
    })
    .await?;
    Ok(
        "a broken policy: refused, 20 of 20 requests served by the one before; then a good one: taken"
            .into(),
    )
}

/// Waits until the gateway listens and serves.
pub(super) async fn until_it_serves(world: &World) -> Result<()> {
    // The listener is there when its address answers.
    wait_for("the listener", || async {
        let answer = world.ask(REGION).get("/healthz").send().await;
        Ok(answer.is_ok_and(|answer| answer.status == 200))
    })
    .await?;
    wait_for("the first answer", || async {
        Ok(world.ask(REGION).country("US").send().await?.status == 200)
    })
    .await
}

/// Envoy obeys `x-envoy-*` headers of callers that it thinks internal; here no caller is.
pub async fn steering(world: &mut World) -> Result<String> {
    world
        .pool(REGION)
        .update(|behaviour| behaviour.first_token_ms = 300);
    let ask = world.ask(REGION).country("US");
    let ask = ask
        .header("x-envoy-upstream-rq-timeout-ms", "1")
        .header("x-envoy-upstream-rq-per-try-timeout-ms", "1")
        .header("x-envoy-max-retries", "9")
        .header("x-envoy-retry-on", "5xx")
        .header("x-envoy-internal", "true")
        .header("x-forwarded-for", "127.0.0.1");
    let answer = ask.send().await?;
    ensure((answer.status, answer.region()) == (200, REGION), || {
        format!("{} {}", answer.status, answer.text())
    })?;
    let request = world.pool(REGION).requests().into_iter().next();
    let request = request.context("no request was recorded")?;
    let names = request.headers.iter().map(|(name, _)| name);
    let envoys: Vec<&String> = names.filter(|name| name.starts_with("x-envoy-")).collect();
    ensure(
        !envoys.iter().any(|name| {
            name.contains("retr") || name.contains("timeout-ms") && !name.contains("expected")
        }),
        || format!("{envoys:?}"),
    )?;
    Ok("limits and retries that a caller asks Envoy for: ignored, and not passed on".into())
}

/// A body that ends with trailers, which HTTP/2 clients may send: its end is not the end of the data.
pub async fn trailers(world: &mut World) -> Result<String> {
    let public = world.block().public(REGION);
    let stream = tokio::net::TcpStream::connect(public).await?;
    let (io, executor) = (TokioIo::new(stream), TokioExecutor::new());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await?;
    tokio::spawn(connection);
    let body = r#"{"model":"llama-3.1-70b","messages":[{"role":"user","content":"hi"}]}"#;
    let mut trailers = hyper::HeaderMap::new();
    trailers.insert("x-checksum", "1".parse()?);
    let body = Full::new(Bytes::from(body)).with_trailers(async move { Some(Ok(trailers)) });
    let request = hyper::Request::post(format!("http://{public}/v1/chat/completions"))
        .header("cf-ipcountry", "US")
        .header("content-type", "application/json")
        .body(Box::pin(body))?;
    let answer = timeout(DEADLINE, sender.send_request(request)).await??;
    ensure(answer.status() == 200, || answer.status().to_string())?;
    Ok("a body that ends with trailers is served".into())
}
