//! Results of a run: one per request, and the metrics over all requests.

use crate::case::{Case, Request};
use crate::router::HomeShares;
use crate::topology::pinned_zone;

/// Latency of a request without an answer, in seconds: larger than any latency of a run.
pub const NEVER: f64 = 1000.0;

/// TTFT in seconds and output tokens per second of a fallback, a distant hosted provider.
const FALLBACK_FIRST_TOKEN: f64 = 1.5;
const FALLBACK_RATE: f64 = 60.0;
/// Dollars per million prompt tokens and per million output tokens of a fallback.
const FALLBACK_PRICE: (f64, f64) = (3.0, 15.0);

/// Bytes per prompt token, and per output token as a server-sent event.
const PROMPT_BYTES: f64 = 4.0;
const STREAM_BYTES: f64 = 250.0;

/// Result of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestResult {
    /// Region that result the request.
    pub region: Option<usize>,
    /// Time to the first token (TTFT) at the gateway, in seconds.
    pub ttft: Option<f64>,
    /// End-to-end latency at the gateway, in seconds.
    pub latency: Option<f64>,
    /// A fallback result the request.
    pub fallback: bool,
    /// The answer was cut off.
    pub is_cut: bool,
}

impl RequestResult {
    /// Records the arrival of the first token at the gateway.
    pub fn record_first_token(&mut self, region: usize, request: &Request, at: f64) {
        self.region = Some(region);
        self.ttft = Some(at - request.at);
    }

    /// Records the arrival of the last token at the gateway.
    pub fn record_end(&mut self, request: &Request, at: f64) {
        self.latency = Some(at - request.at);
    }

    /// Records that the server failed during the answer.
    pub fn record_cut(&mut self) {
        self.is_cut = true;
    }

    /// Sends the request to a fallback.
    pub fn fall_back(&mut self, request: &Request, now: f64) {
        let waited = now - request.at;
        self.fallback = true;
        self.ttft = Some(waited + FALLBACK_FIRST_TOKEN);
        self.latency = Some(waited + FALLBACK_FIRST_TOKEN + request.output as f64 / FALLBACK_RATE);
    }
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// Results by request index.
    pub requests: Vec<RequestResult>,
    /// Home shares over time; empty for routers without home shares.
    pub home_shares: HomeShares,
    /// Preemptions on all servers.
    pub preemptions: u64,
    /// Attempts at regions outside the caller's zone.
    pub residency_violations: u64,
}

/// Metrics of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunMetrics {
    /// TTFT in seconds: P50, P95, P99.
    pub ttft: [f64; 3],
    /// End-to-end latency in seconds: P50, P95, P99.
    pub latency: [f64; 3],
    /// Share of requests that met the objective, 0 to 1.
    pub slo_attainment: f64,
    /// P95 of the pinned zone's TTFT, in seconds.
    pub pinned_ttft: f64,
    /// Share of the pinned zone's requests that met the objective, 0 to 1.
    pub pinned_slo_attainment: f64,
    /// Share of requests that their home region result, 0 to 1.
    pub served_at_home: f64,
    /// Traffic between regions, in gigabytes.
    pub cross_region_gb: f64,
    /// Requests that a fallback result.
    pub fallback_requests: f64,
    /// Cost of the fallback requests, in dollars.
    pub fallback_cost: f64,
    /// Requests with a cut answer or without one.
    pub failed_requests: f64,
    /// Attempts at regions outside the caller's zone, warm-up included.
    pub residency_violations: f64,
}

impl RunResult {
    /// The metrics of the requests that arrive after the warm-up, which is in seconds.
    pub fn metrics(&self, case: &Case, warm_up: f64) -> RunMetrics {
        let each = || {
            let all = case.requests.iter().zip(&self.requests);
            all.filter(|(request, _)| request.at >= warm_up)
        };
        let of_pinned = || each().filter(|(request, _)| request.zone == pinned_zone());
        let count = each().count().max(1) as f64;
        let met = |request: &Request, result: &RequestResult| {
            let (Some(ttft), Some(latency)) = (result.ttft, result.latency) else {
                return false;
            };
            !result.is_cut
                && case
                    .objective
                    .is_met(request.prompt, request.output, ttft, latency)
        };
        let pinned_met = of_pinned().filter(|(request, result)| met(request, result));
        let mut metrics = RunMetrics {
            ttft: percentiles(each().map(|(_, result)| result.ttft)),
            latency: percentiles(each().map(|(_, result)| result.latency)),
            pinned_ttft: percentiles(of_pinned().map(|(_, result)| result.ttft))[1],
            pinned_slo_attainment: pinned_met.count() as f64 / of_pinned().count().max(1) as f64,
            residency_violations: self.residency_violations as f64,
            ..RunMetrics::default()
        };
        for (request, result) in each() {
            metrics.slo_attainment += f64::from(u8::from(met(request, result))) / count;
            if result.fallback {
                metrics.fallback_requests += 1.0;
                metrics.fallback_cost += (request.prompt as f64 * FALLBACK_PRICE.0
                    + request.output as f64 * FALLBACK_PRICE.1)
                    / 1e6;
            }
            if result.is_cut || result.latency.is_none() {
                metrics.failed_requests += 1.0;
            }
            let Some(region) = result.region else {
                continue;
            };
            if region == request.home {
                metrics.served_at_home += 1.0 / count;
            } else {
                metrics.cross_region_gb += (request.prompt as f64 * PROMPT_BYTES
                    + request.output as f64 * STREAM_BYTES)
                    / 1e9;
            }
        }
        metrics
    }
}

/// P50, P95 and P99; [`NEVER`] stands for a missing value.
fn percentiles(each: impl Iterator<Item = Option<f64>>) -> [f64; 3] {
    let mut times: Vec<f64> = each.map(|time| time.unwrap_or(NEVER)).collect();
    times.sort_unstable_by(f64::total_cmp);
    [0.5, 0.95, 0.99].map(|part| quantile(&times, part))
}

/// The smallest value that at least this share of all values does not exceed.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}
