//! Ablations: what Meridian's choice of a region and its choice of a server contribute.

use super::table::Table;
use crate::strategy::Strategy;
use crate::study::CaseResult;

/// One row per ablation, and one for neither choice: medians over the cases, relative to Meridian.
pub fn table(cases: &[CaseResult]) -> Table<'static> {
    let strategies = [
        Strategy::MeridianRegionOnly,
        Strategy::MeridianServerOnly,
        Strategy::Nearest,
    ];
    let row = |strategy: Strategy| {
        let ratio = |case| ttft(case, strategy) / ttft(case, Strategy::Meridian);
        let points =
            |case| (attainment(case, strategy) - attainment(case, Strategy::Meridian)) * 100.0;
        let wins = cases.iter().filter(|case| is_best(case, strategy)).count();
        vec![
            format!("`{}`", strategy.name()),
            format!("{:.2}", median(cases.iter().map(ratio))),
            format!("{:+.2}", median(cases.iter().map(points))),
            format!("{wins} of {}", cases.len()),
        ]
    };
    Table {
        head: vec![
            "strategy",
            "TTFT P95, times Meridian's",
            "SLO met, points",
            "cases ahead of all baselines",
        ],
        rows: strategies.into_iter().map(row).collect(),
    }
}

fn ttft(case: &CaseResult, strategy: Strategy) -> f64 {
    case.spread(strategy, |of| of.ttft[1]).mean
}

fn attainment(case: &CaseResult, strategy: Strategy) -> f64 {
    case.spread(strategy, |of| of.slo_attainment).mean
}

/// Whether a strategy is better than every baseline in both P95 TTFT and SLO attainment.
fn is_best(case: &CaseResult, strategy: Strategy) -> bool {
    let mut baselines = Strategy::ALL
        .into_iter()
        .filter(|other| other.is_baseline());
    baselines.all(|baseline| {
        ttft(case, strategy) < ttft(case, baseline)
            && attainment(case, strategy) > attainment(case, baseline)
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    f64::midpoint(at(low), at(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_the_mean_of_the_two_middle_values() {
        assert!((median([3.0, 1.0, 100.0].into_iter()) - 3.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 100.0, 2.0].into_iter()) - 3.0).abs() < 1e-9);
    }
}
