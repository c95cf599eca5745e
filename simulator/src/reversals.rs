//! Reversals of a home share: the measure of oscillation.

/// Reversals in this time after a disturbance, in seconds, are not counted: the share may settle.
const SETTLING_TIME: f64 = 60.0;

/// Largest number of reversals after any one disturbance; `None` without a disturbance. `share` has a value in percent for each
/// second. Disturbances and the case's end are in seconds.
pub fn most_reversals(share: &[u8], disturbances: &[f64], end: f64) -> Option<u32> {
    let ends = disturbances.iter().copied().skip(1).chain([end]);
    let each = disturbances.iter().zip(ends);
    let each = each.map(|(from, to)| reversals(share, *from, to));
    each.max()
}

/// Reversals from one disturbance to the next: changes in the direction opposite to the previous change.
fn reversals(share: &[u8], from: f64, to: f64) -> u32 {
    let at = |second: f64| (second as usize).min(share.len());
    let window = &share[at(from)..at(to)];
    let (mut count, mut last) = (0, None);
    for (second, pair) in window.windows(2).enumerate() {
        if pair[0] == pair[1] {
            continue;
        }
        let rises = pair[1] > pair[0];
        let counts = second as f64 >= SETTLING_TIME;
        count += u32::from(counts && last.is_some_and(|last| last != rises));
        last = Some(rises);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A share that keeps each value for some seconds.
    fn share(steps: &[(usize, u8)]) -> Vec<u8> {
        let each = steps.iter().map(|(seconds, value)| vec![*value; *seconds]);
        each.collect::<Vec<_>>().concat()
    }

    #[test]
    fn reversals_are_counted() {
        for (steps, expected, why) in [
            (&[(300, 100)][..], 0, "no change"),
            (&[(170, 100), (10, 70), (120, 40)], 0, "down twice"),
            (
                &[(110, 100), (10, 70), (10, 80), (170, 70)],
                0,
                "within the settling time",
            ),
            (&[(110, 100), (60, 70), (130, 80)], 1, "down, later up"),
            (
                &[(170, 100), (10, 70), (10, 80), (10, 70), (100, 80)],
                3,
                "down, up, down, up",
            ),
        ] {
            assert_eq!(
                most_reversals(&share(steps), &[100.0], 300.0),
                Some(expected),
                "{why}"
            );
        }
    }

    #[test]
    fn each_disturbance_is_counted_on_its_own() {
        let swings = share(&[
            (170, 100),
            (10, 70),
            (10, 80),
            (200, 70),
            (10, 80),
            (200, 70),
        ]);
        assert_eq!(most_reversals(&swings, &[], 600.0), None, "no disturbance");
        assert_eq!(most_reversals(&swings, &[100.0], 600.0), Some(4));
        assert_eq!(most_reversals(&swings, &[100.0, 300.0], 600.0), Some(2));
    }
}
