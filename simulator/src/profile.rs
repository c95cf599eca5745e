//! Service times of one server. A forward pass has a fixed cost and costs per prompt token, per decoding sequence and per token
//! of context. The coefficients are fitted to measurements by least absolute deviations, which are robust to outliers.

use microlp::{ComparisonOp, OptimizationDirection, Problem, SolveOutcome};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Service times of a server in seconds, and its limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Fixed cost of a forward pass.
    pub pass: f64,
    /// Cost per prompt token.
    pub prompt_token: f64,
    /// Cost per pair of a prompt token and a token before it.
    pub prompt_square: f64,
    /// Cost per decoding sequence.
    pub sequence: f64,
    /// Cost per token of context of the decoding sequences.
    pub context_token: f64,
    /// KV-cache size in tokens.
    pub kv_tokens: u64,
    /// Largest batch in sequences: vLLM's `--max-num-seqs`.
    pub max_running: usize,
    /// Tokens per forward pass: vLLM's `--max-num-batched-tokens`.
    pub chunk: u64,
}

impl Profile {
    /// Prefill time of an idle server for `batch` prompts of `prompt` tokens that arrive together, in seconds.
    pub fn prefill_time(&self, prompt: u64, batch: u64) -> f64 {
        let (size, tokens) = (prompt as f64, (prompt * batch) as f64);
        let passes = (prompt * batch).div_ceil(self.chunk) as f64;
        passes * self.pass + tokens * (self.prompt_token + size / 2.0 * self.prompt_square)
    }
}

/// One measurement: a row of the table.
#[derive(Clone, Debug, Deserialize)]
pub struct Measurement {
    /// Model.
    pub model: String,
    /// Hardware.
    pub hardware: String,
    /// Number of GPUs.
    pub tensor_parallel: u32,
    /// Tokens per prompt.
    pub prompt_size: u64,
    /// Prompts per batch.
    pub batch_size: u64,
    /// Output tokens per prompt.
    pub token_size: u64,
    /// Prefill time of the batch, in milliseconds.
    pub prompt_time: f64,
    /// Time per output token, in milliseconds.
    pub token_time: f64,
}

/// A fitted profile with its errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The fitted service times.
    pub profile: Profile,
    /// Measured and fitted prefill times.
    pub prompts: Vec<Point>,
    /// Measured and fitted times per output token.
    pub tokens: Vec<Point>,
}

/// Measured and fitted time of one (prompt size, batch size).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Tokens per prompt.
    pub prompt_size: u64,
    /// Prompts per batch.
    pub batch_size: u64,
    /// Mean of the measurements, in milliseconds.
    pub measured: f64,
    /// Fitted value, in milliseconds.
    pub fitted: f64,
}

impl Point {
    /// Relative error of the fit, a ratio.
    pub fn error(&self) -> f64 {
        (self.fitted - self.measured).abs() / self.measured
    }
}

/// Parses the table of measurements: CSV with a header.
///
/// # Errors
/// The first invalid row, with its line.
pub fn measurements(table: &str) -> Result<Vec<Measurement>, csv::Error> {
    csv::Reader::from_reader(table.as_bytes())
        .deserialize()
        .collect()
}

/// Fits a profile to the measurements of one model on one kind of hardware.
///
/// # Errors
/// The linear program has no solution.
pub fn fit(measured: &[Measurement], shape: Profile) -> Result<Fit, microlp::Error> {
    let prompts = means(measured, |row| row.prompt_time);
    let tokens = means(measured, |row| row.token_time);
    // The prompts of a batch are prefilled one after the other: their tokens add up, and each attends to itself alone.
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

fn means(measured: &[Measurement], value: impl Fn(&Measurement) -> f64) -> Vec<Point> {
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

/// Non-negative coefficients with the smallest sum of relative absolute deviations.
fn least_deviations(
    points: &[Point],
    terms: impl Fn(&Point) -> [f64; 3],
) -> Result<[f64; 3], microlp::Error> {
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let coefficients = [(); 3].map(|()| problem.add_var(0.0, (0.0, f64::INFINITY)));
    // Scaled to 1, so that the solver's tolerance applies equally to all terms.
    let sizes = points.iter().map(&terms).fold([1e-9; 3], |sizes, terms| {
        std::array::from_fn(|index| f64::max(sizes[index], terms[index]))
    });
    for point in points {
        let deviation = problem.add_var(1.0 / point.measured, (0.0, f64::INFINITY));
        let terms = terms(point);
        let sum: Vec<_> = (0..3)
            .map(|index| (coefficients[index], terms[index] / sizes[index]))
            .collect();
        for sign in [1.0, -1.0] {
            let mut row: Vec<_> = sum.iter().map(|(var, term)| (*var, term * sign)).collect();
            row.push((deviation, -1.0));
            problem.add_constraint(&row, ComparisonOp::Le, point.measured * sign);
        }
    }
    let SolveOutcome::Solution(solution) = problem.solve()? else {
        return Err(microlp::Error::InternalError(
            "the solver returned no solution".into(),
        ));
    };
    Ok(std::array::from_fn(|index| {
        solution[coefficients[index]] / sizes[index]
    }))
}
