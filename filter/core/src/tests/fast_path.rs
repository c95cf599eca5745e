//! The fast path in a closed loop: the shed fraction follows the refusals, and decays.

use crate::pace::PoolPace;
use crate::routes::{PoolId, SplitRoute};
use crate::shed::ShedFractions;
use crate::shed_level::{RecentAnswers, ShedLevel};
use meridian_fixtures::fleets::{EAST, LLAMA, WEST};
use std::rc::Rc;

/// Two gateways with the fast path only. Each region can answer `can` requests per second, which depends on the second; a refused
/// request is sent to the other region. Returns the fraction of requests that left at first, per second and gateway.
fn fast_path(offered: [f64; 2], can: impl Fn(u64) -> f64, seconds: u64) -> Vec<[f64; 2]> {
    const NAMES: [&str; 2] = [WEST, EAST];
    let pool = |of: usize| {
        Rc::new(PoolId::new(
            &NAMES[of].parse().unwrap(),
            &LLAMA.parse().unwrap(),
        ))
    };
    let split = |home: usize| SplitRoute {
        first: pool(home),
        home_share: 100,
        floor: 10,
        overflow: vec![(pool(1 - home), 100)],
        fixed: false,
        drains: false,
    };
    let splits = [split(0), split(1)];
    let mut recent = [[RecentAnswers::default(); 2]; 2];
    let mut levels = [[ShedLevel::default(); 2]; 2];
    let mut tokens = [0.0_f64; 2];
    let (mut due, mut sent) = ([0.0; 2], [0_u64; 2]);
    let mut left = Vec::new();
    for second in 0..seconds {
        let mut counts = [[0.0_f64; 2]; 2];
        let can = can(second);
        for ms in 0..1000 {
            let now = second * 1000 + ms + 1;
            for tokens in &mut tokens {
                *tokens = (*tokens + can / 1000.0).min(can / 10.0);
            }
            for gateway in 0..2 {
                due[gateway] += offered[gateway] / 1000.0;
                if due[gateway] < 1.0 {
                    continue;
                }
                due[gateway] -= 1.0;
                sent[gateway] += 1;
                let refuses = |pool: &PoolId| {
                    let which = usize::from(pool.region.as_str() == EAST);
                    levels[gateway][which].level(now)
                };
                let shed = ShedFractions::of(
                    &splits[gateway],
                    refuses,
                    |_| 0.0,
                    |_| PoolPace::default(),
                    now,
                );
                let level = shed.of_share();
                // The conversations follow one another, evenly spread.
                let place = (sent[gateway] as f64 * 0.618_033_988_75).fract();
                let stays = place < (1.0 - level).max(0.1);
                let first = if stays { gateway } else { 1 - gateway };
                counts[gateway][usize::from(!stays)] += 1.0;
                for to in [first, 1 - first] {
                    let refused = tokens[to] < 1.0;
                    let part = recent[gateway][to].note_answer(refused, now);
                    if !refused {
                        tokens[to] -= 1.0;
                        break;
                    }
                    levels[gateway][to] = levels[gateway][to].after_refusal(part, None, now);
                }
            }
        }
        left.push(counts.map(|[stayed, left]| left / (stayed + left)));
    }
    left
}

#[test]
fn the_shed_fraction_follows_the_refused_fraction() {
    let one = fast_path([100.0, 20.0], |_| 60.0, 60);
    for [west, east] in &one[20..] {
        assert!(
            (0.25..0.65).contains(west),
            "40 of 100 are too many: {one:?}"
        );
        assert!(*east < 0.05, "{one:?}");
    }
    let both = fast_path([100.0, 100.0], |_| 60.0, 60);
    for [west, east] in &both[20..] {
        assert!(west.max(*east) < 0.45, "both are overloaded: {both:?}");
    }
}

/// While all refuse, and when they have stopped, no region is better than another.
#[test]
fn nobody_leaves_for_a_region_that_refuses_as_much() {
    let all = fast_path(
        [100.0, 100.0],
        |second| if second < 30 { 0.0 } else { 1000.0 },
        60,
    );
    for (second, [west, east]) in all.iter().enumerate().skip(5) {
        assert!(west.max(*east) < 0.05, "{second}: {all:?}");
    }
}
