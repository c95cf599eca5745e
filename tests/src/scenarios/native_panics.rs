//! Panics in every hook of the filter as a dynamic module. The module is one that panics where a request's header says
//! (`filter/native/examples/panics`); all else of it is what gateways run.

mod heard;

use super::ensure;
use super::load::Load;
use super::peer::certified;
use crate::fakes::Replay;
use crate::world::{Ask, CLAUDE, Configured, MODEL, Options, REGIONS, World, client, wait_for};
use anyhow::{Context, Result};
use heard::{Expect, Heard, ask_with_trailers, read};
use meridian_policy::egress_policy::ClaudeHost;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

const HOME: &str = "us-west-2";
const PEER: &str = "us-east-1";

/// Ordinary requests a second meanwhile.
const RATE: u32 = 60;

/// Says where the module panics.
const HEADER: &str = "x-panic";

/// What panics are counted of.
const COUNTED: [&str; 5] = ["router", "guard", "pool", "egress", "tick"];

/// Threads of each gateway.
const WORKERS: usize = 2;

/// Gateways with the module that panics.
pub fn options() -> Options {
    Options {
        native: true,
        module: "libpanics.so",
        configured: Configured::ByFile,
        claude: Some(ClaudeHost::Vertex),
        ..Options::default()
    }
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    Streamed,
    /// By HTTP/2, and its body is followed by trailers.
    WithTrailers,
}
use Form::{Streamed, Whole, WithTrailers};

use Expect::{Cut, Failed, Served};

/// A hook of a plugin, which call of it panics, how the request is sent, what becomes of it, and how many panics it causes.
#[derive(Debug)]
struct Case(&'static str, &'static str, u32, Form, Expect, u64);

/// What a gateway meets that asks its own pool.
const AT_HOME: [Case; 17] = [
    Case("router", "request_headers", 1, Whole, Failed, 1),
    Case("router", "request_body", 1, Streamed, Failed, 1),
    Case("router", "request_trailers", 1, WithTrailers, Failed, 1),
    Case("router", "response_headers", 1, Whole, Failed, 1),
    Case("router", "response_headers", 1, Streamed, Failed, 1),
    Case("router", "response_body", 1, Whole, Cut, 1),
    Case("router", "response_body", 3, Streamed, Cut, 1),
    Case("router", "done", 1, Whole, Served, 1),
    Case("router", "log", 1, Streamed, Served, 1),
    Case("guard", "request_headers", 1, Whole, Failed, 1),
    Case("guard", "request_body", 1, Streamed, Failed, 1),
    Case("guard", "request_trailers", 1, WithTrailers, Failed, 1),
    Case("guard", "response_headers", 1, Whole, Failed, 1),
    Case("guard", "response_body", 1, Whole, Failed, 1),
    Case("guard", "response_body", 1, Streamed, Failed, 1),
    Case("guard", "response_body", 3, Streamed, Cut, 1),
    Case("guard", "done", 1, Streamed, Served, 1),
];

/// What a gateway meets that is asked by another one.
const AT_PEER: [Case; 7] = [
    Case("pool", "request_headers", 1, Whole, Failed, 1),
    Case("pool", "request_body", 1, Streamed, Failed, 1),
    Case("pool", "response_headers", 1, Whole, Failed, 1),
    Case("pool", "response_body", 1, Whole, Cut, 1),
    Case("pool", "response_body", 3, Streamed, Cut, 1),
    Case("pool", "done", 1, Whole, Served, 1),
    Case("pool", "log", 1, Streamed, Served, 1),
];

/// What a gateway meets where no pool of its own serves: both peers fail, and the fallback serves.
const RESCUED: [Case; 2] = [
    Case("pool", "request_trailers", 1, WithTrailers, Served, 2),
    Case("pool", "request_headers", 1, Streamed, Served, 2),
];

