//! The filter's configuration in a real Envoy: none, a broken one, a new one.
#![allow(clippy::unwrap_used)] // Tests.

use anyhow::Result;
use meridian_tests::world::{Configured, Envoy, Options, World, wait_for};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const REGION: &str = "us-west-2";

/// A world whose gateways' configurations are files that can be changed.
fn by_file() -> Options {
    Options {
        configured: Configured::ByFile,
        ..Options::default()
    }
}

/// The configuration of a gateway that a running world uses, once more, to be changed.
struct Copy {
    bootstrap: Value,
    path: PathBuf,
}

impl Copy {
    fn of(world: &World) -> Result<Self> {
        let bootstrap = std::fs::read(world.dir().join(format!("{REGION}.yaml")))?;
        Ok(Self {
            bootstrap: serde_json::from_slice(&bootstrap)?,
            path: world.dir().join("copy.yaml"),
        })
    }

    fn listeners(&mut self) -> &mut Value {
        &mut self.bootstrap["static_resources"]["listeners"]
    }

    /// Runs it in place of the gateway.
    async fn start(&self, world: &mut World) -> Result<Envoy> {
        world.gateway_mut(REGION).kill().await?;
        std::fs::write(&self.path, self.bootstrap.to_string())?;
        Envoy::start("copy", &self.path, world.block().admin(REGION)).await
    }
}

/// The filter's configuration: `configuration` of the plugin in the public listener.
fn plugin(listeners: &mut Value) -> &mut Value {
    let public = listeners
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|listener| listener["name"] == "public");
    let manager = &mut public.unwrap()["filter_chains"][0]["filters"][0]["typed_config"];
    let filters = manager["http_filters"].as_array_mut().unwrap();
    let filter = filters
        .iter_mut()
        .find(|filter| filter["name"] == "meridian.router");
    &mut filter.unwrap()["typed_config"]["config"]
}

/// Its policy, changed.
fn change_policy(listeners: &mut Value, change: impl FnOnce(&mut Value)) {
    let configuration = &mut plugin(listeners)["configuration"]["value"];
    let mut policy: Value = serde_json::from_str(configuration.as_str().unwrap()).unwrap();
    change(&mut policy);
    *configuration = Value::String(policy.to_string());
}

/// Written as a whole: Envoy reads the file when it is moved into place.
fn publish(path: &Path, listeners: &Value) {
    let listener_type = "type.googleapis.com/envoy.config.listener.v3.Listener";
    let mut resources = listeners.as_array().unwrap().clone();
    for listener in &mut resources {
        listener["@type"] = json!(listener_type);
    }
    let next = path.with_extension("next");
    std::fs::write(&next, json!({ "resources": resources }).to_string()).unwrap();
    std::fs::rename(next, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_everything_is_refused() -> Result<()> {
    let mut world = World::start(&by_file()).await?;
    let mut copy = Copy::of(&world)?;
    plugin(copy.listeners())
        .as_object_mut()
        .unwrap()
        .remove("configuration");
    let _envoy = copy.start(&mut world).await?;
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/models"] {
        let ask = world.ask(REGION).country("US").path(path);
        let answer = ask.send().await?;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, "2"),
            "{}",
            answer.text()
        );
        assert!(
            answer.text().contains("not been given a routing policy"),
            "{}",
            answer.text()
        );
        assert!(world.reached(ask.marker()).is_empty());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_at_the_start_serves_nothing() -> Result<()> {
    let mut world = World::start(&by_file()).await?;
    let mut copy = Copy::of(&world)?;
    change_policy(copy.listeners(), |policy| {
        policy["no_such_field"] = json!(1)
    });
    let error = copy
        .start(&mut world)
        .await
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no_such_field") || error.contains("wasm"),
        "{error}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_is_refused_and_the_old_one_stays() -> Result<()> {
    let mut world = World::start(&by_file()).await?;
    let mut copy = Copy::of(&world)?;
    let file = world.dir().join("listeners.json");
    let mut listeners = copy.listeners().take();
    publish(&file, &listeners);
    copy.bootstrap["static_resources"]
        .as_object_mut()
        .unwrap()
        .remove("listeners");
    copy.bootstrap["dynamic_resources"] =
        json!({ "lds_config": { "path_config_source": { "path": file } } });
    let envoy = copy.start(&mut world).await?;
    // The listener is there when its address answers.
    let world = world;
    wait_for("the listener", || async {
        Ok(world
            .ask(REGION)
            .get("/healthz")
            .send()
            .await
            .is_ok_and(|answer| answer.status == 200))
    })
    .await?;
    wait_for("the first answer", || async {
        Ok(world.ask(REGION).country("US").send().await?.status == 200)
    })
    .await?;

    let good = listeners.clone();
    change_policy(&mut listeners, |policy| {
        policy["zones"] = json!("everywhere")
    });
    publish(&file, &listeners);
    wait_for("the refusal", || async {
        Ok(envoy
            .counter("^listener_manager.lds.update_rejected$")
            .await?
            == 1)
    })
    .await?;
    for _ in 0..20 {
        let answer = world.ask(REGION).country("US").send().await?;
        assert_eq!(
            (answer.status, answer.region()),
            (200, REGION),
            "{}",
            answer.text()
        );
    }

    listeners = good;
    change_policy(&mut listeners, |policy| {
        policy["zones"]["global"]["models"]
            .as_object_mut()
            .unwrap()
            .remove("llama-3.1-70b");
    });
    publish(&file, &listeners);
    wait_for("the new policy", || async {
        Ok(world.ask(REGION).country("US").send().await?.status == 404)
    })
    .await
}

/// Envoy obeys `x-envoy-*` headers of callers that it thinks internal; here nobody is.
#[tokio::test(flavor = "multi_thread")]
async fn callers_cannot_steer_envoy() -> Result<()> {
    let world = World::start(&by_file()).await?;
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
    assert_eq!(
        (answer.status, answer.region()),
        (200, REGION),
        "{}",
        answer.text()
    );
    let told = world.pool(REGION).requests().remove(0);
    let told: Vec<&String> = told
        .headers
        .iter()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("x-envoy-"))
        .collect();
    assert!(
        !told
            .iter()
            .any(|name| name.contains("timeout-ms") && !name.contains("expected")),
        "{told:?}"
    );
    assert!(!told.iter().any(|name| name.contains("retr")), "{told:?}");
    Ok(())
}

/// A body that ends with trailers, which HTTP/2 clients may send: its end is not the end of the data.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_with_trailers_is_served() -> Result<()> {
    let world = World::start(&by_file()).await?;
    let stream = tokio::net::TcpStream::connect(world.block().public(REGION)).await?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await?;
    tokio::spawn(connection);
    let body = r#"{"model":"llama-3.1-70b","messages":[{"role":"user","content":"hi"}]}"#;
    let mut trailers = hyper::HeaderMap::new();
    trailers.insert("x-checksum", "1".parse()?);
    let frames = [
        hyper::body::Frame::data(bytes::Bytes::from(body)),
        hyper::body::Frame::trailers(trailers),
    ];
    let frames = frames.map(Ok::<_, std::convert::Infallible>);
    let request = hyper::Request::post(format!(
        "http://{}/v1/chat/completions",
        world.block().public(REGION)
    ))
    .header("cf-ipcountry", "US")
    .header("content-type", "application/json")
    .body(http_body_util::StreamBody::new(futures_util::stream::iter(
        frames,
    )))?;
    let answer = tokio::time::timeout(
        meridian_tests::world::DEADLINE,
        sender.send_request(request),
    )
    .await??;
    assert_eq!(answer.status(), 200);
    Ok(())
}
