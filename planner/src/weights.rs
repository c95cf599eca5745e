//! Integer weights of regions, as Envoy routes need them, with a fixed sum.

use meridian_policy::RegionName;
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use std::collections::BTreeMap;

/// Integer weights in proportion to `parts`, with the sum [`TOTAL_WEIGHT`]. Each weight is the difference of two
/// rounded cumulative sums. Regions with a weight of 0 are omitted. Empty if all parts are 0.
pub(crate) fn proportional<'r>(
    parts: impl IntoIterator<Item = (&'r RegionName, f64)>,
) -> BTreeMap<RegionName, u32> {
    let parts: Vec<(&RegionName, f64)> = parts.into_iter().collect();
    let sum: f64 = parts.iter().map(|(_, part)| part).sum();
    let (mut cumulative, mut assigned) = (0.0, 0);
    let mut weights = BTreeMap::new();
    for (region, part) in parts {
        cumulative += part;
        let until = (cumulative / sum * f64::from(TOTAL_WEIGHT)).round() as u32;
        if until > assigned {
            weights.insert(region.clone(), until - assigned);
            assigned = until;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[f64]) -> Vec<u32> {
        let regions: Vec<RegionName> = (0..parts.len())
            .map(|number| format!("r{number:02}").parse().unwrap())
            .collect();
        let weights = proportional(regions.iter().zip(parts.iter().copied()));
        weights.into_values().collect()
    }

    #[test]
    fn weights_are_proportional_and_have_a_fixed_sum() {
        assert_eq!(of(&[2.0, 1.0, 1.0]), [50, 25, 25]);
        assert_eq!(of(&[1.0, 0.0, 3.0]), [25, 75]);
        assert_eq!(of(&[1.0, 1.0, 1.0]), [33, 34, 33]);
        assert!(of(&[]).is_empty() && of(&[0.0, 0.0]).is_empty());
        // Equal parts whose exact weights all round in the same direction.
        for count in 1..=100 {
            let weights = of(&vec![0.7; count]);
            assert_eq!(weights.iter().sum::<u32>(), TOTAL_WEIGHT, "{count}");
            let (least, most) = (weights.iter().min(), weights.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{weights:?}");
        }
    }
}
