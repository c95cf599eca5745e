//! The quality gate: what Meridian must achieve compared with the baselines.

use crate::strategy::Strategy;
use crate::study::CaseResult;
use std::fmt;

/// Share of the cases in which Meridian must be the best: two thirds.
const REQUIRED_WINS: (usize, usize) = (2, 3);
/// Relative tolerance below the best baseline.
const TOLERANCE: f64 = 0.02;
/// Allowed reversals of a home share after a disturbance.
pub const MAX_REVERSALS: u32 = 2;

/// Scores of one strategy in one case: means over the seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// P95 of the time to the first token (TTFT), in seconds.
    pub ttft: f64,
    /// Share of requests that met the objective, 0 to 1.
    pub slo_attainment: f64,
}

/// What the gate needs of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseScores {
    /// Name of the case.
    pub case: String,
    /// Scores over all requests.
    pub all: Vec<(Strategy, Score)>,
    /// Scores over the pinned zone's requests. The gate ignores them.
    pub pinned: Vec<(Strategy, Score)>,
    /// Largest number of reversals of a home share after one disturbance; `None` without disturbances.
    pub reversals: Option<u32>,
    /// Meridian's attempts at regions outside the caller's zone, summed over the seeds.
    pub violations: f64,
}

impl From<&CaseResult> for CaseScores {
    fn from(result: &CaseResult) -> Self {
        let all = |strategy| Score {
            ttft: result.spread(strategy, |of| of.ttft[1]).mean,
            slo_attainment: result.spread(strategy, |of| of.slo_attainment).mean,
        };
        let pinned = |strategy| Score {
            ttft: result.spread(strategy, |of| of.pinned_ttft).mean,
            slo_attainment: result.spread(strategy, |of| of.pinned_slo_attainment).mean,
        };
        let strategies = || result.strategies.iter().map(|(strategy, _)| *strategy);
        let meridian = result.strategies.iter();
        let meridian = meridian.filter(|(strategy, _)| *strategy == Strategy::Meridian);
        let runs = meridian.flat_map(|(_, runs)| runs);
        Self {
            case: result.name.clone(),
            all: strategies()
                .map(|strategy| (strategy, all(strategy)))
                .collect(),
            pinned: strategies()
                .map(|strategy| (strategy, pinned(strategy)))
                .collect(),
            reversals: result.reversals,
            violations: runs.map(|run| run.residency_violations).sum(),
        }
    }
}

/// Meridian compared with the best baseline in each score.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Meridian's scores.
    pub meridian: Score,
    /// Baseline with the lowest P95 TTFT, and its value in seconds.
    pub lowest_ttft: (Strategy, f64),
    /// Baseline with the highest SLO attainment, and its value.
    pub highest_attainment: (Strategy, f64),
}

impl Comparison {
    /// Meridian is better than the best baseline in both scores.
    pub fn is_best(&self) -> bool {
        self.meridian.ttft < self.lowest_ttft.1
            && self.meridian.slo_attainment > self.highest_attainment.1
    }

    /// Meridian is worse than the best baseline by more than the tolerance in at least one score.
    pub fn is_worse(&self) -> bool {
        self.meridian.ttft > self.lowest_ttft.1 * (1.0 + TOLERANCE)
            || self.meridian.slo_attainment < self.highest_attainment.1 * (1.0 - TOLERANCE)
    }
}

/// Meridian's result in one case.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseVerdict {
    /// Name of the case.
    pub case: String,
    /// Comparison over all requests.
    pub all: Comparison,
    /// Comparison over the pinned zone's requests. The gate ignores it.
    pub pinned: Comparison,
    /// The oracle's scores.
    pub oracle: Score,
    /// Largest number of reversals of a home share after one disturbance; `None` without disturbances.
    pub reversals: Option<u32>,
    /// Meridian's attempts at regions outside the caller's zone.
    pub violations: f64,
}

impl CaseVerdict {
    /// Meridian's P95 TTFT divided by the oracle's.
    pub fn ttft_over_oracle(&self) -> f64 {
        self.all.meridian.ttft / self.oracle.ttft
    }
}

