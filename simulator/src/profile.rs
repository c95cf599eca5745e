//! How long one replica takes: a forward pass has a fixed part, and parts for the prompt tokens, the sequences and the
//! context in it. The coefficients are fitted to measured times, by least absolute deviations, which a few odd
//! measurements do not bend.

use microlp::{ComparisonOp, OptimizationDirection, Problem, SolveOutcome};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Service times of a replica, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// A forward pass, whatever is in it.
    pub pass: f64,
    /// More for each prompt token in it.
    pub prompt_token: f64,
    /// More for each prompt token and each token before it.
    pub prompt_square: f64,
    /// More for each sequence that decodes in it.
    pub sequence: f64,
    /// More for each token of context of those.
    pub context_token: f64,
    /// Tokens that fit into the KV-cache.
    pub kv_tokens: u64,
    /// Sequences in work at a time: vLLM's `--max-num-seqs`.
    pub max_running: usize,
    /// Tokens of a forward pass: vLLM's `--max-num-batched-tokens`.
    pub chunk: u64,
}

impl Profile {
    /// Seconds that a replica which has nothing else to do takes to read prompts that come together: each of its passes has the
    /// fixed part.
    pub fn reads(&self, prompt: u64, batch: u64) -> f64 {
        let (size, tokens) = (prompt as f64, (prompt * batch) as f64);
        let passes = (prompt * batch).div_ceil(self.chunk) as f64;
        passes * self.pass + tokens * (self.prompt_token + size / 2.0 * self.prompt_square)
    }
}

/// A measurement of the table: one prompt size, batch size and number of tokens.
#[derive(Clone, Debug, Deserialize)]
pub struct Measured {
    /// Which model.
    pub model: String,
    /// On which hardware.
    pub hardware: String,
    /// On how many GPUs.
    pub tensor_parallel: u32,
    /// Tokens of each prompt.
    pub prompt_size: u64,
    /// Prompts at a time.
    pub batch_size: u64,
    /// Tokens generated for each.
    pub token_size: u64,
    /// Milliseconds for all prompts.
    pub prompt_time: f64,
    /// Milliseconds for each further token of all.
    pub token_time: f64,
}

/// How well the fit describes what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The fitted times.
    pub profile: Profile,
    /// Measured and fitted milliseconds by (prompt size, batch size), for prompts.
    pub prompts: Vec<Point>,
    /// The same for tokens.
    pub tokens: Vec<Point>,
}

/// One cell of the table, the mean of its measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Tokens of each prompt.
    pub prompt_size: u64,
    /// Prompts at a time.
    pub batch_size: u64,
    /// Milliseconds, measured.
    pub measured: f64,
    /// Milliseconds by the fit.
    pub fitted: f64,
}

impl Point {
    /// By which part the fit is off.
    pub fn error(&self) -> f64 {
        (self.fitted - self.measured).abs() / self.measured
    }
}

/// Reads the table: CSV with a header.
///
/// # Errors
/// A row that is none, with its line.
pub fn measurements(table: &str) -> Result<Vec<Measured>, csv::Error> {
    csv::Reader::from_reader(table.as_bytes())
        .deserialize()
        .collect()
}

/// Fits a profile to the measurements of one model on one kind of hardware.
///
/// # Errors
/// Measurements that are too few to say anything.
pub fn fit(measured: &[Measured], shape: Profile) -> Result<Fit, microlp::Error> {
    let prompts = means(measured, |row| row.prompt_time);
    let tokens = means(measured, |row| row.token_time);
    // Prompts of one batch are read one after the other: their tokens add up, and each attends to its own alone.
    let prompt = |point: &Point| {
        let (size, batch) = (point.prompt_size as f64, point.batch_size as f64);
        [1.0, size * batch, size * size / 2.0 * batch]
    };
    let token = |point: &Point| {
        let (size, batch) = (point.prompt_size as f64, point.batch_size as f64);
        [1.0, batch, size * batch]
    };
    let [pass_of_prompts, prompt_token, prompt_square] = least_deviations(&prompts, prompt)?;
    let [pass, sequence, context_token] = least_deviations(&tokens, token)?;
    let fitted = |points: Vec<Point>, of: &dyn Fn(&Point) -> f64| {
        let each = points.into_iter();
        each.map(|point| Point {
            fitted: of(&point),
            ..point
        })
        .collect()
    };
    let dot = |coefficients: [f64; 3], terms: [f64; 3]| {
        let each = coefficients.iter().zip(terms);
        each.map(|(coefficient, term)| coefficient * term)
            .sum::<f64>()
    };
    Ok(Fit {
        prompts: fitted(prompts, &|point| {
            dot(
                [pass_of_prompts, prompt_token, prompt_square],
                prompt(point),
            )
        }),
        tokens: fitted(tokens, &|point| {
            dot([pass, sequence, context_token], token(point))
        }),
        profile: Profile {
            pass: pass / 1000.0,
            prompt_token: prompt_token / 1000.0,
            prompt_square: prompt_square / 1000.0,
            sequence: sequence / 1000.0,
            context_token: context_token / 1000.0,
            ..shape
        },
    })
}

fn means(measured: &[Measured], value: impl Fn(&Measured) -> f64) -> Vec<Point> {
    let mut cells: BTreeMap<(u64, u64), (f64, f64)> = BTreeMap::new();
    for row in measured {
        let (sum, count) = cells.entry((row.prompt_size, row.batch_size)).or_default();
        *sum += value(row);
        *count += 1.0;
    }
    let each = cells.into_iter();
    each.map(|((prompt_size, batch_size), (sum, count))| Point {
        prompt_size,
        batch_size,
        measured: sum / count,
        fitted: 0.0,
    })
    .collect()
}

/// Coefficients, none below zero, with the least sum of deviations relative to what was measured.
fn least_deviations(
    points: &[Point],
    terms: impl Fn(&Point) -> [f64; 3],
) -> Result<[f64; 3], microlp::Error> {
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let coefficients = [(); 3].map(|()| problem.add_var(0.0, (0.0, f64::INFINITY)));
    // Of one size, so that the solver's tolerance means the same for all.
    let sizes = points.iter().map(&terms).fold([1e-9; 3], |sizes, terms| {
        std::array::from_fn(|index| f64::max(sizes[index], terms[index]))
    });
    for point in points {
        let off = problem.add_var(1.0 / point.measured, (0.0, f64::INFINITY));
        let terms = terms(point);
        let sum: Vec<_> = (0..3)
            .map(|index| (coefficients[index], terms[index] / sizes[index]))
            .collect();
        for sign in [1.0, -1.0] {
            let mut row: Vec<_> = sum.iter().map(|(var, term)| (*var, term * sign)).collect();
            row.push((off, -1.0));
            problem.add_constraint(&row, ComparisonOp::Le, point.measured * sign);
        }
    }
    let SolveOutcome::Solution(solution) = problem.solve()? else {
        return Err(microlp::Error::InternalError("no limit was set".into()));
    };
    Ok(std::array::from_fn(|index| {
        solution[coefficients[index]] / sizes[index]
    }))
}
