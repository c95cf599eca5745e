//! The gate: what Meridian must do against the other ways, as a function of the figures.

use crate::strategy::Strategy;
use crate::study::Studied;
use std::fmt;

/// Of all cases, those in which Meridian must be the best: two thirds.
const BEST_IN: (usize, usize) = (2, 3);
/// By which part it may be worse than the best other way.
const WORSE: f64 = 0.02;
/// The most turns of a share after a disturbance.
const TURNS: u32 = 2;

/// What is compared, of one way in one case: means over the seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// The 95th percentile of the seconds until the first token.
    pub first_token: f64,
    /// Requests that got what is promised, a ratio.
    pub attainment: f64,
}

/// A case, as far as the gate is about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub case: String,
    /// Every way.
    pub ways: Vec<(Strategy, Compared)>,
    /// Every way, of the pinned zone's callers alone: the gate is not about them.
    pub pinned: Vec<(Strategy, Compared)>,
    /// The most turns of a share after a disturbance, if there was one.
    pub turns: Option<u32>,
    /// Attempts of Meridian's at regions that a zone may not use, all seeds together.
    pub violations: f64,
}

impl From<&Studied> for Entry {
    fn from(studied: &Studied) -> Self {
        let all = |way| Compared {
            first_token: studied.spread(way, |of| of.first_token[1]).mean,
            attainment: studied.spread(way, |of| of.attainment).mean,
        };
        let pinned = |way| Compared {
            first_token: studied.spread(way, |of| of.pinned_first_token).mean,
            attainment: studied.spread(way, |of| of.pinned_attainment).mean,
        };
        let ways = || studied.ways.iter().map(|(way, _)| *way);
        let of_meridian = studied
            .ways
            .iter()
            .filter(|(way, _)| *way == Strategy::Meridian);
        let figures = of_meridian.flat_map(|(_, figures)| figures);
        Self {
            case: studied.name.clone(),
            ways: ways().map(|way| (way, all(way))).collect(),
            pinned: ways().map(|way| (way, pinned(way))).collect(),
            turns: studied.turns,
            violations: figures.map(|figures| figures.violations).sum(),
        }
    }
}

/// Meridian against the best of the other ways, at some callers.
#[derive(Clone, Debug, PartialEq)]
pub struct Against {
    /// Meridian.
    pub meridian: Compared,
    /// The other way with the soonest first tokens, and its seconds.
    pub soonest: (Strategy, f64),
    /// The one that kept most promises, and its attainment.
    pub most_kept: (Strategy, f64),
}

impl Against {
    /// It is better than the best in both.
    pub fn is_best(&self) -> bool {
        self.meridian.first_token < self.soonest.1 && self.meridian.attainment > self.most_kept.1
    }

    /// In one of both it is worse than the best by more than it may.
    pub fn is_worse(&self) -> bool {
        self.meridian.first_token > self.soonest.1 * (1.0 + WORSE)
            || self.meridian.attainment < self.most_kept.1 * (1.0 - WORSE)
    }
}

/// How Meridian does in one case.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The case.
    pub case: String,
    /// At all callers.
    pub all: Against,
    /// At those of the pinned zone alone: the gate is not about them.
    pub pinned: Against,
    /// The oracle.
    pub oracle: Compared,
    /// The most turns of a share after a disturbance, if there was one.
    pub turns: Option<u32>,
    /// Attempts at regions that a zone may not use.
    pub violations: f64,
}

impl Judged {
    /// Its first tokens' P95 over the oracle's.
    pub fn over_oracle(&self) -> f64 {
        self.all.meridian.first_token / self.oracle.first_token
    }
}

/// The verdict over cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate {
    /// By case.
    pub judged: Vec<Judged>,
}

/// Judges cases. One without figures of Meridian, the oracle and another way says nothing, and is left out.
pub fn judge(entries: impl IntoIterator<Item = Entry>) -> Gate {
    Gate {
        judged: entries.into_iter().filter_map(one).collect(),
    }
}

fn one(entry: Entry) -> Option<Judged> {
    Some(Judged {
        all: against(&entry.ways)?,
        pinned: against(&entry.pinned)?,
        oracle: of(&entry.ways, Strategy::Oracle)?,
        turns: entry.turns,
        violations: entry.violations,
        case: entry.case,
    })
}

fn against(ways: &[(Strategy, Compared)]) -> Option<Against> {
    let others = || {
        let ways = ways.iter();
        ways.filter(|(way, _)| way.is_other())
    };
    let soonest =
        others().min_by(|(_, one), (_, other)| one.first_token.total_cmp(&other.first_token))?;
    // Of equal ones the first, as above.
    let most_kept = others()
        .rev()
        .max_by(|(_, one), (_, other)| one.attainment.total_cmp(&other.attainment))?;
    Some(Against {
        meridian: of(ways, Strategy::Meridian)?,
        soonest: (soonest.0, soonest.1.first_token),
        most_kept: (most_kept.0, most_kept.1.attainment),
    })
}

fn of(ways: &[(Strategy, Compared)], wanted: Strategy) -> Option<Compared> {
    let mut ways = ways.iter();
    ways.find(|(way, _)| *way == wanted).map(|(_, of)| *of)
}

