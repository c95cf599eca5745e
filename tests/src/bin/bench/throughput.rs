//! What a request costs on each variant, in one run: short slices in turn, and of each variant the median of its ratios to the slices of the
//! first variant beside them. The machine's speed changes within minutes; the ratios do not.

use super::load::{Load, Slice};
use super::proxy::{self, Taken};
use super::report::Report;
use super::upstream;
use super::variants::{self, Variant};
use anyhow::{Context, Result};
use meridian_tests::world::Block;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// Slices of each variant. One more before them, which is not counted, opens connections.
const ROUNDS: usize = 15;

/// For how long proxies without requests are looked at.
const IDLE: Duration = Duration::from_secs(3);

/// Measures all variants. `only`: a part of the names of loads. `with_litellm`: LiteLLM's proxy is one of the variants.
pub async fn throughput(only: Option<&str>, with_litellm: bool, report: &mut Report) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let block = Block::claim(None)?;
    let address = block.pool("us-west-2");
    upstream::start(address).await?;
    let proxies = variants::start(dir.path(), address, &block, with_litellm).await?;
    let variants = &proxies.variants;
    proxy::leave_processor().await?;
    report_idle(variants, report).await?;
    let is_measured = |load: &Load| only.is_none_or(|only| load.name.contains(only));
    for load in loads(dir.path())?.into_iter().filter(is_measured) {
        let Load { name, requests, .. } = &load;
        let title = format!("{name}; {ROUNDS} slices of {requests} requests");
        report.table(&title, &["proxy", "per s", "ratio", "CPU", "ratio", "busy"]);
        let variants: Vec<&Variant> = variants
            .iter()
            .filter(|variant| variant.http2 || !load.http2)
            .collect();
        let mut slices: Vec<Vec<Slice>> = variants.iter().map(|_| Vec::new()).collect();
        for round in 0..=ROUNDS {
            for (variant, slices) in variants.iter().zip(&mut slices) {
                let slice = load.send(variant).await?;
                if round > 0 {
                    slices.push(slice);
                }
            }
        }
        for (variant, own) in variants.iter().zip(&slices) {
            report.line(&row(variant, own, slices.first().context("no variants")?));
        }
    }
    Ok(())
}

/// What proxies take that have nothing to do: health checks, and ticks.
async fn report_idle(variants: &[Variant], report: &mut Report) -> Result<()> {
    report.table(
        "Without requests, in each second",
        &["proxy", "main thread", "workers"],
    );
    let all = || -> Result<Vec<Taken>> { variants.iter().map(Variant::taken).collect() };
    let before = all()?;
    tokio::time::sleep(IDLE).await;
    for ((variant, before), after) in variants.iter().zip(before).zip(all()?) {
        let in_ms = |took: Duration| took.as_secs_f64() / IDLE.as_secs_f64() * 1e3;
        report.line(&format!(
            "| {} | {:.1} ms | {:.1} ms |",
            variant.name,
            in_ms(after.main - before.main),
            in_ms(after.others - before.others)
        ));
    }
    Ok(())
}

fn loads(dir: &Path) -> Result<Vec<Load>> {
    let body = |size: usize, stream: bool| -> Result<_> {
        let content = "x".repeat(size);
        let body = json!({ "model": super::fleets::MODEL, "stream": stream, "messages": [{ "role": "user", "content": content }] });
        let path = dir.join(format!("{size}-{stream}.json"));
        std::fs::write(&path, body.to_string())?;
        Ok(path)
    };
    let load = |name, body, connections, http2, requests| Load {
        name,
        body,
        connections,
        http2,
        requests,
        per: 1,
    };
    let (short, long) = (body(70, false)?, body(16 << 10, false)?);
    Ok(vec![
        load(
            "150 B, 32 connections, HTTP/1.1",
            short.clone(),
            32,
            false,
            3000,
        ),
        load(
            "150 B, 32 connections, HTTP/2",
            short.clone(),
            32,
            true,
            3000,
        ),
        load("150 B, 1 connection, HTTP/1.1", short, 1, false, 1000),
        load("16 KiB, 32 connections, HTTP/1.1", long, 32, false, 2000),
        Load {
            per: upstream::CHUNKS,
            ..load(
                "per chunk: streams of 200 chunks, 32 connections, HTTP/1.1",
                body(70, true)?,
                32,
                false,
                64,
            )
        },
    ])
}

fn row(variant: &Variant, own: &[Slice], first: &[Slice]) -> String {
    let ratio = |of: fn(&Slice) -> f64| {
        median(
            own.iter()
                .zip(first)
                .map(|(own, first)| of(own) / of(first)),
        )
    };
    let of = |of: fn(&Slice) -> f64| median(own.iter().map(of));
    let cpu = |slice: &Slice| slice.cpu.as_secs_f64();
    format!(
        "| {} | {:.0} | {:.2} | {:.1} µs | {:.2} | {:.2} |",
        variant.name,
        of(|slice| slice.rate),
        ratio(|slice| slice.rate),
        Duration::from_secs_f64(of(cpu)).as_secs_f64() * 1e6,
        ratio(cpu),
        of(|slice| slice.busy)
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
