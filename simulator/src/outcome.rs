//! What became of the requests of a run, and the figures that follow.

use crate::case::{Case, Request};
use crate::router::Shares;
use crate::topology::pinned;

/// Stands for a time that never came, in seconds.
pub const NEVER: f64 = 1000.0;

/// A fallback's first token, in seconds, and its tokens a second: a hosted provider far away.
const FALLBACK_FIRST_TOKEN: f64 = 1.5;
const FALLBACK_RATE: f64 = 60.0;
/// Dollars per million tokens of a prompt and of an answer at the fallback.
const FALLBACK_PRICE: (f64, f64) = (3.0, 15.0);

/// Bytes of a token in a prompt, and of one in a stream of server-sent events.
const PROMPT_BYTES: f64 = 4.0;
const STREAM_BYTES: f64 = 250.0;

/// What became of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Served {
    /// Who served it.
    pub region: Option<usize>,
    /// Seconds until the first token reached its gateway.
    pub first_token: Option<f64>,
    /// Seconds until the last one did.
    pub whole: Option<f64>,
    /// A fallback served it.
    pub fallback: bool,
    /// Its answer broke off.
    pub broken: bool,
}

impl Served {
    /// The first token, by a region, reaches the gateway.
    pub fn first(&mut self, region: usize, request: &Request, at: f64) {
        self.region = Some(region);
        self.first_token = Some(at - request.at);
    }

    /// The last one does.
    pub fn done(&mut self, request: &Request, at: f64) {
        self.whole = Some(at - request.at);
    }

    /// It has lost who served it amid its answer.
    pub fn broken(&mut self) {
        self.broken = true;
    }

    /// A fallback takes it.
    pub fn fall_back(&mut self, request: &Request, now: f64) {
        let waited = now - request.at;
        self.fallback = true;
        self.first_token = Some(waited + FALLBACK_FIRST_TOKEN);
        self.whole = Some(waited + FALLBACK_FIRST_TOKEN + request.output as f64 / FALLBACK_RATE);
    }
}

/// A run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// By request.
    pub served: Vec<Served>,
    /// Shares of each (gateway, zone), where the router has such.
    pub shares: Shares,
    /// Requests that were thrown out of a KV-cache.
    pub preempted: u64,
    /// Attempts at regions that the caller's zone may not use.
    pub violations: u64,
}

/// The figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Seconds until the first token: P50, P95, P99.
    pub first_token: [f64; 3],
    /// Seconds until the end.
    pub whole: [f64; 3],
    /// Requests that got what is promised, a ratio.
    pub attainment: f64,
    /// The P95 of the seconds until the first token, of the pinned zone's callers alone.
    pub pinned_first_token: f64,
    /// Of their requests, those that got what is promised, a ratio.
    pub pinned_attainment: f64,
    /// Requests served at home, a ratio.
    pub home: f64,
    /// Gigabytes between regions.
    pub crossed: f64,
    /// Requests that a fallback served.
    pub fallbacks: f64,
    /// What that cost, in dollars.
    pub cost: f64,
    /// Answers that broke off, and requests that had none.
    pub failed: f64,
    /// Attempts at regions that the caller's zone may not use, from the first second on.
    pub violations: f64,
}

impl Outcome {
    /// The figures, leaving out what came in the first seconds.
    pub fn figures(&self, case: &Case, warm_up: f64) -> Figures {
        let each = || {
            let all = case.requests.iter().zip(&self.served);
            all.filter(|(request, _)| request.at >= warm_up)
        };
        let of_pinned = || each().filter(|(request, _)| request.zone == pinned());
        let count = each().count().max(1) as f64;
        let met = |request: &Request, served: &Served| {
            let (Some(first), Some(whole)) = (served.first_token, served.whole) else {
                return false;
            };
            !served.broken
                && case
                    .objective
                    .is_met(request.prompt, request.output, first, whole)
        };
        let pinned_met = of_pinned().filter(|(request, served)| met(request, served));
        let mut figures = Figures {
            first_token: times(each().map(|(_, served)| served.first_token)),
            whole: times(each().map(|(_, served)| served.whole)),
            pinned_first_token: times(of_pinned().map(|(_, served)| served.first_token))[1],
            pinned_attainment: pinned_met.count() as f64 / of_pinned().count().max(1) as f64,
            violations: self.violations as f64,
            ..Figures::default()
        };
        for (request, served) in each() {
            figures.attainment += f64::from(u8::from(met(request, served))) / count;
            if served.fallback {
                figures.fallbacks += 1.0;
                figures.cost += (request.prompt as f64 * FALLBACK_PRICE.0
                    + request.output as f64 * FALLBACK_PRICE.1)
                    / 1e6;
            }
            if served.broken || served.whole.is_none() {
                figures.failed += 1.0;
            }
            let Some(region) = served.region else {
                continue;
            };
            if region == request.home {
                figures.home += 1.0 / count;
            } else {
                figures.crossed += (request.prompt as f64 * PROMPT_BYTES
                    + request.output as f64 * STREAM_BYTES)
                    / 1e9;
            }
        }
        figures
    }
}

/// P50, P95 and P99. What never came is later than everything that came.
fn times(each: impl Iterator<Item = Option<f64>>) -> [f64; 3] {
    let mut times: Vec<f64> = each.map(|time| time.unwrap_or(NEVER)).collect();
    times.sort_unstable_by(f64::total_cmp);
    [0.5, 0.95, 0.99].map(|part| quantile(&times, part))
}

/// The value that this part of all stays at or under.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}
