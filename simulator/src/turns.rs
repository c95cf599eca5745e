//! How often a share turns round: what oscillation is.

/// After a disturbance a share may find its place for so long, in seconds, before its turns count.
const FINDS_ITS_PLACE: f64 = 60.0;

/// The most turns after one disturbance of a share that has these values, second by second from the first on. `end` is the end
/// of the case, in seconds. `None` without a disturbance.
pub fn most(share: &[u8], disturbances: &[f64], end: f64) -> Option<u32> {
    let ends = disturbances.iter().copied().skip(1).chain([end]);
    let each = disturbances.iter().zip(ends);
    let each = each.map(|(from, to)| after(share, *from, to));
    each.max()
}

/// Turns from a disturbance until the next one: changes whose direction is not that of the change before.
fn after(share: &[u8], from: f64, to: f64) -> u32 {
    let at = |second: f64| (second as usize).min(share.len());
    let window = &share[at(from)..at(to)];
    let (mut turns, mut last) = (0, None);
    for (second, pair) in window.windows(2).enumerate() {
        if pair[0] == pair[1] {
            continue;
        }
        let rises = pair[1] > pair[0];
        let counts = second as f64 >= FINDS_ITS_PLACE;
        turns += u32::from(counts && last.is_some_and(|last| last != rises));
        last = Some(rises);
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A share that stays for a while at each of these values.
    fn share(steps: &[(usize, u8)]) -> Vec<u8> {
        let each = steps.iter().map(|(seconds, value)| vec![*value; *seconds]);
        each.collect::<Vec<_>>().concat()
    }

    #[test]
    fn what_turns_round_is_counted() {
        for (steps, turns, why) in [
            (&[(300, 100)][..], 0, "nothing moves"),
            (&[(170, 100), (10, 70), (120, 40)], 0, "down and down"),
            (
                &[(110, 100), (10, 70), (10, 80), (170, 70)],
                0,
                "while it finds its place",
            ),
            (
                &[(110, 100), (60, 70), (130, 80)],
                1,
                "down at first, up later",
            ),
            (
                &[(170, 100), (10, 70), (10, 80), (10, 70), (100, 80)],
                3,
                "down, up, down, up",
            ),
        ] {
            assert_eq!(most(&share(steps), &[100.0], 300.0), Some(turns), "{why}");
        }
    }

    #[test]
    fn each_disturbance_counts_for_itself() {
        let swings = share(&[
            (170, 100),
            (10, 70),
            (10, 80),
            (200, 70),
            (10, 80),
            (200, 70),
        ]);
        assert_eq!(most(&swings, &[], 600.0), None, "nobody disturbed it");
        assert_eq!(most(&swings, &[100.0], 600.0), Some(4));
        assert_eq!(most(&swings, &[100.0, 300.0], 600.0), Some(2));
    }
}
