//! The load: `h2load` of nghttp2, for a fixed number of requests.

use super::variants::Variant;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Load {
    /// How it is called in the report.
    pub name: &'static str,
    /// The file of the body.
    pub body: PathBuf,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// The callers speak HTTP/2.
    pub http2: bool,
    /// Requests of a slice.
    pub requests: usize,
    /// What the figures are by: chunks of a request's stream, or 1.
    pub per: usize,
}

/// What a slice took.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// Requests, or chunks, in a second.
    pub rate: f64,
    /// Processor time of the workers for each of them.
    pub cpu: Duration,
    /// The part of the time in which the workers ran.
    pub busy: f64,
}

impl Load {
    /// Sends it to a variant, and looks at what its workers take.
    ///
    /// # Errors
    /// A request was not answered with 200.
    pub async fn send(&self, variant: &Variant) -> Result<Slice> {
        // h2load sends at least one request on each connection.
        let requests = (self.requests / variant.slice_divisor).max(self.connections);
        let before = variant.taken()?.others;
        let mut command = Command::new("h2load");
        command.args([
            "-t",
            "1",
            "-m",
            "1",
            "-c",
            &self.connections.to_string(),
            "-n",
            &requests.to_string(),
            "-d",
        ]);
        command.arg(&self.body);
        if !self.http2 {
            command.arg("--h1");
        }
        command.args(["-H", "content-type: application/json"]);
        for header in &variant.headers {
            command.args(["-H", header]);
        }
        let output = command
            .arg(&variant.url)
            .kill_on_drop(true)
            .output()
            .await
            .context("h2load")?;
        let cpu = variant.taken()?.others - before;
        let text = String::from_utf8_lossy(&output.stdout);
        let good = format!("status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx");
        let cut = format!(" {requests} succeeded, 0 failed");
        ensure!(
            text.contains(&good) && text.contains(&cut),
            "{}: {text}{}",
            variant.name,
            String::from_utf8_lossy(&output.stderr)
        );
        let took = text
            .lines()
            .find_map(|line| line.strip_prefix("finished in "));
        let took = seconds(
            took.and_then(|rest| rest.split(',').next())
                .context("no time")?,
        )?;
        let count = u32::try_from(requests * self.per)?;
        Ok(Slice {
            rate: f64::from(count) / took.as_secs_f64(),
            cpu: cpu / count,
            busy: cpu.as_secs_f64() / took.as_secs_f64(),
        })
    }
}

/// A time as h2load writes it, e.g. `123.45ms` or `1.20s`.
fn seconds(text: &str) -> Result<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        other => anyhow::bail!("{other} is no unit of h2load's times"),
    };
    Ok(Duration::from_secs_f64(digits.parse::<f64>()? * unit))
}
