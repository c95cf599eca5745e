//! Allocation of overflow traffic to the headroom of regions, as a minimum-cost flow.
//!
//! The flow is a linear program with one variable per (gateway, region) pair. It is solved for each plan in which a
//! gateway sheds. The solution places as much traffic as possible, at the lowest total cost.

use microlp::{ComparisonOp, OptimizationDirection, Problem, SolveOutcome, Variable};
use std::collections::BTreeSet;

/// Relative tolerance below which two headrooms count as equal.
const TOLERANCE: f64 = 1e-9;

/// Traffic that one gateway wants to send to other regions.
#[derive(Clone, Debug, PartialEq)]
pub struct Want {
    /// Requests per second, in the same unit as the headroom.
    pub amount: f64,
    /// Regions that may take some of it.
    pub to: Vec<Path>,
}

/// A region that may take some of a want.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// Index of the region.
    pub region: usize,
    /// Headroom of the region for this want and for all wants whose headroom there is no larger. A negative value means
    /// none.
    pub headroom: f64,
    /// Cost per request, in one unit for all paths. At least 0.
    pub cost: f64,
}

/// Traffic that each region takes of each want, in the order of the want's paths.
pub fn allot(wants: &[Want]) -> Vec<Vec<f64>> {
    let nothing = || wants.iter().map(|want| vec![0.0; want.to.len()]).collect();
    // Placing a request outweighs the detours that it can cause: at most one for each want.
    let paths = wants.iter().flat_map(|want| &want.to);
    let max_cost = paths.clone().map(|path| path.cost).fold(1.0, f64::max);
    let regions: BTreeSet<usize> = paths.map(|path| path.region).collect();
    let placed_value = max_cost * (wants.len() + 1) as f64;
    let mut problem = Problem::new(OptimizationDirection::Maximize);
    let placed: Vec<Vec<Variable>> = wants
        .iter()
        .map(|want| {
            let paths = want.to.iter();
            let parts: Vec<Variable> = paths
                .map(|path| problem.add_var(placed_value - path.cost, (0.0, f64::INFINITY)))
                .collect();
            let sum: Vec<(Variable, f64)> = parts.iter().map(|part| (*part, 1.0)).collect();
            problem.add_constraint(&sum, ComparisonOp::Le, want.amount.max(0.0));
            parts
        })
        .collect();
    for region in regions {
        let mut inbound: Vec<(f64, Variable)> = wants
            .iter()
            .zip(&placed)
            .flat_map(|(want, parts)| want.to.iter().zip(parts))
            .filter(|(path, _)| path.region == region)
            .map(|(path, part)| (path.headroom.max(0.0), *part))
            .collect();
        // Traffic under a small cap also consumes the larger caps, not vice versa.
        inbound.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let mut parts = Vec::new();
        for same in inbound.chunk_by(|(one, _), (other, _)| other - one <= TOLERANCE * other) {
            parts.extend(same.iter().map(|(_, part)| (*part, 1.0)));
            if let Some((headroom, _)) = same.first() {
                problem.add_constraint(&parts, ComparisonOp::Le, *headroom);
            }
        }
    }
    // The zero allocation is always feasible, so only a defective solver fails. Then nothing moves.
    match problem.solve() {
        Ok(SolveOutcome::Solution(solution)) => {
            let value = |part: &Variable| solution[*part].max(0.0);
            let each = placed.iter();
            each.map(|parts| parts.iter().map(value).collect())
                .collect()
        }
        _ => nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths(amount: f64, to: &[(usize, f64)]) -> Want {
        let path = |&(region, cost): &(usize, f64)| Path {
            region,
            headroom: 0.0,
            cost,
        };
        let to = to.iter().map(path).collect();
        Want { amount, to }
    }

    /// Allots with the same headroom of each region for every want.
    fn allot(wants: &[Want], headrooms: &[f64]) -> Vec<Vec<f64>> {
        let mut wants = wants.to_vec();
        for path in wants.iter_mut().flat_map(|want| &mut want.to) {
            path.headroom = headrooms[path.region];
        }
        super::allot(&wants)
    }

    /// A want whose paths cost 1, 2, 3 and so on, in this order.
    fn want(amount: f64, to: &[usize]) -> Want {
        let to: Vec<_> = (1..)
            .zip(to)
            .map(|(rank, to)| (*to, f64::from(rank)))
            .collect();
        paths(amount, &to)
    }

    fn rounded(parts: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let round = |part: f64| (part * 1e6).round() / 1e6;
        let each = parts.into_iter();
        each.map(|parts| parts.into_iter().map(round).collect())
            .collect()
    }

    #[test]
    fn traffic_fills_the_cheapest_region_first() {
        assert_eq!(
            rounded(allot(&[want(5.0, &[0, 1])], &[9.0, 9.0])),
            [[5.0, 0.0]]
        );
        assert_eq!(
            rounded(allot(&[want(5.0, &[1, 0])], &[9.0, 2.0])),
            [[2.0, 3.0]]
        );
        assert_eq!(
            rounded(allot(&[want(5.0, &[1, 0])], &[1.0, -2.0])),
            [[0.0, 1.0]]
        );
    }

    #[test]
    fn a_want_with_a_single_path_takes_precedence() {
        // The first want could use the only headroom that the second can use.
        let wants = [want(4.0, &[0, 1]), want(4.0, &[0])];
        assert_eq!(
            rounded(allot(&wants, &[4.0, 4.0])),
            [vec![0.0, 4.0], vec![4.0]]
        );
    }

    #[test]
    fn scarce_headroom_goes_to_the_want_with_the_costlier_alternative() {
        // Both wants prefer region 0. The alternative of `far` costs more than that of `near`.
        let near = paths(4.0, &[(0, 60.0), (1, 70.0)]);
        let far = paths(4.0, &[(0, 60.0), (1, 200.0)]);
        for wants in [[near.clone(), far.clone()], [far.clone(), near.clone()]] {
            for (want, parts) in wants.iter().zip(rounded(allot(&wants, &[4.0, 9.0]))) {
                let nearest = if *want == far { 4.0 } else { 0.0 };
                assert_eq!(parts, [nearest, 4.0 - nearest]);
            }
        }
    }

    #[test]
    fn expensive_paths_never_leave_a_request_unplaced() {
        // The third want fits only if the other two take their expensive paths.
        let wants = [
            paths(1.0, &[(0, 0.0), (1, 300.0)]),
            paths(1.0, &[(1, 0.0), (2, 300.0)]),
            paths(1.0, &[(0, 300.0)]),
        ];
        let parts = rounded(allot(&wants, &[1.0, 1.0, 1.0]));
        assert_eq!(parts, [vec![0.0, 1.0], vec![0.0, 1.0], vec![1.0]]);
    }

    #[test]
    fn a_smaller_cap_leaves_the_rest_to_larger_caps() {
        let of = |amount, headroom| Want {
            amount,
            to: vec![Path {
                region: 0,
                headroom,
                cost: 1.0,
            }],
        };
        for (smaller, larger, gets) in [
            (of(9.0, 4.0), of(9.0, 10.0), (10.0, [0.0, 4.0])),
            (of(9.0, 4.0), of(1.0, 10.0), (5.0, [4.0, 4.0])),
            (of(9.0, -1.0), of(9.0, 10.0), (9.0, [0.0, 0.0])),
        ] {
            let parts = super::allot(&[smaller, larger]);
            let (sum, [least, most]) = gets;
            let all = parts[0][0] + parts[1][0];
            assert!((all - sum).abs() < 1e-6, "{parts:?}");
            let small_part = parts[0][0];
            assert!(
                small_part >= least - 1e-6 && small_part <= most + 1e-6,
                "{parts:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_allocation_is_the_smaller_of_demand_and_headroom(
            amounts in prop::collection::vec(0.0..20.0f64, 1..6), headrooms in prop::collection::vec(-5.0..20.0f64, 1..6),
        ) {
            let all: Vec<usize> = (0..headrooms.len()).collect();
            let wants: Vec<Want> = amounts.iter().map(|amount| want(*amount, &all)).collect();
            let parts = allot(&wants, &headrooms);
            let placed: f64 = parts.iter().flatten().sum();
            let (wanted, headroom): (f64, f64) = (amounts.iter().sum(), headrooms.iter().map(|headroom| headroom.max(0.0)).sum());
            prop_assert!((placed - wanted.min(headroom)).abs() < 1e-6);
        }

        #[test]
        fn all_nested_caps_hold(
            wants in prop::collection::vec((0.0..20.0f64, prop::collection::vec((0..4usize, -5.0..20.0f64, 0.0..300.0f64), 0..5)), 1..6),
        ) {
            let path = |(region, headroom, cost): &(usize, f64, f64)| Path { region: *region, headroom: *headroom, cost: *cost };
            let want = |(amount, to): &(f64, Vec<_>)| Want { amount: *amount, to: to.iter().map(path).collect() };
            let wants: Vec<Want> = wants.iter().map(want).collect();
            let parts = super::allot(&wants);
            for (want, parts) in wants.iter().zip(&parts) {
                prop_assert!(parts.iter().sum::<f64>() <= want.amount + 1e-6);
            }
            let each = || {
                let pairs = wants.iter().zip(&parts);
                pairs.flat_map(|(want, parts)| want.to.iter().zip(parts))
            };
            for (path, _) in each() {
                let no_more = each().filter(|(other, _)| other.region == path.region && other.headroom <= path.headroom);
                let taken: f64 = no_more.map(|(_, part)| part).sum();
                prop_assert!(taken <= path.headroom.max(0.0) + 1e-6, "{taken} of {path:?}: {wants:?}");
            }
            prop_assert_eq!(parts, super::allot(&wants), "the same on replay");
        }
    }
}
