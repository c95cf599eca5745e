//! Allocation of overflow traffic to the headroom of regions, as a minimum-cost flow.
//!
//! The flow is a linear program with one variable per (gateway, region) pair. It is solved for each plan in which a
//! gateway sheds. The solution places as much traffic as possible, at the lowest total cost.

use microlp::{ComparisonOp, OptimizationDirection, Problem, SolveOutcome, Variable};
use std::collections::BTreeSet;

/// Relative tolerance below which two headrooms count as equal.
const SAME: f64 = 1e-9;

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
    pub room: f64,
    /// Cost per request, in one unit for all paths. At least 0.
    pub cost: f64,
}

/// Traffic that each region takes of each want, in the order of the want's paths.
pub fn allot(wants: &[Want]) -> Vec<Vec<f64>> {
    let nothing = || wants.iter().map(|want| vec![0.0; want.to.len()]).collect();
    // Placing a request outweighs the detours that it can cause: at most one for each want.
    let ways = wants.iter().flat_map(|want| &want.to);
    let longest = ways.clone().map(|way| way.cost).fold(1.0, f64::max);
    let regions: BTreeSet<usize> = ways.map(|way| way.region).collect();
    let most = longest * (wants.len() + 1) as f64;
    let mut problem = Problem::new(OptimizationDirection::Maximize);
    let placed: Vec<Vec<Variable>> = wants
        .iter()
        .map(|want| {
            let ways = want.to.iter();
            let parts: Vec<Variable> = ways
                .map(|way| problem.add_var(most - way.cost, (0.0, f64::INFINITY)))
                .collect();
            let sum: Vec<(Variable, f64)> = parts.iter().map(|part| (*part, 1.0)).collect();
            problem.add_constraint(&sum, ComparisonOp::Le, want.amount.max(0.0));
            parts
        })
        .collect();
    for region in regions {
        let mut into: Vec<(f64, Variable)> = wants
            .iter()
            .zip(&placed)
            .flat_map(|(want, parts)| want.to.iter().zip(parts))
            .filter(|(way, _)| way.region == region)
            .map(|(way, part)| (way.room.max(0.0), *part))
            .collect();
        // Traffic under a small cap also consumes the larger caps, not vice versa.
        into.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let mut parts = Vec::new();
        for same in into.chunk_by(|(one, _), (other, _)| other - one <= SAME * other) {
            parts.extend(same.iter().map(|(_, part)| (*part, 1.0)));
            if let Some((room, _)) = same.first() {
                problem.add_constraint(&parts, ComparisonOp::Le, *room);
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

    fn ways(amount: f64, to: &[(usize, f64)]) -> Want {
        let way = |&(region, cost): &(usize, f64)| Path {
            region,
            room: 0.0,
            cost,
        };
        let to = to.iter().map(way).collect();
        Want { amount, to }
    }

    /// Allots with the same headroom of each region for every want.
    fn allot(wants: &[Want], rooms: &[f64]) -> Vec<Vec<f64>> {
        let mut wants = wants.to_vec();
        for way in wants.iter_mut().flat_map(|want| &mut want.to) {
            way.room = rooms[way.region];
        }
        super::allot(&wants)
    }

    /// A want whose paths cost 1, 2, 3 and so on, in this order.
    fn want(amount: f64, to: &[usize]) -> Want {
        let to: Vec<_> = (1..)
            .zip(to)
            .map(|(rank, to)| (*to, f64::from(rank)))
            .collect();
        ways(amount, &to)
    }

    fn rounded(parts: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let round = |part: f64| (part * 1e6).round() / 1e6;
        let each = parts.into_iter();
        each.map(|parts| parts.into_iter().map(round).collect())
            .collect()
    }

    #[test]
    fn the_nearest_takes_what_it_can() {
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
    fn who_has_no_other_way_comes_first() {
        // The first want could use the only headroom that the second can use.
        let wants = [want(4.0, &[0, 1]), want(4.0, &[0])];
        assert_eq!(
            rounded(allot(&wants, &[4.0, 4.0])),
            [vec![0.0, 4.0], vec![4.0]]
        );
    }

    #[test]
    fn who_would_have_farther_to_go_comes_first() {
        // Both wants prefer region 0. The alternative of `far` costs more than that of `near`.
        let near = ways(4.0, &[(0, 60.0), (1, 70.0)]);
        let far = ways(4.0, &[(0, 60.0), (1, 200.0)]);
        for wants in [[near.clone(), far.clone()], [far.clone(), near.clone()]] {
            for (want, parts) in wants.iter().zip(rounded(allot(&wants, &[4.0, 9.0]))) {
                let nearest = if *want == far { 4.0 } else { 0.0 };
                assert_eq!(parts, [nearest, 4.0 - nearest]);
            }
        }
    }

    #[test]
    fn no_way_is_so_long_that_a_request_stays_without_room() {
        // The third want fits only if the other two take their expensive paths.
        let wants = [
            ways(1.0, &[(0, 0.0), (1, 300.0)]),
            ways(1.0, &[(1, 0.0), (2, 300.0)]),
            ways(1.0, &[(0, 300.0)]),
        ];
        let parts = rounded(allot(&wants, &[1.0, 1.0, 1.0]));
        assert_eq!(parts, [vec![0.0, 1.0], vec![0.0, 1.0], vec![1.0]]);
    }

    #[test]
    fn who_may_have_less_leaves_the_rest_to_others() {
        let of = |amount, room| Want {
            amount,
            to: vec![Path {
                region: 0,
                room,
                cost: 1.0,
            }],
        };
        for (guests, own, gets) in [
            (of(9.0, 4.0), of(9.0, 10.0), (10.0, [0.0, 4.0])),
            (of(9.0, 4.0), of(1.0, 10.0), (5.0, [4.0, 4.0])),
            (of(9.0, -1.0), of(9.0, 10.0), (9.0, [0.0, 0.0])),
        ] {
            let parts = super::allot(&[guests, own]);
            let (sum, [least, most]) = gets;
            let all = parts[0][0] + parts[1][0];
            assert!((all - sum).abs() < 1e-6, "{parts:?}");
            let guest = parts[0][0];
            assert!(guest >= least - 1e-6 && guest <= most + 1e-6, "{parts:?}");
        }
    }

    proptest! {
        #[test]
        fn nobody_is_given_more_than_was_wanted_or_there_is_and_room_is_used(
            amounts in prop::collection::vec(0.0..20.0f64, 1..6), rooms in prop::collection::vec(-5.0..20.0f64, 1..6),
        ) {
            let all: Vec<usize> = (0..rooms.len()).collect();
            let wants: Vec<Want> = amounts.iter().map(|amount| want(*amount, &all)).collect();
            let parts = allot(&wants, &rooms);
            let placed: f64 = parts.iter().flatten().sum();
            let (wanted, room): (f64, f64) = (amounts.iter().sum(), rooms.iter().map(|room| room.max(0.0)).sum());
            prop_assert!((placed - wanted.min(room)).abs() < 1e-6);
        }

        #[test]
        fn what_is_kept_from_one_is_kept_from_those_who_may_have_less(
            wants in prop::collection::vec((0.0..20.0f64, prop::collection::vec((0..4usize, -5.0..20.0f64, 0.0..300.0f64), 0..5)), 1..6),
        ) {
            let way = |(region, room, cost): &(usize, f64, f64)| Path { region: *region, room: *room, cost: *cost };
            let want = |(amount, to): &(f64, Vec<_>)| Want { amount: *amount, to: to.iter().map(way).collect() };
            let wants: Vec<Want> = wants.iter().map(want).collect();
            let parts = super::allot(&wants);
            for (want, parts) in wants.iter().zip(&parts) {
                prop_assert!(parts.iter().sum::<f64>() <= want.amount + 1e-6);
            }
            let each = || {
                let both = wants.iter().zip(&parts);
                both.flat_map(|(want, parts)| want.to.iter().zip(parts))
            };
            for (way, _) in each() {
                let no_more = each().filter(|(other, _)| other.region == way.region && other.room <= way.room);
                let taken: f64 = no_more.map(|(_, part)| part).sum();
                prop_assert!(taken <= way.room.max(0.0) + 1e-6, "{taken} of {way:?}: {wants:?}");
            }
            prop_assert_eq!(parts, super::allot(&wants), "the same on replay");
        }
    }
}
