//! Traces: recorded requests in the formats in which they were published. What each is and where it comes from is in
//! `traces/README.md`.

use rand::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, Weibull};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::str::FromStr;

/// A recorded request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Job {
    /// Seconds from the first one.
    pub at: f64,
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// The conversation that it belongs to, where that is told.
    pub session: Option<u64>,
}

/// What is wrong with a trace.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub struct Broken {
    /// The line, from 1.
    pub line: usize,
    /// What was expected there.
    pub expected: &'static str,
}

/// Azure's LLM inference traces, up to a day: `TIMESTAMP,ContextTokens,GeneratedTokens`.
///
/// # Errors
/// A line that is no request.
pub fn azure(text: &str) -> Result<Vec<Job>, Broken> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut first = None;
    for row in rows(text) {
        let row = row?;
        let at = seconds_of_day(row.text(0));
        let at = at.ok_or_else(|| row.broken("a time, as in 2023-11-16 18:17:03.9799600"))?;
        let first = *first.get_or_insert(at);
        jobs.push(Job {
            // Past midnight.
            at: (at - first).rem_euclid(24.0 * 3600.0),
            prompt: row.number(1, "ContextTokens")?,
            output: row.number(2, "GeneratedTokens")?,
            session: None,
        });
    }
    Ok(jobs)
}

/// Seconds since midnight of `2023-11-16 18:17:03.9799600`.
fn seconds_of_day(timestamp: &str) -> Option<f64> {
    let mut parts = timestamp.split_whitespace().nth(1)?.split(':');
    let mut next = || parts.next()?.parse::<f64>().ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

/// Mooncake's traces: a line of JSON for each request. Requests with the same first two blocks are one conversation.
///
/// # Errors
/// A line that is no request.
pub fn mooncake(text: &str) -> Result<Vec<Job>, Broken> {
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
        let row: Row = serde_json::from_str(line).map_err(|_| Broken {
            line: index + 1,
            expected: "timestamp, input_length, output_length and hash_ids",
        })?;
        let conversation = row.hash_ids.iter().take(2);
        Ok(Job {
            at: row.timestamp / 1000.0,
            prompt: row.input_length,
            output: row.output_length,
            session: conversation.copied().reduce(|one, next| (one << 32) ^ next),
        })
    })
    .collect()
}

/// `ServeGen`'s clients over a day, `client,window_start_s,rate_rps,cv,distribution,p1,p2`, played `speed` times as fast: each
/// client's times between requests are drawn by its own distribution. They have no lengths: those are `lengths`', in turn.
///
/// # Errors
/// A line that is no window.
pub fn servegen(text: &str, lengths: &[Job], speed: f64, seed: u64) -> Result<Vec<Job>, Broken> {
    const WINDOW: f64 = 600.0;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // The window's end that the next request of a client overshoots counts for its next window.
    let mut next: BTreeMap<u32, f64> = BTreeMap::new();
    let mut jobs = Vec::new();
    for row in rows(text) {
        let row = row?;
        let client: u32 = row.number(0, "a client's number")?;
        let start = row.number::<f64>(1, "window_start_s")? / speed;
        let rate = row.positive(2, "rate_rps above 0")?;
        let shape = row.positive(5, "p1 above 0, the distribution's shape")?;
        let unit = Unit::new(row.text(4), shape).ok_or_else(|| row.broken("Gamma or Weibull"))?;
        let end = start + WINDOW / speed;
        let at = next.entry(client).or_insert(start);
        *at = at.max(start);
        while *at < end {
            jobs.push(*at);
            *at += unit.draw(&mut random) / rate;
        }
    }
    jobs.sort_unstable_by(f64::total_cmp);
    let with_lengths = jobs.into_iter().zip(lengths.iter().cycle());
    Ok(with_lengths.map(|(at, job)| Job { at, ..*job }).collect())
}

/// A distribution with a mean of 1.
enum Unit {
    Gamma(Gamma<f64>),
    Weibull(Weibull<f64>, f64),
}

impl Unit {
    fn new(name: &str, shape: f64) -> Option<Self> {
        match name {
            "Gamma" => Gamma::new(shape, 1.0 / shape).ok().map(Self::Gamma),
            "Weibull" => {
                // Its mean has no simple form: it is taken from a thousand evenly spread quantiles.
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

/// The shape of a day, `day,tokens_per_s` with times in days: means of each half hour, the highest 1.
///
/// # Errors
/// A line that is no point.
pub fn day(text: &str) -> Result<Vec<f64>, Broken> {
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
        return Err(Broken {
            line: 2,
            expected: "a day with tokens in it",
        });
    }
    Ok(means.into_iter().map(|mean| mean / highest).collect())
}

/// A row of CSV.
struct Row {
    line: usize,
    record: csv::StringRecord,
}

impl Row {
    fn broken(&self, expected: &'static str) -> Broken {
        Broken {
            line: self.line,
            expected,
        }
    }

    fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    fn number<N: FromStr>(&self, column: usize, expected: &'static str) -> Result<N, Broken> {
        let number = self.text(column).parse();
        number.map_err(|_| self.broken(expected))
    }

    fn positive(&self, column: usize, expected: &'static str) -> Result<f64, Broken> {
        let number = self.number(column, expected)?;
        if number > 0.0 {
            Ok(number)
        } else {
            Err(self.broken(expected))
        }
    }
}

/// The rows after the header, which is line 1.
fn rows(text: &str) -> impl Iterator<Item = Result<Row, Broken>> {
    let records = csv::Reader::from_reader(text.as_bytes()).into_records();
    records.enumerate().map(|(index, record)| {
        let line = index + 2;
        let record = record.map_err(|_| Broken {
            line,
            expected: "a row of CSV",
        })?;
        Ok(Row { line, record })
    })
}