/// Meridian's results in all cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate {
    /// Results by case.
    pub cases: Vec<CaseVerdict>,
}

/// Evaluates the gate. Cases without scores of Meridian, the oracle and a baseline are left out.
pub fn evaluate(cases: impl IntoIterator<Item = CaseScores>) -> Gate {
    Gate {
        cases: cases.into_iter().filter_map(verdict).collect(),
    }
}

fn verdict(scores: CaseScores) -> Option<CaseVerdict> {
    Some(CaseVerdict {
        all: compare(&scores.all)?,
        pinned: compare(&scores.pinned)?,
        oracle: score(&scores.all, Strategy::Oracle)?,
        reversals: scores.reversals,
        violations: scores.violations,
        case: scores.case,
    })
}

fn compare(scores: &[(Strategy, Score)]) -> Option<Comparison> {
    let baselines = || {
        let scores = scores.iter();
        scores.filter(|(strategy, _)| strategy.is_baseline())
    };
    let lowest_ttft = baselines().min_by(|(_, one), (_, other)| one.ttft.total_cmp(&other.ttft))?;
    // The first of equal baselines, as above.
    let highest_attainment = baselines()
        .rev()
        .max_by(|(_, one), (_, other)| one.slo_attainment.total_cmp(&other.slo_attainment))?;
    Some(Comparison {
        meridian: score(scores, Strategy::Meridian)?,
        lowest_ttft: (lowest_ttft.0, lowest_ttft.1.ttft),
        highest_attainment: (highest_attainment.0, highest_attainment.1.slo_attainment),
    })
}

fn score(scores: &[(Strategy, Score)], wanted: Strategy) -> Option<Score> {
    let mut scores = scores.iter();
    scores
        .find(|(strategy, _)| *strategy == wanted)
        .map(|(_, score)| *score)
}

/// A reason why the gate fails.
#[derive(Clone, Debug, PartialEq)]
pub enum GateFailure {
    /// Meridian is the best in too few cases.
    TooFewWins {
        /// Cases in which Meridian is the best.
        wins: usize,
        /// Number of cases.
        of: usize,
    },
    /// Meridian is worse than the best baseline by more than the tolerance in this case.
    Regression(String),
    /// A home share reversed too often in this case: the number of reversals.
    Oscillation(String, u32),
    /// Requests left their zone in this case: the number of attempts.
    Violations(String, f64),
}

impl fmt::Display for GateFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewWins { wins, of } => write!(
                f,
                "Meridian is the best in {wins} of {of} cases; two thirds are required"
            ),
            Self::Regression(case) => write!(
                f,
                "{case}: Meridian is more than 2 % worse than the best baseline"
            ),
            Self::Oscillation(case, reversals) => {
                write!(f, "{case}: a home share reversed {reversals} times")
            }
            Self::Violations(case, attempts) => {
                write!(
                    f,
                    "{case}: {attempts} attempts at regions outside the caller's zone"
                )
            }
        }
    }
}

impl Gate {
    /// Number of cases in which Meridian is the best.
    pub fn wins(&self) -> usize {
        let wins = self.cases.iter().filter(|case| case.all.is_best());
        wins.count()
    }