/// What a gateway meets where nobody but the fallback serves.
const AT_FALLBACK: [Case; 8] = [
    Case("egress", "request_headers", 1, Whole, Failed, 1),
    Case("egress", "request_body", 1, Streamed, Failed, 1),
    Case("egress", "request_trailers", 1, WithTrailers, Failed, 1),
    Case("egress", "response_headers", 1, Whole, Failed, 1),
    Case("egress", "response_body", 1, Whole, Failed, 1),
    Case("egress", "response_body", 5, Streamed, Cut, 1),
    Case("egress", "done", 1, Whole, Served, 1),
    Case("egress", "log", 1, Streamed, Served, 1),
];

/// Every plugin in every hook.
pub async fn everywhere(world: &mut World) -> Result<String> {
    with_trailers(world).await?;
    for server in world.servers() {
        server.update(|behaviour| (behaviour.tokens, behaviour.token_ms) = (40, 5));
    }
    let world = &*world;
    let mut phases = Phases {
        world,
        panics: 0,
        ordinary: 0,
    };
    phases.all(&AT_HOME, HOME).await?;
    phases.all(&AT_PEER, PEER).await?;
    phases.trailers().await?;
    phases.tick().await?;
    phases.new_plugins().await?;
    world.pool(HOME).kill().await?;
    phases.all(&RESCUED, HOME).await?;
    for region in REGIONS {
        world.pool(region).kill().await?;
    }
    phases.all(&AT_FALLBACK, HOME).await?;
    phases.at_fallback().await?;
    Ok(format!(
        "{} panics, each counted and each the end of its own request alone; {} ordinary requests beside them, all served; nothing held",
        phases.panics, phases.ordinary
    ))
}

/// One after the other.
struct Phases<'w> {
    world: &'w World,
    /// Panics so far.
    panics: u64,
    /// Requests beside them.
    ordinary: u32,
}

