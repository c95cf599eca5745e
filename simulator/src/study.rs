//! Runs all strategies on all cases with several seeds, on all cores.

use crate::case::Case;
use crate::cases::{CaseError, CaseSpec, Library, WARM_UP};
use crate::engine;
use crate::objective::Objective;
use crate::results::RunMetrics;
use crate::reversals::most_reversals;
use crate::router::HomeShares;
use crate::spread::Spread;
use crate::strategy::Strategy;
use rayon::prelude::*;

/// Results of one case.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// Name.
    pub name: String,
    /// One sentence that says what happens.
    pub description: String,
    /// Servers of each region, and its goodput in requests per second.
    pub regions: Vec<(usize, Spread)>,
    /// Service-level objective.
    pub objective: Objective,
    /// Number of requests.
    pub requests: Spread,
    /// Times at which demand or capacity changes abruptly, in seconds.
    pub disturbances: Vec<f64>,
    /// Metrics of each strategy, one value per seed.
    pub strategies: Vec<(Strategy, Vec<RunMetrics>)>,
    /// Meridian's home shares with the first seed.
    pub home_shares: HomeShares,
    /// Largest number of reversals of a home share after one disturbance, over all seeds; `None` without disturbances.
    pub reversals: Option<u32>,
}

impl CaseResult {
    /// Mean and range of a metric of a strategy over the seeds.
    pub fn spread(&self, strategy: Strategy, metric: impl Fn(&RunMetrics) -> f64) -> Spread {
        let runs = self.strategies.iter().find(|(other, _)| *other == strategy);
        let runs = runs.into_iter().flat_map(|(_, runs)| runs);
        Spread::of(runs.map(metric))
    }
}

/// Results of one case with one seed.
struct SeedResult {
    servers: Vec<usize>,
    objective: Objective,
    disturbances: Vec<f64>,
    capacity: Vec<f64>,
    requests: usize,
    metrics: Vec<RunMetrics>,
    home_shares: HomeShares,
    reversals: Option<u32>,
}

/// Runs every case with the seeds 1 to `seeds`. Calls `progress` with the name and seed of each finished run.
///
/// # Errors
/// A trace that cannot be used.
pub fn study(
    library: &Library,
    specs: &[CaseSpec],
    seeds: u64,
    progress: impl Fn(&str, u64) + Sync,
) -> Result<Vec<CaseResult>, CaseError> {
    let each = specs.par_iter().map(|spec| {
        let runs = (1..=seeds).into_par_iter();
        let runs: Vec<SeedResult> = runs
            .map(|seed| {
                let result = run_seed(&library.build(spec, seed)?, seed);
                progress(spec.name(), seed);
                Ok(result)
            })
            .collect::<Result<_, CaseError>>()?;
        Ok(combine(spec, runs))
    });
    let results: Vec<Option<CaseResult>> = each.collect::<Result<_, CaseError>>()?;
    Ok(results.into_iter().flatten().collect())
}

/// Runs all strategies on a case.
fn run_seed(case: &Case, seed: u64) -> SeedResult {
    let runs: Vec<_> = Strategy::ALL
        .par_iter()
        .map(|strategy| {
            let run = engine::run(case, *strategy, seed);
            (run.metrics(case, WARM_UP), run.home_shares)
        })
        .collect();
    let (metrics, home_shares): (Vec<RunMetrics>, Vec<HomeShares>) = runs.into_iter().unzip();
    let mut home_shares = Strategy::ALL.iter().zip(home_shares);
    let of_meridian = home_shares.find(|(strategy, _)| **strategy == Strategy::Meridian);
    let home_shares = of_meridian.map(|(_, shares)| shares).unwrap_or_default();
    let reversals = home_shares
        .values()
        .filter_map(|share| most_reversals(share, &case.disturbances, case.seconds));
    SeedResult {
        reversals: reversals.max(),
        metrics,
        home_shares,
        servers: case.regions.iter().map(|region| region.replicas).collect(),
        objective: case.objective,
        capacity: case.capacity.clone(),
        requests: case.requests.len(),
        disturbances: case.disturbances.clone(),
    }
}

/// Combines the seeds of a case; `None` without a seed.
fn combine(spec: &CaseSpec, runs: Vec<SeedResult>) -> Option<CaseResult> {
    let first = runs.first()?;
    let metrics = |index: usize| runs.iter().map(|run| run.metrics[index]).collect();
    let capacity = |region: usize| Spread::of(runs.iter().map(|run| run.capacity[region]));
    Some(CaseResult {
        name: spec.name().to_owned(),
        description: spec.description().to_owned(),
        regions: first
            .servers
            .iter()
            .enumerate()
            .map(|(region, servers)| (*servers, capacity(region)))
            .collect(),
        objective: first.objective,
        requests: Spread::of(runs.iter().map(|run| run.requests as f64)),
        disturbances: first.disturbances.clone(),
        strategies: Strategy::ALL
            .iter()
            .enumerate()
            .map(|(index, strategy)| (*strategy, metrics(index)))
            .collect(),
        home_shares: first.home_shares.clone(),
        reversals: runs.iter().filter_map(|run| run.reversals).max(),
    })
}
