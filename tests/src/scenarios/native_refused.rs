//! Dynamic modules that cannot be loaded, and a module that has no policy yet: no request passes by the filter.

use super::config::{until_refused, until_taken};
use super::ensure;
use super::filter::{Copy, until_it_serves};
use super::load::Load;
use crate::world::{Envoy, World, compile_shared_object, wait_for};
use anyhow::{Context, Result};
use meridian_planner::plan::Plan;
use meridian_xds_server::discovery::split;
use meridian_xds_server::fleet;
use meridian_xds_server::name::{ROUTER, native};
use meridian_xds_server::translate::translate;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const HOME: &str = "us-west-2";

/// The filter of chains.
const GUARD: &str = "meridian.guard";

/// Requests to a gateway that must let none pass.
const REQUESTS: usize = 20;

/// It calls a function that this Envoy lacks.
const OF_A_LATER_ENVOY: &str = r#"
extern int envoy_dynamic_module_callback_of_a_later_version(void);
const char *envoy_dynamic_module_on_program_init(void) {
    return envoy_dynamic_module_callback_of_a_later_version() ? "v9.0.0" : "v9.0.1";
}
"#;

/// It lacks what this Envoy calls.
const OF_AN_EARLIER_ENVOY: &str = r#"
const char *envoy_dynamic_module_on_program_init(void) { return "v0.0.1"; }
"#;

/// Modules that Envoy cannot load: by an edit of the fleet file, gateways keep the one that they have. A gateway that starts with such a
/// file takes no request. When the file is mended it does.
pub async fn not_loaded(world: &mut World) -> Result<String> {
    let modules = bad_modules(world.dir()).await?;
    let original = world.fleet_file()?;
    let good = module_of(&original)?;
    let (mut served, mut kinds) = (0, Vec::new());
    for (kind, module, says) in modules {
        let load = Load::start(
            world,
            &[(HOME, "US"), ("us-east-1", "US"), ("eu-west-1", "DE")],
        )?;
        world.edit(&original.replace(&good, &module.display().to_string()))?;
        until_refused(world, says).await.context(kind)?;
        served += load.stop().await.context(kind)?.all;
        world.respawn_gateway(HOME).await?;
        wait_for("the gateway to refuse its listeners", || async {
            let rejected = "^listener_manager.lds.update_rejected$";
            Ok(world.gateway(HOME).counter(rejected).await.unwrap_or(0) > 0)
        })
        .await
        .context(kind)?;
        nothing_passes(world, None).await.context(kind)?;
        world.edit(&original)?;
        until_taken(world).await.context(kind)?;
        until_it_serves(world).await.context(kind)?;
        kinds.push(kind);
    }
    another_version(world, &original, &good).await?;
    Ok(format!(
        "{}: gateways keep the module that they have, {served} requests meanwhile were all decided by it; one that starts with it takes \
         none of {REQUESTS}, until the file is mended; one that says another version decides all the same",
        kinds.join(", ")
    ))
}

/// A module with all that Envoy wants, which says another version: Envoy warns, and it decides every request.
async fn another_version(world: &World, original: &str, good: &str) -> Result<()> {
    let mut module = std::fs::read(good)?;
    let version = module.windows(VERSION.len()).position(|it| it == VERSION);
    let version = version.context("no version in the module")?;
    module[version + 1] = b'9';
    let other = world.dir().join("other.so");
    std::fs::write(&other, module)?;
    let other = other.display().to_string();
    world.edit(&original.replace(good, &other))?;
    wait_for("the module of another version", || async {
        let dump = world.gateway(HOME).admin("/config_dump").await?;
        Ok(dump.contains(&other) && !dump.contains(good))
    })
    .await?;
    let log = std::fs::read_to_string(world.dir().join(HOME).with_extension("log"))?;
    ensure(log.contains("v9.2.0"), || "Envoy does not warn".into())?;
    for _ in 0..REQUESTS {
        decided(world).await?;
    }
    Ok(())
}

/// A request is decided by the filter, and served.
async fn decided(world: &World) -> Result<()> {
    let answer = world.ask(HOME).country("US").send().await?;
    let is_decided = !answer.header("x-meridian-decision").is_empty();
    ensure(answer.status == 200 && is_decided, || {
        format!("{} {}", answer.status, answer.text())
    })
}

/// The version of the ABI, as the module says it.
const VERSION: &[u8] = b"v0.2.0\0";

/// By what they are, with what Envoy says of them.
async fn bad_modules(dir: &Path) -> Result<Vec<(&'static str, PathBuf, &'static str)>> {
    let text = dir.join("text.so");
    std::fs::write(&text, "this is no library")?;
    let (later, earlier) = (dir.join("later.so"), dir.join("earlier.so"));
    for (to, code) in [(&later, OF_A_LATER_ENVOY), (&earlier, OF_AN_EARLIER_ENVOY)] {
        compile_shared_object(code, to).await?;
    }
    Ok(vec![
        ("no file", dir.join("missing.so"), "missing.so"),
        ("no library", text, "text.so"),
        ("a library for a later Envoy", later, "later.so"),
        (
            "one for an earlier Envoy",
            earlier,
            "Failed to resolve symbol",
        ),
    ])
}

/// The module's file that a fleet file names.
fn module_of(fleet: &str) -> Result<String> {
    let mut lines = fleet.lines();
    let line = lines.find_map(|line| line.strip_prefix("  native: "));
    Ok(line.context("no module in the fleet file")?.to_owned())
}