impl Phases<'_> {
    /// All cases, before and after what the plugin does in the hook, beside ordinary requests.
    async fn all(&mut self, cases: &[Case], region: &str) -> Result<()> {
        let load = Load::at_rate(self.world, &[(HOME, "US"), (PEER, "US")], RATE)?;
        for case in cases {
            self.both(case, region).await?;
        }
        self.ordinary += load.stop().await?.all;
        self.nothing_is_held().await
    }

    async fn meet(&mut self, case: &Case, when: &str, region: &str) -> Result<()> {
        let &Case(plugin, hook, call, form, expect, panics) = case;
        let at = format!("{plugin}.{hook}.{when}.{call}");
        let before = counted(self.world).await?;
        let heard = ask(self.world, region, form, &at).await;
        let heard = heard.with_context(|| format!("{at} {form:?}"))?;
        ensure(heard.is(expect), || {
            format!("{at} {form:?}: not {expect:?}, but {heard:?}")
        })?;
        is_counted(self.world, before, plugin, panics)
            .await
            .with_context(|| at)?;
        self.panics += panics;
        Ok(())
    }

    /// Answers that end with trailers, after a stream or behind a head that is held. No other requests: their answers would end so, too.
    async fn trailers(&mut self) -> Result<()> {
        let world = self.world;
        for region in [HOME, PEER] {
            let replay = Some(replay("text/event-stream", &STREAM));
            world
                .pool(region)
                .update(|behaviour| behaviour.replay = replay);
        }
        for (plugin, region) in [("router", HOME), ("guard", HOME), ("pool", PEER)] {
            let case = Case(plugin, "response_trailers", 1, Streamed, Cut, 1);
            self.both(&case, region).await?;
        }
        for region in [HOME, PEER] {
            world
                .pool(region)
                .update(|behaviour| behaviour.replay = None);
        }
        self.nothing_is_held().await
    }

    async fn both(&mut self, case: &Case, region: &str) -> Result<()> {
        for when in ["before", "after"] {
            self.meet(case, when, region).await?;
        }
        Ok(())
    }

    /// A tick ends no request. The worker's next one comes with one of its requests, or while one is under way.
    async fn tick(&mut self) -> Result<()> {
        let before = counted(self.world).await?;
        let heard = ask(self.world, HOME, Streamed, "worker.tick").await?;
        ensure(heard.is(Served), || format!("tick: {heard:?}"))?;
        wait_for("a tick", || async {
            let heard = ask(self.world, HOME, Streamed, "none").await?;
            ensure(heard.is(Served), || format!("tick: {heard:?}"))?;
            Ok(counted(self.world).await? != before)
        })
        .await?;
        is_counted(self.world, before, "tick", 1).await?;
        self.panics += 1;
        self.nothing_is_held().await
    }

    /// Plugins that cannot be made. A request by one connection makes the next one of its worker panic.
    async fn new_plugins(&mut self) -> Result<()> {
        let world = self.world;
        let to_peer = certified(world, Some(HOME))?.build()?;
        for (plugin, region, client) in
            [("router", HOME, client().build()?), ("pool", PEER, to_peer)]
        {
            let before = counted(world).await?;
            let at = format!("{plugin}.new");
            // A health check of another gateway may come in between: it gets a plugin, which is asked for nothing.
            wait_for(&at, || async {
                let first = ask_at(world, region, Whole, &at)?;
                let first = read(first.open_with(&client).await?).await?;
                let next = ask_at(world, region, Whole, "none")?;
                let next = read(next.open_with(&client).await?).await?;
                ensure(
                    first.is(Served) && (next.is(Failed) || next.is(Served)),
                    || format!("{at}: {first:?}, {next:?}"),
                )?;
                Ok(next.is(Failed))
            })
            .await?;
            is_counted(world, before, plugin, 1).await?;
            self.panics += 1;
        }
        self.new_plugin("guard").await?;
        self.nothing_is_held().await
    }

    /// A plugin that cannot be made for the very request that says so.
    async fn new_plugin(&mut self, plugin: &'static str) -> Result<()> {
        let before = counted(self.world).await?;
        let heard = ask(self.world, HOME, Whole, &format!("{plugin}.new")).await?;
        ensure(heard.is(Failed), || format!("{plugin}.new: {heard:?}"))?;
        self.panics += 1;
        is_counted(self.world, before, plugin, 1).await
    }

    /// What only a fallback's listener meets, without other requests.
    async fn at_fallback(&mut self) -> Result<()> {
        self.new_plugin("egress").await?;
        let claude = self.world.provider("claude");
        let message = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": CLAUDE,
            "content": [{ "type": "text", "text": "hi" }],
            "stop_reason": "end_turn", "usage": { "input_tokens": 3, "output_tokens": 1 },
        });
        let replay = Some(replay("application/json", &[&message.to_string()]));
        claude.update(|behaviour| behaviour.replay = replay);
        let case = Case("egress", "response_trailers", 1, Whole, Failed, 1);
        self.both(&case, HOME).await?;
        self.nothing_is_held().await
    }

    /// No worker of any gateway keeps anything for a request.
    async fn nothing_is_held(&self) -> Result<()> {
        for region in REGIONS {
            ensure(!self.world.gateway(region).has_ended()?, || {
                format!("the gateway of {region} has died")
            })?;
            nothing_is_held(self.world, region).await?;
        }
        Ok(())
    }
}

/// Sends a request that panics there.
async fn ask(world: &World, region: &str, form: Form, at: &str) -> Result<Heard> {
    if form == WithTrailers {
        return ask_with_trailers(world.block().public(region), (HEADER, at)).await;
    }
    let ask = ask_at(world, region, form, at)?;
    if region == HOME {
        return read(ask.open().await?).await;
    }
    let as_gateway = certified(world, Some(HOME))?.build()?;
    read(ask.open_with(&as_gateway).await?).await
}

/// A request to the home gateway as a caller sends it, to another one as a gateway does.
fn ask_at(world: &World, region: &str, form: Form, at: &str) -> Result<Ask> {
    let ask = world.ask(region).header(HEADER, at);
    let ask = if form == Streamed {
        ask.streamed()
    } else {
        ask
    };
    if region == HOME {
        return Ok(ask.country("US"));
    }
    Ok(ask
        .gateway_at(&format!("https://{}", world.block().peer(region)))
        .header("x-meridian-definition", &world.definition("global")?)
        .header("x-meridian-model", MODEL)
        .header("x-meridian-lane", "home")
        .header(
            "x-meridian-stream",
            if form == Streamed { "1" } else { "0" },
        ))
}

