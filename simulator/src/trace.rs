//! Parsers of published request traces. `traces/README.md` names each trace and its source.

use rand::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, Weibull};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::str::FromStr;

/// A recorded request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceRequest {
    /// Arrival time in seconds from the first request.
    pub at: f64,
    /// Prompt length in tokens.
    pub prompt: u64,
    /// Output length in tokens.
    pub output: u64,
    /// Conversation identifier, if the trace has one.
    pub session: Option<u64>,
}

/// A line of a trace that cannot be parsed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub struct TraceError {
    /// Line number, from 1.
    pub line: usize,
    /// What the line should contain.
    pub expected: &'static str,
}

/// Parses Azure's LLM inference traces of at most a day: `TIMESTAMP,ContextTokens,GeneratedTokens`.
///
/// # Errors
/// The first invalid line.
pub fn azure(text: &str) -> Result<Vec<TraceRequest>, TraceError> {
    let mut requests: Vec<TraceRequest> = Vec::new();
    let mut first = None;
    for row in rows(text) {
        let row = row?;
        let at = seconds_of_day(row.text(0));
        let at = at.ok_or_else(|| row.error("a time, as in 2023-11-16 18:17:03.9799600"))?;
        let first = *first.get_or_insert(at);
        requests.push(TraceRequest {
            // The trace may pass midnight.
            at: (at - first).rem_euclid(24.0 * 3600.0),
            prompt: row.number(1, "ContextTokens")?,
            output: row.number(2, "GeneratedTokens")?,
            session: None,
        });
    }
    Ok(requests)
}

/// Seconds since midnight of `2023-11-16 18:17:03.9799600`.
fn seconds_of_day(timestamp: &str) -> Option<f64> {
    let mut parts = timestamp.split_whitespace().nth(1)?.split(':');
    let mut next = || parts.next()?.parse::<f64>().ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

/// Parses Mooncake's traces: one JSON object per line. Requests with the same first two blocks form a conversation.
///
/// # Errors
/// The first invalid line.
pub fn mooncake(text: &str) -> Result<Vec<TraceRequest>, TraceError> {
    #[derive(Deserialize)]
    struct Row {
        timestamp: f64,
        input_length: u64,
        output_length: u64,
        hash_ids: Vec<u64>,
    }
    let rows = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty());
    rows.map(|(index, line)| {
        let row: Row = serde_json::from_str(line).map_err(|_| TraceError {
            line: index + 1,
            expected: "timestamp, input_length, output_length and hash_ids",
        })?;
        let conversation = row.hash_ids.iter().take(2);
        Ok(TraceRequest {
            at: row.timestamp / 1000.0,
            prompt: row.input_length,
            output: row.output_length,
            session: conversation.copied().reduce(|one, next| (one << 32) ^ next),
        })
    })
    .collect()
}

/// Generates requests from `ServeGen`'s clients over a day, `client,window_start_s,rate_rps,cv,distribution,p1,p2`, `speed` times
/// as fast. Each client's inter-arrival times follow its own distribution. Prompt and output lengths cycle through `lengths`.
///
/// # Errors
/// The first invalid line.
pub fn servegen(
    text: &str,
    lengths: &[TraceRequest],
    speed: f64,
    seed: u64,
) -> Result<Vec<TraceRequest>, TraceError> {
    const WINDOW: f64 = 600.0;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Arrival time of each client's next request; it carries over into the client's next window.
    let mut next: BTreeMap<u32, f64> = BTreeMap::new();
    let mut arrivals = Vec::new();
    for row in rows(text) {
        let row = row?;
        let client: u32 = row.number(0, "a client's number")?;
        let start = row.number::<f64>(1, "window_start_s")? / speed;
        let rate = row.positive(2, "rate_rps above 0")?;
        let shape = row.positive(5, "p1 above 0, the distribution's shape")?;
        let distribution =
            InterArrival::new(row.text(4), shape).ok_or_else(|| row.error("Gamma or Weibull"))?;
        let end = start + WINDOW / speed;
        let at = next.entry(client).or_insert(start);
        *at = at.max(start);
        while *at < end {
            arrivals.push(*at);
            *at += distribution.draw(&mut random) / rate;
        }
    }
    arrivals.sort_unstable_by(f64::total_cmp);
    let with_lengths = arrivals.into_iter().zip(lengths.iter().cycle());
    Ok(with_lengths
        .map(|(at, recorded)| TraceRequest { at, ..*recorded })
        .collect())
}

