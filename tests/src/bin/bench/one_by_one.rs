//! What a request costs, one after the other: latency and CPU.

use super::report::Report;
use anyhow::Result;
use meridian_tests::world::{Ask, Envoy};
use std::time::{Duration, Instant};

pub const ROUNDS: usize = 5;
pub const REQUESTS: usize = 1000;

/// What requests go through, and what they took.
pub struct Target<'w> {
    pub name: &'static str,
    pub envoy: &'w Envoy,
    pub ask: Ask,
    pub latencies: Vec<Duration>,
    pub cpu: Duration,
}

pub async fn round(
    target: &mut Target<'_>,
    client: &reqwest::Client,
    requests: usize,
) -> Result<()> {
    let cpu = target.envoy.cpu()?;
    for _ in 0..requests {
        let start = Instant::now();
        let answer = target.ask.send_with(client).await?;
        anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        target.latencies.push(start.elapsed());
    }
    target.cpu += target.envoy.cpu()? - cpu;
    Ok(())
}

pub fn report(what: &str, targets: &mut [Target<'_>], report: &mut Report) {
    let mut first: Option<(f64, f64)> = None;
    for target in targets {
        target.latencies.sort_unstable();
        let p50 = target.latencies[target.latencies.len() / 2].as_secs_f64() * 1e6;
        let cpu = target.cpu.as_secs_f64() * 1e6 / target.latencies.len() as f64;
        let (bare_p50, bare_cpu) = *first.get_or_insert((p50, cpu));
        report.line(&format!(
            "| {}, {what} | {p50:.0} µs | {:.2} | {cpu:.0} µs | {:.2} |",
            target.name,
            p50 / bare_p50,
            cpu / bare_cpu
        ));
    }
}
