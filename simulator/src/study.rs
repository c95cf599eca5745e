//! All ways through all cases, several seeds each, on all cores.

use crate::cases::{Library, NoCases, Recipe, WARM_UP};
use crate::objective::Objective;
use crate::outcome::Figures;
use crate::router::Shares;
use crate::spread::Spread;
use crate::strategy::Strategy;
use crate::{turns, world};
use rayon::prelude::*;

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Studied {
    /// Its name.
    pub name: String,
    /// What happens in it, in a sentence.
    pub about: String,
    /// Of each region its servers, and the requests per second that it serves as promised.
    pub regions: Vec<(usize, Spread)>,
    /// What is promised to callers.
    pub objective: Objective,
    /// Requests.
    pub requests: Spread,
    /// When something about demand or capacity changes at once, in seconds.
    pub disturbances: Vec<f64>,
    /// The figures of each way, by seed.
    pub ways: Vec<(Strategy, Vec<Figures>)>,
    /// Meridian's shares with the first seed.
    pub shares: Shares,
    /// The most turns of any share of Meridian's after a disturbance, with any seed.
    pub turns: Option<u32>,
}

impl Studied {
    /// A figure of a way, over the seeds.
    pub fn spread(&self, way: Strategy, figure: impl Fn(&Figures) -> f64) -> Spread {
        let figures = self.ways.iter().find(|(of, _)| *of == way);
        let each = figures.into_iter().flat_map(|(_, figures)| figures);
        Spread::of(each.map(figure))
    }
}

/// What came of one case with one seed.
struct Seeded {
    servers: Vec<usize>,
    objective: Objective,
    disturbances: Vec<f64>,
    capacity: Vec<f64>,
    requests: usize,
    figures: Vec<Figures>,
    shares: Shares,
    turns: Option<u32>,
}

/// Runs the cases with the seeds from 1 on; `progress` is told of each case and seed that is through.
///
/// # Errors
/// A trace that cannot be played.
pub fn study(
    library: &Library,
    recipes: &[Recipe],
    seeds: u64,
    progress: impl Fn(&str, u64) + Sync,
) -> Result<Vec<Studied>, NoCases> {
    let seeded = |recipe: &Recipe, seed: u64| {
        let case = library.build(recipe, seed)?;
        let outcomes: Vec<_> = Strategy::ALL
            .par_iter()
            .map(|way| {
                let outcome = world::run(&case, *way, seed);
                (outcome.figures(&case, WARM_UP), outcome.shares)
            })
            .collect();
        progress(&case.name, seed);
        let (figures, shares): (Vec<Figures>, Vec<Shares>) = outcomes.into_iter().unzip();
        let mut shares = Strategy::ALL.iter().zip(shares);
        let of_meridian = shares.find(|(way, _)| **way == Strategy::Meridian);
        let shares = of_meridian.map(|(_, shares)| shares).unwrap_or_default();
        let turns = shares
            .values()
            .filter_map(|share| turns::most(share, &case.disturbances, case.seconds));
        Ok(Seeded {
            turns: turns.max(),
            figures,
            shares,
            servers: case.regions.iter().map(|site| site.replicas).collect(),
            objective: case.objective,
            capacity: case.capacity,
            requests: case.requests.len(),
            disturbances: case.disturbances,
        })
    };
    let each = recipes.par_iter().map(|recipe| {
        let runs = (1..=seeds).into_par_iter();
        let runs: Vec<Seeded> = runs
            .map(|seed| seeded(recipe, seed))
            .collect::<Result<_, NoCases>>()?;
        Ok(gathered(recipe, runs))
    });
    let studied: Vec<Option<Studied>> = each.collect::<Result<_, NoCases>>()?;
    Ok(studied.into_iter().flatten().collect())
}

fn gathered(recipe: &Recipe, runs: Vec<Seeded>) -> Option<Studied> {
    let first = runs.first()?;
    let of = |index: usize| runs.iter().map(|run| run.figures[index]).collect();
    let capacity = |region: usize| Spread::of(runs.iter().map(|run| run.capacity[region]));
    Some(Studied {
        name: recipe.name().to_owned(),
        about: recipe.about().to_owned(),
        regions: first
            .servers
            .iter()
            .enumerate()
            .map(|(region, servers)| (*servers, capacity(region)))
            .collect(),
        objective: first.objective,
        requests: Spread::of(runs.iter().map(|run| run.requests as f64)),
        disturbances: first.disturbances.clone(),
        ways: Strategy::ALL
            .iter()
            .enumerate()
            .map(|(index, way)| (*way, of(index)))
            .collect(),
        shares: first.shares.clone(),
        turns: runs.iter().filter_map(|run| run.turns).max(),
    })
}