/// An inter-arrival time distribution with a mean of 1.
enum InterArrival {
    Gamma(Gamma<f64>),
    Weibull(Weibull<f64>, f64),
}

impl InterArrival {
    fn new(name: &str, shape: f64) -> Option<Self> {
        match name {
            "Gamma" => Gamma::new(shape, 1.0 / shape).ok().map(Self::Gamma),
            "Weibull" => {
                // The mean is computed from a thousand evenly spaced quantiles, which avoids the gamma function.
                let quantile = |index: u32| {
                    let part = (f64::from(index) + 0.5) / 1000.0;
                    (-(1.0 - part).ln()).powf(1.0 / shape)
                };
                let mean = (0..1000).map(quantile).sum::<f64>() / 1000.0;
                let drawn = Weibull::new(1.0, shape).ok()?;
                Some(Self::Weibull(drawn, mean))
            }
            _ => None,
        }
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Gamma(gamma) => gamma.sample(random),
            Self::Weibull(weibull, mean) => weibull.sample(random) / mean,
        }
    }
}

/// Parses the load over a day, `day,tokens_per_s` with times in days. Returns the mean of each half hour; the maximum is 1.
///
/// # Errors
/// The first invalid line.
pub fn day(text: &str) -> Result<Vec<f64>, TraceError> {
    const SLOTS: usize = 48;
    let mut slots = [(0.0, 0.0); SLOTS];
    for row in rows(text) {
        let row = row?;
        let time: f64 = row.number(0, "a time in days")?;
        let slot = (time.rem_euclid(1.0) * SLOTS as f64) as usize;
        let (sum, count) = &mut slots[slot.min(SLOTS - 1)];
        *sum += row.number::<f64>(1, "tokens_per_s")?;
        *count += 1.0;
    }
    let means: Vec<f64> = slots
        .iter()
        .map(|(sum, count)| sum / f64::max(*count, 1.0))
        .collect();
    let highest = means.iter().copied().fold(0.0, f64::max);
    if highest <= 0.0 {
        return Err(TraceError {
            line: 2,
            expected: "tokens_per_s above 0 at least once",
        });
    }
    Ok(means.into_iter().map(|mean| mean / highest).collect())
}

/// A CSV row with its line number.
struct Row {
    line: usize,
    record: csv::StringRecord,
}

impl Row {
    fn error(&self, expected: &'static str) -> TraceError {
        TraceError {
            line: self.line,
            expected,
        }
    }

    fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    fn number<N: FromStr>(&self, column: usize, expected: &'static str) -> Result<N, TraceError> {
        let number = self.text(column).parse();
        number.map_err(|_| self.error(expected))
    }

    fn positive(&self, column: usize, expected: &'static str) -> Result<f64, TraceError> {
        let number = self.number(column, expected)?;
        if number > 0.0 {
            Ok(number)
        } else {
            Err(self.error(expected))
        }
    }
}

/// The CSV rows after the header, which is line 1.
fn rows(text: &str) -> impl Iterator<Item = Result<Row, TraceError>> {
    let records = csv::Reader::from_reader(text.as_bytes()).into_records();
    records.enumerate().map(|(index, record)| {
        let line = index + 2;
        let record = record.map_err(|_| TraceError {
            line,
            expected: "a row of CSV",
        })?;
        Ok(Row { line, record })
    })
}
