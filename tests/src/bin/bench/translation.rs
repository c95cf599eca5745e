//! What it costs to translate for Claude: natively, against reading and writing the same bytes; and in Envoy, against callers who
//! speak Anthropic's API themselves, on the same target to the same fake.

use super::one_by_one::{self, REQUESTS, ROUNDS, Target, round};
use super::report::Report;
use anyhow::{Context, Result};
use meridian_filter_core::claude::{self, Api, CallerApi, ResponseContext};
use meridian_filter_core::guard::sse::Events;
use meridian_policy::FallbackName;
use meridian_policy::egress_policy::{Claude, ClaudeHost};
use meridian_tests::world::{Ask, CLAUDE, MODEL, Options, REGIONS, World, client, wait_for};
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Bytes of a request.
const SIZE: usize = 4 << 10;
/// Chunks of a stream.
const CHUNKS: usize = 500;

pub async fn translation(report: &mut Report) -> Result<()> {
    natively(report)?;
    let world = World::start(&Options {
        claude: Some(ClaudeHost::Vertex),
        ..Options::default()
    })
    .await?;
    let gateway = world.gateway("us-west-2");
    for region in REGIONS {
        world.pool(region).kill().await?;
    }
    wait_for("every region to be known as down", || async {
        Ok(gateway.unhealthy().await?.len() >= REGIONS.len())
    })
    .await?;
    let client = client().build()?;
    let columns = ["path", "median", "ratio", "CPU", "ratio"];
    report.table("To Claude, one request after the other", &columns);
    for stream in [false, true] {
        let tokens = if stream { CHUNKS } else { 8 };
        world
            .provider("claude")
            .update(|behaviour| behaviour.tokens = tokens);
        let target = |name, path: &str| Target {
            name,
            envoy: gateway,
            ask: ask(&world, path, stream),
            latencies: Vec::new(),
            cpu: Duration::ZERO,
        };
        let mut targets = [
            target("as it is", "/v1/messages"),
            target("translated", "/v1/chat/completions"),
        ];
        let requests = if stream { REQUESTS / 10 } else { REQUESTS };
        for _ in 0..ROUNDS {
            for target in &mut targets {
                round(target, &client, requests).await?;
            }
            world.provider("claude").clear();
        }
        let what = if stream {
            format!("{CHUNKS} chunks")
        } else {
            format!("{SIZE} B")
        };
        one_by_one::report(&what, &mut targets, report);
    }
    Ok(())
}

fn ask(world: &World, path: &str, stream: bool) -> Ask {
    let ask = world.ask("us-west-2").country("US").path(path);
    ask.json(&chat(stream))
}

fn chat(stream: bool) -> Value {
    let content = "x".repeat(SIZE);
    json!({
        "model": MODEL, "max_tokens": 1000, "stream": stream,
        "messages": [{ "role": "user", "content": content }],
    })
}

fn natively(report: &mut Report) -> Result<()> {
    let columns = ["", "read and written", "translated", "ratio"];
    report.table("The translation alone", &columns);
    let claude = Claude {
        host: ClaudeHost::Anthropic,
        model: CLAUDE.into(),
        max_tokens: 4096,
        inference_geo: None,
        max_body: None,
    };
    one_request(&claude, report)?;
    one_stream(report)
}

fn one_request(claude: &Claude, report: &mut Report) -> Result<()> {
    let body = chat(false).to_string();
    let copied = each(1, || {
        let value: Value = serde_json::from_slice(black_box(body.as_bytes()))?;
        black_box(value.to_string());
        Ok(())
    })?;
    let fallback: FallbackName = "claude".parse()?;
    let translated = each(1, || {
        let ask = claude::Ask {
            api: Api::Chat,
            version: None,
            betas: "",
            claude,
            fallback: &fallback,
        };
        black_box(ask.translate(black_box(body.as_bytes()).to_vec())?);
        Ok(())
    })?;
    report.line(&row(&format!("a request of {SIZE} B"), copied, translated));
    Ok(())
}

fn one_stream(report: &mut Report) -> Result<()> {
    let delta = |text: String| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } });
    let start = json!({ "type": "message_start", "message": { "id": "msg_1", "model": CLAUDE, "usage": { "input_tokens": 3 } } });
    let deltas = (0..CHUNKS).map(|index| delta(format!(" token{index}")));
    let events: Vec<String> = std::iter::once(start)
        .chain(deltas)
        .map(|event| format!("event: x\ndata: {event}\n\n"))
        .collect();
    let copied = each(CHUNKS, || {
        let mut reader = Events::default();
        let mut out = String::new();
        for event in &events {
            let mut value = Ok(Value::Null);
            reader.read(black_box(event.as_bytes()), |event| {
                value = serde_json::from_slice(event.data.unwrap_or_default());
            });
            out.clear();
            out += &value?.to_string();
            black_box(&out);
        }
        Ok(())
    })?;
    let back = ResponseContext {
        host: ClaudeHost::Anthropic,
        caller: CallerApi::Chat {
            include_usage: false,
        },
        stream: true,
    };
    let translated = each(CHUNKS, || {
        let mut stream = back.stream(200, 0).context("no stream")?;
        for event in &events {
            black_box(stream.read(black_box(event.as_bytes())));
        }
        Ok(())
    })?;
    report.line(&row("a chunk of a stream", copied, translated));
    Ok(())
}

/// Time of each of `parts`, the least of several runs.
fn each(parts: usize, mut run: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    let least = times.into_iter().min().context("no run")?;
    Ok(least / u32::try_from(parts)?)
}

fn row(what: &str, copied: Duration, translated: Duration) -> String {
    let ratio = translated.as_secs_f64() / copied.as_secs_f64();
    format!("| {what} | {copied:.1?} | {translated:.1?} | {ratio:.2} |")
}