/// No request gets further than the gateway. `expect`: the status and a word of its answers; without one there are no answers.
async fn nothing_passes(world: &World, expect: Option<(u16, &str)>) -> Result<()> {
    for number in 0..REQUESTS {
        let ask = world.ask(HOME).country("US");
        let ask = if number % 2 == 0 { ask.streamed() } else { ask };
        let answer = ask.send().await.ok();
        let is_expected = match (&answer, expect) {
            (None, None) => true,
            (Some(answer), Some((status, says))) => {
                answer.status == status && answer.text().contains(says)
            }
            _ => false,
        };
        let reached = world.reached(ask.marker());
        ensure(is_expected && reached.is_empty(), || {
            format!("{answer:?} after {reached:?}")
        })?;
    }
    Ok(())
}

/// The plugins' configurations come after the listener and the chains, as by ECDS, and are refused: until there is one, no request passes,
/// and one that is in force stays.
pub async fn not_configured(world: &mut World) -> Result<String> {
    let mut copy = Copy::of(world)?;
    let (router, guard) = (
        Resource::new(world, "router")?,
        Resource::new(world, "guard")?,
    );
    let source = source_of_router(world, &router)?;
    let good_router = replace(copy.resources(), &native(ROUTER), &source);
    let guards_source = json!({ "config_source": guard.source(), "type_urls": [TYPE_URL] });
    let good_guard = replace(copy.resources(), &native(GUARD), &guards_source);
    let good_router = good_router.context("no router")?;
    let good_guard = good_guard.context("no guard")?;
    let envoy = copy.start(world).await?;

    nothing_passes(world, Some((503, "no_policy")))
        .await
        .context("nothing came")?;
    let mut bad_router = good_router.clone();
    bad_router["filter_config"]["value"] = json!("{\"zones\":\"everywhere\"}");
    router.publish(&native(ROUTER), &bad_router)?;
    until_rejected(&envoy, &native(ROUTER), 1).await?;
    nothing_passes(world, Some((503, "no_policy")))
        .await
        .context("a bad policy came")?;
    router.publish(&native(ROUTER), &good_router)?;
    wait_for("the policy", || async {
        let answer = world.ask(HOME).country("US").send().await?;
        Ok(!answer.text().contains("no_policy"))
    })
    .await?;
    nothing_passes(world, Some((500, "server_error")))
        .await
        .context("the guard is missing")?;
    guard.publish(&native(GUARD), &good_guard)?;
    until_it_serves(world).await?;
    router.publish(&native(ROUTER), &bad_router)?;
    until_rejected(&envoy, &native(ROUTER), 2).await?;
    let mut bad_guard = good_guard.clone();
    bad_guard["filter_config"]["value"] = json!("[]");
    guard.publish(&native(GUARD), &bad_guard)?;
    until_rejected(&envoy, &native(GUARD), 1).await?;
    for _ in 0..REQUESTS {
        decided(world).await?;
    }
    Ok(format!(
        "without a policy, after one that the module refuses, without a guard: none of {} requests passes; refused later: {REQUESTS} requests \
         served by the one before",
        3 * REQUESTS
    ))
}

const TYPE_URL: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";

/// A file in the place of the control plane, with a plugin's configuration.
struct Resource(PathBuf);

impl Resource {
    fn new(world: &World, name: &str) -> Result<Self> {
        let resource = Self(world.dir().join(format!("{name}.resource.json")));
        resource.write(&json!([]))?;
        Ok(resource)
    }

    fn source(&self) -> Value {
        json!({ "path_config_source": { "path": self.0 } })
    }

    /// Written as a whole: Envoy reads the file when it is moved into place.
    fn publish(&self, name: &str, config: &Value) -> Result<()> {
        let resource = json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": name,
            "typed_config": config,
        });
        self.write(&json!([resource]))
    }

    fn write(&self, resources: &Value) -> Result<()> {
        let next = self.0.with_extension("next");
        std::fs::write(&next, json!({ "resources": resources }).to_string())?;
        Ok(std::fs::rename(next, &self.0)?)
    }
}

/// What the control plane has in the router's place in the public listener, but that a file has the configuration.
fn source_of_router(world: &World, router: &Resource) -> Result<Value> {
    let fleet = fleet::parse(&world.fleet_file()?)?;
    let snapshot = translate(&fleet, &Plan::default(), &HOME.parse()?, None);
    let parts = split(snapshot);
    let public = parts
        .listeners
        .iter()
        .find(|listener| listener.name == "public");
    let mut public = meridian_proto::to_json(public.context("no public listener")?)?;
    let filters = &mut public["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
    let filters = filters.as_array_mut().context("no filters")?;
    let filter = filters.iter_mut().find(|it| it["name"] == native(ROUTER));
    let mut source = filter.context("no router")?["config_discovery"].take();
    ensure(source["default_config"].is_object(), || source.to_string())?;
    source["config_source"] = router.source();
    Ok(source)
}

/// Puts a source of configurations in the place of the configuration of a filter, wherever it stands. One of the configurations.
fn replace(config: &mut Value, filter: &str, source: &Value) -> Option<Value> {
    match config {
        Value::Object(fields) if fields.get("name").is_some_and(|name| name == filter) => {
            let replaced = fields.remove("typed_config")?;
            fields.insert("config_discovery".into(), source.clone());
            Some(replaced)
        }
        Value::Object(fields) => {
            let replaced = fields
                .values_mut()
                .map(|value| replace(value, filter, source));
            replaced.flatten().last()
        }
        Value::Array(values) => {
            let replaced = values
                .iter_mut()
                .map(|value| replace(value, filter, source));
            replaced.flatten().last()
        }
        _ => None,
    }
}

/// Waits until Envoy has refused a plugin's configuration so often.
async fn until_rejected(envoy: &Envoy, filter: &str, times: u64) -> Result<()> {
    let counter = format!("extension_config_discovery.*{filter}.*(config_fail|update_rejected)$");
    wait_for("the refusal", || async {
        Ok(envoy.counter(&counter).await? >= times)
    })
    .await
}