/// Something that the gate does not let through.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// It is the best in too few cases.
    BestInFew {
        /// In how many it is.
        best: usize,
        /// Of how many.
        of: usize,
    },
    /// It is much worse than another way.
    Worse(String),
    /// A share turned round and round.
    Oscillates(String, u32),
    /// Requests left their zone.
    Violations(String, f64),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BestInFew { best, of } => write!(
                f,
                "Meridian is the best in {best} of {of} cases, not in two thirds of them"
            ),
            Self::Worse(case) => write!(
                f,
                "{case}: Meridian is worse than the best other way by more than 2 %"
            ),
            Self::Oscillates(case, turns) => {
                write!(f, "{case}: a share turned round {turns} times")
            }
            Self::Violations(case, attempts) => {
                write!(f, "{case}: {attempts} attempts left their zone")
            }
        }
    }
}

impl Gate {
    /// In how many cases Meridian is the best.
    pub fn best(&self) -> usize {
        let best = self.judged.iter().filter(|judged| judged.all.is_best());
        best.count()
    }

    /// What is wrong; nothing if the gate is met.
    pub fn problems(&self) -> Vec<Problem> {
        let (best, of) = (self.best(), self.judged.len());
        let few = best * BEST_IN.1 < of * BEST_IN.0;
        let mut problems: Vec<Problem> = few
            .then_some(Problem::BestInFew { best, of })
            .into_iter()
            .collect();
        for judged in &self.judged {
            let case = || judged.case.clone();
            if judged.all.is_worse() {
                problems.push(Problem::Worse(case()));
            }
            if let Some(turns) = judged.turns.filter(|turns| *turns > TURNS) {
                problems.push(Problem::Oscillates(case(), turns));
            }
            if judged.violations > 0.0 {
                problems.push(Problem::Violations(case(), judged.violations));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case with nearest at 1 s and 90 %, round robin at 2 s and 95 %, and Meridian at this.
    fn entry(first_token: f64, attainment: f64) -> Entry {
        let compared = |first_token, attainment| Compared {
            first_token,
            attainment,
        };
        let ways = vec![
            (Strategy::Nearest, compared(1.0, 0.90)),
            (Strategy::RoundRobin, compared(2.0, 0.95)),
            (Strategy::Meridian, compared(first_token, attainment)),
            (Strategy::Oracle, compared(0.5, 0.99)),
            (Strategy::OwnServers, compared(0.4, 0.99)),
            (Strategy::OwnRegions, compared(0.4, 0.99)),
        ];
        Entry {
            case: "case".to_owned(),
            pinned: ways.clone(),
            ways,
            turns: Some(0),
            violations: 0.0,
        }
    }

    #[test]
    fn each_figure_is_held_against_the_best_at_it() {
        for (first_token, attainment, is_best, is_worse) in [
            (0.9, 0.96, true, false),
            (1.0, 0.96, false, false),
            (0.9, 0.95, false, false),
            (1.019, 0.96, false, false),
            (1.021, 0.96, false, true),
            (0.9, 0.932, false, false),
            (0.9, 0.930, false, true),
        ] {
            let gate = judge([entry(first_token, attainment)]);
            let judged = &gate.judged[0];
            let got = (judged.all.is_best(), judged.all.is_worse());
            assert_eq!(got, (is_best, is_worse), "{first_token} s, {attainment}");
            assert_eq!(judged.all.soonest.0, Strategy::Nearest);
            assert_eq!(judged.all.most_kept.0, Strategy::RoundRobin);
            assert!((judged.over_oracle() - first_token / 0.5).abs() < 1e-9);
        }
    }

    #[test]
    fn two_thirds_are_enough_and_less_is_not() {
        let (best, equal) = (entry(0.9, 0.96), entry(1.0, 0.95));
        let of = |entries: [&Entry; 3]| judge(entries.into_iter().cloned()).problems();
        assert_eq!(of([&best, &best, &equal]), []);
        assert_eq!(
            of([&best, &equal, &equal]),
            [Problem::BestInFew { best: 1, of: 3 }]
        );
    }

    #[test]
    fn one_case_is_enough_for_a_problem() {
        let best = entry(0.9, 0.96);
        let of = |odd: Entry| {
            let entries = [best.clone(), best.clone(), best.clone(), odd];
            judge(entries).problems()
        };
        let case = || "case".to_owned();
        assert_eq!(of(entry(1.5, 0.96)), [Problem::Worse(case())]);
        let turns = |turns| Entry {
            turns,
            ..best.clone()
        };
        assert_eq!(of(turns(None)), []);
        assert_eq!(of(turns(Some(2))), []);
        assert_eq!(of(turns(Some(3))), [Problem::Oscillates(case(), 3)]);
        let left = Entry {
            violations: 1.0,
            ..best.clone()
        };
        assert_eq!(of(left), [Problem::Violations(case(), 1.0)]);
    }

    #[test]
    fn the_gate_is_not_about_the_pinned_zone_alone() {
        let mut odd = entry(0.9, 0.96);
        odd.pinned = entry(1.5, 0.5).pinned;
        let gate = judge([odd]);
        assert!(gate.judged[0].pinned.is_worse());
        assert_eq!(gate.problems(), []);
    }

    #[test]
    fn a_case_without_meridian_says_nothing() {
        let mut without = entry(0.9, 0.96);
        without.ways.retain(|(way, _)| *way != Strategy::Meridian);
        assert_eq!(judge([without]), Gate::default());
    }
}