    /// Why the gate fails; empty if it passes.
    pub fn failures(&self) -> Vec<GateFailure> {
        let (wins, of) = (self.wins(), self.cases.len());
        let is_short = wins * REQUIRED_WINS.1 < of * REQUIRED_WINS.0;
        let mut failures: Vec<GateFailure> = is_short
            .then_some(GateFailure::TooFewWins { wins, of })
            .into_iter()
            .collect();
        for verdict in &self.cases {
            let case = || verdict.case.clone();
            if verdict.all.is_worse() {
                failures.push(GateFailure::Regression(case()));
            }
            if let Some(reversals) = verdict
                .reversals
                .filter(|reversals| *reversals > MAX_REVERSALS)
            {
                failures.push(GateFailure::Oscillation(case(), reversals));
            }
            if verdict.violations > 0.0 {
                failures.push(GateFailure::Violations(case(), verdict.violations));
            }
        }
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case with nearest at 1 s and 90 %, round robin at 2 s and 95 %, and Meridian with the given scores.
    fn scores(ttft: f64, slo_attainment: f64) -> CaseScores {
        let score = |ttft, slo_attainment| Score {
            ttft,
            slo_attainment,
        };
        let all = vec![
            (Strategy::Nearest, score(1.0, 0.90)),
            (Strategy::RoundRobin, score(2.0, 0.95)),
            (Strategy::Meridian, score(ttft, slo_attainment)),
            (Strategy::Oracle, score(0.5, 0.99)),
            (Strategy::MeridianServerOnly, score(0.4, 0.99)),
            (Strategy::MeridianRegionOnly, score(0.4, 0.99)),
        ];
        CaseScores {
            case: "case".to_owned(),
            pinned: all.clone(),
            all,
            reversals: Some(0),
            violations: 0.0,
        }
    }

    #[test]
    fn each_score_is_compared_with_the_best_baseline() {
        for (ttft, slo_attainment, is_best, is_worse) in [
            (0.9, 0.96, true, false),
            (1.0, 0.96, false, false),
            (0.9, 0.95, false, false),
            (1.019, 0.96, false, false),
            (1.021, 0.96, false, true),
            (0.9, 0.932, false, false),
            (0.9, 0.930, false, true),
        ] {
            let gate = evaluate([scores(ttft, slo_attainment)]);
            let verdict = &gate.cases[0];
            let got = (verdict.all.is_best(), verdict.all.is_worse());
            assert_eq!(got, (is_best, is_worse), "{ttft} s, {slo_attainment}");
            assert_eq!(verdict.all.lowest_ttft.0, Strategy::Nearest);
            assert_eq!(verdict.all.highest_attainment.0, Strategy::RoundRobin);
            assert!((verdict.ttft_over_oracle() - ttft / 0.5).abs() < 1e-9);
        }
    }

    #[test]
    fn two_thirds_of_the_cases_must_be_won() {
        let (best, equal) = (scores(0.9, 0.96), scores(1.0, 0.95));
        let of = |cases: [&CaseScores; 3]| evaluate(cases.into_iter().cloned()).failures();
        assert_eq!(of([&best, &best, &equal]), []);
        assert_eq!(
            of([&best, &equal, &equal]),
            [GateFailure::TooFewWins { wins: 1, of: 3 }]
        );
    }

    #[test]
    fn one_case_can_fail_the_gate() {
        let best = scores(0.9, 0.96);
        let of = |odd: CaseScores| {
            let cases = [best.clone(), best.clone(), best.clone(), odd];
            evaluate(cases).failures()
        };
        let case = || "case".to_owned();
        assert_eq!(of(scores(1.5, 0.96)), [GateFailure::Regression(case())]);
        let reversals = |reversals| CaseScores {
            reversals,
            ..best.clone()
        };
        assert_eq!(of(reversals(None)), []);
        assert_eq!(of(reversals(Some(2))), []);
        assert_eq!(
            of(reversals(Some(3))),
            [GateFailure::Oscillation(case(), 3)]
        );
        let left = CaseScores {
            violations: 1.0,
            ..best.clone()
        };
        assert_eq!(of(left), [GateFailure::Violations(case(), 1.0)]);
    }

    #[test]
    fn the_gate_ignores_the_pinned_zones_scores() {
        let mut odd = scores(0.9, 0.96);
        odd.pinned = scores(1.5, 0.5).pinned;
        let gate = evaluate([odd]);
        assert!(gate.cases[0].pinned.is_worse());
        assert_eq!(gate.failures(), []);
    }

    #[test]
    fn a_case_without_meridian_is_left_out() {
        let mut without = scores(0.9, 0.96);
        without
            .all
            .retain(|(strategy, _)| *strategy != Strategy::Meridian);
        assert_eq!(evaluate([without]), Gate::default());
    }
}