/// An answer in chunks, with trailers behind it.
fn replay(content_type: &str, body: &[&str]) -> Replay {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunks = body
        .iter()
        .map(|text| format!("{:x}\r\n{text}\r\n", text.len()));
    let end = "0\r\nx-checksum: 1\r\n\r\n".to_owned();
    let pieces = [head].into_iter().chain(chunks).chain([end]);
    Replay {
        pieces: pieces.map(String::into_bytes).collect(),
        stalls: false,
    }
}

/// A stream of one token.
const STREAM: [&str; 3] = [
    "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}]}\n\n",
    "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];

/// The panics that all gateways have counted.
async fn counted(world: &World) -> Result<BTreeMap<&'static str, u64>> {
    let mut all = BTreeMap::new();
    for region in REGIONS {
        for what in COUNTED {
            let labels = [("what", what)];
            let count = world.gateway(region).metric("meridian_panics", &labels);
            *all.entry(what).or_default() += count.await?;
        }
    }
    Ok(all)
}

/// Waits until so many panics more are counted of this, and of nothing else.
async fn is_counted(
    world: &World,
    mut expected: BTreeMap<&'static str, u64>,
    what: &'static str,
    panics: u64,
) -> Result<()> {
    *expected.entry(what).or_default() += panics;
    let seen = Mutex::default();
    let waited = wait_for("the count of panics", || async {
        let now = counted(world).await?;
        let is_all = now == expected;
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(is_all)
    });
    waited
        .await
        .with_context(|| format!("counted {:?}, not {expected:?}", seen))
}

/// Waits until no worker of a gateway with the module that panics keeps anything for a request.
///
/// # Errors
/// One still does.
pub async fn nothing_is_held(world: &World, region: &str) -> Result<()> {
    let held: Mutex<BTreeMap<String, String>> = Mutex::default();
    let waited = wait_for("nothing to be held", || async {
        let ask = world
            .ask(region)
            .header(HEADER, "worker.held")
            .get("/v1/models");
        let text = ask.send().await?.text();
        let (worker, kinds) = text.split_once('\n').context("no worker")?;
        let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.ends_with(" 0")).collect();
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(worker.to_owned(), kinds.join(", "));
        Ok(held.len() == WORKERS && held.values().all(String::is_empty))
    });
    waited
        .await
        .with_context(|| format!("{region} holds {held:?}"))
}

/// A cluster's options.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Starts the gateways again so that they pass on trailers of HTTP/1, which they do not by default.
async fn with_trailers(world: &mut World) -> Result<()> {
    for region in REGIONS.into_iter().rev() {
        let path = world.dir().join(format!("{region}.yaml"));
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let resources = &mut config["static_resources"];
        let clusters = resources["clusters"].as_array_mut();
        for cluster in clusters.context("no clusters")? {
            let options = &mut cluster["typed_extension_protocol_options"][HTTP_OPTIONS];
            options["@type"] = json!(format!("type.googleapis.com/{HTTP_OPTIONS}"));
            if options["explicit_http_config"].is_null() {
                options["explicit_http_config"] = json!({ "http_protocol_options": {} });
            }
        }
        enable_trailers(resources);
        std::fs::write(&path, config.to_string())?;
        world.restart_gateway(region).await?;
    }
    world.until_healthy().await
}

fn enable_trailers(config: &mut Value) {
    match config {
        Value::Object(fields) => {
            if fields.contains_key("http_filters") && fields.contains_key("stat_prefix") {
                fields.entry("http_protocol_options").or_insert(json!({}));
            }
            for (name, value) in fields {
                if name == "http_protocol_options" {
                    value["enable_trailers"] = json!(true);
                }
                enable_trailers(value);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(enable_trailers),
        _ => {}
    }
}
